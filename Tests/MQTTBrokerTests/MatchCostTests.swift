import MQTTWire
import Testing

@testable import MQTTBroker

/// What a match costs, in nodes visited: counted, not timed.
@Suite struct MatchCostTests {
    private let session = Session(clientIdentifier: "s", number: 1, version: .v5)

    private func insert(_ text: String, into tree: TopicTree) {
        guard let filter = TopicFilter(text, levelsMax: 128) else { return }
        _ = tree.insert(
            Subscription(
                session: session, qos: .atMostOnce, noLocal: false, retainAsPublished: false,
                identifiers: []), filter: filter)
    }

    private func visits(_ topic: String, in tree: TopicTree) -> (nodes: Int, matched: Int) {
        let before = tree.visits
        var buckets: [TopicTree.Bucket] = []
        tree.collect(TopicName.levels(topic), into: &buckets)
        return (tree.visits - before, buckets.count)
    }

    @Test("A match costs the same among 1,000 and among 50,000 subscriptions with wildcards")
    func number() {
        let tree = TopicTree()
        var costs: [Int] = []
        var inserted = 0
        for count in [1_000, 10_000, 50_000] {
            while inserted < count {
                let device = inserted / 4
                switch inserted % 4 {
                case 0: insert("site/\(device % 100)/\(device)/+/value", into: tree)
                case 1: insert("site/+/\(device)/#", into: tree)
                case 2: insert("+/\(device % 100)/\(device)/temperature/value", into: tree)
                default: insert("site/\(device % 100)/+/state/\(device)", into: tree)
                }
                inserted += 1
            }
            let cost = visits("site/42/142/temperature/value", in: tree)
            #expect(cost.matched == 3)
            costs.append(cost.nodes)
        }
        #expect(Set(costs).count == 1, "\(costs)")
        #expect(costs[0] <= 15, "the root, and at most a child and a plus for each that goes on")
    }

    @Test("Filters made to branch at every level cost two to the depth, and no more than there are")
    func adversary() {
        for depth in 1...10 {
            let tree = TopicTree()
            // Every mixture of a name and a plus.
            for mixture in 0..<(1 << depth) {
                let levels = (0..<depth).map { mixture >> $0 & 1 == 0 ? "a" : "+" }
                insert(levels.joined(separator: "/"), into: tree)
            }
            let topic = Array(repeating: "a", count: depth).joined(separator: "/")
            let cost = visits(topic, in: tree)
            #expect(cost.matched == 1 << depth)
            #expect(cost.nodes == (2 << depth) - 1)
        }
        // One filter of many levels is one path.
        let tree = TopicTree()
        insert(Array(repeating: "+", count: 128).joined(separator: "/"), into: tree)
        #expect(visits(Array(repeating: "a", count: 128).joined(separator: "/"), in: tree).nodes == 129)
    }
}
