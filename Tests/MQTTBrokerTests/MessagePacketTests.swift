import MQTTWire
import Testing

@testable import MQTTBroker

@Suite struct MessagePacketTests {
    static let payloads = [0, 1, 90, 127, 128, 150, 16_383, 16_384, 70_000]

    private func properties(_ kinds: Int) -> Properties {
        var properties = Properties()
        if kinds & 1 != 0 { properties.payloadFormatIndicator = 1 }
        if kinds & 2 != 0 { properties.contentType = "text/plain" }
        if kinds & 4 != 0 { properties.responseTopic = "answers/1" }
        if kinds & 8 != 0 { properties.correlationData = [1, 2, 3] }
        if kinds & 16 != 0 {
            properties.userProperties = [UserProperty("k", "v"), UserProperty("k", "w")]
        }
        return properties
    }

    @Test("A subscriber's packet is byte for byte what the encoder writes", arguments: payloads)
    func sameBytes(payloadBytes: Int) {
        for kinds in 0..<32 {
            for qos in [QoS.atMostOnce, .atLeastOnce, .exactlyOnce] {
                for version in [ProtocolVersion.v311, .v5] {
                    compare(payloadBytes, kinds, qos, version)
                }
            }
        }
    }

    private func compare(_ payloadBytes: Int, _ kinds: Int, _ qos: QoS, _ version: ProtocolVersion) {
        let payload = [UInt8](repeating: 7, count: payloadBytes)
        let properties = properties(kinds)
        compare(
            Message(
                topic: "a/täg/ü", payload: payload, qos: .exactlyOnce, retain: false, properties: properties),
            payload, properties, kinds, qos, version)
        guard let last = properties.userProperties.last else { return }
        // The same of a form that had another value.
        var form = properties
        let other = String(repeating: "?", count: last.value.utf8.count)
        form.userProperties[form.userProperties.count - 1] = UserProperty(last.name, other)
        let message = Array("a/täg/ü".utf8).withUnsafeBytes { topic in
            payload.withUnsafeBytes { payload in
                Array(last.value.utf8).withUnsafeBytes { value in
                    Message(
                        topic: topic, payload: payload, qos: .exactlyOnce, retain: false,
                        form: PropertyForm(form), value: value, isRestoredByHub: false)
                }
            }
        }
        compare(message, payload, properties, kinds, qos, version)
    }

    private func compare(
        _ message: Message, _ payload: [UInt8], _ properties: Properties, _ kinds: Int, _ qos: QoS,
        _ version: ProtocolVersion
    ) {
        let identifiers: [UInt32] = kinds & 3 == 3 ? [1, 200, 268_435_455] : []
        let expiry: UInt32? = kinds & 5 == 5 ? 0x0102_0304 : nil
        let packet = MessagePacket(
            qos: qos, retain: kinds & 2 != 0, duplicate: qos != .atMostOnce && kinds & 4 != 0,
            packetIdentifier: 0x1234, subscriptionIdentifiers: identifiers, expiryLeft: expiry)

        let layout = message.layout(packet, version: version)
        let written = [UInt8](unsafeUninitializedCapacity: layout.packetBytes) { target, count in
            if let base = target.baseAddress { message.write(packet, layout, version: version, to: base) }
            count = layout.packetBytes
        }

        var publish = Publish(topic: "a/täg/ü", payload: payload)
        publish.qos = qos
        publish.retain = packet.retain
        publish.duplicate = packet.duplicate
        publish.packetIdentifier = qos == .atMostOnce ? nil : 0x1234
        publish.properties = properties
        publish.properties.subscriptionIdentifiers = identifiers
        publish.properties.messageExpiryInterval = expiry
        var expected: [UInt8] = []
        encodePacket(.publish(publish), version: version, into: &expected)
        #expect(written == expected)
        #expect(message.topic == "a/täg/ü")
        #expect(message.payload == payload)
        #expect(message.properties == properties)
    }

    @Test("A topic that comes again is not looked for again, until a subscription comes or goes")
    func cache() {
        let bench = BrokerBench()
        bench.connect(1, "publisher")
        bench.connect(2, "subscriber")
        bench.subscribe(2, "a/+")
        for _ in 0..<5 { bench.publish(1, "a/b", "x") }
        #expect(bench.broker.matchCache.misses == 1)
        bench.subscribe(2, "a/#")
        #expect(bench.publish(1, "a/b", "x", qos: .atLeastOnce, id: 1).count == 2)
        #expect(bench.broker.matchCache.misses == 2)
        bench.unsubscribe(2, ["a/+"])
        #expect(bench.publish(1, "a/b", "x").count == 1)
        bench.disconnect(2)
        #expect(bench.publish(1, "a/b", "x") == [])
        #expect(bench.broker.matchCache.misses == 4)
    }

    @Test("Any number of topics, as long as they like, are matched right", arguments: UInt64(1)...2)
    func manyTopics(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let bench = BrokerBench()
        bench.connect(1, "publisher")
        bench.connect(2, "subscriber")
        for number in 0..<200 { bench.subscribe(2, "t/\(number)/+", qos: .atMostOnce) }
        for _ in 0..<4_000 {
            let number = Int.random(in: 0..<400, using: &random)
            let tail = String(repeating: "x", count: Int.random(in: 0..<300, using: &random))
            let lines = bench.publish(1, "t/\(number)/\(tail)", "v")
            if number < 200 {
                #expect(lines == ["2 PUBLISH t/\(number)/\(tail) v q0"])
            } else {
                #expect(lines == [])
            }
        }
    }
}
