import Telemetry
import Testing

@testable import Hub

/// What a hub with these settings makes of a message.
private func probe(
    _ topic: String, _ payload: String = "{}", _ properties: [(name: String, value: String)] = [],
    ingest: String? = nil, client: String = "c-1"
) throws -> IngestProbe {
    let configuration =
        try ingest.map { try HubConfigurationFile.parse("ingest:\n" + $0, path: "hub.yaml") }
        ?? HubConfiguration()
    return IngestProbe(
        configuration, topic: topic, payload: Array(payload.utf8), properties: properties, client: client)
}

private func id(_ payload: String) throws -> String? {
    let probe = try probe("devices/d/telemetry", payload)
    return probe.reason == .badMessageID ? "unusable" : probe.messageID
}

@Suite("Ingest rules")
struct IngestRuleTests {
    @Test("the default rules find device and property bag, and leave every other topic to the broker")
    func topics() throws {
        for topic in [
            "devices/pump-01/telemetry", "devices/pump-01/messages/events",
            "devices/pump-01/messages/events/",
            "devices/pump-01/messages/events/%24.mid=42&a=b",
        ] {
            #expect(try probe(topic).device == "pump-01", "\(topic)")
        }
        #expect(try probe("devices/pump-01/messages/events/%24.mid=42&a=b").messageID == "42")
        #expect(try probe("devices//telemetry").reason == .badDevice)
        #expect(try probe("devices/\(String(repeating: "x", count: 129))/telemetry").reason == .badDevice)
        for ordinary in [
            "devices/pump-01", "devices/pump-01/telemetry/x", "devices/pump-01/telemetr",
            "device/pump-01/telemetry", "devices/pump-01/messages/eventsx",
            "devices/pump-01/messages/devicebound/x", "headend/minute/a/b", "", "devices/",
            "devices/a/b/telemetry",
        ] {
            #expect(try probe(ordinary).rule == nil, "\(ordinary)")
        }
    }

    @Test("a property bag is read by its decoded names")
    func propertyBag() {
        func value(_ bag: String) -> String? {
            Array("$.mid".utf8).withUnsafeBytes { name in
                Array(bag.utf8).withUnsafeBytes { bag in
                    PropertyBag.range(named: name, in: bag).map {
                        String(
                            decoding: PropertyBag.decode(UnsafeRawBufferPointer(rebasing: bag[$0])),
                            as: UTF8.self)
                    }
                }
            }
        }
        #expect(value("%24.mid=42&%24.ct=application%2Fjson") == "42")
        #expect(value("a=b&$.mid=x%3Ay%20z") == "x:y z")
        #expect(value("a=$.mid") == nil)
        #expect(value("$.midi=3") == nil)
        #expect(value("$.mid") == "")
        #expect(value("$.mid=100%") == "100%")
        #expect(value("") == nil)
    }

    @Test("the id is `messageId`, else `id`, wherever they stand; numbers and escapes count as text")
    func identifiers() throws {
        #expect(try id(#"{"id":"a","messageId":"b"}"#) == "b")
        #expect(try id(#"{"messageId":"b","id":"a"}"#) == "b")
        #expect(try id(#"{"id":"a"}"#) == "a")
        #expect(try id(#"{"id":42}"#) == "42")
        #expect(try id(#"{"id":"a\u0062"}"#) == "ab")
        #expect(try id(#"{"id":"\u0061b","messageId":null}"#) == "ab")
        #expect(try id(#"{"id":null,"t":1}"#) == nil)
        #expect(try id(#"{"id":""}"#) == nil)
        #expect(try id(#"{"id":1.5}"#) == "unusable")
        #expect(try id(#"{"id":{"x":1}}"#) == "unusable")
        #expect(try id(#"{"id":"\#(String(repeating: "x", count: 129))"}"#) == "unusable")
        #expect(try id(#"{"nested":{"id":"x"}}"#) == nil)
    }

    @Test("what stands first in the list of places wins, in the payload or outside of it")
    func precedence() throws {
        let both = [(name: "message-id", value: "p")]
        #expect(try probe("devices/d/telemetry", #"{"id":"j"}"#, both).messageID == "p")
        let azure = "devices/d/messages/events/"
        #expect(try probe(azure + "$.mid=b", #"{"id":"j"}"#, both).messageID == "b")
        #expect(try probe(azure + "$.mid=", #"{"id":"j"}"#, both).messageID == "p")
        let json = "  - { topic: 'a/{device}', id: [{ json: id }, { property: message-id }] }"
        #expect(try probe("a/d", #"{"id":"j"}"#, both, ingest: json).messageID == "j")
        #expect(try probe("a/d", #"{"id":null}"#, both, ingest: json).messageID == "p")
        #expect(try probe("a/d", #"{"id":true}"#, both, ingest: json).reason == .badMessageID)
        let long = String(repeating: "x", count: 129)
        #expect(try probe("devices/d/telemetry", "{}", [("message-id", long)]).reason == .badMessageID)
        #expect(
            try probe("a/d", #"{"id":"j"}"#, [("message-id", long)], ingest: json).messageID == "j",
            "a worse place does not spoil a better one")
        #expect(
            try probe("a/d", #"{"id":"j"}"#, both, ingest: "  - { topic: 'a/{device}', id: none }").messageID
                == nil)
    }

    @Test(
        "the time is ISO 8601 or an epoch number, from the payload, a property, the bag or the topic",
        arguments: ["2026-03-01T00:00:00Z", "1772323200", "1772323200000", "1772323200000000"])
    func times(text: String) throws {
        let expected = EventTime.parse("2026-03-01T00:00:00Z")
        let places =
            "  - { topic: 'a/{device}/{when}/#', time: [{ property: at }, { bag: at }, { segment: when }] }"
        #expect(try probe("a/d//x", "{}", [("at", text)], ingest: places).eventTime == expected)
        #expect(try probe("a/d//at=\(text)", ingest: places).eventTime == expected)
        #expect(try probe("a/d/\(text)", ingest: places).eventTime == expected)
        for json in [#"{"ts":"\#(text)"}"#, #"{"timestamp":\#(text.first == "2" ? "1772323200.0" : text)}"#]
        where text.first == "2" || !json.contains("\"ts\"") {
            #expect(try probe("devices/d/telemetry", json).eventTime == expected, "\(json)")
        }
        #expect(try probe("a/d/yesterday", ingest: places).reason == .badTimestamp)
    }

    @Test("a time that is none sets the message aside, one that is null does not")
    func badTimes() throws {
        for json in [#"{"ts":"yesterday"}"#, #"{"ts":true}"#, #"{"ts":-5}"#, #"{"ts":[]}"#] {
            let probe = try probe("devices/d/telemetry", json)
            #expect(probe.eventTime == nil)
            #expect(probe.reason == .badTimestamp, "\(json)")
        }
        #expect(try probe("devices/d/telemetry", #"{"ts":null}"#).reason == nil)
        #expect(try probe("devices/d/telemetry", "hello").reason == .notJSON)
        #expect(try probe("devices/d/messages/events/$.ctime=soon").reason == .badTimestamp)
    }

    @Test("fields inside objects are found by their path")
    func paths() throws {
        let rule =
            "  - { topic: t, device: { json: from.name }, id: { json: [h, \"a.b\"] }, time: { json: h.at } }"
        let full = try probe(
            "t", #"{"h":{"x":{},"a.b":"7","at":1772323200},"from":{"name":"d"}}"#, ingest: rule)
        #expect(full.device == "d")
        #expect(full.messageID == "7")
        #expect(full.eventTime == EventTime.parse("2026-03-01T00:00:00Z"))
        #expect(full.reason == nil)
        for payload in [#"{"from":"d"}"#, #"{"from":{"name":""}}"#, #"{"from":{"name":"a/b"}}"#, "[]", "{}"] {
            #expect(try probe("t", payload, ingest: rule).reason == .badDevice, "\(payload)")
        }
        #expect(try probe("t", #"{"from":{"name":12},"h":3}"#, ingest: rule).device == "12")
    }

    @Test("a device's name is made of levels, of the client's identifier, or stands in a property")
    func devices() throws {
        let template = "  - { topic: 'plant/{line}/{device}/t', device: '{line}-{device}' }"
        #expect(try probe("plant/a/p1/t", ingest: template).device == "a-p1")
        #expect(try probe("plant//p1/t", ingest: template).reason == .badDevice)
        let client = "  - { topic: 'v1/{kind}', device: '{clientId}.{kind}' }"
        #expect(try probe("v1/x", ingest: client, client: "c9").device == "c9.x")
        #expect(try probe("v1/x", ingest: client, client: "").reason == .badDevice)
        let property = "  - { topic: '#', device: { property: dev } }"
        #expect(try probe("any/thing", "{}", [("dev", "p")], ingest: property).device == "p")
        #expect(try probe("$SYS/thing", "{}", [("dev", "p")], ingest: property).rule == nil)
        let bag = "  - { topic: 'in/#', device: { bag: dev } }"
        #expect(try probe("in/x=1&dev=a%20b", ingest: bag).device == "a b")
    }

    @Test("raw payloads are not looked into, and each rule has its own limit")
    func formats() throws {
        let rules = "  - { topic: 'r/{device}', format: raw }\n  - { topic: 's/{device}', payload_max: 8B }"
        #expect(try probe("r/d", "not json", ingest: rules).reason == nil)
        #expect(try probe("s/d", #"{"a":12}"#, ingest: rules).reason == nil)
        #expect(try probe("s/d", #"{"a":123}"#, ingest: rules).reason == .oversize)
    }

    @Test(
        "presets take the topics of their fleets",
        arguments: [
            ("plain", "devices/d/telemetry", "d"), ("azure", "devices/d/messages/events/a=b", "d"),
            ("thingsboard", "v1/devices/me/telemetry", "c-1"), ("tasmota", "tele/plug/SENSOR", "plug"),
            ("zigbee2mqtt", "zigbee2mqtt/lamp", "lamp"), ("esphome", "node/sensor/temp/state", "node"),
            ("hono", "telemetry/t/d", "t:d"), ("hono", "event/t/d", "t:d"),
        ])
    func presets(name: String, topic: String, device: String) throws {
        let found = try probe(topic, ingest: "  - preset: \(name)")
        #expect(found.device == device)
        #expect(found.reason == nil)
        #expect(found.rule?.name == "hub.yaml:2 preset \(name)")
    }

    @Test("the route table finds 100,000 topics by their bytes and nothing else")
    func routes() {
        let table = RouteTable(seed: 7)
        func with<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
            var copy = text
            return copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
        }
        for number in 0..<100_000 {
            let index = with("devices/d-\(number)/telemetry") {
                table.insert($0, Route(device: UInt32(number)))
            }
            #expect(index == UInt32(number))
        }
        for number in stride(from: 0, to: 100_000, by: 37) {
            #expect(with("devices/d-\(number)/telemetry", table.find) == UInt32(number))
            #expect(with("devices/d-\(number)/telemetrx", table.find) == nil)
        }
    }
}
