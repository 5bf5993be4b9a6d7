import MQTTWire
import Testing

@testable import MQTTBroker

@Suite struct QueueSubscriptionTests {
    private func bench(receiveMaximum: UInt16 = 3, version: ProtocolVersion = .v5) -> BrokerBench {
        let bench = BrokerBench()
        bench.connect(1, "a", clean: false, expiry: 100) {
            $0.version = version
            if version == .v5 { $0.properties.receiveMaximum = receiveMaximum }
        }
        return bench
    }

    private func subscribe(
        _ bench: BrokerBench, _ filters: [String], _ verdicts: [Int: QueueVerdict], identifier: UInt32? = nil
    ) -> [BrokerAction] {
        var packet = Subscribe(
            packetIdentifier: 9, filters: filters.map { Subscribe.Filter($0, qos: .exactlyOnce) })
        packet.properties.subscriptionIdentifiers = identifier.map { [$0] } ?? []
        var actions: [BrokerAction] = []
        bench.broker.subscribe(
            packet, verdicts: verdicts, from: ConnectionID(rawValue: 1), now: bench.nanoseconds,
            actions: &actions)
        return actions
    }

    private func deliver(_ bench: BrokerBench, _ ordinals: ClosedRange<UInt64>, to connection: UInt64 = 1)
        -> [String]
    {
        let messages = ordinals.map { ordinal in
            Message(
                topic: "$queue/t", payload: Array("\(ordinal)".utf8), qos: .atLeastOnce, retain: false,
                ticket: QueueTicket(group: "g", session: 5, ordinal: ordinal))
        }
        var actions: [BrokerAction] = []
        bench.broker.deliver(
            messages, to: ConnectionID(rawValue: connection), now: bench.nanoseconds, actions: &actions)
        return bench.lines(actions)
    }

    @Test(
        arguments: [
            ("$share/g/$queue/#", "g", nil), ("$share/g/$queue/devices/#", "g", nil),
            ("$share/g/$queue/devices/+/#", "g", nil), ("$share/g/$queue/devices/pump 1/#", "g", "pump 1"),
        ] as [(String, String, String?)])
    func `Filters of queues are read`(_ text: String, _ group: String, _ device: String?) throws {
        let filter = try #require(QueueFilter(text))
        #expect(filter.group == group)
        #expect(filter.device == device)
        #expect(QueueFilter.isQueue(text))
    }

    @Test(arguments: [
        "$queue/#", "$queue/devices/a/#", "$share/g/$queue/a/#", "$share/g/$queue/devices/a",
        "$share/g/$queue/devices/a/b/#", "$share/g/$queue", "$share/g/$queue/devices//#",
    ])
    func `Other filters of queues are refused, with the way to write them`(_ text: String) throws {
        #expect(QueueFilter.isQueue(text))
        #expect(QueueFilter(text) == nil)
        let bench = bench()
        let actions = bench.actions(
            1, .subscribe(Subscribe(packetIdentifier: 9, filters: [.init(text, qos: .atLeastOnce)])))
        #expect(bench.lines(actions) == ["1 SUBACK 9 [0x8F]"])
        guard case .send(_, .suback(let suback))? = actions.first else {
            Issue.record("no SUBACK")
            return
        }
        #expect(suback.properties.reasonString?.contains("$share/{group}/$queue/#") == true)
    }

    @Test func `Topics that only look like queues are ordinary`() {
        for text in ["queue/#", "$queues/#", "+/$queue/#", "$share/g/+/#", "#", ""] {
            #expect(!QueueFilter.isQueue(text), "\(text)")
        }
    }

    @Test func `One SUBACK has the verdicts and the ordinary reasons in their order`() {
        let bench = bench()
        let actions = subscribe(
            bench, ["a", "$share/g/$queue/#", "b", "$share/h/$queue/#"],
            [1: .joined(group: "g"), 3: .refused("no room")])
        #expect(bench.lines(actions) == ["1 SUBACK 9 [0x02, 0x01, 0x02, 0x8F]"])
        #expect(bench.broker.queueFilters(of: ConnectionID(rawValue: 1)) == ["$share/g/$queue/#"])
        #expect(bench.broker.counters.subscriptions == 2)
        #expect(
            bench.unsubscribe(1, ["$share/g/$queue/#", "$share/h/$queue/#"])
                == ["1 left g", "1 UNSUBACK 9 [0x00, 0x11]"])
        #expect(bench.broker.queueFilters(of: ConnectionID(rawValue: 1)) == [])
    }

    @Test func `MQTT 3_1_1 hears 0x80`() {
        let bench = bench(version: .v311)
        let actions = subscribe(
            bench, ["$share/g/$queue/#", "$share/h/$queue/#"], [0: .joined(group: "g"), 1: .refused("no")])
        #expect(bench.lines(actions) == ["1 SUBACK 9 [0x01, 0x80]"])
    }

    @Test func `Receive Maximum bounds what is under way, and each PUBACK gives its ticket back`() {
        let bench = bench(receiveMaximum: 2)
        _ = subscribe(bench, ["$share/g/$queue/#"], [0: .joined(group: "g")], identifier: 7)
        #expect(bench.broker.deliveryWindow(of: ConnectionID(rawValue: 1)) == 2)
        #expect(
            deliver(bench, 1...3) == [
                "1 PUBLISH $queue/t 1 q1 id 1 subscriptions [7]",
                "1 PUBLISH $queue/t 2 q1 id 2 subscriptions [7]",
            ])
        #expect(
            bench.puback(1, 2) == [
                "1 acknowledged g 2", "1 PUBLISH $queue/t 3 q1 id 3 subscriptions [7]",
            ])
        #expect(bench.puback(1, 2) == [])
        #expect(bench.puback(1, 1) == ["1 acknowledged g 1"])
    }

    @Test func `Records go with the connection, ordinary messages stay`() {
        let bench = bench(receiveMaximum: 2)
        _ = subscribe(bench, ["$share/g/$queue/#", "t"], [0: .joined(group: "g")])
        _ = deliver(bench, 1...1)
        bench.publish("t", "x")
        _ = deliver(bench, 2...2)
        bench.publish("t", "y")
        #expect(bench.broker.counters.queued == 2)
        bench.drop(1)
        #expect(bench.broker.counters.queued == 1)
        let lines = bench.connect(2, "a", clean: false, expiry: 100)
        #expect(
            lines.filter { $0.contains("PUBLISH") } == ["2 PUBLISH t x q1 id 2 dup", "2 PUBLISH t y q1 id 3"])
        // The client is still subscribed, so that the hub makes it a member again.
        #expect(bench.broker.queueFilters(of: ConnectionID(rawValue: 2)) == ["$share/g/$queue/#"])
        #expect(bench.puback(2, 1) == [])
    }

    @Test func `What waits can be dropped by its group`() {
        let bench = bench(receiveMaximum: 1)
        _ = subscribe(bench, ["$share/g/$queue/#"], [0: .joined(group: "g")])
        _ = deliver(bench, 1...3)
        #expect(bench.broker.counters.queued == 2)
        bench.broker.dropWaiting(of: "h", for: ConnectionID(rawValue: 1))
        #expect(bench.broker.counters.queued == 2)
        bench.broker.dropWaiting(of: "g", for: ConnectionID(rawValue: 1))
        #expect(bench.broker.counters.queued == 0)
        #expect(bench.puback(1, 1) == ["1 acknowledged g 1"])
    }

    @Test func `A record too large for the client counts as delivered`() {
        let bench = BrokerBench()
        bench.connect(1, "a") { $0.properties.maximumPacketSize = 13 }
        _ = subscribe(bench, ["$share/g/$queue/#"], [0: .joined(group: "g")])
        #expect(deliver(bench, 1...1) == ["1 acknowledged g 1"])
        #expect(bench.broker.counters.droppedTooLarge == 1)
    }
}
