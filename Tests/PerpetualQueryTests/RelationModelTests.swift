import PerpetualQuery
import Telemetry
import Testing

/// Joins, functions of the rows before, and equal times, computed again from scratch on random events: every row
/// is held against every other.
@Suite struct RelationModelTests {
    private struct Event {
        var input: Int
        var number: Int
        var time: Int64
        var key: String
        var value: Int64

        var second: Int64 { time / EventTime.ticksPerSecond }
        var payload: String {
            "{\"t\":\"\(EventTime(ticks: time))\",\"k\":\"\(key)\",\"v\":\(value),\"n\":\(number)}"
        }
    }

    /// Events in the order of their arrival, out of the order of their times by less than 5 s.
    private static func events(_ count: Int, inputs: Int, _ seed: UInt64) -> [Event] {
        var random = SeededRandom(state: seed)
        let start = time("2026-03-01T12:00:00Z").ticks
        var order: [(at: Int64, event: Event)] = []
        for number in 0..<count {
            // Half of them on whole seconds, so that boundaries are hit and times are equal.
            let whole = Int64.random(in: 0..<60, using: &random) * EventTime.ticksPerSecond
            let part =
                Bool.random(using: &random)
                ? 0 : Int64.random(in: 0..<EventTime.ticksPerSecond, using: &random)
            let event = Event(
                input: Int.random(in: 0..<inputs, using: &random), number: number, time: start + whole + part,
                key: ["a", "b", "c"][Int.random(in: 0..<3, using: &random)],
                value: Int64.random(in: -9...9, using: &random))
            order.append(
                (event.time + Int64.random(in: 0..<(5 * EventTime.ticksPerSecond), using: &random), event))
        }
        return order.sorted { $0.at < $1.at }.map(\.event)
    }

    /// All rows of a query over the events, the engine being restored from its checkpoint now and then.
    private static func rows(_ text: String, _ events: [Event]) throws -> [String] {
        let harness = try StreamHarness(text, settings: .arrivingOnTime(outOfOrder: 5))
        var rows: [String] = []
        for (index, event) in events.enumerated() {
            rows += try harness.take(event.payload, input: event.input)
            if index % 23 == 0 { try harness.restart() }
        }
        rows += try harness.flush()
        #expect(harness.engine.counters.outOfOrder == 0)
        #expect(harness.engine.openState.waiting == 0)
        return rows
    }

    @Test(
        "joined rows are those of all pairs, with and without a match", arguments: UInt64(1)...8,
        [true, false])
    func joins(seed: UInt64, isLeft: Bool) throws {
        let events = Self.events(160, inputs: 2, seed)
        let text = """
            SELECT a.n AS x, b.n AS y INTO o FROM l a TIMESTAMP BY t \(isLeft ? "LEFT" : "INNER") JOIN r b TIMESTAMP BY t
            ON a.k = b.k AND DATEDIFF(second, a, b) BETWEEN -2 AND 3 AND a.v <= b.v
            """
        var expected: [String] = []
        for left in events where left.input == 0 {
            let matches = events.filter { right in
                right.input == 1 && right.key == left.key && left.value <= right.value
                    && (-2...3).contains(right.second - left.second)
            }
            expected += matches.map { "{\"x\":\(left.number),\"y\":\($0.number)}" }
            if matches.isEmpty, isLeft { expected.append("{\"x\":\(left.number),\"y\":null}") }
        }
        #expect(expected.count > 20)
        #expect(try Self.rows(text, events).sorted() == expected.sorted())
    }

    @Test(
        "LAG, LAST, ISFIRST and aggregates OVER see the rows before in the order of time",
        arguments: UInt64(1)...8)
    func before(seed: UInt64) throws {
        let events = Self.events(160, inputs: 1, seed)
        let text = """
            SELECT n, LAG(v) OVER (PARTITION BY k LIMIT DURATION(second, 3)) AS a,
              LAG(v, 2, -100) OVER (LIMIT DURATION(second, 2)) AS b,
              LAG(n) OVER (PARTITION BY k LIMIT DURATION(second, 9) WHEN v > 3) AS c,
              LAST(n, -1) OVER (PARTITION BY k LIMIT DURATION(second, 4) WHEN v < 0) AS d,
              ISFIRST(second, 7) OVER (PARTITION BY k) AS e, ISFIRST(second, 4) OVER (WHEN v = 5) AS f,
              SUM(v) OVER (PARTITION BY k LIMIT DURATION(second, 4)) AS g,
              COUNT(*) OVER (LIMIT DURATION(second, 2) WHEN v > 0) AS h, MAX(v) OVER (PARTITION BY k LIMIT DURATION(second, 6)) AS i
            INTO o FROM i TIMESTAMP BY t
            """
        let sorted = events.enumerated().sorted {
            ($0.element.time, $0.offset) < ($1.element.time, $1.offset)
        }
        .map(\.element)
        let expected = sorted.indices.map { Self.line(sorted, at: $0) }
        #expect(try Self.rows(text, events) == expected)
    }

    private static func line(_ events: [Event], at index: Int) -> String {
        let event = events[index]
        let second = EventTime.ticksPerSecond
        func before(_ seconds: Int64, _ isWanted: (Event) -> Bool, withSelf: Bool = false) -> [Event] {
            events[..<(withSelf ? index + 1 : index)].filter(isWanted)
                .filter { $0.time > event.time - seconds * second }
        }
        func isFirst(_ seconds: Int64, _ isWanted: (Event) -> Bool) -> Int {
            func interval(_ event: Event) -> Int64 {
                (event.time + seconds * second - 1) / (seconds * second)
            }
            guard isWanted(event) else { return 0 }
            return events[..<index].contains { isWanted($0) && interval($0) == interval(event) } ? 0 : 1
        }
        func text(_ value: Int64?) -> String { value.map { "\($0)" } ?? "null" }
        let own: (Event) -> Bool = { $0.key == event.key }
        // LAG counts rows first and then asks whether the one found is young enough.
        let two = events[..<index].suffix(2)
        let b =
            two.count == 2 ? two.first.flatMap { $0.time > event.time - 2 * second ? $0.value : nil } : nil
        let window = before(4, own, withSelf: true)
        let fields = [
            "\"n\":\(event.number)", "\"a\":\(text(before(3, own).last?.value))", "\"b\":\(b ?? -100)",
            "\"c\":\(text(before(9) { own($0) && $0.value > 3 }.last.map { Int64($0.number) }))",
            "\"d\":\(before(4, { own($0) && $0.value < 0 }, withSelf: true).last?.number ?? -1)",
            "\"e\":\(isFirst(7, own))", "\"f\":\(isFirst(4) { $0.value == 5 })",
            "\"g\":\(window.reduce(0) { $0 + $1.value })",
            "\"h\":\(before(2, { $0.value > 0 }, withSelf: true).count)",
            "\"i\":\(text(before(6, own, withSelf: true).map(\.value).max()))",
        ]
        return "{" + fields.joined(separator: ",") + "}"
    }

    @Test("LAG beside a JOIN sees all rows of FROM, joined or not", arguments: UInt64(1)...6)
    func beforeJoined(seed: UInt64) throws {
        let events = Self.events(160, inputs: 2, seed)
        let text = """
            SELECT a.n AS x, b.n AS y, LAG(a.n) OVER (PARTITION BY a.k LIMIT DURATION(second, 6)) AS z INTO o
            FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON DATEDIFF(second, a, b) BETWEEN 0 AND 1
            AND b.n > LAG(a.n, 1, -1) OVER (LIMIT DURATION(hour, 1)) WHERE a.v < 5
            """
        let left = events.enumerated().filter { $0.element.input == 0 }
            .sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }.map(\.element)
        var expected: [String] = []
        for (index, event) in left.enumerated() where event.value < 5 {
            let own = left[..<index].filter { $0.key == event.key }.last
            let z = own.flatMap { $0.time > event.time - 6 * EventTime.ticksPerSecond ? "\($0.number)" : nil }
            for other in events where other.input == 1 && (0...1).contains(other.second - event.second) {
                guard other.number > (index > 0 ? left[index - 1].number : -1) else { continue }
                expected.append("{\"x\":\(event.number),\"y\":\(other.number),\"z\":\(z ?? "null")}")
            }
        }
        #expect(expected.count > 20)
        #expect(try Self.rows(text, events).sorted() == expected.sorted())
    }

    @Test("equal times are one group, also as one window of several", arguments: UInt64(1)...6)
    func snapshots(seed: UInt64) throws {
        let events = Self.events(160, inputs: 1, seed)
        let text = """
            SELECT k, System.Window().Id AS w, COUNT(*) AS n, SUM(v) AS s, System.Timestamp() AS e INTO o
            FROM i TIMESTAMP BY t
            GROUP BY k, Windows(Window('same', System.Timestamp()), Window('five', Tumbling(second, 5)))
            """
        var expected: [String] = []
        for (id, size) in [("same", Int64(1)), ("five", 5 * EventTime.ticksPerSecond)] {
            let groups = Dictionary(grouping: events) { event in
                "\(event.key) \((event.time + size - 1) / size * size)"
            }
            for events in groups.values {
                let end = EventTime(ticks: (events[0].time + size - 1) / size * size)
                expected.append(
                    "{\"k\":\"\(events[0].key)\",\"w\":\"\(id)\",\"n\":\(events.count),"
                        + "\"s\":\(events.reduce(0) { $0 + $1.value }),\"e\":\"\(end)\"}")
            }
        }
        #expect(try Self.rows(text, events).sorted() == expected.sorted())
    }
}
