import MQTTBroker
import MQTTWire
import Testing

@Suite struct ConnectTests {
    @Test("CONNECT is answered by accepted and then CONNACK", arguments: [ProtocolVersion.v311, .v5])
    func accept(version: ProtocolVersion) {
        let bench = BrokerBench()
        let lines = bench.connect(1, "a") {
            $0.version = version
            $0.keepAlive = 30
        }
        #expect(lines == ["1 accepted a", "1 CONNACK 0x00"])
        let session = bench.accepted[1]
        #expect(session?.version == version)
        #expect(session?.keepAliveSeconds == 30)
        #expect(session?.clientIdentifier == "a")
        #expect(bench.broker.counters.connected == 1)
        #expect(bench.broker.counters.sessions == 1)
    }

    private func connack(_ bench: BrokerBench, _ change: (inout Connect) -> Void = { _ in }) -> Connack? {
        var packet = Connect()
        packet.clientIdentifier = "a"
        change(&packet)
        var actions: [BrokerAction] = []
        bench.broker.connect(
            ConnectionID(rawValue: 1), packet, assignedIdentifier: "gave-it", now: 0, actions: &actions)
        for case .send(_, .connack(let connack)) in actions { return connack }
        return nil
    }

    @Test func `CONNACK of 5.0 announces the limits and leaves out what is the default`() {
        var expected = Properties()
        expected.maximumPacketSize = 16 << 20
        expected.topicAliasMaximum = 32
        #expect(connack(BrokerBench())?.properties == expected)

        let bench = BrokerBench {
            $0.receiveMaximum = 20
            $0.packetBytesMax = 1_000
            $0.topicAliasMaximum = 0
            $0.keepAliveSecondsMax = 60
            $0.sessionExpiryMaxSeconds = 100
        }
        let properties = connack(bench) {
            $0.properties.sessionExpiryInterval = 101
            $0.clientIdentifier = ""
        }?.properties
        #expect(properties?.receiveMaximum == 20)
        #expect(properties?.maximumPacketSize == 1_000)
        #expect(properties?.topicAliasMaximum == nil)
        #expect(properties?.serverKeepAlive == 60)
        #expect(properties?.sessionExpiryInterval == 100)
        #expect(properties?.assignedClientIdentifier == "gave-it")
    }

    @Test func `CONNACK of 3_1_1 has no properties`() {
        let bench = BrokerBench { $0.receiveMaximum = 20 }
        #expect(connack(bench) { $0.version = .v311 }?.properties == Properties())
    }

    @Test func `A keep-alive within the limit is not told back, and 3_1_1 keeps its own`() {
        let bench = BrokerBench { $0.keepAliveSecondsMax = 60 }
        #expect(connack(bench) { $0.keepAlive = 60 }?.properties.serverKeepAlive == nil)
        bench.connectV3(2, "b") { $0.keepAlive = 100 }
        #expect(bench.accepted[2]?.keepAliveSeconds == 100)
        bench.connect(3, "c") { $0.keepAlive = 100 }
        #expect(bench.accepted[3]?.keepAliveSeconds == 60)
    }

    @Test func `An empty client identifier gets the assigned one`() {
        let bench = BrokerBench()
        #expect(bench.connect(1, "") == ["1 accepted assigned-1", "1 CONNACK 0x00"])
        let other = BrokerBench()
        #expect(other.connectV3(1, "") == ["1 accepted assigned-1", "1 CONNACK 0x00"])
    }

    @Test func `An empty client identifier with clean session 0 is refused on 3_1_1`() {
        let bench = BrokerBench()
        #expect(bench.connectV3(1, "", clean: false) == ["1 CONNACK 0x85", "1 close"])
        #expect(bench.broker.counters.sessions == 0)
        #expect(bench.broker.counters.connectsRefused == 1)
    }

    @Test func `Enhanced authentication is refused, in CONNECT and later`() {
        let bench = BrokerBench()
        #expect(
            bench.connect(1, "a") { $0.properties.authenticationMethod = "GS2" } == [
                "1 CONNACK 0x8C", "1 close",
            ])
        #expect(
            bench.connect(2, "a") { $0.properties.authenticationData = [1] } == [
                "2 CONNACK 0x82", "2 close",
            ])
        bench.connect(3, "a")
        let auth = ControlPacket.auth(Auth(reason: .reauthenticate))
        #expect(bench.receive(3, auth) == ["3 DISCONNECT 0x82", "3 close", "discarded a"])
    }

    @Test func `A will with a bad topic is refused`() {
        let bench = BrokerBench()
        #expect(bench.connect(1, "a") { $0.setWill("a/#") } == ["1 CONNACK 0x90", "1 close"])
        #expect(bench.connectV3(2, "a") { $0.setWill("") } == ["2 CONNACK 0x88", "2 close"])
        #expect(
            bench.connect(3, "a") {
                $0.setWill("a")
                $0.will?.properties.responseTopic = "+"
            } == ["3 CONNACK 0x82", "3 close"])
    }

    @Test func `Sessions past the limit are refused, known ones are not`() {
        let bench = BrokerBench { $0.sessions = 1 }
        bench.connect(1, "a", expiry: 100)
        #expect(bench.connect(2, "b") == ["2 CONNACK 0x97", "2 close"])
        #expect(bench.connectV3(3, "b") == ["3 CONNACK 0x88", "3 close"])
        #expect(bench.connect(4, "a", clean: false).suffix(2) == ["4 accepted a", "4 CONNACK 0x00 present"])
    }

    @Test func `A second CONNECT is a protocol error`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        #expect(bench.connect(1, "b") == ["1 DISCONNECT 0x82", "1 close", "discarded a"])
        bench.connectV3(2, "a")
        #expect(bench.receive(2, .connect(Connect())) == ["2 close", "discarded a"])
        #expect(bench.broker.counters.protocolErrors == 2)
    }

    @Test func `A second client of the same name takes over, and only 5_0 is told`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 10)
        #expect(
            bench.connectV3(2, "a", clean: false) == [
                "1 DISCONNECT 0x8E", "1 close", "2 accepted a", "2 CONNACK 0x00 present",
            ])
        #expect(
            bench.connect(3, "a", clean: false) == ["2 close", "3 accepted a", "3 CONNACK 0x00 present"])
        #expect(bench.broker.counters.takeovers == 2)
        #expect(bench.broker.counters.connected == 1)
        #expect(bench.receive(1, .pingreq) == [], "the connection taken over is forgotten")
        #expect(bench.drop(2) == [])
        #expect(bench.receive(3, .pingreq) == ["3 PINGRESP"])
    }

    @Test func `A clean start ends the former session before the new one is accepted`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 10)
        bench.subscribe(1, "t")
        bench.drop(1)
        #expect(bench.connect(2, "a") == ["discarded a", "2 accepted a", "2 CONNACK 0x00"])
        #expect(bench.publish("t", "x") == [])
        #expect(bench.broker.counters.subscriptions == 0)
        #expect(
            bench.connect(3, "a") == [
                "2 DISCONNECT 0x8E", "2 close", "discarded a", "3 accepted a", "3 CONNACK 0x00",
            ])
    }

    @Test func `Without expiry a session of 5_0 ends with its connection, also at a take-over`() {
        let bench = BrokerBench()
        bench.connect(1, "a", clean: false)
        #expect(
            bench.connect(2, "a", clean: false) == [
                "1 DISCONNECT 0x8E", "1 close", "discarded a", "2 accepted a", "2 CONNACK 0x00",
            ])
        #expect(bench.drop(2) == ["discarded a"])
        #expect(bench.broker.counters.sessions == 0)
    }

    @Test func `A session of 5_0 ends when its expiry has passed, and a return stops the count`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 10)
        #expect(bench.broker.nextDeadline == nil)
        bench.drop(1)
        #expect(bench.broker.nextDeadline == 110_000_000_000)
        #expect(bench.pass(9) == [])
        #expect(bench.connect(2, "a", clean: false, expiry: 10).last == "2 CONNACK 0x00 present")
        #expect(bench.broker.nextDeadline == nil)
        #expect(bench.pass(100) == [])
        bench.drop(2)
        #expect(bench.pass(10) == ["discarded a"])
        #expect(bench.connect(3, "a", clean: false).last == "3 CONNACK 0x00")
    }

    @Test func `The longest expiry never ends`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: .max)
        bench.drop(1)
        #expect(bench.broker.nextDeadline == nil)
        #expect(bench.pass(1 << 32) == [])
        #expect(bench.connect(2, "a", clean: false).last == "2 CONNACK 0x00 present")
    }

    @Test func `The expiry is capped by the limit`() {
        let bench = BrokerBench { $0.sessionExpiryMaxSeconds = 5 }
        bench.connect(1, "a", expiry: .max)
        bench.drop(1)
        #expect(bench.pass(5) == ["discarded a"])
        bench.connectV3(2, "b", clean: false)
        bench.disconnect(2)
        #expect(bench.pass(5) == ["discarded b"])
    }

    @Test func `Clean session 0 of 3_1_1 keeps the session, clean session 1 does not`() {
        let bench = BrokerBench()
        #expect(bench.connectV3(1, "a", clean: false).last == "1 CONNACK 0x00")
        bench.subscribe(1, "t", qos: .atLeastOnce)
        #expect(bench.disconnect(1) == ["1 close"])
        bench.publish("t", "x")
        #expect(
            bench.connectV3(2, "a", clean: false) == [
                "2 accepted a", "2 CONNACK 0x00 present", "2 PUBLISH t x q1 id 1",
            ])
        bench.drop(2)
        #expect(bench.connectV3(3, "a").prefix(1) == ["discarded a"])
        #expect(bench.drop(3) == ["discarded a"])
        #expect(bench.connectV3(4, "a", clean: false).last == "4 CONNACK 0x00")
    }

    @Test func `Client identifiers are compared byte by byte`() {
        let bench = BrokerBench()
        bench.connect(1, "caf\u{E9}")
        #expect(bench.connect(2, "cafe\u{301}").count == 2, "no take-over: another spelling, another client")
        #expect(bench.broker.counters.sessions == 2)
    }
}
