import DeviceQueue
import Foundation
import Glibc
import MosquittoClient
import Platform
import Telemetry
import Testing

@Suite("Killed under load", .ownThread, .timeLimit(.minutes(5)))
struct KillTests {
    static let kills = 20

    @Test("What was acknowledged is stored once, in order, in its minute, after 20 kills under load")
    func killedUnderLoad() throws {
        guard Programs.areInstalled(Programs.python, Programs.publisher) else { return }
        let seed =
            ProcessInfo.processInfo.environment["KILL_TEST_SEED"].flatMap(UInt64.init)
            ?? .random(in: 1...9_999)
        print("kill test: KILL_TEST_SEED=\(seed)")
        var generator = SeededGenerator(state: seed)
        // The smallest segments there are, so that kills meet the change from one to the next too.
        let hub = try HubProcess(configuration: "queue: { segment_bytes: 18874368 }\n")
        let load = try Load(hub)
        var roundsWithAcks = 0
        for round in 1...Self.kills {
            let before = load.ackedCount
            // The one sleep of these tests: the moment of the kill is what is tested.
            poll(nil, 0, Int32.random(in: 150...900, using: &generator))
            #expect(hub.isRunning, "the hub ended by itself in round \(round): \(hub.transcript)")
            hub.kill()
            if load.ackedCount > before { roundsWithAcks += 1 }
            try hub.start()
        }
        let sent = try load.drained()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        print("kill test: \(sent.map { "\($0.device) \($0.acked.count)" }.joined(separator: ", "))")
        #expect(roundsWithAcks >= Self.kills / 2, "too few rounds had any load")
        for device in sent { #expect(device.acked.count >= 20, "\(device.device) sent next to nothing") }

        let lastEvent = try compare(sent, with: hub)
        try hub.start()
        try waitForMinutes(hub, through: lastEvent)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try compare(sent, with: hub)
        try checkResults(sent, of: hub)
    }

    // MARK: The minutes

    /// Waits until every minute up to the last reading's is closed, and kills the hub whenever one has just been.
    /// Behind it there is nothing to complete, and the hub's clock for it stands.
    private func waitForMinutes(_ hub: HubProcess, through lastEvent: EventTime) throws {
        var seen: String?
        let done = try poll(seconds: 150) { () -> Bool? in
            guard let text = try hub.completeThrough(), text != seen else { return nil }
            seen = text
            hub.kill()
            try hub.start()
            let through = try #require(EventTime.parse(text), "completeThrough is no time: \(text)")
            return through >= lastEvent ? true : nil
        }
        #expect(done != nil, "completeThrough stays at \(seen ?? "nothing") for 150 s: \(hub.transcript)")
    }

    private func checkResults(_ sent: [Sent], of hub: HubProcess) throws {
        let proof = try run(Programs.headend, ["verify", "--data", hub.data], seconds: 60)
        #expect(proof.status == 0, "\(proof.transcript)")
        var keys: Set<String> = []
        var counts: [String: Int] = [:]
        for row in try ResultRows.read(hub.data + "/results/minute") {
            #expect(keys.insert(row.key).inserted, "twice in the result files: \(row.key)")
            counts[row.device, default: 0] += row.count
        }
        for device in sent {
            #expect(counts[device.device] == device.count, "readings in the minutes of \(device.device)")
        }
    }

    // MARK: The queue

    /// - Returns: the latest event time that is stored.
    @discardableResult
    private func compare(_ sent: [Sent], with hub: HubProcess) throws -> EventTime {
        let files = PosixFileStore()
        let directory = try DataDirectory.open(hub.data, files: files, createIfMissing: false)
        defer { directory.close() }
        let queue = try DeviceQueue.open(
            directory: directory.queuePath, files: files, mode: .readOnly, nowTicks: SystemClock().wallTicks()
        )
        var lastEvent = EventTime(ticks: 0)
        for device in sent {
            let id = DeviceID(device.device)
            let records = try queue.records(device: id, from: 1, limit: 10_000_000)
            lastEvent = records.map(\.eventTime).max().map { max($0, lastEvent) } ?? lastEvent
            let gap = zip(records, records.indices).first { $0.sequence != UInt64($1 + 1) }
            #expect(gap == nil, "\(id.text): the sequence has a gap")
            let stored = records.map { Int($0.messageID?.split(separator: ":").last ?? "") ?? 0 }
            let lost = Set(device.acked).subtracting(stored)
            let lostCount = lost.count
            #expect(lostCount == 0, "\(id.text): acknowledged and lost: \(lost.sorted().prefix(10))")
            let twice = repeated(stored).prefix(10)
            #expect(twice.isEmpty, "\(id.text): stored twice")
            let turned = zip(stored, stored.dropFirst()).first { $0 >= $1 }
            #expect(turned == nil, "\(id.text): not in the order of sending")
            // Not compared inside the macro, which would print every number.
            let isComplete = stored == Array(1...max(device.count, 1))
            #expect(isComplete, "\(id.text): \(stored.count) stored, \(device.count) sent")
        }
        let segments = try files.list(directory.queuePath).filter { $0.hasSuffix(".log") }.count
        #expect(segments > 1, "the load was too small for several segments")
        #expect(queue.deviceCount == sent.count)
        #expect(queue.lastQuarantinedSequence == 0, "something was quarantined")
        return lastEvent
    }

    private func repeated(_ numbers: [Int]) -> [Int] {
        Dictionary(grouping: numbers) { $0 }.filter { $0.value.count > 1 }.keys.sorted()
    }
}

/// Every sender of the kill test.
private final class Load {
    private let loop: MosquittoLoop
    private let library: [LibraryDevice]
    private let commands: [CommandDevice]
    private let paho: [PahoDevice]

    init(_ hub: HubProcess) throws {
        let loop = try MosquittoLoop(name: "kill-test")
        self.loop = loop
        let port = hub.mqttPort
        let kinds: [(String, MosquittoVersion, UInt8)] = [
            ("library-5-1", .v5, 1), ("library-5-2", .v5, 2), ("library-3-1", .v311, 1),
            ("library-3-2", .v311, 2),
        ]
        library = try kinds.map { try LibraryDevice($0.0, loop: loop, version: $0.1, qos: $0.2, port: port) }
        commands = [
            CommandDevice("command-5-1", options: ["-V", "mqttv5", "-q", "1"], port: port),
            CommandDevice("command-3-2", options: ["-V", "mqttv311", "-q", "2"], port: port),
        ]
        paho = [
            try PahoDevice("paho-5-1", version: "v5", qos: 1, hub: hub),
            try PahoDevice("paho-3-2", version: "v311", qos: 2, hub: hub),
        ]
    }

    deinit {
        for device in library { device.stop() }
        for device in commands { device.stop() }
        loop.stop()
    }

    var ackedCount: Int {
        library.reduce(0) { $0 + $1.state.withLock { $0.acked.count } }
            + commands.reduce(0) { $0 + $1.state.withLock { $0.acked.count } }
    }

    /// Ends the sending and waits until everything sent is acknowledged.
    func drained() throws -> [Sent] {
        for device in library { device.stop() }
        for device in commands { device.stop() }
        for device in paho { try device.stop() }
        return try library.map { try $0.drained(seconds: 60) } + commands.map { $0.drained() }
            + paho.map { try $0.drained() }
    }
}
