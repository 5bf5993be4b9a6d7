import QueryLanguage
import Testing

@Suite struct QueryFuzzTests {
    private static let words = [
        "SELECT", "FROM", "WHERE", "GROUP", "BY", "HAVING", "INTO", "WITH", "AS", "UNION", "ALL", "JOIN",
        "LEFT",
        "ON", "CROSS", "APPLY", "TIMESTAMP", "OVER", "PARTITION", "LIMIT", "DURATION", "WHEN", "CASE", "THEN",
        "ELSE", "END", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "CAST", "CREATE", "TABLE",
        "DISTINCT", "ORDER", "COUNT", "LAG", "TumblingWindow", "HoppingWindow", "SessionWindow", "Windows",
        "Window", "Hop", "Offset", "DATEDIFF", "System", "Timestamp", "minute", "second", "bigint", "a", "b",
        "input", "(", "(", ")", ")", ",", ",", ".", "*", "=", "<", ">=", "+", "-", "/", "%", ";", "[x]",
        "[0]",
        "'t'", "N'ü'", "1", "2.5", "9223372036854775808", "--", "/*", "*/", "\n", "'", "[", "]", "\"", "é",
        "🙂",
    ]

    /// Reads, checks, renders and prints; each error must name a place inside the text.
    private func swallow(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for error in checkQuery(text: text, referenceInputs: ["b"]) {
            let isInside = lines.indices.contains(error.line - 1)
            #expect(isInside, "\(error) in \(text)")
            if isInside {
                let columns = lines[error.line - 1].unicodeScalars.count
                #expect(error.column >= 1 && error.column <= columns + 1, "\(error) in \(text)")
            }
            #expect(error.length >= 1 && !error.message.isEmpty)
            #expect(error.render(source: text).contains("^"))
        }
        let read = QueryParser.parse(text)
        guard read.errors.isEmpty else { return }
        let printed = QueryPrinter.text(of: read.document)
        let again = QueryParser.parse(printed)
        #expect(again.errors.isEmpty && again.document == read.document, "\(text)\nprinted as\n\(printed)")
    }

    @Test("token soup never traps or hangs", .timeLimit(.minutes(2)), arguments: 0..<10)
    func soup(_ seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<500 {
            let count = Int.random(in: 1...60, using: &random)
            let words = (0..<count).map { _ in Self.words.randomElement(using: &random) ?? "" }
            swallow(words.joined(separator: Bool.random(using: &random) ? " " : ""))
        }
    }

    @Test("soup behind a valid start never traps or hangs", .timeLimit(.minutes(2)), arguments: 100..<105)
    func soupInside(_ seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<500 {
            let count = Int.random(in: 1...12, using: &random)
            let words = (0..<count).map { _ in Self.words.randomElement(using: &random) ?? "" }
            swallow("SELECT a, \(words.joined(separator: " ")) FROM i GROUP BY a, TumblingWindow(minute, 1)")
        }
    }

    @Test("mutated queries never trap or hang", .timeLimit(.minutes(2)), arguments: 1_000..<1_010)
    func mutated(_ seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        for _ in 0..<500 {
            let query = try #require(QueryCase.accepted.randomElement(using: &random))
            var scalars = Array(query.text.unicodeScalars)
            for _ in 0..<Int.random(in: 1...4, using: &random) where !scalars.isEmpty {
                let at = Int.random(in: 0..<scalars.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: scalars.remove(at: at)
                case 1: scalars.insert(scalars[Int.random(in: 0..<scalars.count, using: &random)], at: at)
                case 2: scalars.swapAt(at, Int.random(in: 0..<scalars.count, using: &random))
                case 3: scalars.removeSubrange(at..<min(scalars.count, at + 8))
                default:
                    let word = Self.words.randomElement(using: &random) ?? ""
                    scalars.insert(contentsOf: " \(word) ".unicodeScalars, at: at)
                }
            }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            swallow(String(text))
        }
    }

    @Test(
        "what nests without end is refused at a depth, not by a trap",
        arguments: ["(", "-", "NOT ", "LEN(", "CASE WHEN ", "a IN (", "1 + (", "a.", "CAST(", "+ -", "a[0]."])
    func deep(_ piece: String) {
        swallow("SELECT " + String(repeating: piece, count: 20_000) + "a FROM i")
        swallow("SELECT a FROM i WHERE " + String(repeating: piece, count: 20_000))
    }

    @Test(
        "what chains without end is refused at a height", arguments: [" + 1", " AND a", " OR a = 1", " * 2"])
    func long(_ piece: String) throws {
        let text = "SELECT a FROM i WHERE a" + String(repeating: piece, count: 10_000)
        let errors = checkQuery(text: text)
        #expect(errors.count == 1)
        #expect(try #require(errors.first).message == "this expression has more than 400 levels")
        swallow("SELECT a FROM i WHERE a" + String(repeating: piece, count: 300))
    }

    @Test("a text over the limit is refused before it is read")
    func size() {
        let errors = checkQuery(text: "SELECT a FROM i" + String(repeating: " ", count: 256 * 1024))
        #expect(errors.map(\.summary) == ["1:1+1 the query is longer than 262144 bytes"])
    }
}
