/// Queries of every kind that keeps something, over what `QueryKillFeed` sends.
enum QueryKillQueries {
    struct Query {
        var name: String
        var text: String
        var settings: [(String, String)] = []
        /// By output, its topic when it is not the usual one.
        var topics: [(output: String, topic: String)] = []
        /// Its outputs beside `_late` and `_errors`.
        var outputs: [String]
    }

    private static let device = "IoTHub.ConnectionDeviceId AS device"
    private static let ownTime =
        "FROM telemetry TIMESTAMP BY ts OVER IoTHub.ConnectionDeviceId"
    private static let byDevice = "GROUP BY IoTHub.ConnectionDeviceId,"

    static let all = [
        Query(
            name: "tumbling",
            text:
                "SELECT \(device), System.Timestamp() AS windowEnd, COUNT(*) AS n, SUM(v) AS total, MIN(v) AS low "
                + "INTO tumbling \(ownTime) \(byDevice) TumblingWindow(second, 1)",
            settings: [("late", "2s"), ("outOfOrder", "500ms"), ("action", "divert")], outputs: ["tumbling"]),
        Query(
            name: "hopping",
            text: "SELECT side, System.Timestamp() AS windowEnd, COUNT(*) AS n, AVG(v) AS mean "
                + "INTO hopping FROM telemetry TIMESTAMP BY ts GROUP BY side, HoppingWindow(second, 4, 1)",
            settings: [("late", "2s"), ("outOfOrder", "1s")], outputs: ["hopping"]),
        Query(
            name: "session",
            text:
                "SELECT \(device), System.Timestamp() AS windowEnd, COUNT(*) AS n, COUNT(DISTINCT side) AS sides "
                + "INTO session \(ownTime) \(byDevice) SessionWindow(second, 1, 5)",
            settings: [("late", "2s"), ("outOfOrder", "200ms")], outputs: ["session"]),
        Query(
            name: "sliding",
            text: "SELECT \(device), System.Timestamp() AS windowEnd, MAX(v) AS high, STDEV(v) AS spread "
                + "INTO sliding \(ownTime) \(byDevice) SlidingWindow(second, 1) HAVING COUNT(*) >= 3",
            settings: [("late", "2s"), ("outOfOrder", "300ms")], outputs: ["sliding"]),
        Query(
            name: "lag",
            text: "SELECT \(device), v, LAG(v) OVER (PARTITION BY IoTHub.ConnectionDeviceId "
                + "LIMIT DURATION(second, 3)) AS before INTO lag FROM telemetry WHERE v > 25",
            outputs: ["lag"]),
        Query(
            name: "join",
            text: "SELECT a.pair AS pair, a.v AS first, b.v AS second INTO pairs "
                + "FROM telemetry a TIMESTAMP BY ts LEFT JOIN telemetry b TIMESTAMP BY ts "
                + "ON a.pair = b.pair AND b.side = 'b' AND DATEDIFF(second, a, b) BETWEEN 0 AND 2 "
                + "WHERE a.side = 'a'",
            settings: [("late", "2s"), ("outOfOrder", "1s")], outputs: ["pairs"]),
        Query(
            name: "pass",
            text: "SELECT \(device), id, v INTO hot FROM telemetry WHERE v > 40 "
                + "SELECT \(device), id, v INTO cold FROM telemetry WHERE v < -40",
            topics: [("hot", "plant/{device}/hot")], outputs: ["hot", "cold"]),
        Query(
            name: "casts",
            text: "SELECT id, CAST(text AS bigint) AS number INTO numbers "
                + "FROM telemetry WHERE v BETWEEN -5 AND 5",
            outputs: ["numbers"]),
        Query(
            name: "nested",
            text: "WITH each AS (SELECT IoTHub.ConnectionDeviceId AS device, COUNT(*) AS n "
                + "FROM telemetry TIMESTAMP BY ts \(byDevice) TumblingWindow(second, 1)) "
                + "SELECT System.Timestamp() AS windowEnd, MAX(n) AS busiest INTO busiest FROM each "
                + "GROUP BY TumblingWindow(second, 4)",
            settings: [("late", "2s"), ("outOfOrder", "500ms")], outputs: ["busiest"]),
    ]

    /// One that is added and edited while the hub is killed.
    static let extra = Query(
        name: "extra",
        text: "SELECT \(device), System.Timestamp() AS windowEnd, TopOne() OVER (ORDER BY v DESC) AS top "
            + "INTO top \(ownTime) \(byDevice) TumblingWindow(second, 2)",
        outputs: ["top"])

    /// - Parameters:
    ///   - downstream: another broker that gets all rows of all outputs.
    ///   - hasMinute: whether the query that ships with the hub runs too; its windows close after two minutes.
    static func configuration(downstream: String, hasMinute: Bool) -> String {
        var text = "downstream: \(downstream)\nminute_query: \(hasMinute ? "on" : "off")\nqueries:\n"
        for query in all {
            text += "  - name: \(query.name)\n    sql: \"\(query.text)\"\n    startAt: earliest\n"
            for (name, value) in query.settings { text += "    \(name): \(value)\n" }
            let outputs = query.outputs.map { output in
                let topic = query.topics.first { $0.output == output }
                let own = topic.map { "topic: \"\($0.topic)\", retain: true, " } ?? ""
                return "\(output): { \(own)downstream: true }"
            }
            text += "    outputs: { \(outputs.joined(separator: ", ")) }\n"
        }
        return text
    }
}
