import PerpetualQuery
import QueryLanguage
import Telemetry
import Testing

/// The time of the device furthest behind, computed anew from all events at each step, without a look at the engine.
struct NaiveMinimum {
    struct Taken {
        var device: UInt32
        var time: Int64
        var seen: Int64
    }

    var idle: Int64
    var late: Int64
    var tolerance: Int64
    var action: TimePolicy.Action
    /// Events that count at their own time, in the order of their coming.
    private var own: [Taken] = []
    private(set) var watermark = Int64.min
    private var now = Int64.min
    /// The times at which events count.
    private(set) var counted: [Int64] = []
    private(set) var refused = 0

    init(idle: Int64, late: Int64, tolerance: Int64, action: TimePolicy.Action) {
        self.idle = idle
        self.late = late
        self.tolerance = tolerance
        self.action = action
    }

    /// The greatest time of a device since it was last new; nil when it is not waited for.
    private func greatest(_ device: UInt32) -> Int64? {
        var next = now
        var found: Int64?
        for event in own.reversed() where event.device == device {
            if next - event.seen > idle { break }
            next = event.seen
            found = max(found ?? Int64.min, event.time)
        }
        return found
    }

    private mutating func settle() {
        let times = Set(own.map(\.device)).compactMap { greatest($0) }
        guard let least = times.min() ?? own.map(\.time).max() else { return }
        watermark = max(watermark, least - tolerance)
    }

    mutating func tick(_ arrival: Int64) {
        now = max(now, arrival)
        settle()
        if late != TimePolicy.unlimited { watermark = max(watermark, arrival - late) }
    }

    mutating func take(_ device: UInt32, _ time: Int64, arrival: Int64) {
        now = max(now, arrival)
        settle()
        defer { settle() }
        let floor = late == TimePolicy.unlimited ? Int64.min : arrival - late
        let oldest = max(floor, watermark)
        if time > arrival + 5 * EventTime.ticksPerMinute {
            refused += 1
        } else if time >= oldest {
            own.append(Taken(device: device, time: time, seen: now))
            counted.append(time)
        } else if action == .adjust {
            counted.append(oldest)
        } else {
            refused += 1
        }
    }

    /// Ends of windows of ten seconds, and how many events are in each.
    func windows(before end: Int64) -> [Int64: Int] {
        let size = 10 * EventTime.ticksPerSecond
        return Dictionary(grouping: counted) { ($0 + size - 1) / size * size }.mapValues(\.count)
            .filter { $0.key < end }
    }
}

@Suite("The time of the device furthest behind")
struct MinimumWatermarkTests {
    private static let noon = time("2026-03-01T12:00:00Z")
    private static let second = EventTime.ticksPerSecond
    private static let text = """
        SELECT COUNT(*) AS n INTO o FROM telemetry TIMESTAMP BY IoTHub.EventTime GROUP BY TumblingWindow(second, 10)
        """

    private func query(_ text: String = text, _ settings: StreamSettings) throws -> LiveQuery {
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q", settings: settings)
        #expect(errors.map { $0.render(source: text) } == [])
        let query = try LiveQuery(plan: try #require(plan))
        query.deviceName = { DeviceID("d\($0)") }
        return query
    }

    private func settings(
        late: Int64 = TimePolicy.unlimited, outOfOrder: Int64 = 0, idle: Int64? = 30,
        action: TimePolicy.Action = .divert, over fields: String = "IoTHub.ConnectionDeviceId"
    ) throws -> StreamSettings {
        var settings = StreamSettings()
        settings.timePolicy.lateToleranceTicks = late == TimePolicy.unlimited ? late : late * Self.second
        settings.timePolicy.outOfOrderToleranceTicks = outOfOrder * Self.second
        settings.timePolicy.lateAction = action
        settings.minimumWatermark = try MinimumWatermark(
            fields: fields, idleTicks: idle.map { $0 * Self.second } ?? TimePolicy.unlimited)
        return settings
    }

    private func give(_ query: LiveQuery, _ device: UInt32, at event: Double, arrival: Double) throws {
        try Array("{\"v\":1}".utf8).withUnsafeBytes { bytes in
            try query.process(
                RecordView(
                    device: device, sequence: 1, arrivalTime: Self.noon.plus(seconds: arrival),
                    eventTime: Self.noon.plus(seconds: event), offset: QueueOffset(0), payload: bytes))
        }
    }

    private func counts(_ query: LiveQuery) -> [Int64: Int] {
        var counts: [Int64: Int] = [:]
        for row in Harness.take(query) where row.output == "o" {
            #expect(counts[row.time.ticks] == nil)
            if case .bigint(let count)? = row["n"] { counts[row.time.ticks] = Int(count) }
        }
        return counts
    }

    @Test(
        "windows, refusals and the time itself are those of a naive recomputation, also cut by checkpoints",
        arguments: UInt64(1)...60)
    func model(seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        let settings = try settings(
            late: [TimePolicy.unlimited, 60, 300][Int(seed % 3)], outOfOrder: [0, 4][Int(seed / 3 % 2)],
            idle: [8, 25, 120][Int(seed / 6 % 3)], action: [.divert, .adjust, .drop][Int(seed / 2 % 3)])
        var naive = NaiveMinimum(
            idle: settings.minimumWatermark?.idleTicks ?? 0, late: settings.timePolicy.lateToleranceTicks,
            tolerance: settings.timePolicy.outOfOrderToleranceTicks, action: settings.timePolicy.lateAction)
        var query = try query(Self.text, settings)
        var found: [Int64: Int] = [:]
        func collect() {
            found.merge(counts(query)) { _, _ in
                Issue.record("a window came twice, seed \(seed)")
                return 0
            }
        }
        // Devices lag, each by its own time; some fall silent for a while and then send what they kept.
        let lags = (0..<5).map { _ in Int64.random(in: 0..<40, using: &random) * Self.second }
        var silentUntil = [Int64](repeating: 0, count: 5)
        var arrival = Self.noon.ticks
        for step in 0..<300 {
            arrival += Int64.random(in: 0..<(2 * Self.second), using: &random)
            let device = Int.random(in: 0..<5, using: &random)
            if Int.random(in: 0..<40, using: &random) == 0 {
                silentUntil[device] = arrival + Int64.random(in: 0..<(90 * Self.second), using: &random)
            }
            if Int.random(in: 0..<6, using: &random) == 0 {
                let isNeeded = query.needsTick(now: EventTime(ticks: arrival))
                try query.tick(arrival: EventTime(ticks: arrival))
                naive.tick(arrival)
                #expect(isNeeded || query.rows.isEmpty, "seed \(seed), step \(step)")
            } else if silentUntil[device] < arrival {
                let lag = lags[device] + Int64.random(in: 0..<(8 * Self.second), using: &random)
                let event = arrival - (lag / Self.second * Self.second)
                try give(
                    query, UInt32(device + 1),
                    at: Double(event - Self.noon.ticks) / Double(Self.second),
                    arrival: Double(arrival - Self.noon.ticks) / Double(Self.second))
                naive.take(UInt32(device + 1), event, arrival: arrival)
            }
            collect()
            #expect(query.watermark?.ticks ?? Int64.min == naive.watermark, "seed \(seed), step \(step)")
            #expect(found == naive.windows(before: naive.watermark), "seed \(seed), step \(step)")
            if step % 23 == 0 {
                let state = query.snapshot()
                query = try self.query(Self.text, settings)
                try query.restore(state)
                #expect(query.snapshot() == state)
            }
        }
        let counters = query.counters
        #expect(counters.accepted == UInt64(naive.counted.count))
        #expect(Int(counters.events - counters.accepted) == naive.refused)
        try query.flush()
        collect()
        #expect(found == naive.windows(before: Int64.max), "seed \(seed)")
    }

    @Test("a device that is behind is waited for until it has been silent for longer than idleAfter")
    func holds() throws {
        let query = try query(Self.text, try settings())
        try give(query, 1, at: 5, arrival: 5)
        try give(query, 2, at: 5, arrival: 5)
        // 1 goes on; 2 does not.
        try give(query, 1, at: 25, arrival: 25)
        #expect(counts(query) == [:])
        let last = try #require(query.lastDevice)
        #expect(last.device == "\"d2\"")
        #expect(last.time == Self.noon.plus(seconds: 5))
        #expect(last.idleAt == Self.noon.plus(seconds: 35))
        #expect(last.deviceCount == 2)
        // At that moment it still counts, behind it no more; the log gets a tick only then.
        #expect(!query.needsTick(now: Self.noon.plus(seconds: 35)))
        #expect(query.needsTick(now: Self.noon.plus(seconds: 36)))
        try query.tick(arrival: Self.noon.plus(seconds: 36))
        #expect(counts(query) == [Self.noon.plus(seconds: 10).ticks: 2])
        #expect(query.lastDevice?.device == "\"d1\"")
        #expect(query.completeThrough == Self.noon.plus(seconds: 20))
        // It comes back behind the time of the others: too late, and it is not waited for.
        try give(query, 2, at: 6, arrival: 37)
        #expect(query.counters.outOfOrder == 1)
        #expect(query.lastDevice?.deviceCount == 1)
        try give(query, 2, at: 26, arrival: 38)
        #expect(query.lastDevice?.deviceCount == 2)
    }

    @Test(
        "an event of a device that is ahead of nobody's window counts, however far it is behind its own device"
    )
    func judgedByTheTimeOfAll() throws {
        let query = try query(Self.text, try settings())
        try give(query, 1, at: 5, arrival: 5)
        try give(query, 2, at: 100, arrival: 6)
        try give(query, 2, at: 12, arrival: 7)
        #expect(query.counters.outOfOrder == 0)
        try query.flush()
        let end = { Self.noon.plus(seconds: $0).ticks }
        #expect(counts(query) == [end(10): 1, end(20): 1, end(100): 1])
    }

    @Test(
        "rows come in the order of their times where the order counts, though devices send at different times"
    )
    func order() throws {
        let text = """
            SELECT System.Timestamp() AS t, LAG(System.Timestamp()) OVER (LIMIT DURATION(hour, 1)) AS before INTO o
            FROM telemetry TIMESTAMP BY IoTHub.EventTime
            """
        let query = try query(text, try settings(idle: nil))
        for step in 0..<20 {
            // The one behind comes first: before it is known, nobody waits for it.
            try give(query, 2, at: Double(step) - 7.5, arrival: Double(step))
            try give(query, 1, at: Double(step), arrival: Double(step))
        }
        try query.flush()
        let rows = Harness.take(query)
        #expect(rows.count == 40)
        #expect(rows.map(\.time) == rows.map(\.time).sorted())
        for (row, before) in zip(rows.dropFirst(), rows) { #expect(row["before"] == .time(before.time)) }
    }

    @Test(
        "the setting is refused where it means nothing, with its place",
        arguments: [
            (
                "SELECT COUNT(*) AS n INTO o FROM telemetry GROUP BY TumblingWindow(second, 1)", "1:34",
                "TIMESTAMP BY"
            ),
            (
                "SELECT d FROM telemetry TIMESTAMP BY t OVER d GROUP BY d, TumblingWindow(second, 1)", "1:45",
                "leave one of the two out"
            ),
        ])
    func refused(text: String, place: String, hint: String) throws {
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q", settings: try settings())
        #expect(plan == nil)
        #expect(errors.map { "\($0.line):\($0.column)" } == [place])
        #expect(errors.first?.hint?.contains(hint) == true)
        #expect(errors.first?.message.contains("watermarkOver") == true)
    }

    @Test("fields are names", arguments: [("a + 1", "1:1"), ("a,", "1:3"), ("a b", "1:3"), ("", "1:1")])
    func fields(text: String, place: String) {
        #expect(throws: (any Error).self) { _ = try MinimumWatermark(fields: text, idleTicks: nil) }
        do { _ = try MinimumWatermark(fields: text, idleTicks: nil) } catch {
            #expect("\(error.line):\(error.column)" == place, "\(error)")
        }
    }

    @Test("the plan says for whom time waits")
    func explain() throws {
        let plan = QueryPlanner.plan(
            text: Self.text, name: "q", settings: try settings(over: "plant.[line 2], d")
        ).plan
        let lines = try #require(plan).explanation.flatMap { $0.lines() }.joined(separator: "\n")
        #expect(
            lines.contains(
                "the time is that of the plant.[line 2], d furthest behind, unless silent for 30 s"),
            "\(lines)")
    }
}
