import DeviceQueue
import FileStoreKit
import MQTTBroker
import PerpetualQuery
import Platform
import ResultSink
import Synchronization
import Telemetry
import Testing

@testable import Hub

/// A hub's query over a disk in memory: hundreds of open groups, and a row of its own for each reading.
private final class CheckpointLife {
    static let text = """
        SELECT k, COUNT(*) AS n, SUM(v) AS s INTO g FROM telemetry GROUP BY k, TumblingWindow(minute, 10)
        SELECT v INTO e FROM telemetry
        """
    /// By the time of the readings.
    static let ownTime = """
        SELECT k, COUNT(*) AS n, SUM(v) AS s INTO p FROM telemetry TIMESTAMP BY t GROUP BY k, TumblingWindow(minute, 1)
        """
    static let perStep = 50
    static let folder = "/data/query/q/"

    let files: MemoryFileStore
    let clock: HubLife.Clock
    let queue: DeviceQueue
    let fleet: QueryFleet
    let lines = Lines()

    final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    /// - Parameter readsAhead: another thread reads and decodes what the query has not seen.
    init(
        _ files: MemoryFileStore, _ clock: HubLife.Clock, partBytes: Int = 4 << 20, readsAhead: Bool = false,
        text: String = CheckpointLife.text
    ) throws {
        self.files = files
        self.clock = clock
        var limits = HubLife.queueLimits
        limits.segmentBytes = 1 << 20
        queue = try DeviceQueue.open(
            directory: "/data/queue/0", files: files, limits: limits, nowTicks: clock.wallTicks(), seed: 7)
        let storage = HubLife.Storage()
        let loop = BrokerLoop(
            executor: HubLife.Turns(), queue: queue, storage: storage, clock: clock, limits: HubLimits(),
            counters: HubCounters(startNonce: 1), seed: 1)
        var checkpoints = CheckpointLimits()
        checkpoints.partBytes = partBytes
        fleet = QueryFleet(
            queue: queue, storage: storage, clock: clock, threads: readsAhead ? 2 : 1,
            aheadBytesMin: readsAhead ? 1 : QueryFleet.aheadBytesMin)
        let place = QueryOpener.Place(
            queue: queue, loop: loop, data: "/data", files: files, clock: clock,
            checkpointLimits: checkpoints, log: { [lines] in lines.add($0) })
        var definition = QueryDefinition(name: "q", text: text)
        definition.start = .earliest
        for definition in try QueryCatalog(place: place).definitions(configured: [definition], threads: 1) {
            try fleet.add(try QueryOpener(definition, at: place), mustOpen: true)
        }
    }

    func store(step: Int, ends: Bool = false) throws {
        clock.nanoseconds += 2_000_000_000
        let staging = StagingBuffer(byteCapacity: 1 << 14)
        let device = try #require(queue.device(named: "d"))
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        for number in 0..<Self.perStep {
            let value = step * Self.perStep + number
            // Sums of such numbers hang on the order in which they are added.
            let v = Double(value * 7_919 % 1_000) / 7
            let time = clock.wallTicks() / 10_000 + Int64(number)
            let body = #"{"v":\#(v),"k":\#(value % 400),"t":\#(time)}"#
            let isStaged = Array(body.utf8).withUnsafeBytes {
                staging.stageRecord(
                    device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0, eventTicks: nil,
                    topic: empty, properties: empty, payload: $0, messageID: .none)
            }
            _ = try #require(isStaged)
        }
        try queue.append(staging, arrivalTicks: clock.wallTicks())
        if ends { try queue.appendTick(arrivalTicks: clock.wallTicks() + 12_000_000_000) }
        try queue.commit()
    }

    func turn() -> QueryStatus {
        fleet.turn(isStopping: false)
        return fleet.statuses()[0]
    }

    /// Steps and turns.
    func run(_ steps: ClosedRange<Int>) throws {
        for step in steps {
            try store(step: step)
            #expect(turn().failure == nil)
        }
    }

    var checkpoint: [UInt8] { files[Self.folder + "checkpoint"] }
    var delta: [UInt8] { files[Self.folder + "checkpoint.delta"] }

    /// Ends all windows, and gives all rows.
    func end(step: Int) throws -> [String: String] {
        try store(step: step, ends: true)
        for _ in 0..<4 {
            #expect(turn().failure == nil)
            clock.nanoseconds += 2_000_000_000
        }
        return files.files(below: "/data/results").filter { $0.key.hasSuffix(".jsonl") }
            .mapValues { String(decoding: $0, as: UTF8.self) }
    }

    static func whole(text: String = CheckpointLife.text) throws -> [String: String] {
        let life = try CheckpointLife(MemoryFileStore(), HubLife.Clock(), text: text)
        try life.run(0...15)
        return try life.end(step: 16)
    }
}

@Suite struct QueryCheckpointTests {
    @Test(
        "between two states a checkpoint writes how far the query is and no more; a restart goes on from there"
    )
    func deltas() throws {
        let clock = HubLife.Clock()
        let life = try CheckpointLife(MemoryFileStore(), clock)
        try life.run(0...10)
        // The state was saved five seconds ago at most, and stands.
        let base = life.checkpoint
        var written = 0
        while life.checkpoint == base, written < 10 {
            written += 1
            let delta = life.delta
            try life.run(10 + written...10 + written)
            if life.checkpoint == base { #expect(life.delta != delta) }
        }
        #expect((2...6).contains(written), "a state every \(written) checkpoints")
        #expect(life.checkpoint.count > 20_000)
        #expect(life.delta.count <= 4_136)
        // On the state stands a delta when the machine dies.
        try life.run(11 + written...11 + written)
        let before = life.turn()
        let again = try CheckpointLife(life.files.afterCrash(.drop, seed: 1), clock)
        let base2 = try #require(
            try CheckpointStore(path: CheckpointLife.folder + "checkpoint", files: again.files).load())
        #expect(again.fleet.statuses()[0].consumed.bytes == base2.queueOffset)
        let after = again.turn()
        #expect(after.failure == nil)
        #expect(after.consumed == before.consumed)
        #expect(after.counters.events == before.counters.events)
        #expect(after.openGroups == before.openGroups)
        // When nothing comes any more the state is saved all the same, and nobody needs the log before it.
        for _ in 0..<7 {
            clock.nanoseconds += 2_000_000_000
            _ = again.turn()
        }
        let last = try CheckpointStore(path: CheckpointLife.folder + "checkpoint", files: again.files)
            .loadHead(stateByteCount: 0)
        #expect(last?.queueOffset == after.consumed.bytes)
        #expect(again.queue.holds.map(\.from) == [after.consumed])
    }

    @Test(
        "killed again and again, with states in parts and deltas, all rows come once",
        arguments: 1...6 as ClosedRange<UInt64>, [CheckpointLife.text, CheckpointLife.ownTime])
    func killed(_ seed: UInt64, _ text: String) throws {
        let whole = try CheckpointLife.whole(text: text)
        #expect(whole.values.reduce(0) { $0 + $1.count } > 10_000)
        var random = SeededRandom(seed)
        let clock = HubLife.Clock()
        func start(_ files: MemoryFileStore) throws -> CheckpointLife {
            try CheckpointLife(files, clock, partBytes: 4_000, readsAhead: seed > 3, text: text)
        }
        var life = try start(MemoryFileStore())
        for step in 0...15 {
            try life.store(step: step)
            if random.below(3) > 0 { _ = life.turn() }
            guard random.below(2) == 0 else { continue }
            life = try start(life.files.afterCrash(.drop, seed: seed))
        }
        #expect(try life.end(step: 16) == whole)
    }

    @Test("of a damaged delta the one before it counts; two damaged ones are an error that says how to go on")
    func damaged() throws {
        let whole = try CheckpointLife.whole()
        let clock = HubLife.Clock()
        let life = try CheckpointLife(MemoryFileStore(), clock)
        try life.run(0...15)
        let moment = clock.nanoseconds
        func end(_ files: MemoryFileStore) throws -> [String: String] {
            clock.nanoseconds = moment
            return try CheckpointLife(files, clock).end(step: 16)
        }
        let file = CheckpointLife.folder + "checkpoint.delta"
        let newest = try CheckpointDeltaFile(
            checkpoint: CheckpointLife.folder + "checkpoint", files: life.files
        )
        .load()
        let disk = life.files.afterCrash(.drop, seed: 1)
        for offset in [30, 4_096 + 30] {
            let one = disk.afterCrash(.drop, seed: 1)
            one[file][offset] ^= 1
            let left = try CheckpointDeltaFile(checkpoint: CheckpointLife.folder + "checkpoint", files: one)
                .load()
            if left != newest { #expect(left?.queueOffset ?? 0 < newest?.queueOffset ?? 0) }
            #expect(try end(one) == whole)
        }
        disk[file][30] ^= 1
        disk[file][4_096 + 30] ^= 1
        let error = try #require(throws: SealedFileError.self) { try CheckpointLife(disk, clock) }
        #expect(error.description.hasPrefix(file + ": damaged; delete it: what came since"))
        try disk.remove(file)
        #expect(try end(disk.afterCrash(.keep, seed: 1)) == whole)
    }

    @Test("deltas beyond the end of the log, and those of a checkpoint that was deleted, do not count")
    func strangers() throws {
        let whole = try CheckpointLife.whole()
        let clock = HubLife.Clock()
        let life = try CheckpointLife(MemoryFileStore(), clock)
        try life.run(0...15)
        let path = CheckpointLife.folder + "checkpoint"
        // Deleted as damaged checkpoints are; whoever does that may leave the deltas.
        let without = life.files.afterCrash(.drop, seed: 1)
        try without.remove(path)
        let anew = try CheckpointLife(without, clock)
        _ = anew.turn()
        #expect(!without.exists(path + ".delta"))
        #expect(try anew.end(step: 16) == whole)
        // The log is older than the folder.
        let older = life.files.afterCrash(.drop, seed: 1)
        let deltas = CheckpointDeltaFile(checkpoint: path, files: older)
        let last = try #require(try deltas.load())
        try deltas.save(
            CheckpointDelta(queueOffset: last.queueOffset + 9_000, resultPosition: last.resultPosition))
        let other = try CheckpointLife(older, clock)
        #expect(other.lines.all.contains { $0.contains("and the log ends at") })
        #expect(older.exists("/data/query/q.aside-1"))
    }
}
