import MQTTBroker
import MQTTWire
import Testing

/// What the broker is again when it is started from its journal.
@Suite struct KeptStateTests {
    @Test(
        "A lasting session is there again with its subscriptions, their options and their identifiers",
        arguments: [false, true])
    func subscriptions(isCleaned: Bool) {
        let kept = KeptBench()
        kept.bench.connect(1, "a", expiry: 1_000)
        kept.bench.subscribe(1, "t/#", qos: .exactlyOnce, identifier: 7) { $0.retainAsPublished = true }
        kept.bench.subscribe(1, "own", qos: .atLeastOnce) { $0.noLocal = true }
        kept.bench.subscribe(1, "gone", qos: .atLeastOnce)
        kept.bench.unsubscribe(1, ["gone"])
        kept.bench.connect(2, "short", expiry: 0)
        kept.bench.subscribe(2, "t/#", qos: .atLeastOnce)
        if isCleaned { kept.clean() }
        kept.restart()
        #expect(kept.bench.broker.counters.sessions == 1)
        #expect(kept.bench.broker.counters.subscriptions == 2)
        #expect(kept.bench.connect(3, "a", clean: false, expiry: 1_000).contains("3 CONNACK 0x00 present"))
        #expect(
            kept.bench.publish("t/x", "1", qos: .exactlyOnce, retain: true)
                == ["3 PUBLISH t/x 1 q2 id 1 retain subscriptions [7]"])
        #expect(kept.bench.publish(3, "own", "2", qos: .atLeastOnce, id: 5) == ["3 PUBACK 5"])
        #expect(kept.bench.publish("gone", "3") == [])
    }

    @Test("A session lasts as long as it was to, the time that the hub was down included")
    func expiry() {
        let kept = KeptBench()
        kept.bench.connect(1, "a", expiry: 100)
        kept.bench.connect(2, "b", expiry: 100)
        kept.bench.connect(3, "c", expiry: .max)
        kept.bench.drop(1)
        kept.bench.drop(3)
        kept.bench.pass(60)
        kept.restart(after: 30)
        #expect(kept.bench.broker.counters.sessions == 3)
        // Who was connected has been away since the start.
        kept.bench.pass(11)
        #expect(kept.bench.broker.counters.sessions == 2)
        kept.restart(after: 50)
        #expect(kept.bench.broker.counters.sessions == 2)
        kept.restart(after: 51)
        #expect(kept.bench.broker.counters.sessions == 1)
    }

    @Test("A session whose end is due is not resumed, also when its client comes before the timers do")
    func endIsDue() {
        let bench = BrokerBench()
        bench.connect(1, "a", expiry: 2)
        bench.drop(1)
        bench.now += 2
        #expect(bench.connect(2, "a", clean: false, expiry: 2).contains("2 CONNACK 0x00"))
        #expect(bench.broker.counters.sessionsExpired == 1)
    }

    @Test(
        "What waits comes in order, from disk, with the identifiers and the state it had",
        arguments: [false, true])
    func backlog(isCleaned: Bool) {
        let kept = KeptBench {
            $0.presentMessages = 3
            $0.inflightMax = 2
        }
        kept.bench.connect(1, "a", expiry: 1_000)
        kept.bench.subscribe(1, "t", qos: .exactlyOnce)
        for number in 1...6 {
            kept.bench.publish("t", "\(number)", qos: number == 4 ? .atLeastOnce : .exactlyOnce)
        }
        kept.bench.pubrec(1, 1)
        kept.bench.drop(1)
        kept.bench.publish("t", "7", qos: .atLeastOnce)
        #expect(kept.bench.publish("t", "zero", qos: .atMostOnce) == [])
        if isCleaned { kept.clean() }
        kept.restart()
        #expect(kept.bench.broker.counters.queued == 5)
        #expect(kept.bench.broker.counters.keptMessages == 5)
        let lines = kept.bench.connect(2, "a", clean: false, expiry: 1_000)
        #expect(lines.contains("2 PUBREL 1"))
        #expect(kept.read() == ["2 PUBLISH t 2 q2 id 2 dup"])
        #expect(kept.bench.pubcomp(2, 1) == ["2 PUBLISH t 3 q2 id 3"])
        kept.bench.pubrec(2, 2)
        #expect(kept.bench.pubcomp(2, 2) + kept.read() == ["2 PUBLISH t 4 q1 id 4"])
        kept.bench.pubrec(2, 3)
        var rest = kept.bench.pubcomp(2, 3) + kept.read()
        rest += kept.bench.puback(2, 4) + kept.read()
        #expect(rest.filter { $0.contains("PUBLISH") } == ["2 PUBLISH t 5 q2 id 5", "2 PUBLISH t 6 q2 id 6"])
        kept.bench.pubrec(2, 5)
        #expect((kept.bench.pubcomp(2, 5) + kept.read()).last == "2 PUBLISH t 7 q1 id 7")
        kept.bench.pubrec(2, 6)
        kept.bench.pubcomp(2, 6)
        kept.bench.puback(2, 7)
        #expect(kept.bench.broker.counters.keptMessages == 0)
        #expect(kept.bench.broker.counters.keptBytes == 0)
        #expect(kept.bench.publish("t", "8") == ["2 PUBLISH t 8 q1 id 8"])
    }

    @Test("A QoS 2 message that was taken is not taken again after a start")
    func inbound() {
        let kept = KeptBench()
        kept.bench.connect(1, "a", expiry: 1_000)
        kept.bench.connect(2, "s", expiry: 1_000)
        kept.bench.subscribe(2, "t", qos: .exactlyOnce)
        kept.bench.publish(1, "t", "1", qos: .exactlyOnce, id: 5)
        kept.bench.publish(1, "t", "2", qos: .exactlyOnce, id: 6)
        kept.bench.pubrel(1, 6)
        kept.restart()
        kept.bench.connect(3, "a", clean: false, expiry: 1_000)
        kept.bench.publish(3, "t", "1", qos: .exactlyOnce, id: 5)
        #expect(kept.bench.broker.counters.queued == 0, "both are in flight")
        #expect(kept.bench.broker.counters.duplicatesReceived == 1)
        // Released: another message.
        kept.bench.publish(3, "t", "3", qos: .exactlyOnce, id: 6)
        #expect(kept.bench.broker.counters.queued == 1)
        #expect(kept.bench.pubrel(3, 5) == ["3 PUBCOMP 5"])
    }

    @Test(
        "Retained messages are there again, but for those that expired, were cleared or are the hub's own",
        arguments: [false, true])
    func retained(isCleaned: Bool) {
        let kept = KeptBench()
        kept.bench.publish("r/1", "old", retain: true)
        kept.bench.publish("r/1", "new", retain: true)
        kept.bench.publish("r/2", "short", retain: true, expiry: 20)
        kept.bench.publish("r/3", "long", retain: true, expiry: 200)
        kept.bench.publish("r/4", "cleared", retain: true)
        kept.bench.publish("r/4", "", retain: true)
        kept.bench.publish(
            Message(
                topic: "r/5", payload: [1], qos: .atLeastOnce, retain: true, isRestoredByHub: true))
        if isCleaned { kept.clean() }
        kept.restart(after: 50)
        kept.bench.connect(1, "a")
        let lines = kept.bench.subscribe(1, "r/#", qos: .atLeastOnce).filter { $0.contains("PUBLISH") }
        #expect(lines.count == 2)
        #expect(lines.contains { $0.hasPrefix("1 PUBLISH r/1 new q1") && $0.hasSuffix("retain") })
        #expect(lines.contains { $0.hasPrefix("1 PUBLISH r/3 long q1") && $0.hasSuffix("expiry 150") })
    }

    @Test(
        "What comes while no member is there belongs to the group, over a start too",
        arguments: [false, true])
    func share(isCleaned: Bool) {
        let kept = KeptBench { $0.inflightMax = 2 }
        for (connection, name) in [(UInt64(1), "a"), (2, "b")] {
            kept.bench.connect(connection, name, expiry: 1_000)
            kept.bench.subscribe(connection, "$share/g/t/#", qos: .atLeastOnce)
            kept.bench.drop(connection)
        }
        for number in 1...5 { kept.bench.publish("t/x", "\(number)", qos: .exactlyOnce) }
        if isCleaned { kept.clean() }
        kept.restart()
        #expect(kept.bench.broker.counters.queued == 5)
        kept.bench.connect(4, "b", clean: false, expiry: 1_000)
        #expect(kept.read() == ["4 PUBLISH t/x 1 q1 id 1", "4 PUBLISH t/x 2 q1 id 2"])
        kept.bench.connect(5, "a", clean: false, expiry: 1_000)
        #expect(kept.read() == ["5 PUBLISH t/x 3 q1 id 1", "5 PUBLISH t/x 4 q1 id 2"])
        // Behind what waits.
        kept.bench.publish("t/x", "6")
        kept.bench.puback(5, 1)
        #expect(kept.read() == ["5 PUBLISH t/x 5 q1 id 3"])
        kept.bench.puback(4, 1)
        #expect(kept.read() == ["4 PUBLISH t/x 6 q1 id 3"])
        #expect(kept.bench.broker.counters.keptMessages == 0)
    }

    @Test("The backlog of a group goes with its last member")
    func shareEnds() {
        let kept = KeptBench()
        kept.bench.connect(1, "a", expiry: 10)
        kept.bench.subscribe(1, "$share/g/t", qos: .atLeastOnce)
        kept.bench.drop(1)
        kept.bench.publish("t", "1")
        #expect(kept.bench.broker.counters.keptMessages == 1)
        kept.bench.pass(11)
        #expect(kept.bench.broker.counters.keptMessages == 0)
        #expect(kept.bench.broker.counters.queued == 0)
        kept.restart()
        #expect(kept.bench.broker.counters.queued == 0)
    }

    @Test("At its limits a session keeps the oldest, and the rest is counted")
    func limits() {
        let kept = KeptBench {
            $0.keptQueueMessages = 3
            $0.keptQueueMessagesAll = 5
        }
        for (connection, name) in [(UInt64(1), "a"), (2, "b")] {
            kept.bench.connect(connection, name, expiry: 1_000)
            kept.bench.subscribe(connection, "t", qos: .atLeastOnce)
            kept.bench.drop(connection)
        }
        for number in 1...4 { kept.bench.publish("t", "\(number)") }
        #expect(kept.bench.broker.counters.keptMessages == 5)
        #expect(kept.bench.broker.counters.droppedQueueFull == 3)
        kept.restart()
        kept.bench.connect(3, "a", clean: false, expiry: 1_000)
        #expect(kept.read().map { $0.split(separator: " ")[3] } == ["1", "2", "3"])
    }

    @Test("A body that does not read back is counted and skipped, and the rest comes")
    func unreadable() {
        let kept = KeptBench()
        kept.bench.connect(1, "a", expiry: 1_000)
        kept.bench.subscribe(1, "t", qos: .atLeastOnce)
        kept.bench.drop(1)
        kept.bench.publish("t", "1")
        kept.bench.publish("t", "2")
        kept.bench.connect(2, "a", clean: false, expiry: 1_000)
        let request = kept.bench.wanted.removeFirst()
        var actions: [BrokerAction] = []
        let second = Message(topic: "t", payload: Array("2".utf8), qos: .atLeastOnce, retain: false)
        kept.bench.broker.backlogRead(request, [nil, second], now: kept.bench.nanoseconds, actions: &actions)
        #expect(kept.bench.lines(actions) == ["2 PUBLISH t 2 q1 id 2"])
        #expect(kept.bench.broker.counters.droppedUnreadable == 1)
        #expect(kept.bench.broker.counters.keptMessages == 0)
    }

    @Test("Who is away costs no memory for the bodies that wait, however many sessions wait for one")
    func bodies() {
        let kept = KeptBench()
        for number in 1...20 {
            kept.bench.connect(UInt64(number), "s\(number)", expiry: 1_000)
            kept.bench.subscribe(UInt64(number), "t", qos: .atLeastOnce)
            kept.bench.drop(UInt64(number))
        }
        kept.commit()
        let before = kept.bytes
        kept.bench.publish("t", String(repeating: "x", count: 10_000))
        kept.commit()
        #expect(kept.bytes - before < 11_500, "the body stands once")
    }
}
