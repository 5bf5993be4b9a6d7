import MQTTWire
import Testing

@testable import MQTTBroker

/// Retained messages that are more than one turn of the loop should deal with.
@Suite struct ReplaySliceTests {
    private func topics(_ lines: [String]) -> [String] {
        lines.filter { $0.contains(" PUBLISH ") }.map { String($0.split(separator: " ")[2]) }
    }

    @Test("A SUBSCRIBE gets its retained messages in slices, and others are served between")
    func slices() {
        let bench = BrokerBench { $0.replaySliceSteps = 20 }
        for number in 1...100 { bench.publish("kept/\(number)", "x", retain: true) }
        bench.connect(1, "a")
        bench.connect(2, "b")
        var first = topics(bench.subscribe(1, "kept/#", qos: .atLeastOnce))
        #expect((1...20).contains(first.count))
        var second = topics(bench.subscribe(2, "kept/+", qos: .atLeastOnce))
        var slices = 0
        while bench.hasReplays {
            slices += 1
            let lines = bench.turn()
            #expect(topics(lines).count <= 20)
            first += topics(lines.filter { $0.hasPrefix("1 ") })
            second += topics(lines.filter { $0.hasPrefix("2 ") })
        }
        #expect(slices >= 8)
        #expect(first == (1...100).map { "kept/\($0)" })
        #expect(second == first)
    }

    @Test("What is published meanwhile comes once, and its former value not behind it")
    func meanwhile() {
        let bench = BrokerBench { $0.replaySliceSteps = 10 }
        for number in 1...30 { bench.publish("kept/\(number)", "old", retain: true) }
        bench.connect(1, "a")
        var lines = bench.subscribe(1, "kept/#", qos: .atLeastOnce)
        lines += bench.publish("kept/30", "new", retain: true)
        lines += bench.publish("kept/31", "new", retain: true)
        while bench.hasReplays { lines += bench.turn() }
        #expect(lines.filter { $0.contains("kept/30 ") }.count == 1)
        #expect(lines.filter { $0.contains("kept/31 new") }.count == 1)
        #expect(lines.filter { $0.contains(" old ") }.count == 29)
    }

    @Test("A client that returns to a long backlog is not waited for, until it has caught up once")
    func returns() {
        let bench = BrokerBench {
            $0.awaitedMessages = 4
            $0.inflightMax = 1
        }
        bench.connect(1, "a", expiry: 100)
        bench.subscribe(1, "t", qos: .atLeastOnce)
        bench.drop(1)
        for _ in 1...6 { bench.publish("t", "x") }
        bench.connect(2, "a", clean: false, expiry: 100)
        bench.publish("t", "x")
        #expect(!bench.takeIsCrowded())
        for identifier in 1...4 as ClosedRange<UInt16> { bench.puback(2, identifier) }
        #expect(!bench.takeIsCrowded())
        for _ in 1...2 { bench.publish("t", "x") }
        #expect(bench.takeIsCrowded())
    }

    @Test("A session that ends takes its walk with it, and one that asks too often is refused")
    func ends() {
        let bench = BrokerBench {
            $0.replaySliceSteps = 5
            $0.replaysPerSession = 3
        }
        for number in 1...50 { bench.publish("kept/\(number)", "x", retain: true) }
        bench.connect(1, "a")
        for _ in 1...5 { bench.subscribe(1, "kept/#", qos: .atLeastOnce) }
        #expect(bench.broker.counters.replaysRefused == 2)
        #expect(bench.hasReplays)
        bench.disconnect(1)
        for _ in 1...3 { #expect(bench.turn() == []) }
        #expect(!bench.hasReplays)
    }

    @Test(
        "Whatever is retained and cleared during a walk, it finds each message that stays, once",
        arguments: UInt64(1)...20)
    func model(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let store = RetainedStore()
        var kept: Set<String> = []
        func topic() -> String {
            (0..<Int.random(in: 1...3, using: &random)).map { _ in "\(Int.random(in: 0..<8, using: &random))"
            }
            .joined(separator: "/")
        }
        func change() -> String {
            let name = topic()
            let levels = TopicName.levels(name)
            if Bool.random(using: &random) {
                _ = store.remove(levels)
                kept.remove(name)
            } else {
                _ = store.set(
                    Message(topic: name, payload: [1], qos: .atMostOnce, retain: true), levels: levels)
                kept.insert(name)
            }
            return name
        }
        for _ in 0..<400 { _ = change() }
        for text in ["#", "+/#", "+/+", "1/#", "+/2/+", "3"] {
            guard let filter = TopicFilter(text, levelsMax: 8) else { continue }
            let tree = TopicTree()
            let session = Session(clientIdentifier: "s", number: 1, version: .v5)
            _ = tree.insert(
                Subscription(
                    session: session, qos: .atMostOnce, noLocal: false, retainAsPublished: false,
                    identifiers: []),
                filter: filter)
            let expected = kept.filter { name in Array(name.utf8).withUnsafeBytes { tree.hasMatch($0) } }
            var touched: Set<String> = []
            var found: [String] = []
            let walk = store.walk(filter)
            while !walk.isDone {
                var steps = Int.random(in: 1...5, using: &random)
                while let message = walk.next(steps: &steps) { found.append(message.topic) }
                for _ in 0..<3 { touched.insert(change()) }
            }
            store.end(walk)
            #expect(Set(found).count == found.count)
            #expect(Set(found).subtracting(touched) == expected.subtracting(touched))
            #expect(Set(found).isSubset(of: expected))
        }
    }
}
