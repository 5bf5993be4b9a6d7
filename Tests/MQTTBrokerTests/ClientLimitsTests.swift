import MQTTWire
import Testing

@testable import MQTTBroker

/// Clients that came in by listeners with limits of their own.
@Suite struct ClientLimitsTests {
    /// Clients of place 1 have small limits, those of 2 take deeper topics than the broker itself, 0 is as always.
    private func bench() -> BrokerBench {
        let bench = BrokerBench {
            $0.topicLevels = 4
            $0.sessionQueueMessages = 3
        }
        var small = ClientLimits(bench.broker.limits)
        small.packetBytesMax = 2_000
        small.receiveMaximum = 2
        small.topicLevels = 2
        small.subscriptionsPerSession = 1
        small.sessionQueueMessages = 1
        var large = ClientLimits(bench.broker.limits)
        large.topicLevels = 6
        large.sessionQueueMessages = 5
        bench.broker.use([small, large])
        return bench
    }

    @discardableResult private func connect(
        _ bench: BrokerBench, _ connection: UInt64, place: Int, _ name: String, expiry: UInt32 = 100,
        will: Will? = nil
    ) -> [BrokerAction] {
        var packet = Connect()
        packet.clientIdentifier = name
        packet.cleanStart = false
        packet.properties.sessionExpiryInterval = expiry
        packet.will = will
        var actions: [BrokerAction] = []
        bench.broker.connect(
            ConnectionID(rawValue: connection), packet, assignedIdentifier: "x", limitsPlace: place,
            now: bench.nanoseconds, actions: &actions)
        _ = bench.lines(actions)
        return actions
    }

    private func answer(_ actions: [BrokerAction]) -> Connack? {
        for case .send(_, .connack(let connack)) in actions { return connack }
        return nil
    }

    @Test(arguments: [(0, 16 << 20, nil), (1, 2_000, 2), (2, 16 << 20, nil)] as [(Int, UInt32, UInt16?)])
    func `CONNACK announces the limits of the listener`(_ place: Int, _ bytes: UInt32, _ count: UInt16?) {
        let properties = answer(connect(bench(), 1, place: place, "a"))?.properties
        #expect(properties?.maximumPacketSize == bytes)
        #expect(properties?.receiveMaximum == count)
    }

    @Test func `Topics, filters and wills are as deep as the listener says`() {
        let bench = bench()
        for place in 0...2 { connect(bench, UInt64(place), place: place, "\(place)") }
        #expect(bench.subscribe(2, "#").last == "2 SUBACK 9 [0x02]")
        #expect(bench.subscribe(0, "1/2/3/4/+") == ["0 SUBACK 9 [0x8F]"])
        #expect(bench.subscribe(1, "1/2/#") == ["1 SUBACK 9 [0x8F]"])
        #expect(bench.subscribe(2, "1/2/3/4/5/6") == ["2 SUBACK 9 [0x02]"])
        #expect(bench.publish(2, "1/2/3/4/5/6", "m") == ["2 PUBLISH 1/2/3/4/5/6 m q0"])
        #expect(bench.publish(1, "1/2", "m") == ["2 PUBLISH 1/2 m q0"])
        #expect(bench.publish(1, "1/2/3", "m").first == "1 DISCONNECT 0x90")
        #expect(bench.publish(0, "1/2/3/4", "m") == ["2 PUBLISH 1/2/3/4 m q0"])
        #expect(bench.publish(0, "1/2/3/4/5", "m").first == "0 DISCONNECT 0x90")
        let deep = Will(topic: "1/2/3", payload: [1], qos: .atMostOnce, retain: false)
        #expect(answer(connect(bench, 7, place: 1, "w", will: deep))?.reason == .topicNameInvalid)
        #expect(answer(connect(bench, 8, place: 0, "w", will: deep))?.reason == .success)
    }

    @Test func `Subscriptions, unfinished messages and what waits are counted by the listener's limits`() {
        let bench = bench()
        for place in 0...2 { connect(bench, UInt64(place), place: place, "\(place)") }
        #expect(bench.subscribe(1, "a").last == "1 SUBACK 9 [0x02]")
        #expect(bench.subscribe(1, "b").last == "1 SUBACK 9 [0x97]")
        for id in [UInt16(1), 2] { bench.publish(1, "x", "m", qos: .exactlyOnce, id: id) }
        for id in [UInt16(1), 2, 3] {
            #expect(bench.publish(0, "x", "m", qos: .exactlyOnce, id: id) == ["0 PUBREC \(id) 0x10"])
        }
        bench.subscribe(0, "a")
        bench.subscribe(2, "a")
        #expect(bench.publish(1, "x", "m", qos: .exactlyOnce, id: 3).first == "1 DISCONNECT 0x93")
        bench.drop(0)
        bench.drop(2)
        for number in 1...7 { bench.publish("a", "\(number)") }
        #expect(bench.broker.counters.queued == 1 + 3 + 5)
        #expect(bench.broker.counters.droppedQueueFull == 6 + 4 + 2)
        // It came in by another door, and has that one's limits now.
        connect(bench, 9, place: 2, "1")
        bench.puback(9, 1)
        bench.drop(9)
        for number in 1...7 { bench.publish("a", "\(number)") }
        #expect(bench.broker.counters.queued == 5 + 3 + 5)
    }

    @Test
    func `What the journal keeps for a session is bounded by its listener, and by the broker after a start`()
    {
        let kept = KeptBench { $0.keptQueueMessages = 4 }
        var small = ClientLimits(kept.bench.broker.limits)
        small.keptQueueMessages = 2
        kept.bench.broker.use([small])
        connect(kept.bench, 1, place: 1, "a")
        kept.bench.subscribe(1, "t", qos: .atLeastOnce)
        kept.bench.drop(1)
        for number in 1...3 { kept.bench.publish("t", "\(number)") }
        #expect(kept.bench.broker.counters.keptMessages == 2)
        kept.restart()
        for number in 4...6 { kept.bench.publish("t", "\(number)") }
        #expect(kept.bench.broker.counters.keptMessages == 4)
    }
}
