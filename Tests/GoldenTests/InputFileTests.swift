import Foundation
import PerpetualQuery
import Platform
import QueryReplay
import Telemetry
import Testing

/// What people give as an input that is no such thing, or nearly.
@Suite struct InputFileTests {
    private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

    private let folder: ReplayTests.Folder

    init() throws { folder = try ReplayTests.Folder([:]) }

    private func replay(
        _ bytes: [UInt8], _ name: String, _ text: String = "SELECT deviceId INTO o FROM i"
    ) throws -> QueryReplay {
        let path = folder.path + "/" + name
        try Data(bytes).write(to: URL(filePath: path))
        var replay = QueryReplay(text: text, name: "q", files: PosixFileStore())
        replay.inputs = [QueryReplay.NamedFile(argument: path)]
        return replay
    }

    private func rows(_ replay: QueryReplay) throws -> [String] {
        var lines: [String] = []
        _ = try replay.run(try replay.plan(title: "q.sql"), title: "q.sql") { (rows) throws(ReplayError) in
            for row in 0..<rows.count {
                var bytes: [UInt8] = []
                rows.appendJSON(of: row, to: &bytes)
                lines.append(String(decoding: bytes, as: UTF8.self))
            }
        }
        return lines
    }

    @Test("a byte order mark and line ends of Windows are no part of names and values")
    func marks() throws {
        let files: [(String, String)] = [
            ("a.csv", "deviceId,v\r\nx,1\r\n"), ("a.jsonl", "{\"deviceId\":\"x\"}\r\n"),
            ("a.json", "[{\"deviceId\":\"x\"}]"),
        ]
        for (name, text) in files {
            #expect(
                try rows(try replay(Self.mark + Array(text.utf8), name)) == [#"{"deviceId":"x"}"#], "\(name)")
        }
    }

    @Test(
        "a file that is no text in UTF-8 is named with what it is and what to do",
        arguments: [
            ([0x1F, 0x8B, 8, 0], "a.jsonl", "/a.jsonl: is compressed by gzip: unpack it first"),
            ([0x28, 0xB5, 0x2F, 0xFD], "a.csv", "/a.csv: is compressed by zstd"),
            ([0x50, 0x4B, 3, 4, 0, 0], "a.csv", "/a.csv: is a ZIP archive, or a workbook"),
            ([0x50, 0x41, 0x52, 0x31], "a.json", "/a.json: is Parquet"),
            ([0xFF, 0xFE, 0x64, 0], "a.csv", "/a.csv: is UTF-16: save it as UTF-8"),
            ([0xFE, 0xFF, 0, 0x64], "a.csv", "/a.csv: is UTF-16"),
            ([0x7B, 0, 0x22, 0], "a.jsonl", "/a.jsonl: is UTF-16"),
            ([], "a.csv", "/a.csv: is empty: a CSV file begins with a line of names"),
            (Array("deviceId\n".utf8) + [0xE9, 0x0A], "a.csv", "/a.csv:2: deviceId is not UTF-8"),
        ] as [([UInt8], String, String)])
    func others(bytes: [UInt8], name: String, text: String) {
        let error = #expect(throws: ReplayError.self) { try rows(try replay(bytes, name)) }
        #expect(error?.message.contains(text) == true, "\(error?.message ?? "")")
        #expect(error?.kind == .input)
    }

    @Test("a field that no event has is told, with what was meant or what there is")
    func absentFields() throws {
        func notes(_ text: String, _ name: String, _ query: String) throws -> [String] {
            let replay = try replay(Array(text.utf8), name, query)
            return replay.notes(try replay.plan(title: "q.sql")).map {
                $0.replacingOccurrences(of: folder.path, with: "")
            }
        }
        let events = "{\"deviceId\":\"x\",\"value\":1}\n{\"deviceId\":\"y\"}\n"
        #expect(try notes(events, "a.jsonl", "SELECT deviceID, value INTO o FROM i") == [])
        #expect(
            try notes(events, "a.jsonl", "SELECT valu INTO o FROM i") == [
                #"/a.jsonl: the field "valu" is in none of the first 2 events, it gives NULL; did you mean "value"?"#
            ])
        #expect(
            try notes("x;1\ny;2\n", "a.csv", "SELECT deviceId INTO o FROM i") == [
                #"/a.csv:1: there is no column "deviceId", it gives NULL; there are: x;1"#
            ])
        #expect(try notes("", "a.jsonl", "SELECT deviceId INTO o FROM i") == [])
    }
}
