import PerpetualQuery
import Telemetry
import Testing

@Suite struct QueryBundleTests {
    private static let conditions = [
        "v > 30", "v >= 30.5", "v < 10", "v <= 10", "v = 7", "v <> 7", "name = 'b'", "name > 'a'",
        "30 < v AND name = 'a'", "v > 30 OR name = 'b'", "Deep.x > 3", "missing = 1", "v > 20 AND V < 40",
    ]

    private static func queries() throws -> [LiveQuery] {
        var texts = conditions.map { "SELECT v, name INTO o FROM telemetry WHERE \($0)" }
        texts.append("SELECT COUNT(*) AS n INTO o FROM telemetry GROUP BY name, TumblingWindow(second, 5)")
        texts.append("SELECT v INTO o FROM telemetry TIMESTAMP BY ts WHERE v > 30")
        texts.append(DefaultQuery.text)
        return try texts.enumerated().map { number, text in
            var settings = StreamSettings()
            settings.errorPolicy = .divert
            let (plan, errors) = QueryPlanner.plan(text: text, name: "q\(number)", settings: settings)
            #expect(errors.isEmpty, "\(text)")
            let query = try LiveQuery(plan: try #require(plan))
            query.deviceName = Harness.name
            return query
        }
    }

    private static let payloads = [
        "{\"v\":31,\"name\":\"a\",\"ts\":\"2026-03-01T12:00:00Z\"}", "{\"V\":30.5,\"name\":\"b\"}",
        "{\"v\":7,\"NAME\":\"b\",\"Deep\":{\"x\":4}}", "{\"v\":\"text\"}", "{\"v\":null,\"name\":1}",
        "no JSON",
        "{\"v\":1,\"v\":33,\"name\":\"\\u0062\"}", "{\"v\":9.5,\"vv\":2}",
        "{\"v\":40,\"V\":2,\"name\":\"c\"}", "[]",
    ]

    @Test(
        "queries that share one decoding give the rows, counters and states of each alone", arguments: 1...10)
    func same(seed: UInt64) throws {
        let together = try Self.queries()
        let alone = try Self.queries()
        let bundle = QueryBundle(together)
        #expect(bundle.count == together.count)
        // All conditions but those on a field of a field, and on either of two fields.
        #expect(bundle.guardedCount == 11)
        var random = SeededRandom(state: seed)
        var at = time("2026-03-01T12:00:00Z")
        for step in 1...200 {
            at = at.adding(ticks: Int64.random(in: 0...9_000_000, using: &random))
            let payload = Self.payloads.randomElement(using: &random) ?? ""
            try Array(payload.utf8).withUnsafeBytes { bytes in
                let record = RecordView(
                    device: UInt32.random(in: 1...3, using: &random), sequence: UInt64(step), arrivalTime: at,
                    eventTime: at, offset: QueueOffset(0), payload: bytes)
                bundle.process(record) { number, failure in Issue.record("\(number): \(failure)") }
                for query in alone { try query.process(record) }
            }
            for (number, query) in together.enumerated() {
                #expect(Harness.take(query) == Harness.take(alone[number]), "\(number): \(payload)")
            }
            if step % 20 == 0 {
                bundle.settle()
                for (number, query) in together.enumerated() {
                    #expect(query.counters == alone[number].counters, "\(number)")
                    #expect(query.snapshot() == alone[number].snapshot(), "\(number)")
                }
            }
        }
    }

    @Test(
        "a condition of single fields and constants is judged for all queries at once",
        arguments: [
            ("30 < v", true), ("v BETWEEN 3 AND 7", true), ("v NOT BETWEEN 3 AND 7", true),
            ("v IN (1, 2, 3)", true), ("v NOT IN (1, 2)", true), ("name LIKE 'ab%'", true),
            ("name NOT LIKE 'ab%'", true), ("v IS NULL", true), ("name IS NOT NULL AND v > 3", true),
            ("v < 3 OR v > 7", true), ("v > 3 AND CAST(name AS bigint) > 3", true),
            ("v < 3 OR w > 7", false), ("CAST(name AS bigint) > 3 AND v > 3", false),
            ("name LIKE '%b'", false), ("name LIKE 'a_c%'", false), ("v > 9007199254740993", false),
            ("v = 1 OR v = 'a'", false), ("v + 1 > 3", false), ("v > w", false), ("NOT v > 3", false),
        ])
    func judged(condition: String, isJudged: Bool) throws {
        let text = "SELECT v INTO o FROM telemetry WHERE \(condition)"
        let plan = try #require(QueryPlanner.plan(text: text, name: "q").plan)
        #expect(QueryBundle([try LiveQuery(plan: plan)]).guardedCount == (isJudged ? 1 : 0))
    }

    @Test("one query that stops does not stop the others")
    func stops() throws {
        func query(_ text: String) throws -> LiveQuery {
            try LiveQuery(plan: try #require(QueryPlanner.plan(text: text, name: "q").plan))
        }
        let bad = try query("SELECT CAST(v AS bigint) AS v INTO o FROM telemetry")
        let good = try query("SELECT v INTO o FROM telemetry")
        let bundle = QueryBundle([bad, good])
        var failed: [Int] = []
        Array("{\"v\":\"x\"}".utf8).withUnsafeBytes { bytes in
            let noon = time("2026-03-01T12:00:00Z")
            bundle.process(
                RecordView(
                    device: 1, sequence: 1, arrivalTime: noon, eventTime: noon, offset: QueueOffset(0),
                    payload: bytes)
            ) { number, _ in failed.append(number) }
        }
        #expect(failed == [0])
        #expect(good.rows.count == 1)
    }

    @Test("a state is kept when only columns and conditions above it change")
    func signatures() throws {
        func signature(_ text: String) throws -> String {
            try #require(QueryPlanner.plan(text: text, name: "q").plan).stateSignature
        }
        func grouped(_ list: String, _ condition: String = "1 = 1", _ key: String = "d", _ more: String = "")
            throws -> String
        {
            try signature(
                "SELECT \(list) INTO o FROM telemetry WHERE \(condition) "
                    + "GROUP BY \(key), TumblingWindow(second, 5) \(more)")
        }
        let first = try grouped("d, COUNT(*) AS n")
        #expect(try grouped("COUNT(*) AS count, d AS device") == first)
        #expect(try grouped("d, COUNT(*) AS n", "1 = 1", "d", "HAVING COUNT(*) > 3") == first)
        #expect(try grouped("d, COUNT(*) AS n", "v > 1") != first)
        #expect(try grouped("COUNT(*) AS n", "1 = 1", "e") != first)
        #expect(try grouped("d, COUNT(*) AS n, MAX(v) AS m") != first)
        // Other functions of the same values keep the same, in any order; values in another order do not.
        let two = try grouped("d, MIN(v) AS lo, AVG(v) AS m, COUNT(DISTINCT w) AS n")
        #expect(try grouped("d, AVG(v) AS m, COUNT(DISTINCT w) AS n, MIN(v) AS lo") == two)
        #expect(try grouped("d, SUM(v) AS s, MAX(v) AS hi, COUNT(DISTINCT w) AS n") == two)
        #expect(try grouped("d, COUNT(DISTINCT w) AS n, MIN(v) AS lo, AVG(v) AS m") != two)
        #expect(try grouped("d, MIN(w) AS lo, AVG(v) AS m") != grouped("d, MIN(v) AS lo, AVG(w) AS m"))
        func twice(_ list: String) throws -> String {
            try signature(
                "WITH s AS (SELECT d, \(list) FROM telemetry GROUP BY d, TumblingWindow(second, 5)) SELECT AVG(lo) AS a "
                    + "INTO o FROM s GROUP BY SessionWindow(second, 9, 90)")
        }
        #expect(try twice("MIN(v) AS lo, MAX(v) AS hi") != twice("MAX(v) AS hi, MIN(v) AS lo"))
        let filter = try signature("SELECT v INTO o FROM telemetry WHERE v > 1")
        #expect(try signature("SELECT * INTO o FROM telemetry WHERE v > 2") == filter)
        #expect(
            try signature("SELECT v, LAG(v) OVER (LIMIT DURATION(second, 5)) AS b INTO o FROM telemetry")
                != filter)
    }

    @Test("a state that functions of the same values kept gives the results of others")
    func exchanged() throws {
        func query(_ list: String) throws -> StreamHarness {
            try StreamHarness(
                "SELECT \(list) INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)",
                settings: .arrivingOnTime())
        }
        let first = try query("MIN(v) AS lo, COUNT(DISTINCT v) AS n, SUM(v) AS s")
        for (second, value) in [(1, 5), (2, 3), (3, 5)] {
            _ = try first.take("{\"t\":\"2026-03-01T12:00:0\(second)Z\",\"v\":\(value)}")
        }
        let second = try query("MAX(v) AS hi, MIN(v) AS lo, COUNT(DISTINCT v) AS n")
        #expect(first.plan.stateSignature == second.plan.stateSignature)
        try second.engine.restore(first.engine.snapshot())
        #expect(try second.flush() == [#"{"hi":5,"lo":3,"n":2}"#])
    }
}
