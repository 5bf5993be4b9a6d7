import Hub
import Platform
import ReferenceFiles
import Testing

@Suite("References in the configuration")
struct ReferenceConfigurationTests {
    private func read(_ entry: String) throws -> [ReferenceSource] {
        try HubConfigurationFile.parse("references: \(entry)\n", path: "/etc/hub.yaml").references
    }

    @Test("a file lies beside the configuration, and its name says the format unless a setting does")
    func formats() throws {
        let sources = try read(
            """
            [{ name: a, file: a.csv }, { name: b, file: /b.tsv, refresh: off },
              { name: c, file: c.txt, format: csv, delimiter: ";", refresh: 1m }, { name: d, file: d.jsonl },
              { name: e, file: e.db, table: x }, { name: f, file: f.data, format: sqlite, query: SELECT 1 AS n }]
            """)
        #expect(
            sources.map(\.location) == [
                "/etc/a.csv", "/b.tsv", "/etc/c.txt", "/etc/d.jsonl", "/etc/e.db#x",
                "/etc/f.data#SELECT 1 AS n",
            ])
        #expect(sources.map(\.format) == [.csv, .csv, .csv, .json, .sqlite, .sqlite])
        #expect(sources.prefix(3).map(\.delimiter) == [0x2C, 0x09, 0x3B])
        #expect(sources.prefix(3).map(\.refreshNanoseconds) == [10_000_000_000, nil, 60_000_000_000])
    }

    @Test(
        "every mistake is named with its place and what is right",
        arguments: [
            ("sites.csv", "1:13: references: is a list"),
            ("[sites.csv]", "1:14: references: an entry is a map"),
            ("[{ file: a.csv }]", "1:14: name: what queries call it"),
            ("[{ name: telemetry, file: a.csv }]", "1:22: name: what queries call it"),
            ("[{ name: 1a, file: a.csv }]", "1:22: name: what queries call it"),
            ("[{ name: a }]", "1:14: a: lacks its file"),
            ("[{ name: a, file: a.csv }, { name: A, file: b.csv }]", "1:40: two references are called A"),
            (
                "[{ name: a, file: a.csv, fromat: csv }]",
                "1:38: unknown setting \"fromat\" (did you mean \"format\"?)"
            ),
            ("[{ name: a, file: a.csv, format: xml }]", "1:46: format: is csv, json or sqlite"),
            ("[{ name: a, file: a.csv, delimiter: ab }]", "1:49: delimiter: is one character"),
            ("[{ name: a, file: a.json, delimiter: ; }]", "1:50: delimiter: is for CSV"),
            ("[{ name: a, file: a.csv, table: x }]", "1:45: table: is for SQLite"),
            ("[{ name: a, file: a.db, table: x, query: SELECT 1 }]", "1:14: a: has either table or query"),
            ("[{ name: a, file: a.csv, refresh: 10 }]", "1:47: refresh: is a time from 100ms on"),
            ("[{ name: a, file: a.csv, refresh: 1ms }]", "1:47: refresh: is a time from 100ms on"),
        ])
    func mistakes(_ entry: String, _ message: String) {
        let problems = #expect(throws: HubConfigurationFile.Problems.self) { try read(entry) }
        #expect(problems?.lines.count == 1)
        #expect(
            problems?.lines.first?.hasPrefix("/etc/hub.yaml:" + message) == true, "\(problems?.lines ?? [])")
    }
}
