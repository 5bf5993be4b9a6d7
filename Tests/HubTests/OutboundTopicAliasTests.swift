import Testing

@testable import Hub

/// Topic aliases towards a client.
@Suite("Topic aliases towards a client")
struct OutboundTopicAliasTests {
    @Test("A topic gets an alias when it comes again, and is said by it from then on")
    func again() {
        var aliases = OutboundTopicAliases(maximum: 2)
        #expect(aliases.use(for: "a") == .name)
        #expect(aliases.use(for: "a") == .set(1))
        #expect(aliases.use(for: "a") == .alias(1))
        #expect(aliases.use(for: "b") == .name)
        #expect(aliases.use(for: "b") == .set(2))
        #expect(aliases.use(for: "a") == .alias(1))
    }

    @Test("Without a maximum there is none")
    func none() {
        var aliases = OutboundTopicAliases(maximum: 0)
        for _ in 0..<5 { #expect(aliases.use(for: "a") == .name) }
    }

    @Test("When all are taken one that was not used for a while changes hands")
    func replacement() {
        var aliases = OutboundTopicAliases(maximum: 2)
        for topic in ["a", "a", "b", "b"] { _ = aliases.use(for: topic) }
        #expect(aliases.use(for: "c") == .name)
        #expect(aliases.use(for: "c") == .set(1))
        // The hand has passed `b`; `a` has none any more, and is seen for the second time.
        #expect(aliases.use(for: "c") == .alias(1))
        #expect(aliases.use(for: "a") == .set(2))
        #expect(aliases.use(for: "b") == .set(1))
    }

    @Test("An alias that was not sent is free again")
    func withdrawal() {
        var aliases = OutboundTopicAliases(maximum: 2)
        _ = aliases.use(for: "a")
        #expect(aliases.use(for: "a") == .set(1))
        aliases.withdraw(1)
        #expect(aliases.use(for: "a") == .set(1))
    }

    @Test("Texts that are canonically equal are different topics")
    func bytes() {
        var aliases = OutboundTopicAliases(maximum: 5)
        for topic in ["\u{E9}", "\u{E9}"] { _ = aliases.use(for: topic) }
        #expect(aliases.use(for: "\u{E9}") == .alias(1))
        #expect(aliases.use(for: "e\u{301}") == .name)
        #expect(aliases.use(for: "e\u{301}") == .name)
    }

    @Test("A client that follows the rules understands every topic, whatever comes", arguments: 1...20)
    func model(seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15
        func below(_ count: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1
            return (random >> 33) % count
        }
        let maximum = UInt16(1 + below(8))
        var aliases = OutboundTopicAliases(maximum: maximum)
        var known: [UInt16: String] = [:]
        for _ in 0..<2_000 {
            let topic = "t\(below(12))"
            switch aliases.use(for: topic) {
            case .name: break
            case .alias(let alias): #expect(known[alias] == topic)
            case .set(let alias):
                #expect((1...maximum).contains(alias))
                if below(10) == 0 { aliases.withdraw(alias) } else { known[alias] = topic }
            }
        }
    }
}
