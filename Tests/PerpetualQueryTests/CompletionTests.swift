import PerpetualQuery
import Telemetry
import Testing

@Suite("Which windows are complete")
struct CompletionTests {
    private static let noon = time("2026-03-01T12:00:00Z")

    private func query(_ text: String, late: Int64, outOfOrder: Int64) throws -> LiveQuery {
        var settings = StreamSettings()
        settings.timePolicy.lateToleranceTicks = late
        settings.timePolicy.outOfOrderToleranceTicks = outOfOrder * EventTime.ticksPerSecond
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q", settings: settings)
        #expect(errors.isEmpty, "\(text)")
        return try LiveQuery(plan: try #require(plan))
    }

    private func give(_ query: LiveQuery, at event: EventTime, arrival: EventTime, device: UInt32 = 1) throws
    {
        try Array("{\"v\":1}".utf8).withUnsafeBytes { bytes in
            try query.process(
                RecordView(
                    device: device, sequence: 1, arrivalTime: arrival, eventTime: event,
                    offset: QueueOffset(0), payload: bytes))
        }
    }

    @Test("recorded history completes its windows by its own events, though no tick ever may")
    func history() throws {
        let query = try query(
            "SELECT COUNT(*) AS n INTO o FROM telemetry TIMESTAMP BY IoTHub.EventTime GROUP BY TumblingWindow(second, 60)",
            late: TimePolicy.unlimited, outOfOrder: 30)
        let arrival = Self.noon.plus(seconds: 200 * 86_400)
        #expect(query.completeThrough == nil)
        try give(query, at: Self.noon.plus(seconds: 10), arrival: arrival)
        #expect(query.completeThrough == Self.noon.plus(seconds: -60))
        // The window that ends at 12:01 is open until a time after its end is beyond the tolerance.
        try give(query, at: Self.noon.plus(seconds: 90), arrival: arrival)
        #expect(query.completeThrough == Self.noon)
        try query.tick(arrival: arrival.plus(seconds: 3_600))
        #expect(query.completeThrough == Self.noon)
        #expect(query.rows.isEmpty)
        try give(query, at: Self.noon.plus(seconds: 91), arrival: arrival)
        #expect(query.completeThrough == Self.noon.plus(seconds: 60))
        #expect(Harness.take(query).count == 1)
    }

    @Test(
        "no row comes for a window that was complete, whatever the order of events and ticks",
        arguments: 1...40)
    func never(seed: UInt64) throws {
        let from = "FROM telemetry TIMESTAMP BY IoTHub.EventTime"
        let texts = [
            "SELECT COUNT(*) AS n INTO o \(from) GROUP BY TumblingWindow(second, 10)",
            "SELECT COUNT(*) AS n INTO o \(from) GROUP BY HoppingWindow(second, 30, 10)",
            "SELECT COUNT(*) AS n INTO o \(from) OVER IoTHub.ConnectionDeviceId "
                + "GROUP BY IoTHub.ConnectionDeviceId, TumblingWindow(second, 10)",
            "WITH s AS (SELECT COUNT(*) AS c \(from) GROUP BY TumblingWindow(second, 10)) "
                + "SELECT SUM(c) AS n INTO o FROM s GROUP BY TumblingWindow(second, 30)",
        ]
        var random = SeededRandom(state: seed)
        let late: Int64 = seed % 3 == 0 ? TimePolicy.unlimited : 20 * EventTime.ticksPerSecond
        let query = try query(texts[Int(seed % 4)], late: late, outOfOrder: Int64(seed % 2) * 8)
        query.deviceName = Harness.name
        var now = Self.noon
        var complete: EventTime?
        var rowCount = 0
        for _ in 0..<400 {
            now = now.plus(seconds: Double(Int.random(in: 0...4, using: &random)))
            if Int.random(in: 0..<10, using: &random) == 0 {
                try query.tick(arrival: now)
            } else {
                let event = now.plus(seconds: -Double(Int.random(in: 0...25, using: &random)))
                try give(query, at: event, arrival: now, device: UInt32.random(in: 1...3, using: &random))
            }
            for row in Harness.take(query) {
                rowCount += 1
                #expect(complete.map { $0 < row.time } ?? true)
            }
            if let before = complete { #expect(query.completeThrough.map { $0 >= before } ?? false) }
            complete = query.completeThrough
        }
        #expect(rowCount > 0)
        #expect(complete != nil || seed % 4 == 2)
    }
}
