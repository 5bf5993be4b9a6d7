import MQTTBroker
import MQTTWire
import Testing

@Suite struct DisconnectTests {
    @Test("DISCONNECT takes the will back", arguments: [ProtocolVersion.v311, .v5])
    func normal(version: ProtocolVersion) {
        let bench = BrokerBench()
        bench.connect(1, "a") {
            $0.version = version
            $0.setWill("w")
        }
        #expect(bench.disconnect(1) == ["1 close", "discarded a"])
    }

    @Test("A connection that breaks publishes the will", arguments: [ProtocolVersion.v311, .v5])
    func broken(version: ProtocolVersion) {
        let bench = BrokerBench()
        bench.connect(1, "a") {
            $0.version = version
            $0.setWill("w", qos: .exactlyOnce, retain: true)
        }
        #expect(bench.drop(1) == ["will w gone q2 retain", "discarded a"])
        #expect(bench.wills.first?.publisher == "a")
        #expect(bench.drop(1) == [])
    }

    @Test func `The will keeps its properties but for the delay, and its expiry counts from now`() throws {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100) {
            $0.setWill("w", delay: 5)
            $0.will?.properties.contentType = "text/plain"
            $0.will?.properties.userProperties = [UserProperty("k", "v"), UserProperty("k", "w")]
            $0.will?.properties.messageExpiryInterval = 60
        }
        bench.drop(1)
        bench.pass(5)
        let will = try #require(bench.wills.first)
        #expect(will.properties.contentType == "text/plain")
        #expect(will.properties.userProperties == [UserProperty("k", "v"), UserProperty("k", "w")])
        #expect(will.properties.willDelayInterval == nil)
        #expect(will.expiresAt == (105 + 60) * 1_000_000_000)
    }

    @Test func `DISCONNECT 0x04 publishes the will, as does any reason but 0`() {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.setWill("w") }
        #expect(bench.disconnect(1, .disconnectWithWill) == ["1 close", "will w gone q1", "discarded a"])
        bench.connect(2, "a") { $0.setWill("w") }
        #expect(bench.disconnect(2, .unspecifiedError) == ["2 close", "will w gone q1", "discarded a"])
    }

    @Test func `A delayed will waits, and fires when its time has come`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100) { $0.setWill("w", delay: 5) }
        #expect(bench.drop(1) == [])
        #expect(bench.broker.nextDeadline == 105_000_000_000)
        #expect(bench.pass(4) == [])
        #expect(bench.pass(1) == ["will w gone q1"])
        #expect(bench.broker.nextDeadline == 200_000_000_000)
        #expect(bench.pass(95) == ["discarded a"])
    }

    @Test func `A delayed will is not sent when the client returns to its session in time`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100) { $0.setWill("w", delay: 5) }
        bench.drop(1)
        #expect(
            bench.connect(2, "a", clean: false, expiry: 100) == ["2 accepted a", "2 CONNACK 0x00 present"])
        #expect(bench.pass(50) == [])
        #expect(bench.drop(2) == [], "the new CONNECT had no will")
        #expect(bench.broker.nextDeadline == 250_000_000_000, "the end of the session and nothing before it")
    }

    @Test func `A delayed will fires at once when the session ends first`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 3) { $0.setWill("w", delay: 5) }
        bench.drop(1)
        #expect(bench.pass(3) == ["will w gone q1", "discarded a"])

        bench.connect(2, "a", expiry: 100) { $0.setWill("w", delay: 5) }
        bench.drop(2)
        #expect(
            bench.connect(3, "a") == ["will w gone q1", "discarded a", "3 accepted a", "3 CONNACK 0x00"])

        bench.connect(4, "b") { $0.setWill("w", delay: 5) }
        #expect(bench.drop(4) == ["will w gone q1", "discarded b"], "no expiry: the session ends now")
    }

    @Test func `A take-over publishes the will, unless it is delayed and the session goes on`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100) { $0.setWill("w") }
        #expect(
            bench.connect(2, "a", clean: false, expiry: 100) { $0.setWill("w", delay: 5) } == [
                "1 DISCONNECT 0x8E", "1 close", "will w gone q1", "2 accepted a", "2 CONNACK 0x00 present",
            ])
        #expect(bench.connect(3, "a", clean: false).contains { $0.hasPrefix("will") } == false)
        #expect(bench.pass(10) == [])
    }

    @Test func `DISCONNECT may change the session expiry, but not from 0`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 100) { $0.setWill("w") }
        #expect(bench.disconnect(1, expiry: 5) == ["1 close"])
        #expect(bench.pass(5) == ["discarded a"])

        bench.connect(2, "a", expiry: 100)
        #expect(bench.disconnect(2, expiry: 0) == ["2 close", "discarded a"])

        bench.connect(3, "a") { $0.setWill("w") }
        #expect(
            bench.disconnect(3, expiry: 5) == [
                "3 DISCONNECT 0x82", "3 close", "will w gone q1", "discarded a",
            ])
        bench.connect(4, "a")
        #expect(bench.disconnect(4, expiry: 0) == ["4 close", "discarded a"])
    }

    static let wrongDirection: [ControlPacket] = [
        .connack(Connack(sessionPresent: false, reason: .success)),
        .suback(SubscribeAcknowledgement(packetIdentifier: 1, reasons: [.success])),
        .unsuback(SubscribeAcknowledgement(packetIdentifier: 1, reasons: [.success])),
        .pingresp, .auth(Auth(reason: .success)), .connect(Connect()),
    ]

    @Test(
        "A packet that only servers send ends the connection and publishes the will",
        arguments: wrongDirection)
    func wrong(packet: ControlPacket) {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.setWill("w") }
        #expect(
            bench.receive(1, packet) == ["1 DISCONNECT 0x82", "1 close", "will w gone q1", "discarded a"])
        bench.connectV3(2, "a") { $0.setWill("w") }
        #expect(bench.receive(2, packet) == ["2 close", "will w gone q1", "discarded a"])
        #expect(bench.receive(2, .pingreq) == [])
    }

    @Test func `The hub may end a connection with a reason, which publishes the will`() {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.setWill("w") }
        bench.connectV3(2, "b") { $0.setWill("w") }
        var actions: [BrokerAction] = []
        for connection in 1...2 {
            bench.broker.disconnect(
                ConnectionID(rawValue: UInt64(connection)), reason: .keepAliveTimeout, now: 0,
                actions: &actions)
        }
        #expect(
            bench.lines(actions) == [
                "1 DISCONNECT 0x8D", "1 close", "will w gone q1", "discarded a",
                "2 close", "will w gone q1", "discarded b",
            ])
        #expect(bench.broker.counters.protocolErrors == 0)
        #expect(bench.broker.counters.connected == 0)
    }

    @Test func `PINGREQ is answered`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        #expect(bench.receive(1, .pingreq) == ["1 PINGRESP"])
        #expect(bench.receive(7, .pingreq) == [], "a connection never seen")
    }
}
