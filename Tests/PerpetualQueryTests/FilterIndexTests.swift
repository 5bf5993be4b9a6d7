import PerpetualQuery
import Telemetry
import Testing

/// Random conditions over random records: what the bundle decides for all queries at once is what each decides alone.
@Suite struct FilterIndexTests {
    private static let fields = ["v", "w", "name", "V", "missing", "Deep.x"]
    private static let numbers = [
        "0", "1", "7", "7.5", "-3", "30", "1e3", "0.1", "9007199254740992", "9007199254740993", "-0.0",
    ]
    private static let texts = ["'a'", "'ab'", "'abc'", "'b'", "'7'", "'7.5 '", "''", "'é'", "'true'"]
    private static let patterns = [
        "'a%'", "'ab%'", "'%b'", "'a_'", "'7%'", "'%'", "'é%'", "'abc'", "'[ab]%'",
    ]
    private static let values = [
        "0", "1", "7", "7.0", "7.5", "-3", "-2.5", "30", "1000", "0.1", "0.10000000000000001", "-0.0",
        "29.999",
        "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "1e300",
        "\"a\"", "\"ab\"", "\"abc\"", "\"abcd\"", "\"b\"", "\"7\"", "\" 7.5\"", "\"\"", "\"\\u00e9\"",
        "\"éa\"",
        "\"9007199254740993\"", "true", "false", "null", "{\"x\":7}", "{\"x\":\"ab\"}", "[1]", "{}",
    ]

    private static func constant(_ random: inout SeededRandom) -> String {
        (Bool.random(using: &random) ? numbers : texts).randomElement(using: &random) ?? "1"
    }

    private static func atom(_ random: inout SeededRandom) -> String {
        let field = fields.randomElement(using: &random) ?? "v"
        let not = Bool.random(using: &random) ? "NOT " : ""
        let sign = ["<", "<=", "=", "<>", ">", ">="].randomElement(using: &random) ?? "="
        func one() -> String { constant(&random) }
        switch Int.random(in: 0..<14, using: &random) {
        case 0: return "\(one()) \(sign) \(field)"
        case 1: return "\(field) \(not)BETWEEN \(one()) AND \(one())"
        case 2: return "\(field) \(not)IN (\(one()), \(one()), \(one()))"
        case 3, 4: return "\(field) \(not)LIKE \(patterns.randomElement(using: &random) ?? "")"
        case 5: return "\(field) IS \(not)NULL"
        case 6: return "CAST(\(field) AS bigint) \(sign) 7"
        case 7: return "\(field) \(sign) w"
        case 8: return "(\(field) \(sign) \(one()) OR \(field) = \(one()))"
        default: return "\(field) \(sign) \(one())"
        }
    }

    private static func condition(_ random: inout SeededRandom) -> String {
        var text = atom(&random)
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            text += Int.random(in: 0..<4, using: &random) == 0 ? " OR " : " AND "
            text += atom(&random)
        }
        return text
    }

    private static func query(_ condition: String, _ number: Int) throws -> LiveQuery {
        var settings = StreamSettings()
        settings.errorPolicy = .divert
        let text = "SELECT v, name INTO o FROM telemetry WHERE \(condition)"
        let (plan, errors) = QueryPlanner.plan(text: text, name: "q\(number)", settings: settings)
        #expect(errors.isEmpty, "\(text)")
        let query = try LiveQuery(plan: try #require(plan))
        query.deviceName = Harness.name
        return query
    }

    private static func payload(_ random: inout SeededRandom) -> String {
        if Int.random(in: 0..<30, using: &random) == 0 { return "[7]" }
        if Int.random(in: 0..<30, using: &random) == 0 { return "{\"v\":7" }
        var parts: [String] = []
        for name in ["v", "w", "name", "Deep", "V"] where Int.random(in: 0..<5, using: &random) > 0 {
            parts.append("\"\(name)\":\(values.randomElement(using: &random) ?? "0")")
        }
        return "{" + parts.shuffled(using: &random).joined(separator: ",") + "}"
    }

    @Test("queries judged at once give what each gives alone, whatever the types", arguments: 1...8)
    func same(seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        // More than one word of bits.
        let conditions = (0..<90).map { _ in Self.condition(&random) }
        let together = try conditions.enumerated().map { try Self.query($1, $0) }
        let alone = try conditions.enumerated().map { try Self.query($1, $0) }
        let bundle = QueryBundle(together)
        #expect(bundle.guardedCount > 30)
        var rows = 0
        let noon = time("2026-03-01T12:00:00Z")
        for step in 1...60 {
            let at = noon.adding(ticks: Int64(step) * 1_000)
            let payload = Self.payload(&random)
            Array(payload.utf8).withUnsafeBytes { bytes in
                let record = RecordView(
                    device: 1, sequence: UInt64(step), arrivalTime: at, eventTime: at, offset: QueueOffset(0),
                    payload: bytes)
                bundle.process(record) { number, failure in Issue.record("\(number): \(failure)") }
                for query in alone { #expect(throws: Never.self) { try query.process(record) } }
            }
            var ran: Set<Int> = []
            bundle.takeRan { ran.insert($0) }
            for (number, query) in together.enumerated() {
                let expected = Harness.take(alone[number])
                rows += expected.count
                #expect(Harness.take(query) == expected, "\(conditions[number]): \(payload)")
                #expect(ran.contains(number) || expected.isEmpty)
            }
        }
        bundle.settle()
        for (number, query) in together.enumerated() {
            #expect(query.counters == alone[number].counters, "\(conditions[number])")
            #expect(query.snapshot() == alone[number].snapshot(), "\(conditions[number])")
        }
        #expect(rows > 300)
    }

    @Test("of 300 filters a record goes only to those that it passes, and each counts every record")
    func counted() throws {
        let queries = try (0..<300).map { number in
            let plan = QueryPlanner.plan(
                text: "SELECT v INTO o FROM telemetry WHERE v BETWEEN \(number * 10) AND \(number * 10 + 9)",
                name: "q\(number)"
            ).plan
            return try LiveQuery(plan: try #require(plan))
        }
        let bundle = QueryBundle(queries)
        #expect(bundle.guardedCount == 300)
        let noon = time("2026-03-01T12:00:00Z")
        for step in 0..<600 {
            Array("{\"v\":\(step * 5)}".utf8).withUnsafeBytes { bytes in
                bundle.process(
                    RecordView(
                        device: 1, sequence: UInt64(step), arrivalTime: noon, eventTime: noon,
                        offset: QueueOffset(0), payload: bytes)
                ) { number, failure in Issue.record("\(number): \(failure)") }
            }
            var ran: [Int] = []
            bundle.takeRan { ran.append($0) }
            #expect(ran == [step / 2])
        }
        bundle.settle()
        #expect(queries.allSatisfy { $0.rows.count == 2 && $0.counters.accepted == 600 })
    }
}
