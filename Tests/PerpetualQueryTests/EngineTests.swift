import PerpetualQuery
import Telemetry
import Testing

@Suite struct EngineTests {
    private let noon = time("2026-03-01T12:00:00Z")

    private func record(
        _ payload: String, at event: EventTime, device: UInt32 = 1, arrival: EventTime? = nil
    ) -> Step {
        .record(device: device, arrival: arrival ?? event, event: event, payload: payload)
    }

    @Test("a reading at 12:01:00.000 belongs to the window that ends at 12:01, one tick later to the next")
    func boundary() {
        var harness = Harness()
        let boundary = time("2026-03-01T12:01:00Z")
        let rows = harness.run([
            record("{\"t\":1}", at: boundary), record("{\"t\":2}", at: boundary.adding(ticks: 1)), .flush,
        ])
        #expect(rows.map { $0["windowEnd"] } == [.time(boundary), .time(boundary.plus(seconds: 60))])
        #expect(rows[0]["windowStart"] == .time(noon))
        #expect(rows[0].time == boundary)
        #expect(rows.map { $0["sum"] } == [.bigint(1), .bigint(2)])
    }

    @Test("windows before 1970 are cut the same way")
    func beforeTheEpoch() {
        var harness = Harness()
        let rows = harness.run([
            record("{\"t\":1}", at: time("1969-12-31T23:58:30Z")),
            record("{\"t\":2}", at: time("1969-12-31T23:59:00Z")),
            record("{\"t\":3}", at: time("1970-01-01T00:00:00Z")), .flush,
        ])
        #expect(
            rows.map { $0["windowEnd"] } == [
                .time(time("1969-12-31T23:59:00Z")), .time(time("1970-01-01T00:00:00Z")),
            ])
        #expect(rows.map { $0["count"] } == [.bigint(2), .bigint(1)])
    }

    @Test("the columns of the default query stand in their documented order")
    func columns() {
        var harness = Harness()
        let rows = harness.run([record("{\"t\":1.5,\"ts\":7}", at: noon), .flush])
        let json = String(decoding: rows[0].json(), as: UTF8.self)
        let head =
            "{\"device\":\"device-7\",\"field\":\"t\",\"windowStart\":\"2026-03-01T11:59:00Z\","
            + "\"windowEnd\":\"2026-03-01T12:00:00Z\",\"count\":1,\"min\":1.5,\"max\":1.5,\"avg\":1.5,"
            + "\"sum\":1.5,\"_rid\":\""
        #expect(json == head + rows[0].id.description + "\"}")
        #expect(
            rows[0].id
                == ResultID(
                    query: "minute", version: 1, output: "minute",
                    groupKey: Array("[\"device-7\",\"t\"]".utf8), windowKind: "tumbling",
                    start: noon.plus(seconds: -60), end: noon, revision: 0))
    }

    @Test("a window closes when the watermark is past its end, not when it is on it")
    func strictClose() {
        var harness = Harness()
        _ = harness.run(record("{\"t\":1}", at: noon))
        // Watermark = 12:00:00 exactly: an event at 12:00:00 is still welcome.
        #expect(harness.run(record("{\"t\":2}", at: noon.plus(seconds: 60))).isEmpty)
        #expect(harness.run(record("{\"t\":3}", at: noon, arrival: noon.plus(seconds: 60))).isEmpty)
        let rows = harness.run(record("{\"t\":4}", at: noon.plus(seconds: 60).adding(ticks: 1)))
        #expect(rows.map { $0["count"] } == [.bigint(2)])
    }

    @Test("of two open windows only those before the watermark close, not the one it is on")
    func strictCloseOfTwo() {
        var harness = Harness()
        _ = harness.run([
            record("{\"t\":1}", at: noon), record("{\"t\":2}", at: noon.plus(seconds: 60)),
        ])
        let rows = harness.run(record("{\"t\":3}", at: noon.plus(seconds: 120)))
        #expect(rows.map { $0["sum"] } == [.bigint(1)])
        #expect(harness.engine.openState.groups == 2)
    }

    @Test("a tick closes silent devices, strictly after the end")
    func tick() {
        var harness = Harness()
        _ = harness.run([record("{\"t\":1}", at: noon, device: 1), record("{\"t\":1}", at: noon, device: 2)])
        let edge = noon.plus(seconds: 60)
        #expect(!harness.engine.needsTick(now: edge))
        #expect(harness.run(.tick(arrival: edge)).isEmpty)
        #expect(harness.engine.completeThrough == noon.plus(seconds: -60))
        #expect(harness.engine.needsTick(now: edge.adding(ticks: 1)))
        let rows = harness.run(.tick(arrival: edge.adding(ticks: 1)))
        #expect(rows.map { $0["device"] } == [.text("device-3"), .text("device-7")])
        #expect(harness.engine.completeThrough == noon)
        #expect(!harness.engine.needsTick(now: edge.plus(seconds: 3_600)))
    }

    @Test("a tick is needed to complete a window that a device's own events closed")
    func completion() {
        var harness = Harness()
        _ = harness.run(record("{\"t\":1}", at: noon))
        #expect(harness.run(record("{\"x\":\"no number\"}", at: noon.plus(seconds: 61))).count == 1)
        #expect(harness.engine.openState.groups == 0)
        #expect(harness.engine.completeThrough == nil)
        #expect(!harness.engine.needsTick(now: noon.plus(seconds: 60)))
        #expect(harness.engine.needsTick(now: noon.plus(seconds: 60.5)))
        _ = harness.run(.tick(arrival: noon.plus(seconds: 60.5)))
        #expect(harness.engine.completeThrough == noon)
        #expect(!harness.engine.needsTick(now: noon.plus(seconds: 600)))
    }

    @Test("late, early and out of order are judged at the very tick, and told in `_late`")
    func lateness() {
        var harness = Harness()
        let minute = 60.0
        #expect(harness.run(record("{\"t\":1}", at: noon, arrival: noon.plus(seconds: minute))).isEmpty)
        let late = harness.run(
            record("{\"t\":2}", at: noon.adding(ticks: -1), arrival: noon.plus(seconds: minute)))
        #expect(late.map { $0.output } == ["_late"])
        #expect(late[0]["reason"] == .text("late"))
        #expect(late[0]["watermark"] == .time(noon.plus(seconds: -60)))
        #expect(late[0]["sequence"] == .bigint(2))
        #expect(late[0]["payload"] == .text("{\"t\":2}"))
        let now = noon.plus(seconds: minute)
        #expect(harness.run(record("{\"t\":3}", at: now.plus(seconds: 300), arrival: now)).count == 1)
        let early = harness.run(
            record("{\"t\":4}", at: now.plus(seconds: 300).adding(ticks: 1), arrival: now))
        #expect(early[0]["reason"] == .text("early"))
        // The event at +300 s moved the watermark to +240 s: another at +239 s is not late but out of order.
        let disordered = harness.run(
            record("{\"t\":5}", at: now.plus(seconds: 239), arrival: now.plus(seconds: 239)))
        #expect(disordered[0]["reason"] == .text("out_of_order"))
        #expect(harness.run(record("{\"t\":6}", at: now, device: 2)).isEmpty)
        let counters = harness.engine.counters
        #expect([counters.accepted, counters.late, counters.early, counters.outOfOrder] == [3, 1, 1, 1])
    }

    @Test("a payload that is not UTF-8 is null in its late row")
    func binaryPayload() throws {
        let harness = Harness()
        try [UInt8(0xFF), 0x00].withUnsafeBytes { bytes in
            try harness.engine.process(
                RecordView(
                    device: 1, sequence: 1, arrivalTime: noon.plus(seconds: 61), eventTime: noon,
                    offset: QueueOffset(0), payload: bytes))
        }
        let rows = Harness.take(harness.engine)
        #expect(rows[0]["payload"] == .null)
    }

    @Test("with the action adjust a late event counts at the tolerance, one out of order at the watermark")
    func adjust() {
        var settings = DefaultQuery.settings
        settings.timePolicy.lateAction = .adjust
        var harness = Harness(settings: settings)
        let rows = harness.run([
            record("{\"t\":1}", at: noon.plus(seconds: -600), arrival: noon.plus(seconds: 30)),
            record("{\"t\":2}", at: noon.plus(seconds: 200), arrival: noon.plus(seconds: 30)),
            record("{\"t\":3}", at: noon.plus(seconds: 30), arrival: noon.plus(seconds: 31)), .flush,
        ])
        #expect(
            rows.map { $0["windowEnd"] } == [
                .time(noon), .time(noon.plus(seconds: 180)), .time(noon.plus(seconds: 240)),
            ])
        #expect(rows.map { $0["sum"] } == [.bigint(1), .bigint(3), .bigint(2)])
        #expect(harness.engine.counters.accepted == 3)
        #expect(harness.engine.counters.late == 1)
        #expect(harness.engine.counters.outOfOrder == 1)
    }

    @Test("with an unlimited late tolerance ticks close nothing and the last window closes at the end")
    func unlimited() {
        var settings = DefaultQuery.settings
        settings.timePolicy.lateToleranceTicks = TimePolicy.unlimited
        settings.timePolicy.lateAction = .drop
        var harness = Harness(settings: settings)
        #expect(
            harness.run([
                record("{\"t\":1}", at: noon, arrival: noon.plus(seconds: 86_400)),
                .tick(arrival: noon.plus(seconds: 172_800)),
            ]).isEmpty)
        #expect(harness.engine.completeThrough == nil)
        #expect(harness.run(.flush).count == 1)
    }

    @Test("a device with a fast clock makes nobody else late")
    func fastClock() {
        var harness = Harness()
        _ = harness.run(record("{\"t\":1}", at: noon.plus(seconds: 299), device: 1, arrival: noon))
        #expect(
            harness.run(record("{\"t\":1}", at: noon.plus(seconds: -59), device: 2, arrival: noon)).isEmpty)
        #expect(harness.engine.counters.accepted == 2)
    }

    @Test("times outside the years 1 to 9999 never trap", arguments: [Int64.min, Int64.max])
    func extremeTimes(ticks: Int64) {
        var harness = Harness()
        let extreme = EventTime(ticks: ticks)
        _ = harness.run([
            record("{\"t\":1}", at: extreme, arrival: noon), record("{\"t\":1}", at: noon, arrival: extreme),
        ])
        #expect(harness.engine.counters.withoutTime == 1)
        _ = harness.run([.tick(arrival: extreme), .flush])
        _ = harness.engine.needsTick(now: EventTime(ticks: Int64.max))
        _ = harness.engine.completeThrough
    }
}

/// A tick that closes a window of every device.
@Suite struct DrainTests {
    @Test("rows are taken away in portions, in the same order, and leave nothing out", arguments: [1, 7, 16])
    func portions(_ portion: Int) throws {
        let noon = time("2026-03-01T12:00:00Z")
        var limits = StreamLimits()
        limits.rowsPerDrain = portion
        func filled() -> LiveQuery {
            var harness = Harness(limits: limits)
            for device in 0..<200 as Range<UInt32> {
                _ = harness.run(
                    .record(
                        device: device, arrival: noon, event: noon,
                        payload: device % 3 == 0 ? "{\"a\":1}" : "{\"a\":1,\"b\":2,\"c\":3}"))
            }
            return harness.engine
        }
        let due = noon.plus(seconds: 200)
        var taken: [ResultRow] = []
        var most = 0
        let engine = filled()
        try engine.tick(arrival: due) { rows in
            most = max(most, rows.count)
            taken += (0..<rows.count).map { rows.resultRow($0) }
        }
        limits.rowsPerDrain = Int.max
        let whole = filled()
        try whole.tick(arrival: due)
        #expect(taken + Harness.take(engine) == Harness.take(whole))
        #expect(taken.count > 0)
        #expect(most == portion)
        // What was taken away is known all the same: its window is complete.
        #expect(engine.completeThrough == whole.completeThrough)
        #expect(!engine.needsTick(now: due))
    }
}
