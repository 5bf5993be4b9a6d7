import MQTTBroker
import MQTTWire
import Testing

@Suite struct SubscribeTests {
    static let invalid = [
        "", "a/#/b", "a#", "a/b#", "+a", "a/+b/c", "#/a", "##", "a\u{0}", "$share", "$share/", "$share/g",
        "$share/g/",
        "$share//a", "$share/+/a", "$share/g#/a", "$share/g/a#",
    ]

    @Test("An invalid filter is refused in SUBACK and the others taken", arguments: invalid)
    func refuse(filter: String) {
        let bench = BrokerBench()
        let filters = [
            Subscribe.Filter(filter, qos: .atLeastOnce), Subscribe.Filter("ok", qos: .exactlyOnce),
        ]
        bench.connect(1, "a")
        #expect(bench.subscribe(1, filters) == ["1 SUBACK 9 [0x8F, 0x02]"])
        bench.connectV3(2, "b")
        #expect(bench.subscribe(2, filters) == ["2 SUBACK 9 [0x80, 0x02]"])
        #expect(bench.broker.counters.subscriptions == 2)
    }

    @Test func `Each filter is granted the QoS it asked for`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        let filters = [QoS.atMostOnce, .atLeastOnce, .exactlyOnce].map { Subscribe.Filter("q\($0)", qos: $0) }
        #expect(bench.subscribe(1, filters) == ["1 SUBACK 9 [0x00, 0x01, 0x02]"])
    }

    @Test func `A SUBSCRIBE without filters, or shared with No Local, is a protocol error`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        #expect(bench.subscribe(1, []) == ["1 DISCONNECT 0x82", "1 close", "discarded a"])
        bench.connect(2, "a")
        #expect(
            bench.subscribe(2, "$share/g/t") { $0.noLocal = true } == [
                "2 DISCONNECT 0x82", "2 close", "discarded a",
            ])
    }

    @Test func `Filters past the limits of count and depth are refused`() {
        let bench = BrokerBench {
            $0.subscriptionsPerSession = 2
            $0.topicLevels = 3
        }
        bench.connect(1, "a")
        #expect(bench.subscribe(1, "a/b/c/d") == ["1 SUBACK 9 [0x8F]"])
        #expect(bench.subscribe(1, "$share/g/a/b/c") == ["1 SUBACK 9 [0x02]"], "the prefix is no level")
        #expect(bench.subscribe(1, "two") == ["1 SUBACK 9 [0x02]"])
        #expect(bench.subscribe(1, "three") == ["1 SUBACK 9 [0x97]"])
        #expect(bench.subscribe(1, "two") == ["1 SUBACK 9 [0x02]"], "not a new one")
        #expect(bench.broker.counters.subscriptions == 2)
    }

    @Test func `UNSUBSCRIBE ends a subscription and says what there was`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "t", qos: .atMostOnce)
        bench.subscribe(1, "$share/g/t", qos: .atMostOnce)
        #expect(bench.publish("t", "x").count == 2)
        #expect(
            bench.unsubscribe(1, ["t", "t", "a#", "$share/g/t"]) == ["1 UNSUBACK 9 [0x00, 0x11, 0x8F, 0x00]"]
        )
        #expect(bench.publish("t", "x") == [])
        #expect(bench.broker.counters.subscriptions == 0)
        bench.connectV3(2, "b")
        bench.subscribe(2, "t")
        #expect(bench.unsubscribe(2, ["t", "u"]) == ["2 UNSUBACK 9 []"])
    }

    @Test func `Subscribing again to the same filter replaces the subscription`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "t", qos: .exactlyOnce, identifier: 1)
        bench.subscribe(1, "t", qos: .atMostOnce, identifier: 2)
        #expect(bench.publish("t", "x") == ["1 PUBLISH t x q0 subscriptions [2]"])
        #expect(bench.broker.counters.subscriptions == 1)
    }

    @Test func `Overlapping filters deliver once, at the highest QoS and with all identifiers`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "t/#", qos: .atMostOnce, identifier: 1)
        bench.subscribe(1, "t/+", qos: .exactlyOnce, identifier: 2)
        bench.subscribe(1, "t/x", qos: .atLeastOnce, identifier: 268_435_455)
        bench.subscribe(1, "+/x", qos: .atMostOnce)
        #expect(
            bench.publish("t/x", "m", qos: .exactlyOnce) == [
                "1 PUBLISH t/x m q2 id 1 subscriptions [1, 268435455, 2]"
            ])
        bench.connectV3(2, "b")
        bench.subscribe(2, "t/#", qos: .atMostOnce)
        bench.subscribe(2, "t/x", qos: .atLeastOnce)
        #expect(bench.publish("t/x", "m").last == "2 PUBLISH t/x m q1 id 1")
    }

    @Test func `The QoS of a delivery is the lower of message and subscription`() {
        for published in [QoS.atMostOnce, .atLeastOnce, .exactlyOnce] {
            for granted in [QoS.atMostOnce, .atLeastOnce, .exactlyOnce] {
                let bench = BrokerBench()
                bench.connect(1, "a")
                bench.subscribe(1, "t", qos: granted)
                let qos = min(published, granted).rawValue
                #expect(
                    bench.publish("t", "x", qos: published) == [
                        "1 PUBLISH t x q\(qos)" + (qos == 0 ? "" : " id 1")
                    ])
            }
        }
    }

    @Test func `No Local holds back the client's own messages, through that filter only`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.connect(2, "b")
        bench.subscribe(1, "t", qos: .atMostOnce) { $0.noLocal = true }
        #expect(bench.publish(1, "t", "x") == [])
        #expect(bench.publish(2, "t", "x") == ["1 PUBLISH t x q0"])
        bench.subscribe(1, "+", qos: .atMostOnce)
        #expect(bench.publish(1, "t", "x") == ["1 PUBLISH t x q0"])
        #expect(bench.publish("t", "x") == ["1 PUBLISH t x q0"], "the hub's own has no publisher")
        bench.connectV3(3, "c")
        bench.subscribe(3, "u", qos: .atMostOnce) { $0.noLocal = true }
        #expect(bench.publish(3, "u", "x").contains("3 PUBLISH u x q0"), "3.1.1 has no such option")
    }

    @Test func `No Local also holds back a message the client retained itself`() {
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.publish(1, "t", "mine", retain: true)
        #expect(bench.subscribe(1, "t") { $0.noLocal = true } == ["1 SUBACK 9 [0x02]"])
        #expect(bench.subscribe(1, "t").count == 2)
    }

    @Test(arguments: ["a", "a/", "/a", "a//b", "a/b", "$a/b", "$a", "/", "b/a/a"])
    func `hasSubscribers finds what a message finds`(topic: String) {
        let filters = [
            "a", "+", "a/#", "a/+", "/+", "+/+", "a//b", "+/b", "$a/#", "$a/+", "#", "/", "b/+/a", "a/b",
        ]
        for filter in filters {
            let bench = BrokerBench()
            bench.connect(1, "a")
            bench.subscribe(1, filter)
            let lines = bench.publish(topic, "x")
            #expect(bench.hasSubscribers(topic) == !lines.isEmpty, "\(filter)")
        }
    }

    @Test func `hasSubscribers and the version follow the subscriptions`() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 10)
        #expect(!bench.hasSubscribers("a/b"))
        var version = bench.broker.subscriptionVersion
        func changed() -> Bool {
            defer { version = bench.broker.subscriptionVersion }
            return version != bench.broker.subscriptionVersion
        }
        bench.subscribe(1, "a/+")
        #expect(changed())
        #expect(bench.hasSubscribers("a/b"))
        #expect(!bench.hasSubscribers("a/b/c"))
        bench.subscribe(1, "a/+", qos: .atMostOnce)
        #expect(!changed(), "replaced, not added")
        bench.subscribe(1, "$share/g/x/#")
        #expect(changed())
        #expect(bench.hasSubscribers("x"))
        bench.drop(1)
        #expect(!changed())
        #expect(bench.hasSubscribers("x"), "a client that is away still counts")
        bench.pass(10)
        #expect(changed())
        #expect(!bench.hasSubscribers("x"))
        bench.connect(2, "a")
        bench.subscribe(2, "q")
        _ = changed()
        bench.unsubscribe(2, ["q"])
        #expect(changed())
        #expect(!bench.hasSubscribers("q"))
    }
}
