import PerpetualQuery
import Platform
import ResultSink
import Telemetry
import Testing

/// The path from records to files in small: engine, result log, checkpoint and file sink over one disk,
/// driven by a fixed script, as the hub does it.
struct Pipeline {
    let store: FaultStore
    let log: ResultLog
    let checkpoints: CheckpointStore
    let sink: FileSink
    let engine: LiveQuery
    var next: Int

    /// One input: a record, or a tick when there is no payload.
    struct Input {
        var device: UInt32
        var sequence: UInt64
        var seconds: Double
        var delay: Double
        var payload: String?
    }

    static let script: [Input] = {
        var inputs: [Input] = []
        for index in 0..<40 {
            let seconds = Double(index) * 7
            let device = UInt32(index % 3 + 1)
            let delay: Double = index % 11 == 5 ? 80 : 2
            inputs.append(
                Input(
                    device: device, sequence: UInt64(index / 3 + 1), seconds: seconds, delay: delay,
                    payload: "{\"t\":\(index),\"p\":\(Double(index) / 4)}"))
            if index % 9 == 8 {
                inputs.append(Input(device: 0, sequence: 0, seconds: seconds, delay: 0, payload: nil))
            }
        }
        for minute in 1...3 {
            inputs.append(
                Input(device: 0, sequence: 0, seconds: 280 + Double(minute) * 60, delay: 0, payload: nil))
        }
        return inputs
    }()

    init(_ store: FaultStore, clock: any HubClock) throws {
        self.store = store
        var limits = ResultLogLimits()
        limits.segmentBytesMax = 2_000
        limits.bufferBytesMax = 700
        log = try ResultLog.open(directory: "d/log", files: store, limits: limits)
        checkpoints = CheckpointStore(path: "d/checkpoint", files: store)
        engine = try Self.engine()
        if let checkpoint = try checkpoints.load() {
            try engine.restore(checkpoint.engineState)
            next = Int(checkpoint.queueOffset)
            try log.truncate(to: checkpoint.resultPosition)
        } else {
            next = 0
            try log.truncate(to: 0)
        }
        sink = try FileSink(
            root: "d/results", files: store, log: log, cursorPath: "d/file.cursor", clock: clock)
    }

    private static func engine() throws -> LiveQuery {
        let engine = try LiveQuery(plan: DefaultQuery.plan())
        engine.deviceName = { DeviceID("dev-\($0)") }
        return engine
    }

    /// The log of the whole script, nothing released.
    static func wholeLog(on store: FaultStore) throws -> ResultLog {
        let log = try ResultLog.open(directory: "d/log", files: store)
        let engine = try engine()
        for input in script { try apply(input, engine, log) }
        try log.commit()
        return log
    }

    /// Gives one input to the engine and what comes of it to the log.
    private static func apply(_ input: Input, _ engine: LiveQuery, _ log: ResultLog) throws {
        let arrival = base.adding(ticks: Int64(input.seconds * 1e7))
        let complete = engine.completeThrough
        if let payload = input.payload {
            try Array(payload.utf8).withUnsafeBytes { bytes in
                try engine.process(
                    RecordView(
                        device: input.device, sequence: input.sequence, arrivalTime: arrival,
                        eventTime: arrival.adding(ticks: -Int64(input.delay * 1e7)),
                        offset: QueueOffset(0), payload: bytes))
            }
        } else {
            try engine.tick(arrival: arrival)
        }
        let rows = engine.rows
        for row in 0..<rows.count { try log.append(rows.resultRow(row), topic: "t") }
        for row in rows.systemRows { try log.append(row, topic: "t") }
        engine.removeRows()
        if let now = engine.completeThrough, now != complete { try log.appendComplete(through: now) }
    }

    /// Runs the script to its end, committing every third input and saving a checkpoint every seventh.
    mutating func run() throws {
        while next < Self.script.count {
            try Self.apply(Self.script[next], engine, log)
            next += 1
            if next % 3 == 0 || next == Self.script.count {
                try log.commit()
                while try sink.deliver() {}
            }
            if next % 7 == 0 || next == Self.script.count {
                try log.commit()
                try checkpoints.save(
                    Checkpoint(
                        queueOffset: UInt64(next), resultPosition: log.endPosition,
                        engineState: engine.snapshot()))
                try log.release(before: min(sink.position, log.endPosition))
            }
        }
        while try sink.deliver() {}
        try sink.stop()
    }
}

@Suite struct CrashTests {
    private func files(_ store: FaultStore) -> [String: String] {
        store.everything().filter { $0.key.hasPrefix("d/results") }
            .mapValues { String(decoding: $0, as: UTF8.self) }
    }

    private func reference() throws -> [String: String] {
        let store = FaultStore()
        var pipeline = try Pipeline(store, clock: ImpatientClock())
        try pipeline.run()
        return files(store)
    }

    private func clock(_ isImpatient: Bool) -> any HubClock {
        if isImpatient { ImpatientClock() } else { StandingClock() }
    }

    /// Where two sets of files differ, in a few words.
    private func differences(_ found: [String: String], _ expected: [String: String]) -> [String] {
        Set(found.keys).union(expected.keys).sorted().filter { found[$0] != expected[$0] }
            .map { "\($0): \(found[$0]?.count ?? -1) bytes, \(expected[$0]?.count ?? -1) expected" }
    }

    @Test("the script without a crash writes every row into one file once")
    func straight() throws {
        let store = FaultStore()
        var pipeline = try Pipeline(store, clock: ImpatientClock())
        try pipeline.run()
        let files = files(store)
        let lines = files.values.flatMap { $0.split(separator: "\n") }
        let ids = lines.map { $0.suffix(34) }
        #expect(files.count == 7)
        #expect(Set(ids).count == lines.count)
        let counters = pipeline.engine.counters
        #expect(UInt64(lines.count) == counters.rows + counters.late)
        #expect(counters.late == 4)
        #expect(pipeline.sink.counters.delivered == UInt64(lines.count))
        #expect(pipeline.sink.counters.outbox == 0)
        #expect(pipeline.log.startPosition > 0)
        let late = try #require(files["d/results/_late/_late.jsonl"])
        #expect(late.split(separator: "\n").count == 4)
    }

    @Test(
        "crashed at any operation, the restarted pipeline writes the very same files",
        arguments: FaultStore.Fate.allCases, [true, false])
    func everyOperation(fate: FaultStore.Fate, impatient: Bool) throws {
        let expected = try reference()
        var operation = 1
        while true {
            let store = FaultStore(failAt: operation)
            let crashed: Bool
            do {
                var pipeline = try Pipeline(store, clock: clock(impatient))
                try pipeline.run()
                crashed = false
            } catch {
                crashed = true
            }
            let restarted = store.crashed(fate)
            var pipeline = try Pipeline(restarted, clock: clock(impatient))
            try pipeline.run()
            #expect(differences(files(restarted), expected) == [], "crash at operation \(operation)")
            // What the restarted one says it did is durable.
            let durable = files(restarted.crashed(.dropped))
            #expect(differences(durable, expected) == [], "second crash after \(operation)")
            if !crashed { break }
            operation += 1
        }
        #expect(operation > 100)
    }

    @Test(
        "crashed again and again, also while it recovers, it ends with the very same files", arguments: 1...25
    )
    func again(seed: UInt64) throws {
        let expected = try reference()
        var random = SplitMix(state: seed)
        var store = FaultStore()
        var crashes = 0
        while true {
            store.fail(at: store.operations + Int(random.next() % 60) + crashes, once: false)
            do {
                var pipeline = try Pipeline(store, clock: clock(random.next() % 2 == 0))
                try pipeline.run()
                break
            } catch {
                let fates = FaultStore.Fate.allCases
                store = store.crashed(fates[Int(random.next() % UInt64(fates.count))])
                crashes += 1
                try #require(crashes < 500, "it never comes up again: \(error)")
            }
        }
        #expect(crashes > 0)
        #expect(differences(files(store.crashed(.dropped)), expected) == [])
    }

    @Test(
        "one failed operation that is tried again neither loses nor repeats a row", arguments: [true, false])
    func failedOnce(impatient: Bool) throws {
        let expected = try reference()
        var operation = 1
        while true {
            // The sink alone meets the error: the log is whole.
            let store = FaultStore()
            let source = try Pipeline.wholeLog(on: store)
            let sink = try FileSink(
                root: "d/results", files: store, log: source, cursorPath: "d/file.cursor",
                clock: clock(impatient))
            store.fail(at: store.operations + operation, once: true)
            var failed = 0
            while true {
                do {
                    guard try sink.deliver() else {
                        try sink.stop()
                        break
                    }
                } catch {
                    failed += 1
                    try #require(failed < 3)
                }
            }
            let durable = files(store.crashed(.dropped))
            #expect(differences(durable, expected) == [], "failure at operation \(operation)")
            if failed == 0 { break }
            operation += 1
        }
        #expect(operation > 10)
    }
}

/// SplitMix64: a seed gives the same crashes everywhere.
struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
