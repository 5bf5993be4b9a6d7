import MQTTBroker
import MQTTWire
import Testing

@Suite struct SharedSubscriptionTests {
    private func bench() -> BrokerBench {
        let bench = BrokerBench()
        for (connection, name) in [(UInt64(1), "a"), (2, "b"), (3, "c")] {
            bench.connect(connection, name, expiry: 100)
            bench.subscribe(connection, "$share/g/t/#", qos: .atLeastOnce)
        }
        return bench
    }

    @Test func `Members take turns`() {
        let bench = bench()
        let lines = (1...6).flatMap { bench.publish("t/x", "\($0)") }
        #expect(
            lines == [
                "1 PUBLISH t/x 1 q1 id 1", "2 PUBLISH t/x 2 q1 id 1", "3 PUBLISH t/x 3 q1 id 1",
                "1 PUBLISH t/x 4 q1 id 2", "2 PUBLISH t/x 5 q1 id 2", "3 PUBLISH t/x 6 q1 id 2",
            ])
    }

    @Test func `Members that are away are passed over`() {
        let bench = bench()
        bench.drop(2)
        let lines = (1...4).flatMap { bench.publish("t/x", "\($0)") }
        #expect(lines.map { $0.prefix(1) } == ["1", "3", "1", "3"])
    }

    @Test func `When all are away one of them gets it on return`() {
        let bench = bench()
        for connection in 1...3 { bench.drop(UInt64(connection)) }
        #expect(bench.publish("t/x", "m") == [])
        #expect(bench.broker.counters.queued == 1)
        let lines = [("a", UInt64(4)), ("b", 5), ("c", 6)].flatMap {
            bench.connect($0.1, $0.0, clean: false)
        }
        #expect(lines.filter { $0.contains("PUBLISH") } == ["4 PUBLISH t/x m q1 id 1"])
        #expect(bench.broker.counters.queued == 0)
    }

    @Test func `Of members that are away one is chosen that keeps the message`() {
        let bench = BrokerBench { $0.sessionQueueMessages = 1 }
        for (connection, name, qos) in [
            (UInt64(1), "a", QoS.atMostOnce), (2, "b", .atLeastOnce), (3, "c", .atLeastOnce),
        ] {
            bench.connect(connection, name, expiry: 100)
            bench.subscribe(connection, "$share/g/t", qos: qos)
            bench.drop(connection)
        }
        bench.publish("t", "1")
        bench.publish("t", "2")
        #expect(bench.broker.counters.queued == 2)
        #expect(bench.broker.counters.droppedOffline == 0)
        #expect(bench.broker.counters.droppedQueueFull == 0)
        #expect(bench.connect(4, "b", clean: false).last == "4 PUBLISH t 1 q1 id 1")
        #expect(bench.connect(5, "c", clean: false).last == "5 PUBLISH t 2 q1 id 1")
    }

    @Test func `A member whose buffer is full is passed over`() {
        let bench = BrokerBench {
            $0.inflightMax = 1
            $0.sessionQueueMessages = 0
        }
        bench.connect(1, "a")
        bench.connect(2, "b")
        for connection in 1...2 { bench.subscribe(UInt64(connection), "$share/g/t", qos: .atLeastOnce) }
        bench.publish("t", "1")
        bench.publish("t", "2")
        bench.puback(2, 1)
        #expect(bench.publish("t", "3") == ["2 PUBLISH t 3 q1 id 2"])
        #expect(bench.publish("t", "4") == [])
        #expect(bench.broker.counters.droppedQueueFull == 1)
    }

    @Test func `Groups, and subscriptions that are not shared, are independent`() {
        let bench = bench()
        bench.connectV3(4, "d")
        bench.subscribe(4, "$share/h/t/x", qos: .atMostOnce)
        bench.subscribe(1, "t/x", qos: .atMostOnce, identifier: 5)
        #expect(
            Set(bench.publish("t/x", "m")) == [
                "1 PUBLISH t/x m q0 subscriptions [5]", "1 PUBLISH t/x m q1 id 1", "4 PUBLISH t/x m q0",
            ])
    }

    @Test func `A member that unsubscribes or ends leaves the group`() {
        let bench = bench()
        bench.unsubscribe(1, ["$share/g/t/#"])
        bench.disconnect(2, expiry: 0)
        let lines = (1...2).flatMap { bench.publish("t", "\($0)") }
        #expect(lines == ["3 PUBLISH t 1 q1 id 1", "3 PUBLISH t 2 q1 id 2"])
        bench.unsubscribe(3, ["$share/g/t/#"])
        #expect(!bench.hasSubscribers("t"))
    }

    @Test func `Retained messages are not sent to a shared subscription`() {
        let bench = BrokerBench()
        bench.publish("t", "kept", retain: true)
        bench.connect(1, "a")
        #expect(bench.subscribe(1, "$share/g/t") == ["1 SUBACK 9 [0x02]"])
    }
}
