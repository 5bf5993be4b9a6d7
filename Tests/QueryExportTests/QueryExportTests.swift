import QueryExport
import QueryLanguage
import Testing

@Suite struct QueryExportTests {
    private static let table =
        "CREATE TABLE i (t datetime, k nvarchar(max), v bigint, f float, b bit, r record); "

    private func export(_ query: String, _ engine: ExportEngine, outOfOrder: Int64 = 0) throws -> String {
        let (document, errors) = QueryParser.parse(Self.table + query)
        #expect(errors == [])
        #expect(QueryChecker.check(document) == [])
        return try QueryExporter.script(document, for: engine, name: "q", outOfOrder: outOfOrder)
    }

    @Test("a window in both engines: the same groups, moved by the smallest step, ends as they are")
    func window() throws {
        let query = """
            SELECT k, COUNT(*) AS n, AVG(v) AS a, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t
            WHERE v / 2 > 1 OR NOT f <> 0.5 GROUP BY k, HoppingWindow(second, 10, 5, -1) HAVING n > 1
            """
        let spark = try export(query, .spark, outOfOrder: 50_000_000)
        #expect(
            spark.contains(
                """
                SELECT `k` AS `k`,
                  COUNT(*) AS `n`,
                  AVG(CAST(`v` AS DOUBLE)) AS `a`,
                  window.end AS `e`
                FROM `i`
                WHERE (COALESCE((`v` DIV CAST(2 AS BIGINT)) > CAST(1 AS BIGINT), FALSE) OR \
                (NOT COALESCE(`f` <> CAST(0.5 AS DOUBLE), FALSE)))
                GROUP BY window(`_at`, '10000000 microseconds', '5000000 microseconds', '4000000 microseconds'), `k`
                HAVING COALESCE(COUNT(*) > CAST(1 AS BIGINT), FALSE)
                """))
        #expect(spark.contains("`t` - INTERVAL 1 MICROSECOND AS `_at`"))
        #expect(spark.contains(".withWatermark(\"_at\", \"5000000 microseconds\")"))
        let flink = try export(query, .flink, outOfOrder: 50_000_000)
        #expect(
            flink.contains(
                """
                FROM TABLE(HOP(TABLE `i`, DESCRIPTOR(`_at`), INTERVAL '0 00:00:05.000' DAY TO SECOND, INTERVAL '0 00:00:10.000' DAY TO SECOND, \
                INTERVAL '0 00:00:04.000' DAY TO SECOND))
                """))
        #expect(flink.contains("GROUP BY window_start, window_end, `k`"))
        #expect(flink.contains("WATERMARK FOR `_at` AS `_at` - INTERVAL '0 00:00:05.001' DAY TO SECOND"))
        #expect(flink.contains("  `e` TIMESTAMP_LTZ(3)\n"))
    }

    @Test("names and texts are quoted as the engine has it")
    func quoting() throws {
        let query =
            "SELECT k + 'it''s \\' AS [a`b] INTO [my out] FROM i x TIMESTAMP BY x.t WHERE x.k LIKE 'a_%'"
        let spark = try export(query, .spark)
        #expect(spark.contains("(`k` || 'it\\'s \\\\') AS `a``b`"))
        #expect(spark.contains("\"my out\""))
        let flink = try export(query, .flink)
        #expect(flink.contains("(`k` || 'it''s \\') AS `a``b`"))
        #expect(flink.contains("INSERT INTO `my out`"))
    }

    struct Refusal: Sendable {
        var query: String
        /// The column behind the declaration, and the words.
        var spark: String?
        var flink: String?
    }

    static let refusals = [
        Refusal(
            query: "SELECT a FROM j TIMESTAMP BY t", spark: "15 an input without types",
            flink: "15 an input without types"),
        Refusal(
            query: "SELECT k FROM i", spark: "15 the time of arrival: it is not in the data",
            flink: "15 the time of arrival: it is not in the data"),
        Refusal(
            query: "SELECT k FROM i TIMESTAMP BY k", spark: "30 a time of type nvarchar(max)",
            flink: "30 a time of type nvarchar(max)"),
        Refusal(
            query: "SELECT k FROM i TIMESTAMP BY t OVER k",
            spark: "37 a time for each key: it has one watermark for a stream",
            flink: "37 a time for each key: it has one watermark for a stream"),
        Refusal(
            query: "SELECT x FROM i TIMESTAMP BY t", spark: "8 x, which CREATE TABLE does not declare",
            flink: "8 x, which CREATE TABLE does not declare"),
        Refusal(
            query: "SELECT * FROM i TIMESTAMP BY t", spark: "8 `*` with r, which is a record",
            flink: "8 `*` with r, which is a record"),
        Refusal(
            query: "SELECT k FROM i TIMESTAMP BY t WHERE v = 'x'",
            spark: "42 a comparison of bigint with nvarchar(max)",
            flink: "42 a comparison of bigint with nvarchar(max)"),
        Refusal(
            query: "SELECT f / v AS x FROM i TIMESTAMP BY t", spark: nil,
            flink: "8 a division of floats by what may be 0"),
        Refusal(
            query: "SELECT LAG(v) OVER (LIMIT DURATION(hour, 1)) AS x FROM i TIMESTAMP BY t",
            spark: "8 LAG over the rows before", flink: "8 LAG over the rows before"),
        Refusal(
            query: "SELECT COUNT(DISTINCT k) AS n FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 5)",
            spark: "8 COUNT(DISTINCT …) of a stream", flink: nil),
        Refusal(
            query: "SELECT COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY SlidingWindow(second, 5)",
            spark: "53 a sliding window", flink: "53 a sliding window"),
        Refusal(
            query: "SELECT COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY SessionWindow(second, 5, 9)",
            spark: "53 a session window: its sessions have no longest duration",
            flink: "53 a session window: its sessions have no longest duration"),
        Refusal(
            query: "SELECT COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 5, 3)",
            spark: nil, flink: "78 a hop that does not divide the size"),
        Refusal(
            query: "SELECT COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY TumblingWindow(microsecond, 5)",
            spark: nil, flink: "68 this size: its times have milliseconds"),
        Refusal(
            query: "SELECT k FROM i TIMESTAMP BY t UNION SELECT k FROM i TIMESTAMP BY t", spark: "38 a UNION",
            flink: "38 a UNION"),
        Refusal(
            query: "SELECT v + 1 FROM i TIMESTAMP BY t", spark: "8 a column without a name",
            flink: "8 a column without a name"),
        Refusal(
            query:
                "SELECT a.k FROM i a TIMESTAMP BY t JOIN i b TIMESTAMP BY t ON DATEDIFF(second, a, b) BETWEEN 0 AND 1",
            spark: "36 a JOIN", flink: "36 a JOIN"),
    ]

    @Test("what cannot be carried over is refused with its place", arguments: refusals)
    func refusal(_ refusal: Refusal) {
        for (engine, expected) in [(ExportEngine.spark, refusal.spark), (.flink, refusal.flink)] {
            var found: String?
            do { _ = try export(refusal.query, engine) } catch let error as QueryError {
                let words = error.message.replacing(
                    "\(engine == .spark ? "Spark" : "Flink") cannot be given ", with: "")
                found = "\(error.column - Self.table.count) \(words)"
            } catch { found = "\(error)" }
            #expect(found == expected, "\(engine): \(refusal.query)")
        }
    }
}
