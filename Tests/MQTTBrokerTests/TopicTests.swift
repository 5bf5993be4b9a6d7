import MQTTWire
import Testing

@testable import MQTTBroker

@Suite struct TopicTests {
    // MQTT 5.0 §4.7.1 to §4.7.3, with its own examples.
    static let pairs: [(filter: String, topic: String, matches: Bool)] = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/player1/#", "sport/tennis/player10", false),
        ("sport/#", "sport", true),
        ("#", "sport/tennis", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+", "/finance", false),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+/tennis/#", "sport/tennis", true),
        ("sport/+/player1", "sport//player1", true),
        ("sport//player1", "sport/player1", false),
        ("#", "$SYS/monitor", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/+", "a/$b", true),
        ("a/#", "a/$b/c", true),
        ("ACCOUNTS", "Accounts", false),
        ("/finance", "finance", false),
        ("caf\u{E9}", "caf\u{E9}", true),
        ("caf\u{E9}", "cafe\u{301}", false),
        ("Accounts payable/+", "Accounts payable/\u{1F600}", true),
    ]

    @Test(
        "A filter matches the topics the standard says, live, retained and asked for",
        arguments: pairs.indices)
    func match(index: Int) {
        let (filter, topic, matches) = Self.pairs[index]
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.publish(topic, "kept", qos: .atMostOnce, retain: true)
        let replayed = bench.subscribe(1, filter)
        #expect(replayed.count == (matches ? 2 : 1))
        #expect(bench.publish(topic, "x", qos: .atMostOnce).isEmpty == !matches)
        #expect(bench.hasSubscribers(topic) == matches)
    }

    @Test func `Levels past what small strings hold are told apart`() {
        let long = String(repeating: "abcdefgh", count: 8)
        let bench = BrokerBench()
        bench.connect(1, "a")
        bench.subscribe(1, "\(long)1/\(long)", qos: .atMostOnce)
        #expect(bench.publish("\(long)1/\(long)", "x").count == 1)
        #expect(bench.publish("\(long)2/\(long)", "x").isEmpty)
    }

    @Test("The tree finds what a naive matcher finds", .timeLimit(.minutes(2)), arguments: UInt64(1)...20)
    func model(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let bench = BrokerBench()
        let clientCount: UInt64 = 5
        for client in 1...clientCount { bench.connect(client, "c\(client)") }
        var held: [UInt64: [String]] = [:]
        var kept: [String] = []

        for step in 0..<2_000 {
            let client = UInt64.random(in: 1...clientCount, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3:
                let filter = randomFilter(&random)
                let lines = bench.subscribe(client, filter, qos: .atMostOnce)
                let expected = Set(kept.filter { naiveMatches(filter, $0) })
                #expect(Set(lines.dropFirst().map(topic)) == expected, "\(filter)")
                #expect(lines.count == expected.count + 1)
                if !held[client, default: []].contains(filter) { held[client, default: []].append(filter) }
            case 3..<5:
                guard let filter = held[client]?.randomElement(using: &random) else { continue }
                #expect(bench.unsubscribe(client, [filter]) == ["\(client) UNSUBACK 9 [0x00]"])
                held[client]?.removeAll { $0 == filter }
            case 5:
                let topic = randomTopic(&random)
                let clears = Bool.random(using: &random)
                bench.publish(topic, clears ? "" : "x", qos: .atMostOnce, retain: true)
                kept.removeAll { $0 == topic }
                if !clears { kept.append(topic) }
            default:
                let topic = randomTopic(&random)
                let lines = bench.publish(topic, "\(step)", qos: .atMostOnce)
                let expected = (1...clientCount).filter { client in
                    (held[client] ?? []).contains { naiveMatches($0, topic) }
                }
                #expect(lines.map { $0.prefix(1) }.sorted() == expected.map { "\($0)" }, "\(topic)")
                #expect(bench.hasSubscribers(topic) == !expected.isEmpty)
            }
        }
        #expect(bench.broker.counters.subscriptions == held.values.reduce(0) { $0 + $1.count })
        #expect(bench.broker.counters.retained == kept.count)
        for client in 1...clientCount { bench.drop(client) }
        #expect(bench.broker.counters.subscriptions == 0)
        for topic in kept { bench.publish(topic, "", retain: true) }
        #expect(bench.broker.counters.retainedBytes == 0)
    }

    private func topic(_ line: String) -> String { String(line.split(separator: " ")[2]) }

    private func randomTopic(_ random: inout SeededGenerator) -> String {
        let count = Int.random(in: 1...5, using: &random)
        let levels = (0..<count).map { _ in ["a", "b", "c", "", "$d"].randomElement(using: &random) ?? "a" }
        let topic = levels.joined(separator: "/")
        return topic.isEmpty ? "a" : topic
    }

    private func randomFilter(_ random: inout SeededGenerator) -> String {
        let count = Int.random(in: 1...5, using: &random)
        var levels = (0..<count).map { _ in
            ["a", "b", "c", "", "$d", "+", "+"].randomElement(using: &random) ?? "a"
        }
        if Int.random(in: 0..<3, using: &random) == 0 { levels[count - 1] = "#" }
        let filter = levels.joined(separator: "/")
        return filter.isEmpty ? "+" : filter
    }

    /// Straight from the text of the standard.
    private func naiveMatches(_ filter: String, _ topic: String) -> Bool {
        let filter = filter.split(separator: "/", omittingEmptySubsequences: false)
        let topic = topic.split(separator: "/", omittingEmptySubsequences: false)
        if topic[0].hasPrefix("$"), filter[0] == "+" || filter[0] == "#" { return false }
        for (index, level) in filter.enumerated() {
            if level == "#" { return topic.count >= index }
            guard index < topic.count else { return false }
            if level != "+", level != topic[index] { return false }
        }
        return filter.count == topic.count
    }
}
