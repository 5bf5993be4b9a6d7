import Foundation
import PerpetualQuery
import Platform
import QueryLanguage
import QueryReplay
import ReferenceFiles
import Testing

@Suite("Reading reference data")
struct ReferenceReaderTests {
    private func read(_ bytes: [UInt8], _ name: String, limits: ReferenceLimits = ReferenceLimits()) throws
        -> ReferenceContents
    {
        let folder = try ReplayTests.Folder([:])
        let path = folder.path + "/" + name
        try Data(bytes).write(to: URL(filePath: path))
        let reader = ReferenceReader(files: PosixFileStore(), limits: limits)
        do {
            return try reader.read(ReferenceSource(name: "r", location: path))
        } catch {
            throw ReferenceError(
                error.kind, error.description.replacingOccurrences(of: folder.path + "/", with: ""))
        }
    }

    private func rows(_ text: String, _ name: String) throws -> [String] {
        let data = try read(Array(text.utf8), name).data
        return (0..<data.rowCount).map {
            String(decoding: data.row($0), as: UTF8.self).trimmingCharacters(in: .newlines)
        }
    }

    private static let wrong: [(String, String, String)] = [
        ("r.csv", "", "r.csv:1:1: there is no header: write the names of the columns first"),
        ("r.csv", "a,b\n1,2\n3\n", "r.csv:3:1: 1 fields, and the header has 2; quote fields that hold a ,"),
        (
            "r.csv", "\na,b\r\n\n\"1\n\",2\n\n3\n",
            "r.csv:7:1: 1 fields, and the header has 2; quote fields that hold a ,"
        ),
        ("r.csv", "a,b\n1,\"ä\n", "r.csv:2:3: this quote is never closed"),
        (
            "r.csv", "a,b\nä,\"x\"y\n",
            "r.csv:2:6: more text behind the quote that ends the field; a quote inside is doubled"
        ),
        ("r.csv", "a,a\n", "r.csv:1:3: two columns are called a"),
        ("r.csv", "a,,c\n", "r.csv:1:3: a column has no name in the header"),
        ("r.json", "[{\"a\":1},{\"a\":}]", "r.json:1:15: found }, expected a value"),
        ("r.json", "[{\"a\":1}", "r.json:1:9: the file ends; expected a comma or ]"),
        ("r.json", "[1]", "r.json:1:2: found 1, expected a row, which is an object: {"),
        ("r.json", "[] []", "r.json:1:4: found [, expected nothing more behind the array"),
        ("r.jsonl", "{\"a\":1}\n\n{\"ä\":tru}\n", "r.jsonl:3:9: found }, expected true"),
        ("r.jsonl", "{\"a\":\"x\ny\"}", "r.jsonl:1:8: a line break or control character in a text"),
        (
            "r.jsonl", "{\"a\":\"\\q\"}",
            "r.jsonl:1:8: found q, expected an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u"
        ),
        ("r.jsonl", "{\"a\":01}", "r.jsonl:1:7: found 1, expected a comma or }"),
        ("r.jsonl", "{\"a\":1.}", "r.jsonl:1:8: found }, expected a digit"),
        ("r.jsonl", "{a:1}", "r.jsonl:1:2: found a, expected a name in double quotes"),
        ("r.db", "id,name\n1,a\n", "r.db: SQLite: file is not a database"),
    ]

    @Test("what is wrong is told with file, line and column", arguments: wrong)
    func places(_ name: String, _ text: String, _ message: String) {
        #expect { try read(Array(text.utf8), name) } throws: {
            "\($0)" == message || Self.note("\($0)", message)
        }
    }

    private static func note(_ found: String, _ expected: String) -> Bool {
        Issue.record("\(found)\nis not\n\(expected)")
        return false
    }

    @Test("text that is no UTF-8 is told with its place")
    func encoding() {
        for bytes: [UInt8] in [
            [0xE4], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82],
        ] {
            #expect { try read(Array("a\nä".utf8) + bytes, "r.csv") } throws: {
                "\($0)" == "r.csv:2:2: not UTF-8: save the file as UTF-8"
            }
        }
    }

    @Test("line ends, a byte order mark, blank lines and tabs are no matter")
    func layout() throws {
        let expected = ["{\"a\":\"1\",\"b\":\"x,\\\"y\\\"\\nz\"}", "{\"a\":\"\",\"b\":\" 2 \"}"]
        #expect(try rows("\u{FEFF}a,b\r\n\r\n1,\"x,\"\"y\"\"\nz\"\r\n, 2 ", "r.csv") == expected)
        #expect(try rows("a\tb\n1\t\"x,\"\"y\"\"\nz\"\n\t 2 \n", "r.tsv") == expected)
        #expect(try rows("\u{FEFF}[ ]", "r.json") == [])
        #expect(try rows("", "r.jsonl") == [])
        #expect(
            try rows("{\"a\" :\n 1}{\"b\":[{}, null]}\n", "r.jsonl") == [
                "{\"a\" :  1}", "{\"b\":[{}, null]}",
            ])
    }

    @Test("equal rows have equal hashes, whatever the layout; texts are not numbers")
    func hashes() throws {
        let array = try read(Array("[{\"a\":1},{\"a\":2}]".utf8), "r.json").hash
        #expect(try read(Array("{\"a\":1}\n{\"a\":2}\n".utf8), "r.jsonl").hash == array)
        #expect(try read(Array("{\"a\":1}\n{\"a\":3}\n".utf8), "r.jsonl").hash != array)
        let text = try read(Array("{\"a\":\"1\"}".utf8), "r.jsonl").hash
        #expect(try read(Array("a\n1\n".utf8), "r.csv").hash != text)
    }

    @Test("limits are told, and nothing is cut")
    func limits() {
        var limits = ReferenceLimits()
        limits.rowsMax = 2
        #expect { try read(Array("a\n1\n2\n3\n".utf8), "r.csv", limits: limits) } throws: {
            "\($0)" == "r.csv:4:1: more than 2 rows"
        }
        limits.rowBytesMax = 10
        #expect { try read(Array("{\"a\":\"12345\"}".utf8), "r.json", limits: limits) } throws: {
            "\($0)" == "r.json:1:1: the row has 13 bytes, and the limit is 10"
        }
        limits.bytesMax = 4
        #expect { try read(Array("a\n1\n2\n".utf8), "r.csv", limits: limits) } throws: {
            "\($0)".contains("it has 6 bytes, and the limit is 4")
        }
        limits = ReferenceLimits()
        limits.columnsMax = 1
        #expect { try read(Array("a,b\n".utf8), "r.csv", limits: limits) } throws: {
            "\($0)" == "r.csv:1:1: 2 columns, and the limit is 1"
        }
    }

    @Test("of a database one reads a table, the only one, or what a SELECT gives")
    func database() throws {
        let path = try #require(
            Bundle.module.url(forResource: "Cases", withExtension: nil)?
                .appending(path: "reference-sqlite/reference.sites.db").path)
        let reader = ReferenceReader(files: PosixFileStore())
        func rows(_ selection: String) throws -> String {
            let data = try reader.read(ReferenceSource(name: "r", location: path + selection)).data
            return (0..<data.rowCount).map { String(decoding: data.row($0), as: UTF8.self) }.joined()
        }
        func message(_ selection: String) -> String {
            do { return try rows(selection) } catch {
                return "\(error)".replacingOccurrences(of: path, with: "DB")
            }
        }
        let all =
            "{\"id\":1,\"name\":\"a\\\"b\",\"high\":5.0,\"note\":null}\n{\"id\":2,\"name\":\"zwei\",\"high\":0.5,\"note\":\"n\"}\n"
        #expect(try rows("") == all)
        #expect(try rows("#SITE") == all)
        #expect(try rows("#SELECT id + 1 AS next FROM site WHERE id > 1;\n") == "{\"next\":3}\n")
        #expect(message("#sit") == "DB: no table sit; there are: site; did you mean site?")
        #expect(message("#SELECT nam FROM site") == "DB#query:8: SQLite: no such column: nam")
        #expect(message("#SELECT 1 AS a; DELETE FROM site") == "DB#query: is one SELECT, and nothing else")
        #expect(
            message("#WITH x AS (SELECT 1) DELETE FROM site") == "DB#query: gives no rows: write a SELECT")
        #expect(
            message("#SELECT id, 2 AS id FROM site")
                == "DB#query: two columns are called id; give one another name with AS")
        #expect(message("#SELECT x'00' AS b") == "DB#query: row 1: column b: a BLOB; select hex(…) of it")
        #expect(message("#SELECT 9e999 AS b") == "DB#query: row 1: column b: an infinite number")
    }

    @Test("a row of another type than declared is told with its line")
    func types() throws {
        let folder = try ReplayTests.Folder([
            "r.csv": "id,n\n1,2\n\n2,x\n", "i.jsonl": "{\"t\":\"2026-01-01T00:00:01Z\",\"id\":1}\n",
        ])
        var replay = QueryReplay(
            text:
                "CREATE TABLE r (id bigint, n bigint); SELECT i.id INTO o FROM i TIMESTAMP BY t JOIN r ON i.id = r.id",
            name: "test", files: PosixFileStore())
        replay.inputs = [QueryReplay.NamedFile(name: nil, path: folder.path + "/i.jsonl")]
        replay.references = [ReferenceSource(name: "r", location: folder.path + "/r.csv")]
        let plan = try replay.plan(title: "test.sql")
        #expect {
            _ = try replay.run(plan, title: "test.sql") { (_) throws(ReplayError) in }
        } throws: {
            "\($0)".hasSuffix(
                "/r.csv:4: n is \"x\", which is no bigint (CREATE TABLE r says so; correct the row, or declare another type)"
            )
        }
    }

    @Test("an input that there is not is told with its place, what was meant, and what there is")
    func unknownInput() {
        func errors(_ text: String) -> [String] {
            QueryPlanner.plan(text: text, name: "q", referenceInputs: ["sites"], streamInputs: ["telemetry"])
                .errors.map {
                    "\($0.line):\($0.column) \($0.message) | \($0.suggestion ?? "") | \($0.hint ?? "")"
                }
        }
        let hint = "the inputs are telemetry, and the reference data sites"
        #expect(
            errors("SELECT a INTO o FROM telemetri") == [
                "1:22 there is no input telemetri | telemetry | \(hint)"
            ])
        #expect(
            errors("SELECT t.a INTO o FROM telemetry t JOIN sits s ON t.a = s.a")
                == ["1:41 there is no input sits | sites | \(hint)"])
        #expect(
            errors("WITH x AS (SELECT a FROM Telemetry) SELECT x.a INTO o FROM x JOIN SITES s ON x.a = s.a")
                == [])
        #expect(errors("SELECT a INTO o FROM sites").count == 1)
    }

    @Test("a test configuration names reference data of any format")
    func configuration() throws {
        let folder = try ReplayTests.Folder([
            "q.sql": "SELECT r.name INTO o FROM i TIMESTAMP BY t JOIN r ON i.id = r.id",
            "i.jsonl": "{\"t\":\"2026-01-01T00:00:01Z\",\"id\":1}\n", "r.csv": "id,name\n1,one\n",
            "o.jsonl": "{\"name\":\"one\"}\n",
            "test.json": """
            {"Script": "q.sql", "TestCases": [{"Name": "csv", "Inputs": [
              {"InputAlias": "i", "Type": "Data Stream", "FilePath": "i.jsonl"},
              {"InputAlias": "R", "Type": "Reference Data", "Format": "Csv", "FilePath": "r.csv"}],
              "ExpectedOutputs": [{"OutputAlias": "o", "FilePath": "o.jsonl", "Required": true}]}]}
            """,
        ])
        let test = try QueryTest(path: folder.path + "/test.json", files: PosixFileStore())
        let text = try String(contentsOfFile: test.script, encoding: .utf8)
        #expect(try test.run(test.cases[0], text: text).differences == [])
    }
}
