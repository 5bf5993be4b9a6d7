import MQTTBroker
import MQTTWire
import Testing

/// What clients publish.
@Suite struct PublishTests {
    @Test func `QoS 0 is not acknowledged, QoS 1 by PUBACK, QoS 2 by PUBREC and PUBCOMP`() {
        let bench = BrokerBench()
        bench.connectV3(1, "a")
        #expect(bench.publish(1, "t", "x") == [])
        #expect(bench.publish(1, "t", "x", qos: .atLeastOnce, id: 7) == ["1 PUBACK 7"])
        #expect(bench.publish(1, "t", "x", qos: .exactlyOnce, id: 7) == ["1 PUBREC 7"])
        #expect(bench.pubrel(1, 7) == ["1 PUBCOMP 7"])
        #expect(bench.broker.counters.messagesIn == 3)
    }

    @Test func `Who publishes on 5_0 learns that nobody listens`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        #expect(bench.publish(1, "t", "x", qos: .atLeastOnce, id: 7) == ["1 PUBACK 7 0x10"])
        #expect(bench.publish(1, "t", "x", qos: .exactlyOnce, id: 8) == ["1 PUBREC 8 0x10"])
        bench.subscribe(1, "t", qos: .atMostOnce)
        #expect(
            bench.publish(1, "t", "x", qos: .atLeastOnce, id: 7) == ["1 PUBLISH t x q0", "1 PUBACK 7"])
    }

    @Test("A QoS 2 message sent again is not routed again", arguments: [ProtocolVersion.v311, .v5])
    func again(version: ProtocolVersion) {
        let bench = BrokerBench()
        bench.connect(1, "a", clean: false, expiry: 100) { $0.version = version }
        bench.connect(2, "b")
        bench.subscribe(2, "t", qos: .atMostOnce)
        #expect(
            bench.publish(1, "t", "x", qos: .exactlyOnce, id: 7) == ["2 PUBLISH t x q0", "1 PUBREC 7"])
        #expect(bench.publish(1, "t", "x", qos: .exactlyOnce, id: 7) == ["1 PUBREC 7"])
        bench.drop(1)
        bench.connect(3, "a", clean: false, expiry: 100) { $0.version = version }
        #expect(
            bench.publish(3, "t", "x", qos: .exactlyOnce, id: 7) { $0.duplicate = true } == ["3 PUBREC 7"])
        #expect(bench.broker.counters.duplicatesReceived == 2)
        #expect(bench.pubrel(3, 7) == ["3 PUBCOMP 7"])
        #expect(
            bench.publish(3, "t", "x", qos: .exactlyOnce, id: 7) == ["2 PUBLISH t x q0", "3 PUBREC 7"],
            "after PUBCOMP the identifier stands for a new message")
    }

    @Test func `A clean start forgets the QoS 2 identifiers`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100)
        bench.publish(1, "t", "x", qos: .exactlyOnce, id: 7)
        #expect(bench.accepted[1]?.inbound.count == 1)
        bench.connect(2, "a")
        #expect(bench.accepted[2]?.inbound.count == 0)
        #expect(bench.accepted[1]?.inbound.count == 0, "who still holds the former session sees it empty")
    }

    @Test func `PUBREL for an unknown identifier is completed, with 0x92 on 5_0`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        #expect(bench.pubrel(1, 5) == ["1 PUBCOMP 5 0x92"])
        bench.connectV3(2, "b")
        #expect(bench.pubrel(2, 5) == ["2 PUBCOMP 5"])
    }

    @Test func `The hub's own QoS 2 marks are released by PUBREL`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.accepted[1]?.inbound.insert(40)
        #expect(bench.pubrel(1, 40) == ["1 PUBCOMP 40"])
        #expect(bench.accepted[1]?.inbound.contains(40) == false)
    }

    static let faults: [(String, ReasonCode, @Sendable (inout Publish) -> Void)] = [
        ("empty topic", .protocolError, { $0.topic = "" }),
        ("plus in the topic", .topicNameInvalid, { $0.topic = "a/+" }),
        ("hash in the topic", .topicNameInvalid, { $0.topic = "#" }),
        ("NUL in the topic", .topicNameInvalid, { $0.topic = "a\u{0}" }),
        ("too deep", .topicNameInvalid, { $0.topic = String(repeating: "/", count: 128) }),
        ("wildcard in the response topic", .protocolError, { $0.properties.responseTopic = "a/#" }),
        ("subscription identifier", .protocolError, { $0.properties.subscriptionIdentifiers = [1] }),
        ("no packet identifier", .malformedPacket, { $0.packetIdentifier = nil }),
        ("packet identifier 0", .malformedPacket, { $0.packetIdentifier = 0 }),
    ]

    @Test("A PUBLISH that must not be ends the connection and publishes the will", arguments: faults.indices)
    func fault(index: Int) {
        let (_, reason, change) = Self.faults[index]
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.setWill("w") }
        #expect(
            bench.publish(1, "t", "x", qos: .atLeastOnce, id: 1, change: change) == [
                "1 DISCONNECT \(reason)", "1 close", "will w gone q1", "discarded a",
            ])
        bench.connectV3(2, "a") { $0.setWill("w") }
        #expect(
            bench.publish(2, "t", "x", qos: .atLeastOnce, id: 1, change: change) == [
                "2 close", "will w gone q1", "discarded a",
            ])
    }

    @Test func `More unreleased QoS 2 messages than Receive Maximum end the connection`() {
        let bench = BrokerBench { $0.receiveMaximum = 2 }
        bench.connect(1, "a")
        for id: UInt16 in [1, 2, 1] { bench.publish(1, "t", "x", qos: .exactlyOnce, id: id) }
        bench.pubrel(1, 1)
        #expect(bench.publish(1, "t", "x", qos: .exactlyOnce, id: 3) == ["1 PUBREC 3 0x10"])
        #expect(
            bench.publish(1, "t", "x", qos: .exactlyOnce, id: 4) == [
                "1 DISCONNECT 0x93", "1 close", "discarded a",
            ])
    }

    @Test func `Properties of a message travel with it, those of the hop do not`() throws {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "t")
        var publish = Publish(topic: "t", payload: [1])
        publish.properties.payloadFormatIndicator = 1
        publish.properties.contentType = "c"
        publish.properties.responseTopic = "r"
        publish.properties.correlationData = [9]
        publish.properties.userProperties = [UserProperty("k", "v"), UserProperty("k", "v")]
        publish.properties.messageExpiryInterval = 60
        publish.properties.topicAlias = 3
        guard
            case .forward(_, let message, _, _, _, _, _, let expiryLeft)? = bench.actions(
                1, .publish(publish)
            ).first
        else {
            Issue.record("nothing forwarded")
            return
        }
        var expected = publish.properties
        expected.topicAlias = nil
        #expect(message.properties == expected)
        #expect(message.publisher == "a")
        #expect(expiryLeft == 60)
    }

    @Test func `The hub's message with an invalid topic goes nowhere`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "#")
        #expect(bench.publish("a/+", "x", retain: true) == [])
        #expect(bench.broker.counters.retained == 0)
    }
}
