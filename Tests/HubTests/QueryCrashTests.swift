import DeviceQueue
import FileStoreKit
import Foundation
import MQTTBroker
import Platform
import Telemetry
import Testing

@testable import Hub

/// A hub's queries over a disk in memory, step by step: readings are stored, the queries take a turn, now and then
/// somebody asks for something.
private struct QueryWorld {
    static let stepCount = 14
    private static let device = "IoTHub.ConnectionDeviceId"
    static let texts: [(name: String, text: String)] = [
        (
            "tumbling",
            "SELECT \(device) AS d, System.Timestamp() AS e, COUNT(*) AS n, AVG(v) AS m INTO t FROM telemetry "
                + "TIMESTAMP BY IoTHub.EventTime OVER \(device) GROUP BY \(device), TumblingWindow(second, 4)"
        ),
        (
            "session",
            "SELECT \(device) AS d, System.Timestamp() AS e, STDEV(v) AS s INTO s FROM telemetry "
                + "TIMESTAMP BY IoTHub.EventTime OVER \(device) GROUP BY \(device), SessionWindow(second, 3, 9)"
        ),
        (
            "lag",
            "SELECT v, LAG(v) OVER (PARTITION BY \(device) LIMIT DURATION(minute, 1)) AS p INTO l "
                + "FROM telemetry WHERE v > 3"
        ),
        (
            "join",
            "SELECT a.v AS x, b.v AS y INTO j FROM telemetry a LEFT JOIN telemetry b ON a.k = b.v "
                + "AND DATEDIFF(second, a, b) BETWEEN 0 AND 4"
        ),
        ("casts", "SELECT CAST(w AS bigint) AS w INTO c FROM telemetry"),
    ]

    let files: MemoryFileStore
    let clock: HubLife.Clock
    private let storage = HubLife.Storage()
    private let turns = HubLife.Turns()
    private let queue: DeviceQueue
    private let place: QueryOpener.Place
    private let fleet: QueryFleet

    /// Starts the hub over what the disk holds.
    ///
    /// - Parameter readsAhead: what a query has not seen is read and decoded for it, however little that is.
    init(_ files: MemoryFileStore, clock: HubLife.Clock, readsAhead: Bool) throws {
        self.files = files
        self.clock = clock
        queue = try DeviceQueue.open(
            directory: "/data/queue/0", files: files, limits: HubLife.queueLimits,
            nowTicks: clock.wallTicks(),
            seed: 7)
        let loop = BrokerLoop(
            executor: turns, queue: queue, storage: storage, clock: clock, limits: HubLimits(),
            counters: HubCounters(startNonce: 1), seed: 1)
        // States in parts, and deltas in between.
        var checkpoints = CheckpointLimits()
        checkpoints.ageNanoseconds = 7_000_000_000
        checkpoints.logBytesMin = 4_096
        checkpoints.partBytes = 512
        place = QueryOpener.Place(
            queue: queue, loop: loop, data: "/data", files: files, clock: clock,
            checkpointLimits: checkpoints, log: { _ in })
        fleet = QueryFleet(
            queue: queue, storage: storage, clock: clock,
            aheadBytesMin: readsAhead ? 1 : QueryFleet.aheadBytesMin)
        for definition in try QueryCatalog(place: place).definitions(configured: [], threads: 1) {
            try fleet.add(try QueryOpener(definition, at: place), mustOpen: true)
        }
    }

    /// One step; done again after a crash, with the same outcome.
    func step(_ number: Int) throws {
        clock.nanoseconds = UInt64(number + 1) * 2_000_000_000
        try ask(number)
        try store(number)
        fleet.turn(isStopping: false)
        turns.bodies = []
        // What a query could not do it does at a later turn; here there is none if the disk is dead.
        if files.hasCrashed { throw HubError("the machine is dead") }
    }

    private func ask(_ number: Int) throws {
        func put(_ query: (name: String, text: String)) throws {
            var definition = QueryDefinition(name: query.name, text: query.text)
            definition.start = .earliest
            _ = try fleet.put(definition, isReset: false, isTrial: false, at: place)
        }
        switch number {
        case 0: for query in Self.texts.prefix(3) { try put(query) }
        case 3: for query in Self.texts.dropFirst(3) { try put(query) }
        case 5: try fleet.pause("session", at: place)
        case 7:
            // Another column, and the same state.
            let text = Self.texts[0].text.replacing("AVG(v) AS m", with: "AVG(v) AS mean")
            try put(("tumbling", text))
        case 9: try fleet.resume("session", at: place)
        default: break
        }
    }

    private func store(_ number: Int) throws {
        let staging = StagingBuffer(byteCapacity: 1 << 14)
        let now = clock.wallTicks()
        for reading in 0..<6 {
            let device = "d\((number + reading) % 3)"
            let value = number * 6 + reading
            let body =
                #"{"v":\#(value),"k":\#(value + reading % 2),"w":"\#(reading == 4 ? "x" : "\(value)")"}"#
            let deviceNumber = try #require(queue.device(named: device))
            let isStaged = Array("devices/\(device)/telemetry".utf8).withUnsafeBytes { topic in
                Array(body.utf8).withUnsafeBytes { payload in
                    Array("\(value)".utf8).withUnsafeBytes { identifier in
                        staging.stageRecord(
                            device: deviceNumber, client: 0, packetIdentifier: 0, flags: 1, reason: 0,
                            eventTicks: now - Int64(reading) * 3_000_000, topic: topic,
                            properties: UnsafeRawBufferPointer(start: nil, count: 0), payload: payload,
                            messageID: .decoded(identifier))
                    }
                }
            }
            _ = try #require(isStaged)
        }
        try queue.append(staging, arrivalTicks: now)
        if number % 3 == 2 { try queue.appendTick(arrivalTicks: now + 10_000) }
        if number == Self.stepCount - 1 { try queue.appendTick(arrivalTicks: now + 600_000_000) }
        try queue.commit()
    }

    /// All that the queries have put out, by file.
    func end() throws -> [String: String] {
        fleet.turn(isStopping: true)
        if files.hasCrashed { throw HubError("the machine is dead") }
        for status in fleet.statuses() { #expect(status.failure == nil, "\(status.definition.name)") }
        return files.files(below: "/data/results").filter { $0.key.hasSuffix(".jsonl") }
            .mapValues { String(decoding: $0, as: UTF8.self) }
    }

    /// Goes through all steps; where the machine dies it comes back and goes on.
    static func run(crashAt: Int?, mode: MemoryFileStore.CrashMode, readsAhead: Bool) throws -> (
        rows: [String: String], calls: Int, crashes: Int
    ) {
        var files = MemoryFileStore()
        files.crashAt = crashAt
        let clock = HubLife.Clock()
        var world: QueryWorld?
        var number = 0
        var crashes = 0
        while true {
            do {
                let running = try world ?? QueryWorld(files, clock: clock, readsAhead: readsAhead)
                world = running
                if number == stepCount { return (try running.end(), files.operations, crashes) }
                try running.step(number)
                number += 1
            } catch {
                guard files.hasCrashed else { throw error }
                crashes += 1
                files = files.afterCrash(mode, seed: UInt64(crashAt ?? 0))
                world = nil
            }
        }
    }
}

@Suite struct QueryCrashTests {
    @Test("whichever call to the disk is the last one, all outputs are those of a run without a crash")
    func everyCall() throws {
        let whole = try QueryWorld.run(crashAt: nil, mode: .keep, readsAhead: false)
        #expect(whole.crashes == 0)
        #expect(try QueryWorld.run(crashAt: nil, mode: .keep, readsAhead: true).rows == whole.rows)
        for output in ["tumbling/t", "session/s", "lag/l", "join/j", "casts/c", "casts/_errors"] {
            #expect(whole.rows.contains { $0.key.contains("/\(output)/") }, "\(output)")
        }
        let modes = MemoryFileStore.CrashMode.allCases
        // A few dozen of them, others each time; all of them when asked to.
        let isWhole = ProcessInfo.processInfo.environment["HEADEND_CRASH_EVERYWHERE"] != nil
        let step = isWhole ? 1 : 31
        let first = isWhole ? 1 : Int.random(in: 1...step)
        for call in stride(from: first, through: whole.calls, by: step) {
            let mode = modes[call % modes.count]
            let run = try QueryWorld.run(crashAt: call, mode: mode, readsAhead: call / modes.count % 2 == 0)
            #expect(run.crashes == 1, "call \(call)")
            guard run.rows != whole.rows else { continue }
            for name in Set(run.rows.keys).union(whole.rows.keys).sorted()
            where run.rows[name] != whole.rows[name] {
                Issue.record(
                    "call \(call), \(mode): \(name): \(run.rows[name] ?? "-") not \(whole.rows[name] ?? "-")")
            }
            return
        }
    }
}
