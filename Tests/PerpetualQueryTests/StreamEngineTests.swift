import QueryLanguage
import Telemetry
import Testing

@testable import PerpetualQuery

@Suite struct StreamEngineTests {
    private let perKey = """
        SELECT k, COUNT(*) AS n, SUM(v) AS s, System.Timestamp() AS e INTO o
        FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
        """

    private func event(_ second: Int, _ rest: String = "\"k\":\"a\",\"v\":1") -> String {
        "{\"t\":\"2026-03-01T12:00:\(second < 10 ? "0" : "")\(second)Z\",\(rest)}"
    }

    @Test("a window closes when the time is past its end, not when it is on it")
    func strictClose() throws {
        let harness = try StreamHarness(perKey, settings: .arrivingOnTime())
        #expect(try harness.take(event(5)) == [])
        #expect(try harness.take(event(10)) == [])
        #expect(
            try harness.take(event(11)) == ["{\"k\":\"a\",\"n\":2,\"s\":2,\"e\":\"2026-03-01T12:00:10Z\"}"])
    }

    @Test("a tick closes windows of an input that is silent, once the late tolerance is over")
    func tick() throws {
        let harness = try StreamHarness(perKey)
        let noon = time("2026-03-01T12:00:00Z")
        _ = try harness.take(event(5), arrival: noon.plus(seconds: 6))
        #expect(!harness.engine.needsTick(now: noon.plus(seconds: 15)))
        #expect(try harness.tick(noon.plus(seconds: 15)) == [])
        #expect(harness.engine.needsTick(now: noon.plus(seconds: 15.001)))
        #expect(try harness.tick(noon.plus(seconds: 15.001)).count == 1)
        #expect(try harness.tick(noon.plus(seconds: 5)) == [])
    }

    @Test("after the end of the input nothing is taken")
    func finished() throws {
        let harness = try StreamHarness(perKey, settings: .arrivingOnTime())
        _ = try harness.take(event(5))
        #expect(try harness.flush().count == 1)
        #expect(throws: QueryFailure.self) { _ = try harness.take(event(6)) }
    }

    @Test("a payload that is no object counts, and gives NULLs")
    func notJSON() throws {
        let harness = try StreamHarness("SELECT a INTO o FROM i")
        for payload in ["", "[1]", "7", "{\"a\":1", "{\"a\":1} x"] { _ = try harness.take(payload) }
        #expect(harness.engine.counters.notJSON == 5)
        #expect(try harness.take("{\"a\":1}") == ["{\"a\":1}"])
    }

    @Test("names are found in every payload, whatever stood at their place before")
    func layouts() throws {
        let harness = try StreamHarness("SELECT a, b INTO o FROM i")
        let payloads = [
            "{\"a\":1,\"b\":2}", "{\"b\":3,\"a\":4}", "{\"x\":0,\"A\":5}", "{\"A\":6,\"a\":7}",
            "{\"a\":8,\"A\":9}",
            "{\"A\":1,\"\\u0061\":2}", "{\"a\":null,\"A\":3}", "{}", "{\"b\":1}",
        ]
        var rows: [String] = []
        for payload in payloads { rows += try harness.take(payload) }
        #expect(
            rows == [
                "{\"a\":1,\"b\":2}", "{\"a\":4,\"b\":3}", "{\"a\":5,\"b\":null}", "{\"a\":7,\"b\":null}",
                "{\"a\":8,\"b\":null}", "{\"a\":2,\"b\":null}", "{\"a\":null,\"b\":null}",
                "{\"a\":null,\"b\":null}",
                "{\"a\":null,\"b\":1}",
            ])
        // An engine that sees a payload first must read it as one that has seen others.
        for payload in payloads {
            let fresh = try StreamHarness("SELECT a, b INTO o FROM i")
            #expect(try fresh.take(payload) == harness.take(payload), "\(payload)")
        }
    }

    @Test("every damaged byte of a checkpoint is found, and one of another query or format is refused")
    func damage() throws {
        let text = """
            WITH s AS (SELECT k, v, LAG(v) OVER (PARTITION BY k LIMIT DURATION(minute, 1)) AS p FROM i TIMESTAMP BY t)
            SELECT k, SUM(p) AS s, COUNT(DISTINCT v) AS d, TopOne() OVER (ORDER BY v) AS b, VAR(v) AS x,
            MAX(CAST(k AS nvarchar(max))) AS m INTO o FROM s
            GROUP BY k, Windows(TumblingWindow(second, 10), SlidingWindow(second, 5), SessionWindow(second, 5, 20))
            """
        var settings = StreamSettings.arrivingOnTime(outOfOrder: 2)
        settings.deduplication = ["i": ["t", "k"]]
        let harness = try StreamHarness(text, settings: settings)
        for second in [1, 2, 4, 3, 9, 8] {
            _ = try harness.take(event(second, "\"k\":\"ä\",\"v\":\(second)"))
        }
        let state = harness.engine.snapshot()
        #expect(state.count < 4_000)
        let buffer = RowBuffer(plan: harness.plan)
        for index in state.indices {
            var damaged = state
            damaged[index] ^= 0x10
            let engine = try StreamEngine(plan: harness.plan, rows: buffer)
            #expect(throws: CheckpointError.self, "byte \(index)") { try engine.restore(damaged) }
        }
        for count in stride(from: 0, to: state.count, by: 7) {
            let engine = try StreamEngine(plan: harness.plan, rows: buffer)
            #expect(throws: CheckpointError.self) { try engine.restore(Array(state[..<count])) }
        }
        let other = try StreamHarness(perKey, settings: settings)
        #expect(throws: CheckpointError.otherPlan) { try other.engine.restore(state) }
        try harness.restart()
        #expect(harness.engine.snapshot() == state)
    }

    @Test("the bytes of a checkpoint are the documented ones")
    func goldenBytes() throws {
        let harness = try StreamHarness(
            "SELECT k, COUNT(*) AS n, SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)",
            settings: .arrivingOnTime())
        _ = try harness.take(event(5, "\"k\":\"a\",\"v\":2"))
        _ = try harness.take(event(6, "\"k\":\"a\",\"v\":0.5"))
        let hex = harness.engine.snapshot().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(hex == Self.golden)
    }

    @Test("limits end in a failure that names them")
    func limits() throws {
        var limits = StreamLimits()
        limits.openGroupsMax = 1
        let harness = try StreamHarness(perKey, settings: .arrivingOnTime(), limits: limits)
        _ = try harness.take(event(1))
        #expect(throws: QueryFailure.self) { _ = try harness.take(event(2, "\"k\":\"b\"")) }
        limits = StreamLimits()
        limits.deduplicationMax = 1
        var settings = StreamSettings.arrivingOnTime()
        settings.deduplication = ["i": ["k"]]
        let names = try StreamHarness("SELECT k INTO o FROM i", settings: settings, limits: limits)
        _ = try names.take("{\"k\":1}")
        #expect(try names.take("{\"k\":1}") == [])
        #expect(throws: QueryFailure.self) { _ = try names.take("{\"k\":2}") }
        limits = StreamLimits()
        limits.distinctValuesMax = 1
        let distinct = try StreamHarness(
            "SELECT COUNT(DISTINCT v) AS d INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)",
            settings: .arrivingOnTime(), limits: limits)
        _ = try distinct.take(event(1, "\"v\":1"))
        #expect(throws: QueryFailure.self) { _ = try distinct.take(event(2, "\"v\":2")) }
    }

    @Test("a failure names the reason, the place in the query and the event")
    func failure() throws {
        let harness = try StreamHarness("SELECT a,\n  CAST(b AS bigint) AS n INTO o FROM i")
        do {
            _ = try harness.take("{\"b\":\"x\"}")
            Issue.record("it had to fail")
        } catch let failure as QueryFailure {
            #expect(failure.reason == .cast)
            #expect(failure.span?.line == 2)
            #expect(failure.span?.column == 3)
            #expect(failure.sequence == 1)
            #expect(failure.payload == "{\"b\":\"x\"}")
        }
    }

    @Test(
        "a pattern that would be tried for ever gives up for its row, and the rest goes on",
        arguments: ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
    func regexGivesUp(pattern: String) throws {
        var settings = StreamSettings.arrivingOnTime()
        settings.errorPolicy = .divert
        let harness = try StreamHarness(
            "SELECT REGEXMATCH(k, '\(pattern)') AS m INTO o FROM i TIMESTAMP BY t", settings: settings)
        let long = String(repeating: "a", count: 10_000)
        let clock = ContinuousClock()
        let begin = clock.now
        let rows = try harness.take(event(1, "\"k\":\"\(long)!\"")) + harness.take(event(2, "\"k\":\"xaab\""))
        #expect(clock.now - begin < .seconds(5))
        #expect(rows.count == 2)
        #expect(rows.first?.hasPrefix("_errors ") == true && rows.first?.contains("\"limit\"") == true)
        #expect(rows.last?.hasPrefix("{\"m\":") == true)
    }

    @Test(
        "a regular expression finds the first place in characters, whatever their case",
        arguments: [
            ("", "", 1), ("", "x", 0), ("äöx", "X", 3), ("😀b", "b", 2), ("a\nb", "a.b", 1), ("ÄÖ", "ö", 2),
            ("a1", "\\d", 2), ("straße 7", "\\w+ \\d", 1), ("ab", "(?<=a)b", 2), ("abab", "(ab)\\1", 1),
        ])
    func regexPlace(text: String, pattern: String, place: Int) throws {
        var found: Int?
        Array(pattern.utf8).withUnsafeBytes { pattern in
            Array(text.utf8).withUnsafeBytes { found = RegexPattern(pattern)?.firstPlace(in: $0) }
        }
        #expect(found == place)
    }

    @Test("with the policy divert a failing row goes to `_errors`, and the rest goes on")
    func diverted() throws {
        var settings = StreamSettings()
        settings.errorPolicy = .divert
        let harness = try StreamHarness("SELECT 10 / a AS n INTO o FROM i", settings: settings)
        let rows = try harness.take("{\"a\":0}") + harness.take("{\"a\":5}")
        #expect(rows.count == 2)
        #expect(rows[0].hasPrefix("_errors {\"reason\":\"division_by_zero\""))
        #expect(rows[1] == "{\"n\":2}")
        #expect(harness.engine.counters.errors == 1)
    }

    @Test("a plan is told as a tree, with times and decoded fields")
    func explain() throws {
        let harness = try StreamHarness(
            """
            WITH hot AS (SELECT k, r.deep AS d FROM i TIMESTAMP BY t OVER k WHERE v > 5)
            SELECT k, COUNT(*) AS n INTO o FROM hot GROUP BY k, HoppingWindow(minute, 2, 1) HAVING COUNT(*) > 1
            """)
        #expect(
            harness.plan.explanation.flatMap { $0.lines() } == [
                "output o", "└─ select k, n", "   └─ having COUNT(*) > 1",
                "      └─ group by k, hopping 2 min every 1 min: COUNT(*)", "         └─ step hot",
                "            └─ select k, d", "               └─ where v > 5",
                "                  └─ input i: time by t, a timeline for each k; early 5 min, late 5 s, "
                    + "out of order 0 s, adjust",
            ])
        #expect(harness.plan.inputs.map(\.fields) == [["t", "k", "v", "r"]])
    }

    @Test(
        "rows of LAG wait for the out-of-order tolerance, and for the clock no longer than an event may be late"
    )
    func sortedUntilLate() throws {
        var settings = StreamSettings()
        settings.timePolicy.outOfOrderToleranceTicks = 3_600 * EventTime.ticksPerSecond
        settings.timePolicy.lateAction = .drop
        let harness = try StreamHarness(
            "SELECT v, LAG(v) OVER (LIMIT DURATION(hour, 1)) AS p INTO o FROM i TIMESTAMP BY t",
            settings: settings)
        let noon = time("2026-01-01T12:00:00Z")
        func take(_ second: Int, _ arrival: Double) throws -> [String] {
            try harness.take(
                "{\"t\":\"2026-01-01T12:00:0\(second)Z\",\"v\":\(second)}",
                arrival: noon.plus(seconds: arrival))
        }
        #expect(try take(3, 3) == [])
        #expect(try take(1, 4) == [])
        // An event of 12:00:01 may come until 12:00:06, five seconds late; what is older then has its order.
        #expect(try harness.tick(noon.plus(seconds: 6)) == ["{\"v\":1,\"p\":null}"])
        #expect(try take(2, 7) == [])
        #expect(try take(1, 7) == [])
        #expect(harness.engine.counters.late == 1)
        #expect(
            try harness.tick(noon.plus(seconds: 9)) == ["{\"v\":2,\"p\":1}", "{\"v\":3,\"p\":2}"])
    }

    @Test(
        "what the engine cannot do is refused with its place",
        arguments: [
            (
                "SELECT a.x FROM l a TIMESTAMP BY t OVER k JOIN r b TIMESTAMP BY t OVER k ON a.k = b.k AND DATEDIFF(s, a, b) = 0",
                "1:43", "OVER is not supported yet"
            ),
            ("WITH s AS (SELECT * FROM i) SELECT a FROM s TIMESTAMP BY t", "1:58", "TIMESTAMP BY on a step"),
            ("SELECT a FROM i TIMESTAMP BY System.Timestamp()", "1:30", "cannot stand in TIMESTAMP BY"),
            (
                "SELECT LAG(b.x) OVER (LIMIT DURATION(s, 1)) FROM i a JOIN j b ON DATEDIFF(s, a, b) = 0",
                "1:12", "looks at the rows of a only"
            ),
            (
                "SELECT LAG(x) OVER (LIMIT DURATION(s, 1)) FROM i a JOIN j b ON DATEDIFF(s, a, b) = 0",
                "1:12", "could be a field of a or of b"
            ),
            (
                "SELECT LAG(b.ArrayValue) OVER (LIMIT DURATION(s, 1)) FROM i CROSS APPLY GetArrayElements(i.l) b",
                "1:12", "looks at the rows of i only"
            ),
            ("SELECT a, b AS a FROM i", "1:16", "two columns are called a"),
            ("SELECT a INTO _late FROM i", "1:15", "belong to the system"),
            ("SELECT COUNT(*) FROM i GROUP BY HoppingWindow(s, 5, 10)", "1:53", "longer than the window"),
            ("SELECT a FROM i UNION SELECT a, b FROM j", "1:23", "has 2 columns"),
            ("WITH s AS (SELECT a FROM s) SELECT a FROM s", "1:26", "reads itself"),
            (
                "WITH m AS (SELECT k, COUNT(*) AS n FROM i TIMESTAMP BY t OVER k GROUP BY k, Tumbling(s, 1)) "
                    + "SELECT SUM(n) FROM m GROUP BY Tumbling(s, 5)", "1:123", "missing from GROUP BY"
            ),
        ])
    func refused(_ text: String, _ place: String, _ part: String) {
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q")
        #expect(plan == nil)
        #expect(errors.count == 1)
        #expect(errors.first.map { "\($0.line):\($0.column)" } == place)
        #expect(errors.first?.message.contains(part) == true, "\(errors)")
    }

    static let golden =
        "4845445354524d3101000000a1cca167020000000000000000000000000000000000000000000000020000000000"
        + "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        + "00000000000000000000000000000000000000800100000000276a1c94f73e000000000000000080000000000000"
        + "008001000000000000000081cc1e94f73e00010000000081cc1e94f73e0001000000030000000461000200000000"
        + "00000001050200000000000000000000000000e03f0200000000000000000000000000044000000000000000004d"
        + "b389b7"
}
