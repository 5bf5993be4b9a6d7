import MQTTBroker
import MQTTWire
import Testing

@Suite struct RetainedTests {
    @Test("SUBACK comes before the retained messages", arguments: [ProtocolVersion.v311, .v5])
    func subscribe(version: ProtocolVersion) {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.version = version }
        bench.publish(1, "t/1", "one", qos: .atLeastOnce, id: 1, retain: true)
        bench.publish(1, "t/1", "new one", qos: .atLeastOnce, id: 2, retain: true)
        bench.publish(1, "t/2", "two", retain: true)
        bench.publish(1, "t/3", "not kept", qos: .atLeastOnce, id: 3)
        #expect(bench.broker.counters.retained == 2)
        #expect(
            bench.subscribe(1, "t/+", qos: .atLeastOnce) == [
                "1 SUBACK 9 [0x01]", "1 PUBLISH t/1 new one q1 id 1 retain", "1 PUBLISH t/2 two q0 retain",
            ])
        #expect(bench.broker.counters.retainedBytes == 3 + 7 + 3 + 3)
    }

    @Test func `An empty payload clears`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.publish("t", "x", retain: true)
        bench.publish("t", "", retain: true)
        #expect(bench.subscribe(1, "#").count == 1)
        #expect(bench.broker.counters.retained == 0)
        #expect(bench.broker.counters.retainedBytes == 0)
        bench.subscribe(1, "#", qos: .atMostOnce)
        #expect(bench.publish("t", "", retain: true) == ["1 PUBLISH t  q0"], "and is a message all the same")
    }

    @Test func `A live message has the retain flag only where it is asked for as published`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.connect(2, "b")
        bench.subscribe(1, "t", qos: .atMostOnce)
        bench.subscribe(2, "t", qos: .atMostOnce) { $0.retainAsPublished = true }
        #expect(bench.publish("t", "x", retain: true) == ["1 PUBLISH t x q0", "2 PUBLISH t x q0 retain"])
        #expect(bench.publish("t", "x") == ["1 PUBLISH t x q0", "2 PUBLISH t x q0"])
    }

    @Test func `Retain handling 0 sends at each subscribe, 1 only at a new one, 2 never`() {
        let bench = BrokerBench()
        bench.publish("t", "x", qos: .atMostOnce, retain: true)
        bench.connect(1, "a")
        #expect(bench.subscribe(1, "t") { $0.retainHandling = 2 }.count == 1)
        #expect(bench.subscribe(1, "t") { $0.retainHandling = 1 }.count == 1, "not new")
        #expect(bench.subscribe(1, "t") { $0.retainHandling = 0 }.count == 2)
        #expect(bench.subscribe(1, "t") { $0.retainHandling = 0 }.count == 2)
        bench.unsubscribe(1, ["t"])
        #expect(bench.subscribe(1, "t") { $0.retainHandling = 1 }.count == 2)
        bench.connectV3(2, "b")
        #expect(bench.subscribe(2, "t") { $0.retainHandling = 2 }.count == 2, "3.1.1 has no such option")
        #expect(bench.subscribe(2, "t").count == 2)
    }

    @Test func `A retained message goes out with the subscription identifier and what is left of its expiry`()
    {
        let bench = BrokerBench()
        bench.publish("t", "x", qos: .atMostOnce, retain: true, expiry: 10)
        bench.now += 3
        bench.connect(1, "a")
        #expect(
            bench.subscribe(1, "t", identifier: 4).last
                == "1 PUBLISH t x q0 retain subscriptions [4] expiry 7")
    }

    @Test func `A retained message that expires is gone`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.publish("t", "x", retain: true, expiry: 10)
        bench.publish("u", "x", retain: true, expiry: 5)
        bench.publish("u", "y", retain: true)
        #expect(bench.broker.nextDeadline == 110_000_000_000)
        bench.now += 10
        #expect(bench.subscribe(1, "t").count == 1, "also before advance")
        #expect(bench.broker.counters.retained == 2)
        bench.pass(0)
        #expect(bench.broker.counters.retained == 1)
        #expect(bench.subscribe(1, "u").count == 2)
        #expect(bench.broker.nextDeadline == nil)
        bench.publish("t", "x", retain: true, expiry: 10)
        bench.publish("t", "", retain: true)
        #expect(bench.broker.nextDeadline == nil, "nothing is left to expire")
    }

    @Test func `A full store refuses who can be told, and sends on for the others`() {
        let bench = BrokerBench { $0.retainedMessages = 1 }
        bench.connect(1, "a")
        bench.connectV3(2, "b")
        bench.subscribe(2, "#", qos: .atMostOnce)
        bench.publish(1, "t", "x", retain: true)
        #expect(bench.publish(1, "u", "x", qos: .atLeastOnce, id: 1, retain: true) == ["1 PUBACK 1 0x97"])
        #expect(bench.publish(1, "u", "x", qos: .exactlyOnce, id: 1, retain: true) == ["1 PUBREC 1 0x97"])
        #expect(bench.pubrel(1, 1) == ["1 PUBCOMP 1 0x92"], "the refusal freed the identifier")
        #expect(bench.publish(1, "u", "x", retain: true) == ["2 PUBLISH u x q0"])
        #expect(
            bench.publish(2, "u", "x", qos: .atLeastOnce, id: 1, retain: true) == [
                "2 PUBLISH u x q0", "2 PUBACK 1",
            ])
        #expect(bench.publish("u", "x", retain: true) == ["2 PUBLISH u x q0"])
        #expect(bench.broker.counters.retainedRefused == 5)
        #expect(bench.broker.counters.retained == 1)
        #expect(bench.publish(1, "t", "y", qos: .atLeastOnce, id: 1, retain: true).last == "1 PUBACK 1")

        let small = BrokerBench { $0.retainedBytes = 10 }
        small.publish("t", "12345678", retain: true)
        small.publish("t", "123456789", retain: true)
        #expect(small.broker.counters.retainedBytes == 10)
        small.publish("t", "1234567890", retain: true)
        #expect(small.broker.counters.retainedRefused == 1)
    }

    @Test func `More retained messages than the buffer takes are all delivered as the client acknowledges`() {
        let bench = BrokerBench {
            $0.inflightMax = 2
            $0.sessionQueueMessages = 3
        }
        for number in 1...10 { bench.publish("t/\(number)", "x", retain: true) }
        bench.connect(1, "a")
        var lines = bench.subscribe(1, "t/#", qos: .atLeastOnce)
        #expect(lines.count == 3)
        lines += bench.publish("t/1", "live")
        for id in 1...11 { lines += bench.puback(1, UInt16(id)) }
        let published = lines.filter { $0.contains("PUBLISH") }
        #expect(published.count == 11)
        #expect(published.last == "1 PUBLISH t/1 live q1 id 11", "the newer value comes after the older")
        #expect(bench.broker.counters.droppedQueueFull == 0)
    }

    @Test func `A will may be retained by the hub`() throws {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.setWill("w", retain: true) }
        bench.drop(1)
        bench.publish(try #require(bench.wills.first))
        bench.connect(2, "b")
        #expect(bench.subscribe(2, "w", qos: .atLeastOnce).last == "2 PUBLISH w gone q1 id 1 retain")
    }
}
