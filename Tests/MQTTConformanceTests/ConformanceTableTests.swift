import ConformanceKit
import Foundation
import Testing

/// The page that lists every normative statement and what covers it.
@Suite("The table of statements")
struct ConformanceTableTests {
    private struct Row {
        var version: Int
        var statement: String
        var text: String
        var cover: String

        /// The quoted names behind a word: `vector "…"`.
        func names(_ word: String) -> [String] {
            cover.components(separatedBy: word + " \"").dropFirst().map { part in
                String(part.prefix { $0 != "\"" })
            }
        }
    }

    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func rows() throws -> [Row] {
        let page = root.appending(path: "Sources/MQTTBroker/MQTTBroker.docc/Conformance.md")
        var version = 0
        var rows: [Row] = []
        for line in try String(contentsOf: page, encoding: .utf8).split(separator: "\n") {
            if line == "## MQTT 5.0" { version = 5 }
            if line == "## MQTT 3.1.1" { version = 3 }
            guard line.hasPrefix("| [MQTT-") else { continue }
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces) }
            try #require(cells.count == 5, "\(line)")
            rows.append(
                Row(
                    version: version, statement: String(cells[1].dropFirst(6).dropLast()), text: cells[2],
                    cover: cells[3]))
        }
        return rows
    }

    @Test("It has all statements of both standards, each once, and each is covered or says why not")
    func complete() throws {
        let rows = try Self.rows()
        #expect(rows.filter { $0.version == 5 }.count == 251)
        #expect(rows.filter { $0.version == 3 }.count == 141)
        #expect(Set(rows.map { "\($0.version) \($0.statement)" }).count == rows.count)
        for row in rows {
            let covers = row.names("vector") + row.names("packet") + row.names("test")
            let reason = row.cover.hasPrefix("none: ") ? row.cover.dropFirst(6) : ""
            #expect(!covers.isEmpty || reason.count >= 20, "\(row.version) \(row.statement)")
            #expect(row.text.count >= 10, "\(row.version) \(row.statement)")
        }
        // What no test covers is for the client or does not apply: never a statement that binds the hub.
        #expect(rows.count { $0.cover.hasPrefix("none: ") } <= 40)
    }

    @Test("Every vector, packet and test that it names exists")
    func names() throws {
        let rows = try Self.rows()
        let vectors = Dictionary(grouping: try Vector.all(), by: \.name)
        let corpus = Self.root.appending(path: "Tests/MQTTWireTests/Vectors/malformed.txt")
        let packets = try String(contentsOf: corpus, encoding: .utf8).split(separator: "\n").map { line in
            line.split(separator: "|")[0].trimmingCharacters(in: .whitespaces)
        }
        let tests = try Self.testSources()
        for row in rows {
            for name in row.names("vector") {
                let found = try #require(vectors[name]?.first, "\(row.statement): no vector \(name)")
                #expect(found.versions.contains(row.version), "\(row.statement): \(name)")
            }
            for name in row.names("packet") {
                #expect(packets.contains(name), "\(row.statement): no packet \(name)")
            }
            for name in row.names("test") {
                #expect(
                    tests.contains("\"\(name)\"") || tests.contains("`\(name)`"),
                    "\(row.statement): no test \(name)")
            }
        }
    }

    @Test("The statements that vectors name are in the table")
    func tags() throws {
        let known = Set(
            try Self.rows().map { row in
                // The standard writes this one with another dash.
                "\(row.version):" + row.statement.replacingOccurrences(of: "3-8.3-4", with: "3.8.3-4")
            })
        for vector in try Vector.all() {
            for clause in vector.clauses {
                #expect(known.contains(clause), "\(vector.file): \(vector.name): \(clause)")
                let version = clause.hasPrefix("3:") ? 3 : 5
                #expect(vector.versions.contains(version), "\(vector.file): \(vector.name): \(clause)")
            }
        }
    }

    private static func testSources() throws -> String {
        let folder = root.appending(path: "Tests")
        let walker = try #require(FileManager.default.enumerator(atPath: folder.path))
        var text = ""
        for case let name as String in walker
        where name.hasSuffix("Tests.swift") && !name.hasSuffix("ConformanceTableTests.swift") {
            text += try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        }
        return text
    }
}
