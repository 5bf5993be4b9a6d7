import PerpetualQuery
import Telemetry
import Testing

/// The default query as text, run by an interpreter of instructions and by the fast path for its shape.
@Suite struct DefaultQueryTests {
    /// The same query with a WHERE that the fast path does not take: it reads a value.
    private static let slow = DefaultQuery.text.replacing(
        "WHERE", with: "WHERE (field.PropertyValue IS NULL OR field.PropertyValue IS NOT NULL) AND")

    private static func query(_ text: String) throws -> LiveQuery {
        let (plan, errors) = QueryPlanner.plan(
            text: text, name: DefaultQuery.name, version: DefaultQuery.version,
            settings: DefaultQuery.settings)
        #expect(errors.isEmpty)
        let query = try LiveQuery(plan: try #require(plan))
        query.deviceName = Harness.name
        return query
    }

    @Test("grouping properties without rows gives what the interpreter gives", arguments: UInt64(1)...20)
    func sameRows(seed: UInt64) throws {
        var fast = Harness()
        var slow = Harness()
        slow.engine = try Self.query(Self.slow)
        #expect(fast.engine.isGroupingProperties)
        #expect(!slow.engine.isGroupingProperties)
        let scenario = Scenario(seed: seed, count: 400)
        for (index, step) in scenario.steps.enumerated() {
            #expect(fast.run(step) == slow.run(step), "seed \(seed), step \(index)")
        }
        #expect(fast.engine.counters == slow.engine.counters)
    }

    @Test("the WHERE is asked for each name and type, and only for what it may depend on")
    func filters() throws {
        let texts = [
            "field.PropertyName LIKE 't%'", "NOT field.PropertyName = 'a'",
            "GetType(field.PropertyValue) = 'nvarchar(max)' OR UPPER(field.PropertyName) IN ('B', 'C')",
            "CASE WHEN GetType(field.PropertyValue) = 'bit' THEN 1 ELSE 0 END = 0", "1 = 1", "1 = 0",
        ]
        let payloads = [
            "{\"t\":1,\"a\":2,\"b\":3,\"c\":\"4\"}", "{\"t\":\"1\",\"a\":true,\"b\":null,\"c\":[4]}",
            "{\"tt\":1.5,\"t\":{\"x\":1},\"b\":false,\"t\":\"7\"}",
        ]
        for text in texts {
            func query(_ more: String) -> String {
                """
                SELECT field.PropertyName, COUNT(*) AS n, COUNT(field.PropertyValue) AS m INTO o
                FROM telemetry TIMESTAMP BY IoTHub.EventTime OVER IoTHub.ConnectionDeviceId
                CROSS APPLY GetRecordProperties(telemetry) AS field WHERE (\(text)) \(more)
                GROUP BY field.PropertyName, IoTHub.ConnectionDeviceId, HoppingWindow(minute, 2, 1)
                """
            }
            var fast = Harness()
            var slow = Harness()
            fast.engine = try Self.query(query(""))
            slow.engine = try Self.query(
                query("AND (field.PropertyValue IS NULL OR field.PropertyValue IS NOT NULL)"))
            #expect(fast.engine.isGroupingProperties, "\(text)")
            #expect(!slow.engine.isGroupingProperties)
            var at = time("2026-03-01T12:00:00Z")
            for index in 0..<30 {
                at = at.plus(seconds: 9)
                let step = Step.record(
                    device: UInt32(index % 2 + 1), arrival: at, event: at,
                    payload: payloads[index % payloads.count])
                #expect(fast.run(step) == slow.run(step), "\(text)")
            }
            #expect(fast.run(.flush) == slow.run(.flush), "\(text)")
        }
    }
}
