import MQTTBroker
import MQTTWire
import Testing

/// What clients are sent.
@Suite struct DeliveryTests {
    private func bench(
        _ version: ProtocolVersion = .v5, _ change: (inout BrokerLimits) -> Void = { _ in }
    ) -> BrokerBench {
        let bench = BrokerBench(change)
        bench.connect(1, "a", clean: false, expiry: 1_000) { $0.version = version }
        bench.subscribe(1, "t")
        return bench
    }

    private func resume(_ bench: BrokerBench, _ connection: UInt64, _ version: ProtocolVersion = .v5)
        -> [String]
    {
        bench.drop(connection - 1)
        return Array(
            bench.connect(connection, "a", clean: false, expiry: 1_000) { $0.version = version }.dropFirst(2))
    }

    @Test(
        "A QoS 1 delivery ends with PUBACK, a QoS 2 one with PUBCOMP", arguments: [ProtocolVersion.v311, .v5])
    func exchange(version: ProtocolVersion) {
        let bench = bench(version)
        #expect(bench.publish("t", "x") == ["1 PUBLISH t x q1 id 1"])
        #expect(bench.publish("t", "y", qos: .exactlyOnce) == ["1 PUBLISH t y q2 id 2"])
        #expect(bench.puback(1, 1) == [])
        #expect(bench.pubrec(1, 2) == ["1 PUBREL 2"])
        #expect(bench.pubcomp(1, 2) == [])
        #expect(resume(bench, 2, version) == [])
    }

    @Test(
        "What was not acknowledged is sent again in order with DUP", arguments: [ProtocolVersion.v311, .v5])
    func again(version: ProtocolVersion) {
        let bench = bench(version)
        for number in 1...5 {
            bench.publish("t", "\(number)", qos: number % 2 == 0 ? .exactlyOnce : .atLeastOnce)
        }
        bench.publish("t", "zero", qos: .atMostOnce)
        bench.puback(1, 3)
        bench.pubrec(1, 2)
        let expected = [
            "PUBLISH t 1 q1 id 1 dup", "PUBREL 2", "PUBLISH t 4 q2 id 4 dup", "PUBLISH t 5 q1 id 5 dup",
        ]
        #expect(resume(bench, 2, version) == expected.map { "2 " + $0 })
        #expect(bench.pubrec(2, 2) == ["2 PUBREL 2"], "a PUBREC sent again")
        bench.pubcomp(2, 2)
        bench.puback(2, 1)
        #expect(resume(bench, 3, version) == expected[2...].map { "3 " + $0 })
        #expect(bench.publish("t", "6") == ["3 PUBLISH t 6 q1 id 6"])
        #expect(bench.broker.counters.messagesResent == 5)
    }

    @Test func `A new session starts at packet identifier 1`() {
        let bench = bench()
        bench.publish("t", "x")
        bench.connect(2, "a")
        bench.subscribe(2, "t")
        #expect(bench.publish("t", "y") == ["2 PUBLISH t y q1 id 1"])
    }

    @Test func `Packet identifiers go round from 65,535 to 1`() {
        let bench = bench()
        for number in 1...65_535 {
            bench.publish("t", "x")
            bench.puback(1, UInt16(number))
        }
        #expect(bench.publish("t", "y") == ["1 PUBLISH t y q1 id 1"])
        #expect(resume(bench, 2) == ["2 PUBLISH t y q1 id 1 dup"])
    }

    @Test
    func
        `A client that leaves one message unacknowledged is held before its identifier comes round again`()
    {
        let bench = bench()
        bench.publish("t", "stuck")
        for number in 2...65_535 {
            #expect(bench.publish("t", "x") == ["1 PUBLISH t x q1 id \(number)"])
            bench.puback(1, UInt16(number))
        }
        #expect(bench.publish("t", "waits") == [])
        #expect(bench.puback(1, 1) == ["1 PUBLISH t waits q1 id 1"])
    }

    @Test func `An acknowledgement for an unknown identifier is ignored, PUBREC answered with 0x92`() {
        let bench = bench()
        bench.connectV3(2, "b")
        for connection: UInt64 in 1...2 {
            #expect(bench.puback(connection, 9) == [])
            #expect(bench.puback(connection, 0) == [])
            #expect(bench.pubcomp(connection, 9) == [])
        }
        #expect(bench.pubrec(1, 9) == ["1 PUBREL 9 0x92"])
        #expect(bench.pubrec(2, 9) == ["2 PUBREL 9"])
        bench.publish("t", "1")
        bench.publish("t", "2")
        bench.puback(1, 2)
        #expect(bench.puback(1, 2) == [], "acknowledged twice")
        #expect(bench.publish("t", "3") == ["1 PUBLISH t 3 q1 id 3"])
    }

    @Test func `An acknowledgement of the wrong kind is a protocol error`() {
        let end = ["1 DISCONNECT 0x82", "1 close"]
        var bench = bench()
        bench.publish("t", "1")
        #expect(bench.pubrec(1, 1) == end)
        bench = self.bench()
        bench.publish("t", "1")
        #expect(bench.pubcomp(1, 1) == end)
        bench = self.bench()
        bench.publish("t", "1", qos: .exactlyOnce)
        #expect(bench.puback(1, 1) == end)
        bench = self.bench()
        bench.publish("t", "1", qos: .exactlyOnce)
        #expect(bench.pubcomp(1, 1) == end)
    }

    @Test func `A PUBREC that refuses ends the exchange`() {
        let bench = bench(.v5) { $0.inflightMax = 1 }
        bench.publish("t", "1", qos: .exactlyOnce)
        bench.publish("t", "2", qos: .exactlyOnce)
        #expect(bench.pubrec(1, 1, .quotaExceeded) == ["1 PUBLISH t 2 q2 id 2"])
        #expect(bench.pubrec(1, 1, .quotaExceeded) == [])
        #expect(resume(bench, 2) == ["2 PUBLISH t 2 q2 id 2 dup"])
    }

    @Test func `Not more in flight than the client's Receive Maximum; the rest waits its turn`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 1_000) { $0.properties.receiveMaximum = 2 }
        bench.subscribe(1, "t")
        #expect((1...4).flatMap { bench.publish("t", "\($0)", qos: .exactlyOnce) }.count == 2)
        #expect(
            bench.publish("t", "zero", qos: .atMostOnce) == ["1 PUBLISH t zero q0"], "QoS 0 does not count")
        #expect(bench.broker.counters.queued == 2)
        #expect(bench.pubrec(1, 1) == ["1 PUBREL 1"])
        #expect(bench.pubcomp(1, 1) == ["1 PUBLISH t 3 q2 id 3"])
        bench.pubrec(1, 2)
        #expect(bench.pubcomp(1, 2) == ["1 PUBLISH t 4 q2 id 4"])
        #expect(bench.broker.counters.queued == 0)
    }

    @Test func `What is sent again keeps to the Receive Maximum of the new connection, before anything new`()
    {
        let bench = bench()
        for number in 1...3 { bench.publish("t", "\(number)") }
        bench.drop(1)
        bench.publish("t", "4")
        let lines = bench.connect(2, "a", clean: false, expiry: 1_000) { $0.properties.receiveMaximum = 1 }
        #expect(lines.dropFirst(2) == ["2 PUBLISH t 1 q1 id 1 dup"])
        #expect(bench.publish("t", "5") == [])
        #expect(bench.puback(2, 1) == ["2 PUBLISH t 2 q1 id 2 dup"])
        #expect(bench.puback(2, 2) == ["2 PUBLISH t 3 q1 id 3 dup"])
        #expect(bench.puback(2, 3) == ["2 PUBLISH t 4 q1 id 4"])
        #expect(bench.puback(2, 4) == ["2 PUBLISH t 5 q1 id 5"])
    }

    @Test func `An acknowledgement of what was not yet sent again makes no room`() {
        let bench = bench()
        for number in 1...3 { bench.publish("t", "\(number)") }
        bench.drop(1)
        bench.connect(2, "a", clean: false, expiry: 1_000) { $0.properties.receiveMaximum = 1 }
        #expect(bench.puback(2, 2) == [], "it was on its way when the line broke; 1 is still in flight")
        #expect(bench.puback(2, 1) == ["2 PUBLISH t 3 q1 id 3 dup"], "2 is done")
    }

    @Test func `What has become too large to be sent again makes room`() {
        let bench = bench()
        for text in ["0123456789012345", "1", "2"] { bench.publish("t", text) }
        bench.drop(1)
        let lines = bench.connect(2, "a", clean: false, expiry: 1_000) {
            $0.properties.receiveMaximum = 1
            $0.properties.maximumPacketSize = 18
        }
        #expect(lines.dropFirst(2) == ["2 PUBLISH t 1 q1 id 2 dup"])
        #expect(bench.puback(2, 2) == ["2 PUBLISH t 2 q1 id 3 dup"])
    }

    @Test func `Messages wait for a client that is away; QoS 0 does not`() {
        let bench = bench()
        bench.drop(1)
        bench.publish("t", "1")
        bench.publish("t", "zero", qos: .atMostOnce)
        bench.publish("t", "2", qos: .exactlyOnce)
        #expect(bench.broker.counters.droppedOffline == 1)
        #expect(bench.broker.counters.queued == 2)
        #expect(
            bench.connect(2, "a", clean: false) == [
                "2 accepted a", "2 CONNACK 0x00 present", "2 PUBLISH t 1 q1 id 1", "2 PUBLISH t 2 q2 id 2",
            ])
    }

    @Test func `A full buffer keeps the oldest and counts what it drops`() {
        let bench = bench(.v5) { $0.sessionQueueMessages = 3 }
        bench.drop(1)
        for number in 1...5 { bench.publish("t", "\(number)") }
        #expect(bench.broker.counters.droppedQueueFull == 2)
        #expect(
            bench.connect(2, "a", clean: false).suffix(3).map { $0.dropFirst(12).prefix(1) } == [
                "1", "2", "3",
            ])
    }

    @Test func `The buffer is limited in bytes too`() {
        let bench = bench(.v5) { $0.sessionQueueBytes = 10 }
        bench.drop(1)
        bench.publish("t", "1234")
        bench.publish("t", "1234")
        bench.publish("t", "")
        #expect(bench.broker.counters.queued == 2)
        #expect(bench.broker.counters.droppedQueueFull == 1)
        bench.connect(2, "a", clean: false, expiry: 1_000)
        bench.drop(2)
        bench.publish("t", "123456789")
        #expect(bench.broker.counters.queued == 1, "what is in flight is not in the buffer")
    }

    @Test func `A message that expires while it waits is not sent, one that does not says what is left`() {
        let bench = bench(.v5) { $0.sessionQueueMessages = 2 }
        bench.drop(1)
        bench.publish("t", "short", expiry: 5)
        bench.publish("t", "long", expiry: 60)
        bench.now += 5
        bench.publish("t", "third")
        #expect(bench.broker.counters.droppedExpired == 1, "it made room for the third")
        #expect(
            bench.connect(2, "a", clean: false).suffix(2) == [
                "2 PUBLISH t long q1 id 1 expiry 55", "2 PUBLISH t third q1 id 2",
            ])
        #expect(bench.publish("t", "dead", expiry: 0) == [])
        #expect(bench.broker.counters.droppedExpired == 2)
    }

    @Test func `A message behind others that expires is passed over when its turn comes`() {
        let bench = bench()
        bench.drop(1)
        bench.publish("t", "1")
        bench.publish("t", "2", expiry: 5)
        bench.publish("t", "3")
        bench.now += 6
        #expect(
            bench.connect(2, "a", clean: false).suffix(2) == [
                "2 PUBLISH t 1 q1 id 1", "2 PUBLISH t 3 q1 id 2",
            ])
        #expect(bench.broker.counters.queued == 0)
    }

    @Test func `A message whose delivery began is finished although it expired`() {
        let bench = bench()
        bench.publish("t", "x", qos: .exactlyOnce, expiry: 5)
        bench.now += 6
        #expect(resume(bench, 2) == ["2 PUBLISH t x q2 id 1 dup expiry 0"])
    }

    @Test func `A message larger than the client takes is not sent`() {
        let bench = BrokerBench()
        // 1 + 1 fixed header, 2 + 1 topic, 2 packet identifier, 1 property length, 10 payload.
        bench.connect(1, "a", expiry: 100) { $0.properties.maximumPacketSize = 18 }
        bench.subscribe(1, "t")
        #expect(bench.publish("t", "0123456789") == ["1 PUBLISH t 0123456789 q1 id 1"])
        #expect(bench.publish("t", "0123456789+") == [])
        #expect(bench.publish("t", "0123456789+", qos: .atMostOnce).count == 1)
        #expect(bench.publish("t", "0123456789++", qos: .atMostOnce).count == 1)
        #expect(bench.publish("t", "0123456789+++", qos: .atMostOnce) == [])
        #expect(bench.broker.counters.droppedTooLarge == 2)
        #expect(bench.publish("t", "z") == ["1 PUBLISH t z q1 id 2"], "no identifier was used up")

        bench.drop(1)
        bench.publish("t", "0123456789+++")
        bench.publish("t", "y")
        let lines = bench.connect(2, "a", clean: false) { $0.properties.maximumPacketSize = 13 }
        #expect(lines.dropFirst(2) == ["2 PUBLISH t z q1 id 2 dup", "2 PUBLISH t y q1 id 3"])
        #expect(bench.broker.counters.droppedTooLarge == 4)
    }

    @Test func `The properties count in the size of a packet`() {
        // 2 fixed header, 3 topic, 1 property length, and the properties; 20 of payload, so that the CONNACK fits.
        let payload = String(repeating: "p", count: 20)
        let cases: [(Int, [UInt32], (inout Publish) -> Void)] = [
            (6, [], { _ in }),
            (6 + 5, [], { $0.properties.messageExpiryInterval = 9 }),
            (6 + 2, [], { $0.properties.payloadFormatIndicator = 1 }),
            (6 + 3 + 4, [], { $0.properties.contentType = "text" }),
            (6 + 3 + 1, [], { $0.properties.responseTopic = "r" }),
            (6 + 3 + 2, [], { $0.properties.correlationData = [1, 2] }),
            (6 + 5 + 3, [], { $0.properties.userProperties = [UserProperty("k", "vv")] }),
            (6 + 2, [127], { _ in }),
            (6 + 3, [128], { _ in }),
            (
                6 + 130 + 2, [],
                {
                    $0.payload += [UInt8](repeating: 65, count: 130); $0.topic = "tt"
                }
            ),
        ]
        for (bytes, identifiers, change) in cases {
            for (maximum, count) in [(bytes + 19, 0), (bytes + 20, 1)] {
                let bench = BrokerBench()
                bench.connect(1, "a") { $0.properties.maximumPacketSize = UInt32(maximum) }
                bench.subscribe(1, "#", identifier: identifiers.first)
                #expect(bench.publish(1, "t", payload, change: change).count == count, "\(bytes) bytes")
            }
        }
    }

    @Test func `What waits is counted down when its session ends`() {
        let bench = bench()
        bench.drop(1)
        bench.publish("t", "1")
        bench.publish("t", "2")
        bench.pass(1_000)
        #expect(bench.broker.counters.queued == 0)
        #expect(bench.broker.counters.sessionsDiscarded == 1)
    }
}
