import Hub
import Telemetry
import Testing

private func match(_ topic: String) -> (device: String, bag: String, fixed: Int)? {
    var copy = topic
    return copy.withUTF8 { bytes in
        let topic = UnsafeRawBufferPointer(bytes)
        return TopicRule.match(topic).map {
            (
                String(decoding: topic[$0.device], as: UTF8.self),
                String(decoding: topic[$0.propertyBag], as: UTF8.self),
                $0.fixedBytes
            )
        }
    }
}

private func scan(_ json: String, wantsID: Bool = true, wantsTime: Bool = true) -> (PayloadScan, id: String) {
    var copy = json
    return copy.withUTF8 { bytes in
        let payload = UnsafeRawBufferPointer(bytes)
        let scan = PayloadScan(payload, wantsID: wantsID, wantsTime: wantsTime)
        switch scan.id {
        case .none: return (scan, "none")
        case .inPlace(let range): return (scan, String(decoding: payload[range], as: UTF8.self))
        case .decoded(let bytes): return (scan, "decoded " + String(decoding: bytes, as: UTF8.self))
        case .unusable: return (scan, "unusable")
        }
    }
}

@Suite("Ingest rules")
struct IngestRuleTests {
    @Test("the default rules find device and property bag, and leave every other topic to the broker")
    func topics() throws {
        let plain = try #require(match("devices/pump-01/telemetry"))
        #expect(plain == ("pump-01", "", 25))
        let azure = try #require(match("devices/pump-01/messages/events/"))
        #expect(azure == ("pump-01", "", 32))
        let bag = try #require(match("devices/pump-01/messages/events/%24.mid=42&a=b"))
        #expect(bag == ("pump-01", "%24.mid=42&a=b", 32))
        #expect(match("devices/pump-01/messages/events")?.device == "pump-01")
        #expect(match("devices//telemetry")?.device == "")
        for ordinary in [
            "devices/pump-01", "devices/pump-01/telemetry/x", "devices/pump-01/telemetr",
            "device/pump-01/telemetry",
            "devices/pump-01/messages/eventsx", "devices/pump-01/messages/devicebound/x",
            "headend/minute/a/b", "",
            "devices/", "devices/a/b/telemetry",
        ] {
            #expect(match(ordinary) == nil, "\(ordinary)")
        }
    }

    @Test("a property bag is read by its decoded names")
    func propertyBag() {
        func value(_ bag: String) -> String? {
            var copy = bag
            return copy.withUTF8 { bytes in
                PropertyBag.value(named: "$.mid", in: UnsafeRawBufferPointer(bytes)).map {
                    String(decoding: $0, as: UTF8.self)
                }
            }
        }
        #expect(value("%24.mid=42&%24.ct=application%2Fjson") == "42")
        #expect(value("a=b&$.mid=x%3Ay%20z") == "x:y z")
        #expect(value("a=$.mid") == nil)
        #expect(value("$.mid") == "")
        #expect(value("$.mid=100%") == "100%")
        #expect(value("") == nil)
    }

    @Test("the id is `messageId`, else `id`, wherever they stand; numbers and escapes count as text")
    func identifiers() {
        #expect(scan(#"{"id":"a","messageId":"b"}"#).id == "b")
        #expect(scan(#"{"messageId":"b","id":"a"}"#).id == "b")
        #expect(scan(#"{"id":"a"}"#).id == "a")
        #expect(scan(#"{"id":42}"#).id == "decoded 42")
        #expect(scan(#"{"id":"a\u0062"}"#).id == "decoded ab")
        #expect(scan(#"{"id":null,"t":1}"#).id == "none")
        #expect(scan(#"{"id":""}"#).id == "none")
        #expect(scan(#"{"id":1.5}"#).id == "unusable")
        #expect(scan(#"{"id":{"x":1}}"#).id == "unusable")
        #expect(scan(#"{"id":"\#(String(repeating: "x", count: 129))"}"#).id == "unusable")
        #expect(scan(#"{"nested":{"id":"x"}}"#).id == "none")
        #expect(scan(#"{"id":"a"}"#, wantsID: false).id == "none")
    }

    @Test("the time is `ts` or `timestamp`, ISO 8601 or an epoch number; anything else is a bad time")
    func times() {
        let expected = EventTime.parse("2026-03-01T00:00:00Z")?.ticks
        for json in [
            #"{"ts":"2026-03-01T00:00:00Z"}"#, #"{"timestamp":1772323200}"#, #"{"ts":1772323200000}"#,
            #"{"ts":1772323200.0}"#,
        ] {
            #expect(scan(json).0.eventTicks == expected, "\(json)")
            #expect(!scan(json).0.hasBadTime)
        }
        for json in [#"{"ts":"yesterday"}"#, #"{"ts":true}"#, #"{"ts":-5}"#, #"{"ts":[]}"#] {
            #expect(scan(json).0.eventTicks == nil)
            #expect(scan(json).0.hasBadTime, "\(json)")
        }
        #expect(scan(#"{"ts":null}"#).0.eventTicks == nil)
        #expect(!scan(#"{"ts":null}"#).0.hasBadTime)
        #expect(!scan("hello").0.isJSON)
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
