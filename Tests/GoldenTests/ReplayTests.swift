import Foundation
import PerpetualQuery
import Platform
import QueryReplay
import Telemetry
import Testing

@Suite struct ReplayTests {
    /// A folder of its own for each test, gone afterwards.
    final class Folder {
        let path: String
        init(_ files: [String: String]) throws {
            let url = FileManager.default.temporaryDirectory.appending(path: "replay-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            path = url.path
            for (name, text) in files { try Data(text.utf8).write(to: url.appending(path: name)) }
        }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private func run(_ query: String, _ inputs: [String], _ folder: Folder, arrival: String? = nil) throws
        -> [String]
    {
        var replay = QueryReplay(text: query, name: "test", files: PosixFileStore())
        replay.inputs = inputs.map {
            var file = QueryReplay.NamedFile(argument: $0)
            file.path = folder.path + "/" + file.path
            return file
        }
        replay.arrivalField = arrival
        let plan = try replay.plan(title: "test.sql")
        var lines: [String] = []
        _ = try replay.run(plan, title: "test.sql") { (rows) throws(ReplayError) in
            for row in 0..<rows.count {
                var bytes: [UInt8] = []
                rows.appendJSON(of: row, to: &bytes)
                lines.append(String(decoding: bytes, as: UTF8.self))
            }
        }
        return lines
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return "\(error)" }
    }

    private let time = "2026-01-01T00:00:0"

    @Test("JSON lines, a JSON array and CSV give the same rows")
    func formats() throws {
        let lines =
            "{\"t\":\"\(time)1Z\",\"k\":\"a,b\",\"v\":\"1.5\"}\n\n{\"t\":\"\(time)2Z\",\"k\":\"c\\\"\",\"v\":\"2\"}\n"
        let folder = try Folder([
            "e.jsonl": lines,
            "e.json":
                " [{\"t\":\"\(time)1Z\",\"k\":\"a,b\",\"v\":\"1.5\"},{\"t\":\"\(time)2Z\",\"k\":\"c\\\"\",\"v\":\"2\"}]",
            "e.csv": "t,k,v\r\n\(time)1Z,\"a,b\",1.5\r\n\(time)2Z,\"c\"\"\",2",
        ])
        let query = "SELECT k, v + 1 AS w INTO o FROM i TIMESTAMP BY t"
        for file in ["e.jsonl", "e.json", "e.csv"] {
            #expect(
                try run(query, [file], folder) == ["{\"k\":\"a,b\",\"w\":2.5}", "{\"k\":\"c\\\"\",\"w\":3}"],
                "\(file)")
        }
    }

    @Test("declared types read CSV's texts")
    func typedCSV() throws {
        let folder = try Folder(["e.csv": "t,n,v\n\(time)1Z,1,1.5\n\(time)2Z,,x\n\(time)3Z,,2\n"])
        let query = "CREATE TABLE i (t datetime, n bigint, v float); SELECT n, v INTO o FROM i TIMESTAMP BY t"
        #expect(try run(query, ["e.csv"], folder) == ["{\"n\":1,\"v\":1.5}", "{\"n\":null,\"v\":2.0}"])
    }

    @Test("events of several files are taken in the order of their times")
    func merged() throws {
        let folder = try Folder([
            "a.jsonl": "{\"t\":\"\(time)1Z\",\"v\":1}\n{\"t\":\"\(time)4Z\",\"v\":4}\n",
            "b.jsonl": "{\"t\":\"\(time)2Z\",\"v\":2}\n{\"t\":\"\(time)3Z\",\"v\":3}\n",
        ])
        let query = "SELECT v INTO o FROM a TIMESTAMP BY t UNION SELECT v FROM b TIMESTAMP BY t"
        #expect(
            try run(query, ["a=a.jsonl", "b=b.jsonl"], folder) == [
                "{\"v\":1}", "{\"v\":2}", "{\"v\":3}", "{\"v\":4}",
            ])
        #expect(
            message { _ = try run(query, ["a=a.jsonl"], folder) }
                == "no file for the input b; write --input b=FILE")
        #expect(message { _ = try run(query, ["a.jsonl"], folder) }.contains("write --input NAME="))
        #expect(message { _ = try run(query, ["c=a.jsonl"], folder) }.contains("the query has no input c"))
    }

    @Test("an input that is wrong is named with its line")
    func places() throws {
        let folder = try Folder([
            "e.jsonl": "\n{\"t\":\"\(time)1Z\",\"v\":\"1\"}\n{\"t\":\"\(time)2Z\",\"v\":\"x\"}\n",
            "n.jsonl": "{\"t\":\"\(time)1Z\"}\nnope\n", "e.csv": "t,v\n\(time)1Z,1\n\(time)2Z\n",
            "a.jsonl": "{\"a\":\"\(time)1Z\"}\n{\"a\":\"never\"}\n",
        ])
        let query = "SELECT CAST(v AS bigint) AS v INTO o FROM i TIMESTAMP BY t"
        let failed = message { _ = try run(query, ["e.jsonl"], folder) }
        #expect(failed.contains("test.sql:1:8: the value cannot be cast to this type"))
        #expect(failed.contains("hint: TRY_CAST gives NULL instead"))
        #expect(failed.contains("at \(folder.path)/e.jsonl:3: {\"t\":"))
        #expect(message { _ = try run(query, ["n.jsonl"], folder) }.contains("n.jsonl:2: not a JSON object"))
        #expect(
            message { _ = try run(query, ["e.csv"], folder) }.contains(
                "e.csv:3: 1 fields, and the header has 2"))
        #expect(message { _ = try run(query, ["none"], folder) }.contains("none: cannot open"))
        let arrival = message { _ = try run("SELECT a INTO o FROM i", ["a.jsonl"], folder, arrival: "a") }
        #expect(arrival.contains("a.jsonl:2: no time of arrival in a"))
        let timeless = message {
            _ = try run("SELECT System.Timestamp() AS x INTO o FROM i", ["a.jsonl"], folder)
        }
        #expect(timeless.contains("--arrival FIELD"))
    }

    @Test("a test configuration runs its cases and says what differs")
    func configuration() throws {
        let folder = try Folder([
            "q.sql":
                "SELECT k, SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)",
            "in.jsonl":
                "{\"t\":\"\(time)1Z\",\"k\":\"a\",\"v\":1}\n{\"t\":\"\(time)2Z\",\"k\":\"b\",\"v\":2}\n",
            "good.jsonl": "{\"s\":2.0,\"k\":\"b\"}\n{\"k\":\"a\",\"s\":1,\"none\":null}\n",
            "bad.jsonl": "{\"k\":\"a\",\"s\":5}\n{\"k\":\"b\",\"s\":2}\n{\"k\":\"c\",\"s\":2}\n",
            "test.json": """
            {"Script": "q.sql", "TestCases": [
              {"Name": "good", "Inputs": [{"InputAlias": "I", "Type": "Data Stream", "FilePath": "in.jsonl"}],
               "ExpectedOutputs": [{"OutputAlias": "O", "FilePath": "good.jsonl", "Required": true}]},
              {"Name": "bad", "inputs": [{"inputalias": "i", "filepath": "in.jsonl"}],
               "ExpectedOutputs": [{"OutputAlias": "o", "FilePath": "bad.jsonl"}]}]}
            """,
        ])
        let test = try QueryTest(path: folder.path + "/test.json", files: PosixFileStore())
        let text = try String(contentsOfFile: test.script, encoding: .utf8)
        #expect(test.cases.map(\.name) == ["good", "bad"])
        #expect(try test.run(test.cases[0], text: text).differences == [])
        #expect(
            try test.run(test.cases[1], text: text).differences == [
                "o: 3 rows expected, 2 came", "  - {\"k\":\"a\",\"s\":5}", "  + {\"k\":\"a\",\"s\":1}",
                "    s: expected 5, came 1", "  - {\"k\":\"c\",\"s\":2}",
            ])
    }

    @Test("a batch holds what a single event gives, also one larger than a batch")
    func largeEvent() throws {
        let large = String(repeating: "x", count: 400_000)
        let folder = try Folder([
            "e.jsonl": (0..<1_300).map { "{\"t\":\"\(time)1Z\",\"v\":\($0)}" }.joined(separator: "\n")
                + "\n{\"t\":\"\(time)1Z\",\"v\":\"\(large)\"}\n{\"t\":\"\(time)1Z\",\"v\":-1}\n"
        ])
        let rows = try run("SELECT v INTO o FROM i TIMESTAMP BY t", ["e.jsonl"], folder)
        #expect(rows.count == 1_302)
        #expect(rows[..<1_300].enumerated().allSatisfy { $1 == "{\"v\":\($0)}" })
        #expect(rows[1_300] == "{\"v\":\"\(large)\"}")
        #expect(rows[1_301] == "{\"v\":-1}")
    }

    private func lines(_ count: Int) -> String {
        (0..<count).map { "{\"t\":\"\(time)1Z\",\"v\":\($0)}\n" }.joined()
    }

    @Test("what came before a line that is no event goes out, in order, also over many batches")
    func rowsBeforeFailure() throws {
        let folder = try Folder(["e.jsonl": lines(12_000) + "7\n" + lines(9_000)])
        var replay = QueryReplay(
            text: "SELECT v INTO o FROM i TIMESTAMP BY t", name: "test", files: PosixFileStore())
        replay.inputs = [QueryReplay.NamedFile(argument: folder.path + "/e.jsonl")]
        let plan = try replay.plan(title: "test.sql")
        var texts: [String] = []
        let told = message {
            _ = try replay.run(plan, title: "test.sql") { (rows) throws(ReplayError) in
                for row in 0..<rows.count {
                    var bytes: [UInt8] = []
                    rows.appendJSON(of: row, to: &bytes)
                    texts.append(String(decoding: bytes, as: UTF8.self))
                }
            }
        }
        #expect(told.contains("e.jsonl:12001: not a JSON object"), "\(told)")
        #expect(texts == (0..<12_000).map { "{\"v\":\($0)}" })
    }

    @Test("so it does when there are several inputs, and no row goes out twice when one cannot")
    func rowsOfSeveralBeforeFailure() throws {
        let folder = try Folder([
            "a.jsonl": lines(3_000) + "7\n", "b.jsonl": "{\"t\":\"\(time)2Z\",\"v\":-1}\n",
        ])
        var replay = QueryReplay(
            text: "SELECT v INTO o FROM a TIMESTAMP BY t UNION SELECT v FROM b TIMESTAMP BY t", name: "test",
            files: PosixFileStore())
        replay.inputs = ["a", "b"].map { (name: String) in
            QueryReplay.NamedFile(name: name, path: "\(folder.path)/\(name).jsonl")
        }
        let plan = try replay.plan(title: "test.sql")
        var count = 0
        let told = message {
            _ = try replay.run(plan, title: "test.sql") { (rows) throws(ReplayError) in count += rows.count }
        }
        #expect(told.contains("a.jsonl:3001: not a JSON object"), "\(told)")
        #expect(count == 3_000)
        expectEnd(of: replay, plan)
    }

    /// Nobody takes the rows: the run ends with that error, and offers them once.
    private func expectEnd(of replay: QueryReplay, _ plan: StreamPlan) {
        var calls = 0
        let told = message {
            _ = try replay.run(plan, title: "test.sql") { (_) throws(ReplayError) in
                calls += 1
                throw ReplayError(.environment, "the disk is full")
            }
        }
        #expect(told.contains("the disk is full"))
        #expect(calls == 1)
    }

    @Test("when rows cannot be put out the run ends with that error")
    func outputFails() throws {
        let folder = try Folder(["e.jsonl": lines(30_000)])
        var replay = QueryReplay(
            text: "SELECT v INTO o FROM i TIMESTAMP BY t", name: "test", files: PosixFileStore())
        replay.inputs = [QueryReplay.NamedFile(argument: folder.path + "/e.jsonl")]
        expectEnd(of: replay, try replay.plan(title: "test.sql"))
    }
}
