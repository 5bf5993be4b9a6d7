import PerpetualQuery
import Telemetry
import Testing

/// Windows computed again from scratch, without a look at the engine: every window from all events.
struct NaiveWindows {
    struct Event {
        var time: Int64
        var key: String
        var value: Int64
    }
    struct Row: Hashable, Comparable {
        var end: Int64
        var key: String
        var count: Int
        var sum: Int64
        var least: Int64
        var greatest: Int64

        static func < (left: Row, right: Row) -> Bool {
            (left.end, left.key, left.count, left.sum) < (right.end, right.key, right.count, right.sum)
        }
    }

    var events: [Event]
    static let second = EventTime.ticksPerSecond

    private func row(_ end: Int64, _ key: String, _ inside: [Event]) -> Row? {
        guard let first = inside.first else { return nil }
        var row = Row(end: end, key: key, count: 0, sum: 0, least: first.value, greatest: first.value)
        for event in inside {
            row.count += 1
            row.sum += event.value
            row.least = min(row.least, event.value)
            row.greatest = max(row.greatest, event.value)
        }
        return row
    }

    private var keys: [String] { Array(Set(events.map(\.key))).sorted() }

    func hopping(size: Int64, hop: Int64, offset: Int64 = 0) -> [Row] {
        var rows: [Row] = []
        guard let first = events.map(\.time).min(), let last = events.map(\.time).max() else { return [] }
        var end = first / hop * hop + offset % hop - hop
        while end <= last + size + hop {
            for key in keys {
                let inside = events.filter { $0.key == key && $0.time > end - size && $0.time <= end }
                if let row = row(end, key, inside) { rows.append(row) }
            }
            end += hop
        }
        return rows
    }

    func sliding(size: Int64) -> [Row] {
        var rows: [Row] = []
        for key in keys {
            let own = events.filter { $0.key == key }
            for moment in Set(own.map(\.time) + own.map { $0.time + size }).sorted() {
                let inside = own.filter { $0.time > moment - size && $0.time <= moment }
                if let row = row(moment, key, inside) { rows.append(row) }
            }
        }
        return rows
    }

    func sessions(timeout: Int64, longest: Int64) -> [Row] {
        var rows: [Row] = []
        for key in keys {
            var open: [Event] = []
            func end() -> Int64 {
                var check = (open[0].time + longest) / longest * longest
                if check < open[0].time + longest { check += longest }
                return min(open[open.count - 1].time + timeout, check)
            }
            let own = events.enumerated().filter { $0.element.key == key }
                .sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }.map(\.element)
            for event in own {
                if !open.isEmpty, event.time > end() {
                    if let row = row(end(), key, open) { rows.append(row) }
                    open = []
                }
                open.append(event)
            }
            if !open.isEmpty, let row = row(end(), key, open) { rows.append(row) }
        }
        return rows
    }
}

@Suite struct StreamModelTests {
    struct Kind: Sendable, CustomTestStringConvertible {
        var window: String
        var naive: @Sendable (NaiveWindows) -> [NaiveWindows.Row]
        var testDescription: String { window }
    }

    static let second = EventTime.ticksPerSecond
    static let kinds: [Kind] = [
        Kind(window: "TumblingWindow(second, 7)") { $0.hopping(size: 7 * second, hop: 7 * second) },
        Kind(window: "HoppingWindow(second, 10, 5)") { $0.hopping(size: 10 * second, hop: 5 * second) },
        Kind(window: "HoppingWindow(second, 7, 3)") { $0.hopping(size: 7 * second, hop: 3 * second) },
        Kind(window: "HoppingWindow(Duration(second, 9), Hop(second, 3), Offset(millisecond, -400))") {
            $0.hopping(size: 9 * second, hop: 3 * second, offset: -4_000_000)
        },
        Kind(window: "TumblingWindow(second, 5, 12)") {
            $0.hopping(size: 5 * second, hop: 5 * second, offset: 12 * second)
        },
        Kind(window: "SlidingWindow(second, 4)") { $0.sliding(size: 4 * second) },
        Kind(window: "SessionWindow(second, 3, 20) OVER (PARTITION BY k)") {
            $0.sessions(timeout: 3 * second, longest: 20 * second)
        },
    ]

    @Test(
        "windows on random events are those of a naive recomputation, also cut by checkpoints",
        arguments: kinds,
        UInt64(1)...6)
    func windows(_ kind: Kind, seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        let start = time("2026-03-01T12:00:00Z").ticks
        var events: [NaiveWindows.Event] = []
        for _ in 0..<150 {
            // Half of them on whole seconds, so that boundaries are hit.
            let whole = Int64.random(in: 0..<120, using: &random) * Self.second
            let part = Bool.random(using: &random) ? 0 : Int64.random(in: 0..<Self.second, using: &random)
            let key = ["a", "b", "ä", "c"][Int.random(in: 0..<4, using: &random)]
            events.append(
                NaiveWindows.Event(
                    time: start + whole + part, key: key, value: Int64.random(in: -9...9, using: &random)))
        }
        var order = events.map { (key: $0.time, event: $0) }
        for index in order.indices {
            order[index].key += Int64.random(in: 0..<(5 * Self.second), using: &random)
        }
        order.sort { $0.key < $1.key }
        let text = """
            SELECT k, COUNT(*) AS n, SUM(v) AS s, MIN(v) AS lo, MAX(v) AS hi, System.Timestamp() AS e INTO o
            FROM i TIMESTAMP BY t GROUP BY k, \(kind.window)
            """
        let harness = try StreamHarness(text, settings: .arrivingOnTime(outOfOrder: 5))
        var rows: [NaiveWindows.Row] = []
        func collect() {
            for row in 0..<harness.buffer.count { rows.append(Self.row(harness.buffer.resultRow(row))) }
            harness.buffer.removeAll()
        }
        for (index, item) in order.enumerated() {
            let payload =
                "{\"t\":\"\(EventTime(ticks: item.event.time))\",\"k\":\"\(item.event.key)\",\"v\":\(item.event.value)}"
            try Array(payload.utf8).withUnsafeBytes { bytes in
                _ = try harness.engine.process(
                    StreamEvent(
                        input: 0, device: 0, sequence: UInt64(index + 1), arrivalTime: EventTime(ticks: 0),
                        eventTime: EventTime(ticks: 0), payload: bytes))
            }
            collect()
            if index % 37 == 0 { try harness.restart() }
        }
        try harness.engine.flush()
        collect()
        #expect(harness.engine.counters.outOfOrder == 0)
        let expected = kind.naive(NaiveWindows(events: events)).sorted()
        #expect(rows.sorted() == expected, "\(kind.window), seed \(seed)")
        // Rows come in the order of window end and key.
        #expect(rows == rows.sorted { ($0.end, Array($0.key.utf8)) < ($1.end, Array($1.key.utf8)) })
        #expect(harness.engine.openState.groups == 0)
        #expect(harness.engine.openState.waiting == 0)
    }

    private static func row(_ row: ResultRow) -> NaiveWindows.Row {
        func integer(_ name: String) -> Int64 {
            if case .bigint(let value)? = row[name] { value } else { Int64.min }
        }
        var key = ""
        if case .text(let text)? = row["k"] { key = text }
        return NaiveWindows.Row(
            end: row.time.ticks, key: key, count: Int(integer("n")), sum: integer("s"), least: integer("lo"),
            greatest: integer("hi"))
    }
}

private func < (left: (Int64, [UInt8]), right: (Int64, [UInt8])) -> Bool {
    left.0 != right.0 ? left.0 < right.0 : left.1.lexicographicallyPrecedes(right.1)
}
