import PerpetualQuery
import QueryLanguage
import Telemetry
import Testing

@Suite("What a message carries beside its payload")
struct MessagePropertyTests {
    /// MQTT 5 properties as a PUBLISH has them.
    private static func block(_ user: [(String, String)], correlation: [UInt8]? = nil) -> [UInt8] {
        func counted(_ bytes: [UInt8]) -> [UInt8] {
            [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes
        }
        // All that may stand between: payload format, expiry, content type, response topic, alias, subscription.
        var block: [UInt8] = [0x01, 1, 0x02, 0, 0, 0, 9, 0x03] + counted(Array("application/json".utf8))
        block += [0x08] + counted(Array("answers".utf8)) + [0x23, 0, 7, 0x0B, 0x80, 0x01]
        if let correlation { block += [0x09] + counted(correlation) }
        for (name, value) in user {
            block += [0x26] + counted(Array(name.utf8)) + counted(Array(value.utf8))
        }
        return block
    }

    private func rows(
        _ columns: String, topic: String = "devices/a/telemetry", properties: [UInt8] = [],
        outOfOrder: Int64 = 0
    ) throws -> [String] {
        var settings = StreamSettings()
        settings.timePolicy.outOfOrderToleranceTicks = outOfOrder
        let text = "SELECT \(columns) INTO o FROM telemetry t TIMESTAMP BY IoTHub.EventTime"
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q", settings: settings)
        #expect(errors.map { $0.render(source: text) } == [])
        let query = try LiveQuery(plan: try #require(plan))
        let noon = time("2026-03-01T12:00:00Z")
        // Gone when the row goes out, with a tolerance.
        func give() throws {
            try Array("{\"v\":1}".utf8).withUnsafeBytes { payload in
                try Array(topic.utf8).withUnsafeBytes { topic in
                    try properties.withUnsafeBytes { properties in
                        try query.process(
                            RecordView(
                                device: 1, sequence: 7, arrivalTime: noon, eventTime: noon,
                                offset: QueueOffset(0), payload: payload, topic: topic,
                                properties: properties), messageID: payload)
                    }
                }
            }
        }
        try give()
        try query.flush()
        return Harness.take(query).map { row in
            String(decoding: row.json(), as: UTF8.self).split(separator: ",\"_rid\"")[0] + "}"
        }
    }

    @Test("user properties of MQTT 5 are fields of [User]", arguments: [Int64(0), 10_000_000])
    func user(outOfOrder: Int64) throws {
        let block = Self.block([("site", "north"), ("My.Key", "ü \"1\""), ("site", "again"), ("Empty", "")])
        #expect(
            try rows(
                """
                GetMetadataPropertyValue(t, '[User].[site]') AS a, GetMetadataPropertyValue(t, 'User.Site') AS b,
                GetMetadataPropertyValue(t, '[User].[my.key]') AS c, GetMetadataPropertyValue(t, 'User.empty') AS d,
                GetMetadataPropertyValue(t, '[User].[other]') AS e
                """, properties: block, outOfOrder: outOfOrder)
                == [##"{"a":"north","b":"north","c":"ü \"1\"","d":"","e":null}"##])
    }

    @Test("'User' is all of them as a record, the first of a name")
    func all() throws {
        let block = Self.block([("site", "north"), ("x y", "2"), ("site", "again")])
        #expect(
            try rows("GetMetadataPropertyValue(t, 'User') AS u", properties: block)
                == [#"{"u":{"site":"north","x y":"2"}}"#])
        #expect(try rows("GetMetadataPropertyValue(t, '[User]') AS u") == [#"{"u":null}"#])
    }

    @Test("names that differ in case only are found by their exact names, and others not")
    func ambiguous() throws {
        let block = Self.block([("Site", "1"), ("SITE", "2")])
        #expect(
            try rows(
                "GetMetadataPropertyValue(t, 'User.SITE') AS a, GetMetadataPropertyValue(t, 'User.site') AS b",
                properties: block) == [#"{"a":"2","b":null}"#])
    }

    @Test("without MQTT 5 they come from the property bag behind the topic, as Azure IoT Hub has it")
    func bag() throws {
        #expect(
            try rows(
                """
                GetMetadataPropertyValue(t, '[User].[site]') AS a, GetMetadataPropertyValue(t, 'User') AS u,
                t.IoTHub.CorrelationId AS c
                """, topic: "devices/a/messages/events/%24.mid=9&site=north%20%C3%BC&bad=%FF&alone&%24.cid=7")
                == [#"{"a":"north ü","u":{"site":"north ü","bad":"�","alone":""},"c":"7"}"#])
        #expect(
            try rows("GetMetadataPropertyValue(t, 'User') AS u", topic: "plant/a=b/temperature") == [
                #"{"u":null}"#
            ])
    }

    @Test("correlation data is text, or NULL; what Azure knows and a hub has not is NULL")
    func system() throws {
        let columns = """
            GetMetadataPropertyValue(t, 'IoTHub.CorrelationId') AS c, t.IoTHub.MessageSource AS s,
            GetMetadataPropertyValue(t, '[EventHub].[PartitionId]') AS p, t.IoTHub.ConnectionDeviceGenerationId AS g
            """
        #expect(
            try rows(columns, properties: Self.block([], correlation: Array("abc".utf8)))
                == [#"{"c":"abc","s":null,"p":null,"g":null}"#])
        #expect(
            try rows(columns, properties: Self.block([], correlation: [0xFF]))
                == [#"{"c":null,"s":null,"p":null,"g":null}"#])
        #expect(
            try rows(
                "GetMetadataPropertyValue(t, 'IoTHub') AS r", properties: Self.block([], correlation: [0x37]))
                == [
                    ##"{"r":{"ConnectionDeviceId":null,"MessageId":"{\"v\":1}","EnqueuedTime":"2026-03-01T12:00:00Z","CorrelationId":"7","SequenceNumber":7}}"##
                ])
    }

    @Test("a damaged block ends early and stops nothing", arguments: [1, 5, 20, 40, 60, 62])
    func damaged(count: Int) throws {
        let block = Array(Self.block([("site", "north"), ("b", "1")]).prefix(count))
        #expect(try rows("GetMetadataPropertyValue(t, 'User.b') AS b", properties: block) == [#"{"b":null}"#])
    }

    @Test("a name that is no property of the hub is refused with what there is")
    func unknown() {
        let text = "SELECT GetMetadataPropertyValue(t, 'IoTHub.CorelationId') AS c INTO o FROM telemetry t"
        let errors = QueryPlanner.plan(text: text, name: "q").errors
        #expect(errors.map { "\($0.line):\($0.column)" } == ["1:36"])
        #expect(errors.first?.suggestion == "CorrelationId")
        #expect(errors.first?.hint?.contains("[User].[CorelationId]") == true)
    }
}
