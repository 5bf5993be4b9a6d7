import Testing

@testable import Access

@Suite("Topics of access rules")
struct AccessPatternTests {
    private static let identity = ClientIdentity(client: "c1", user: "u1")

    struct Vector: CustomTestStringConvertible {
        var pattern: String
        var topic: String
        var matches: Bool
        var client = "c1"
        var testDescription: String { "\(pattern) ~ \(topic) (\(client))" }
    }

    @Test(
        "a pattern takes the topics that MQTT says, with the client's names in it",
        arguments: [
            Vector(pattern: "a/b", topic: "a/b", matches: true),
            Vector(pattern: "a/b", topic: "a/b/c", matches: false),
            Vector(pattern: "a/b", topic: "a", matches: false),
            Vector(pattern: "a/+", topic: "a/b", matches: true),
            Vector(pattern: "a/+", topic: "a/", matches: true),
            Vector(pattern: "a/#", topic: "a", matches: true),
            Vector(pattern: "a/#", topic: "a/b/c", matches: true),
            Vector(pattern: "#", topic: "a/b", matches: true),
            Vector(pattern: "#", topic: "$SYS/x", matches: false),
            Vector(pattern: "+/x", topic: "$SYS/x", matches: false),
            Vector(pattern: "$SYS/#", topic: "$SYS/x", matches: true),
            Vector(pattern: "devices/%c/#", topic: "devices/c1/telemetry", matches: true),
            Vector(pattern: "devices/%c/#", topic: "devices/c12/telemetry", matches: false),
            Vector(pattern: "devices/x-%c/y", topic: "devices/x-c1/y", matches: true),
            Vector(pattern: "%u/%c", topic: "u1/c1", matches: true),
            Vector(pattern: "100%%/%c", topic: "100%/c1", matches: true),
            Vector(pattern: "devices/%c/#", topic: "devices/+/x", matches: false, client: "+"),
            Vector(pattern: "devices/%c/#", topic: "devices/a/b/x", matches: false, client: "a/b"),
            Vector(pattern: "devices/%c/#", topic: "devices/#/x", matches: false, client: "#"),
            Vector(pattern: "%c/#", topic: "$SYS/x", matches: false, client: "$SYS"),
            Vector(pattern: "d/%c", topic: "d/$x", matches: true, client: "$x"),
        ])
    func topics(_ vector: Vector) throws {
        let identity = ClientIdentity(client: vector.client, user: "u1")
        let pattern = try AccessPattern(vector.pattern)
        #expect(pattern.matches(vector.topic, identity, isDenying: false) == vector.matches)
    }

    @Test("a name that cannot stand for a level makes a denying rule wider, never narrower")
    func voidNames() throws {
        let pattern = try AccessPattern("private/%c/x")
        let odd = ClientIdentity(client: "a/b")
        #expect(pattern.matches("private/a/b/x", odd, isDenying: true))
        #expect(pattern.matches("private/z/x", odd, isDenying: true))
        #expect(!pattern.matches("public/a/b/x", odd, isDenying: true))
        #expect(pattern.relation(to: "private/+/x", odd, isDenying: true) == .covers)
        #expect(pattern.relation(to: "private/+/x", odd, isDenying: false) == .disjoint)
    }

    struct FilterVector: CustomTestStringConvertible {
        var pattern: String
        var filter: String
        var relation: AccessPattern.Relation
        var testDescription: String { "\(pattern) ~ \(filter)" }
    }

    @Test(
        "a filter is covered, or overlaps, or neither",
        arguments: [
            FilterVector(pattern: "#", filter: "#", relation: .covers),
            FilterVector(pattern: "#", filter: "a/+/b", relation: .covers),
            FilterVector(pattern: "#", filter: "$SYS/#", relation: .disjoint),
            FilterVector(pattern: "$SYS/#", filter: "#", relation: .disjoint),
            FilterVector(pattern: "$SYS/#", filter: "+/broker", relation: .disjoint),
            FilterVector(pattern: "$SYS/#", filter: "$SYS/#", relation: .covers),
            FilterVector(pattern: "a/#", filter: "#", relation: .overlaps),
            FilterVector(pattern: "a/#", filter: "a", relation: .covers),
            FilterVector(pattern: "a/#", filter: "a/#", relation: .covers),
            FilterVector(pattern: "a/#", filter: "+/b", relation: .overlaps),
            FilterVector(pattern: "a/+", filter: "a/#", relation: .overlaps),
            FilterVector(pattern: "a/+", filter: "a/+", relation: .covers),
            FilterVector(pattern: "a/b", filter: "a/+", relation: .overlaps),
            FilterVector(pattern: "a", filter: "a/#", relation: .overlaps),
            FilterVector(pattern: "a", filter: "a/b", relation: .disjoint),
            FilterVector(pattern: "a/b", filter: "a", relation: .disjoint),
            FilterVector(pattern: "devices/%c/#", filter: "devices/c1/#", relation: .covers),
            FilterVector(pattern: "devices/%c/#", filter: "devices/+/#", relation: .overlaps),
            FilterVector(pattern: "devices/%c/#", filter: "devices/c2/#", relation: .disjoint),
        ])
    func filters(_ vector: FilterVector) throws {
        let pattern = try AccessPattern(vector.pattern)
        #expect(pattern.relation(to: vector.filter, Self.identity, isDenying: false) == vector.relation)
    }

    /// A filter that is covered has no topic that the pattern does not take; drawn at random against a naive model.
    @Test("what is covered is taken, topic by topic", arguments: 0..<20)
    func model(seed: UInt64) throws {
        var random = SmallRandom(state: seed &* 7_919 &+ 1)
        for _ in 0..<500 {
            let pattern = try AccessPattern(random.filter())
            let filter = random.filter()
            let relation = pattern.relation(to: filter, Self.identity, isDenying: false)
            let asPattern = try AccessPattern(filter)
            var taken = 0
            var asked = 0
            for _ in 0..<60 {
                let topic = random.topic()
                guard asPattern.matches(topic, Self.identity, isDenying: false) else { continue }
                asked += 1
                if pattern.matches(topic, Self.identity, isDenying: false) { taken += 1 }
            }
            switch relation {
            case .covers: #expect(taken == asked, "\(pattern) \(filter)")
            case .disjoint: #expect(taken == 0, "\(pattern) \(filter)")
            case .overlaps: break
            }
        }
    }

    @Test(
        "what is no topic filter is refused with what to write",
        arguments: [
            ("", "a topic filter is not empty"),
            ("a/#/b", "# stands only at the end of a topic filter"),
            ("a+/b", "\"a+\": a wildcard stands for a whole level, such as a/+/b"),
            ("x/%d", "\"%d\": there are %c (client identifier), %u (user name) and %% (a percent sign)"),
            (
                "$share/g/a",
                "a rule is about the topics behind \"$share/…/\": leave that out, it is for them too"
            ),
        ])
    func problems(_ text: String, _ problem: String) {
        #expect(throws: AccessPattern.Problem(description: problem)) { try AccessPattern(text) }
    }
}

extension AccessPattern {
    fileprivate func matches(_ topic: String, _ identity: ClientIdentity, isDenying: Bool) -> Bool {
        Array(topic.utf8).withUnsafeBytes { matches($0, identity, isDenying: isDenying) }
    }

    fileprivate func relation(
        to filter: String, _ identity: ClientIdentity, isDenying: Bool
    ) -> Relation {
        Array(filter.utf8).withUnsafeBytes { relation(to: $0, identity, isDenying: isDenying) }
    }
}

private struct SmallRandom {
    var state: UInt64

    mutating func below(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(count))
    }

    mutating func filter() -> String {
        var levels = (0...below(3)).map { _ in ["a", "b", "+", "$s", "c1"][below(5)] }
        if below(3) == 0 { levels[levels.count - 1] = "#" }
        return levels.joined(separator: "/")
    }

    mutating func topic() -> String {
        (0...below(4)).map { _ in ["a", "b", "$s", "c1"][below(4)] }.joined(separator: "/")
    }
}
