import FileStoreKit
import Testing

@testable import Hub

@Suite("Topic filters of ingest rules")
struct TopicPatternTests {
    @Test(
        "what cannot be a filter is refused with what to write",
        arguments: [
            ("", "not empty"), ("a/#/b", "only at the end"), ("a/{b}c", "whole level"),
            ("a/b+", "whole level"),
            ("{a}/{a}", "stands twice"), ("a/{}", "letters, digits"), ("a/{b c}", "letters, digits"),
            ("$share/g/a", "does not share"), ("{clientId}/a", "names the MQTT client"),
            (String(repeating: "a/", count: 40), "at most 32 levels"),
        ])
    func refused(text: String, reason: String) {
        let problem = #expect(throws: TopicPattern.Problem.self) { try TopicPattern(text) }
        #expect(problem?.description.contains(reason) == true, "\(String(describing: problem))")
    }

    private static let words = ["a", "b", "", "$x"]

    private static func pattern(_ random: inout Random) -> String {
        var parts = (0..<(1 + random.below(3))).map { _ in
            random.below(3) == 0 ? "+" : words[random.below(words.count)]
        }
        if random.below(3) == 0 { parts.append("#") }
        let text = parts.joined(separator: "/")
        return text.isEmpty ? "a" : text
    }

    /// Every topic of up to four levels of the words.
    private static let topics: [[String]] = {
        var all: [[String]] = [[]]
        var last: [[String]] = [[]]
        for _ in 0..<4 {
            last = last.flatMap { topic in words.map { topic + [$0] } }
            all += last
        }
        return all.filter { !$0.isEmpty && $0 != [""] }
    }()

    /// MQTT 5.0 §4.7, level by level.
    private static func matches(_ pattern: [String], _ topic: [String]) -> Bool {
        if topic[0].hasPrefix("$"), ["+", "#"].contains(pattern[0]) { return false }
        for (index, level) in pattern.enumerated() {
            if level == "#" { return true }
            guard index < topic.count, level == "+" || level == topic[index] else { return false }
        }
        return pattern.count == topic.count
            || (pattern.count == topic.count + 1 && pattern.last == "#")
    }

    @Test("matching, containing and overlapping are what trying every topic says", arguments: 1...40)
    func againstEveryTopic(seed: Int) throws {
        var random = Random(seed: UInt64(seed))
        let texts = [Self.pattern(&random), Self.pattern(&random)]
        let patterns = try texts.map { try TopicPattern($0) }
        var taken: [[Bool]] = []
        for (text, pattern) in zip(texts, patterns) {
            let rule = IngestRule(
                name: "", topic: pattern, device: .field(.property("d")), ids: [], times: [])
            let table = IngestTable(rules: [rule])
            let levels = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            let wanted = Self.topics.map { Self.matches(levels, $0) }
            let found = Self.topics.map { topic in
                Array(topic.joined(separator: "/").utf8).withUnsafeBytes { table.match($0) != nil }
            }
            #expect(found == wanted, "\(text)")
            taken.append(wanted)
        }
        let pairs = zip(taken[0], taken[1])
        #expect(patterns[0].contains(patterns[1]) == pairs.allSatisfy { $0 || !$1 }, "\(texts)")
        #expect(patterns[0].overlaps(patterns[1]) == pairs.contains { $0 && $1 }, "\(texts)")
    }

    /// SplitMix64: the same patterns for the same seed.
    struct Random {
        private var state: UInt64

        init(seed: UInt64) { state = seed }

        mutating func below(_ bound: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var bits = state
            bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((bits ^ (bits >> 31)) % UInt64(bound))
        }
    }
}
