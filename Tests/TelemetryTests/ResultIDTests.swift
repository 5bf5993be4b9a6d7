import Telemetry
import Testing

/// The ids were computed by a few lines of Python (hashlib) from what `semantics` says they are made of.
@Suite struct ResultIDTests {
    struct Case: Sendable {
        var query: String
        var version: Int
        var output: String
        var key: String
        var windowKind: String
        var start: Int64
        var end: Int64
        var revision: Int
        var id: String
    }

    static let cases = [
        Case(
            query: "minute", version: 1, output: "minute", key: #"["pump-01","rpm"]"#, windowKind: "tumbling",
            start: 17_723_232_000_000_000, end: 17_723_232_600_000_000, revision: 0,
            id: "4d381aaacd838b3fc4fddbdf259ee6c8"),
        Case(
            query: "alarms", version: 12, output: "high", key: #"["dä",7,-1]"#, windowKind: "passthrough",
            start: -5, end: -5, revision: 0, id: "ac83847d9d3bdb308d83dc6fd2686c07"),
        Case(
            query: "", version: 0, output: "", key: "[]", windowKind: "event", start: 0, end: 0, revision: 3,
            id: "942730fae9c95f213d313b407f139fe8"),
    ]

    @Test("An id is the first half of SHA-256 over the length-prefixed parts", arguments: cases)
    func id(of it: Case) {
        let id = ResultID(
            query: it.query, version: it.version, output: it.output, groupKey: Array(it.key.utf8),
            windowKind: it.windowKind, start: EventTime(ticks: it.start), end: EventTime(ticks: it.end),
            revision: it.revision)
        #expect(id.description == it.id)
    }

    @Test("A maker gives each row the id that it has alone, whatever row came before")
    func makerIsReused() {
        let it = Self.cases[0]
        var maker = ResultIDMaker(query: it.query, version: it.version, output: it.output)
        func id(_ key: String) -> String {
            maker.id(
                windowKind: it.windowKind, start: EventTime(ticks: it.start), end: EventTime(ticks: it.end)
            ) {
                $0.append(contentsOf: key.utf8)
            }.description
        }
        #expect(id("a much longer key that stands in the way of the next one") != it.id)
        #expect(id(it.key) == it.id)
        #expect(id("") != it.id)
        #expect(id(it.key) == it.id)
    }
}
