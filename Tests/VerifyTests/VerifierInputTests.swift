import Platform
import Telemetry
import Testing

@testable import Verify

@Suite("What the proof reads and says")
struct VerifierInputTests {
    @Test("Rows are read from the directories by date and hour; unfinished files are not rows")
    func directories() throws {
        let scene = Scene()
        let directory = try TemporaryDirectory()
        for (index, row) in scene.rows.enumerated() {
            let name = "minute/date=2026-03-01/hour=\(index % 2 == 0 ? "12" : "13")/minute-\(index).jsonl"
            try directory.write(name, String(decoding: row.json, as: UTF8.self) + "\n")
        }
        try directory.write("minute/date=2026-03-01/hour=12/minute-x.jsonl.part", "{\"device\":")
        try directory.write("truth.jsonl", scene.key.joined(separator: "\n") + "\n")
        func verify(_ rows: String) throws -> VerifyReport {
            try Verifier(files: PosixFileStore()).verify(
                answerKey: directory.path + "/truth.jsonl", rows: .directory(directory.path + rows),
                completeThrough: scene.completeThrough
            ) { each in for record in scene.records { try each(record) } }
        }
        let report = try verify("/minute")
        #expect(report.passed, "\(report.text)")
        #expect(report.windowsChecked == 20)
        #expect(try verify("/nothing-here").windowsMissing.count == 20)
        try directory.write("minute/date=2026-03-02/hour=00/bad.jsonl", "\n")
        let bad = try verify("/minute")
        #expect(
            bad.windowsDifferent.examples == [
                "\(directory.path)/minute/date=2026-03-02/hour=00/bad.jsonl:1: not a JSON object"
            ])
    }

    @Test(
        "A key that cannot be used is refused with its line",
        arguments: [
            ("{}", "\"id\" must be a message id in quotes"),
            ("nonsense", "not a JSON object"),
            (
                "{\"id\":\"a\",\"device\":\"d\",\"event_time\":\"yesterday\"}",
                "\"event_time\" must be an ISO 8601 time in quotes"
            ),
            (Scene().key[0], "d1:1 of d1 comes twice; give each run a key file of its own"),
            (
                Scene().key[1].replacing("once", with: "twice"),
                "\"expect\" must be \"once\", \"never\" or \"quarantine\""
            ),
        ])
    func badKey(line: String, message: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write("truth.jsonl", Scene().key[0] + "\n" + line + "\n")
        let path = directory.path + "/truth.jsonl"
        let error = #expect(throws: VerifyInputError.self) {
            try Verifier(files: PosixFileStore()).verify(
                answerKey: path, rows: .lines([]), completeThrough: nil
            ) { _ in }
        }
        #expect(error?.description == "\(path):2: cannot use this line of the answer key: \(message)")
    }

    @Test("A torn last line of the key is not an error")
    func tornKey() throws {
        let directory = try TemporaryDirectory()
        try directory.write("truth.jsonl", Scene().key[0] + "\n" + Scene().key[1].dropLast(20))
        let report = try Verifier(files: PosixFileStore()).verify(
            answerKey: directory.path + "/truth.jsonl", rows: .lines([]), completeThrough: nil
        ) { _ in }
        #expect(report.keyOnce == 1)
    }

    @Test("A line that crosses the end of a chunk is read whole")
    func longLines() throws {
        let directory = try TemporaryDirectory()
        let lines = (0..<30).map { String(repeating: "x", count: 100_000 + $0) }
        try directory.write("lines", lines.joined(separator: "\n"))
        var found: [String] = []
        var wholes = 0
        try LineReader(path: directory.path + "/lines", files: PosixFileStore()).forEachLine {
            line, number, isWhole in
            found.append(String(decoding: line, as: UTF8.self))
            #expect(number == found.count)
            wholes += isWhole ? 1 : 0
        }
        #expect(found == lines)
        #expect(wholes == 29)
    }

    @Test("The report for people is aligned and calm")
    func text() throws {
        var report = VerifyReport()
        report.keyOnce = 1_204_567
        report.keyNever = 12
        report.storedOnce = 1_204_567
        report.windowsChecked = 345
        report.completeThrough = EventTime(milliseconds: Scene.start)
        #expect(
            report.text == """
                readings in the answer key     1,204,579   once 1,204,567, never 12, quarantine 0
                stored once                    1,204,567
                lost                                   0
                counted twice                          0
                out of order                           0
                windows checked                      345   complete through 2026-03-01T12:00:00Z
                windows wrong                          0
                verdict: PASS

                """)
        for number in 1...7 { report.lost.add("d1 d1:\(number)") }
        report.windowsExtra.add("d1 t 12:01: a row, no readings")
        #expect(report.text.contains("lost                                   7\n    d1 d1:1\n"))
        #expect(report.text.contains("    d1 d1:5\ncounted twice"))
        #expect(report.text.contains("windows wrong                          1\n  windows extra"))
        #expect(report.text.hasSuffix("verdict: FAIL\n"))
    }

    @Test("The report for programs has every count")
    func json() throws {
        var scene = Scene()
        scene.records.remove(at: scene.index(of: "d1:25"))
        let report = try scene.verify()
        let json = try #require(VerifyJSON(report.json))
        #expect(json["verdict"] == .text("fail"))
        #expect(json["answerKey"] == .number(.integer(120)))
        #expect(json["storedOnce"] == .number(.integer(115)))
        #expect(json["lost"] == .number(.integer(1)))
        #expect(json["windowsWrong"] == .number(.integer(2)))
        #expect(json["completeThrough"] == .text("2026-03-01T12:05:00Z"))
        #expect(json["examples"]?["lost"] == .array([.text("d1 d1:25")]))
    }

    @Test(
        "JSON is read as RFC 8259 has it",
        arguments: [
            ("0", VerifyJSON.number(.integer(0))), ("-12", .number(.integer(-12))),
            ("9223372036854775807", .number(.integer(.max))),
            ("9223372036854775808", .number(.float(9_223_372_036_854_775_808))),
            ("21.3", .number(.float(21.3))), ("1e3", .number(.float(1_000))),
            ("-0.5E-1", .number(.float(-0.05))),
            (" [1, true ,null] ", .array([.number(.integer(1)), .boolean(true), .null])),
            ("\"a\\n\\u00e9\\ud83d\\ude00\\/\"", .text("a\né😀/")), ("{}", .object([])), ("[]", .array([])),
            (
                "{\"a\":{\"b\":1}}",
                .object([.init(name: "a", value: .object([.init(name: "b", value: .number(.integer(1)))]))])
            ),
        ])
    func readsJSON(text: String, value: VerifyJSON) {
        #expect(VerifyJSON(Array(text.utf8)) == value)
    }

    @Test(
        "What is not JSON is refused",
        arguments: [
            "", " ", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "01", "-", "+1", ".5", "5.", "1e", "1.e3", "0x10",
            "nan", "tru",
            "\"a", "\"\u{1}\"", "\"\\x\"", "\"\\ud800\"", "\"\\u12\"", "1 2", "'a'",
            String(repeating: "[", count: 200),
        ])
    func refusesJSON(text: String) {
        #expect(VerifyJSON(Array(text.utf8)) == nil)
    }
}
