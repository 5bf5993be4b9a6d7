import QueryLanguage
import Telemetry
import Testing

@testable import PerpetualQuery

/// Rows that cannot be computed, and times that no event has.
@Suite struct FailingRowTests {
    private let join = """
        SELECT a.n AS x, b.n AS y INTO o FROM l a TIMESTAMP BY t LEFT JOIN r b TIMESTAMP BY t
        ON DATEDIFF(second, a, b) BETWEEN 0 AND 10 AND CAST(b.v AS bigint) > a.n
        """

    private func take(
        _ harness: StreamHarness, _ input: Int, _ number: Int, _ value: String = "", at second: Int = 0
    ) throws -> [String] {
        let time = EventTime(ticks: time("2026-03-01T12:00:00Z").ticks + Int64(second) * 10_000_000)
        return try harness.take("{\"t\":\"\(time)\",\"n\":\(number),\"v\":\"\(value)\"}", input: input)
    }

    @Test(
        "a pair of rows whose condition cannot be computed is left out, and both join others",
        arguments: [StreamSettings.ErrorPolicy.divert, .drop])
    func pair(policy: StreamSettings.ErrorPolicy) throws {
        var settings = StreamSettings.arrivingOnTime()
        settings.errorPolicy = policy
        let harness = try StreamHarness(join, settings: settings)
        var rows = try take(harness, 1, 1, "x") + take(harness, 1, 2, "5") + take(harness, 1, 3, "y")
        // The left row meets two that cannot be judged, and one that can, in between.
        rows += try take(harness, 0, 1)
        #expect(harness.engine.counters.errors == 2)
        // It is kept all the same, and so is a right row that fails with it.
        rows += try take(harness, 1, 4, "z") + take(harness, 1, 5, "7")
        try harness.restart()
        rows += try take(harness, 0, 6)
        #expect(harness.engine.counters.errors == 6)
        // One that met none that it matches goes on alone.
        rows += try take(harness, 0, 9)
        rows += try harness.flush()
        #expect(harness.engine.counters.errors == 9)
        #expect(
            rows.filter { !$0.hasPrefix("_errors") }.sorted() == [
                #"{"x":1,"y":2}"#, #"{"x":1,"y":5}"#, #"{"x":6,"y":5}"#, #"{"x":9,"y":null}"#,
            ])
        // Each has a name of its own.
        let errors = Set(rows.filter { $0.hasPrefix("_errors") })
        #expect(errors.count == (policy == .divert ? 9 : 0))
        #expect(errors.allSatisfy { $0.contains(#""place":"2:48""#) })
    }

    @Test("a pair of rows whose condition cannot be computed stops a query that is to stop")
    func stop() throws {
        let harness = try StreamHarness(join, settings: .arrivingOnTime())
        _ = try take(harness, 1, 1, "x")
        let failure = try #require(throws: QueryFailure.self) { _ = try take(harness, 0, 1) }
        #expect(failure.reason == .cast)
        // The place in the text of ON, not that of the JOIN.
        #expect(failure.span.map { "\($0.line):\($0.column)" } == "2:48")
    }

    @Test("an event of the year 9999 has no time, and the last one before ends its windows in it")
    func lastYear() throws {
        let text = "SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY "
        for (window, end) in [
            ("TumblingWindow(minute, 1)", "9999-01-01T00:00:00Z"),
            ("SlidingWindow(second, 1)", "9998-12-31T23:59:59.9999999Z"),
            ("SessionWindow(day, 7, 7)", "9999-01-07T23:59:59.9999999Z"),
        ] {
            let harness = try StreamHarness(text + window, settings: .arrivingOnTime())
            for time in ["9998-12-31T23:59:59.9999999Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
                #expect(try harness.take("{\"t\":\"\(time)\"}") == [])
            }
            #expect(harness.engine.counters.withoutTime == 2)
            #expect(try harness.flush() == ["{\"n\":1,\"e\":\"\(end)\"}"])
        }
    }

    @Test("the hint of what is too large names no function that is not there")
    func overflow() throws {
        let harness = try StreamHarness("SELECT POWER(10, v) AS x INTO o FROM i")
        let failure = try #require(throws: QueryFailure.self) { _ = try harness.take("{\"v\":30}") }
        #expect(failure.hint == "cast to float first what is a bigint: CAST(x AS float)")
    }

    @Test("rows out of order find their pane among thousands, and each window has its rows")
    func manyPanes() throws {
        let harness = try StreamHarness(
            "SELECT COUNT(*) AS n, MAX(n) AS hi INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 600, 1)",
            settings: .arrivingOnTime(outOfOrder: 300))
        var random = SeededRandom(state: 7)
        var seconds: [Int] = []
        var rows: [String] = []
        for step in 0..<1_500 {
            let second = step + Int.random(in: -140...140, using: &random) + 200
            seconds.append(second)
            rows += try take(harness, 0, second, at: second)
            if step % 97 == 0 { try harness.restart() }
        }
        rows += try harness.flush()
        let first = seconds.min() ?? 0
        let last = seconds.max() ?? 0
        var expected: [String] = []
        for end in first..<(last + 600) {
            let inside = seconds.filter { $0 > end - 600 && $0 <= end }
            if let hi = inside.max() { expected.append("{\"n\":\(inside.count),\"hi\":\(hi)}") }
        }
        #expect(harness.engine.counters.outOfOrder == 0)
        #expect(rows == expected)
    }
}
