import FileStoreKit
import Foundation
import PerpetualQuery
import Platform
import QueryReplay
import ReferenceFiles
import Telemetry
import Testing

/// A run that is cut off and called again.
@Suite struct ReplayCheckpointTests {
    private static let minutes = Case(
        query: """
            SELECT k, COUNT(*) AS n, SUM(v) AS s, System.Timestamp() AS t INTO minutes
            FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10);
            SELECT k, v INTO plain FROM i TIMESTAMP BY t WHERE v > 2
            """,
        inputs: ["/i.jsonl"], outputs: ["minutes=/minutes.jsonl", "plain=/plain.csv"],
        deduplication: ["id"], outOfOrder: 2 * EventTime.ticksPerSecond)

    /// Every fifth event comes twice; empty lines in between.
    private static func events(_ count: Int, from: Int = 0) -> [UInt8] {
        var text = ""
        for index in from..<(from + count) {
            let time = EventTime(ticks: Int64(index * 7 % 5 + index * 2) * EventTime.ticksPerSecond)
            let line =
                "{\"id\":\(index),\"t\":\"\(time)\",\"k\":\"a,\(index % 3)\",\"v\":\(Double(index) / 7)}\n"
            text += index % 5 == 0 ? line + "\n" + line : line
        }
        return Array(text.utf8)
    }

    @Test(
        "wherever it is killed or the power fails, the run goes on and its files are those of an uninterrupted one",
        arguments: MemoryFileStore.CrashMode.allCases)
    func crashes(_ mode: MemoryFileStore.CrashMode) throws {
        let inputs = ["/i.jsonl": Self.events(100)]
        let expected = try Self.minutes.uninterrupted(inputs)
        #expect(expected.values.allSatisfy { $0.count > 300 })
        var resumes = 0
        var call = 0
        var isDone = false
        while !isDone {
            call += 1
            var files = Self.store(inputs)
            files.crashAt = call
            isDone = (try? Self.minutes.run(files)) != nil || !files.hasCrashed
            // The second one is cut off too.
            for second in [call % 11 + 1, nil] {
                files = files.afterCrash(mode, seed: UInt64(call))
                files.crashAt = second
                if let done = try? Self.minutes.run(files) { resumes += done > 0 ? 1 : 0 }
                if !files.hasCrashed { break }
            }
            let isSame = Self.minutes.written(files) == expected
            #expect(isSame, "cut off at call \(call)")
            #expect(!files.exists("/c") && !files.exists("/c.tmp"))
        }
        #expect(resumes > 3)
    }

    @Test("of several inputs each goes on at its place, also one without times and one that had ended")
    func severalInputs() throws {
        var two = Case(
            query: """
                SELECT v, 1 AS n INTO o FROM a TIMESTAMP BY t UNION SELECT v, 2 AS n FROM b TIMESTAMP BY t
                """,
            inputs: ["a=/a.jsonl", "b=/b.csv"], outputs: ["/o.jsonl"])
        two.stretch = 2
        func time(_ seconds: Int) -> String {
            EventTime(ticks: Int64(seconds) * EventTime.ticksPerSecond).description
        }
        let a = (0..<30).map { "{\"t\":\($0 % 4 == 3 ? "null" : "\"\(time($0 * 3))\""),\"v\":\($0)}" }
        let b = (0..<14).map { "\(time($0 * 2)),\($0)" }
        let inputs = [
            "/a.jsonl": Array(a.joined(separator: "\n").utf8),
            "/b.csv": [0xEF, 0xBB, 0xBF] + Array(("\nt,v\r\n" + b.joined(separator: "\r\n")).utf8),
        ]
        let expected = try two.uninterrupted(inputs)
        #expect(expected["/o.jsonl"]?.count { $0 == 10 } == 37)
        try Self.cut(two, inputs, expected)
    }

    @Test("CSV with a header, and a JSON array, go on at their places")
    func formats() throws {
        var query = Self.minutes
        query.deduplication = []
        let rows = (0..<25).map { index in
            let time = EventTime(ticks: Int64(index) * EventTime.ticksPerSecond)
            return (time.description, index % 2)
        }
        let csv = "t,k,v\r\n" + rows.map { "\($0),\"x,\($1)\",\($1 * 3)" }.joined(separator: "\r\n")
        let array = rows.map { "{\"t\":\"\($0)\",\"k\":\"x,\($1)\",\"v\":\($1 * 3)}" }
        let files = [
            "/i.csv": [0xEF, 0xBB, 0xBF] + Array(csv.utf8),
            "/i.json": [0xEF, 0xBB, 0xBF] + Array((" [\n" + array.joined(separator: " ,\n") + "]\n").utf8),
        ]
        for name in ["/i.csv", "/i.json"] {
            query.inputs = [name]
            query.settings.timePolicy.lateToleranceTicks = 0
            try Self.cut(query, files, try query.uninterrupted(files))
        }
    }

    @Test("events that fill a stretch by their size are cut between as well")
    func largeEvents() throws {
        var query = Self.minutes
        query.stretch = EventBatch.eventsMax
        let padding = String(repeating: "x", count: 90_000)
        let lines = (0..<8).map { index in
            let time = EventTime(ticks: Int64(index) * EventTime.ticksPerSecond)
            return "{\"id\":\(index),\"t\":\"\(time)\",\"k\":\"a\",\"v\":\(index),\"p\":\"\(padding)\"}\n"
        }
        let inputs = ["/i.jsonl": Array(lines.joined().utf8)]
        try Self.cut(query, inputs, try query.uninterrupted(inputs), every: 4)
    }

    /// Kills it at each of its writes.
    static func cut(
        _ query: Case, _ inputs: [String: [UInt8]], _ expected: [String: [UInt8]], every: Int = 1
    ) throws {
        var call = 0
        var resumes = 0
        while true {
            call += every
            let files = store(inputs)
            files.crashAt = call
            _ = try? query.run(files)
            let isDone = !files.hasCrashed
            files.restartProcess()
            if !isDone, let done = try query.run(files), done > 0 { resumes += 1 }
            let isSame = query.written(files) == expected
            #expect(isSame, "cut off at call \(call)")
            if isDone { break }
        }
        #expect(resumes > 0)
    }

    /// A store in which a run stopped with a checkpoint of thirty events behind it, and events left.
    private static func stopped(_ query: Case, _ inputs: [String: [UInt8]]) -> MemoryFileStore {
        let files = store(inputs)
        var query = query
        query.stretch = 30
        files["/i.jsonl"] += Array("7\n".utf8)
        let told = message { try query.run(files) }
        #expect(told.contains("not a JSON object"))
        #expect(files.exists("/c"))
        files["/i.jsonl"].removeLast(2)
        return files
    }

    @Test("lines that came since are taken, also behind a line that had no end yet")
    func grown() throws {
        var lines = Self.events(30)
        lines.removeLast()
        let more = Self.events(12, from: 30)
        let whole = lines + [10] + more
        let expected = try Self.minutes.uninterrupted(["/i.jsonl": whole])
        for call in stride(from: 12, to: 200, by: 4) {
            let files = Self.store(["/i.jsonl": lines])
            files.crashAt = call
            _ = try? Self.minutes.run(files)
            guard files.hasCrashed else { break }
            files.restartProcess()
            files["/i.jsonl"] = whole
            try Self.minutes.run(files)
            let isSame = Self.minutes.written(files) == expected
            #expect(isSame, "cut off at call \(call)")
        }
    }

    @Test("behind a line that had no end, the line's end is passed over, and anything else is refused")
    func openLine() throws {
        var two = Case(
            query: "SELECT v INTO o FROM a TIMESTAMP BY t UNION SELECT v FROM b TIMESTAMP BY t",
            inputs: ["a=/a.jsonl", "b=/b.jsonl"], outputs: ["/o.jsonl"])
        two.stretch = 2
        func event(_ seconds: Int64) -> [UInt8] {
            let time = EventTime(ticks: seconds * EventTime.ticksPerSecond)
            return Array("{\"t\":\"\(time)\",\"v\":\(seconds)}".utf8)
        }
        // Saved behind the first event of either; then `b` stops the run.
        let files = Self.store(["/a.jsonl": event(1), "/b.jsonl": event(2) + Array("\n7\n".utf8)])
        #expect(Self.message { try two.run(files) }.contains("/b.jsonl:2: not a JSON object"))
        #expect(files.exists("/c"))
        for (more, told) in [
            (" ", "/a.jsonl:1: the line has grown since it was read; delete /c to begin anew"),
            ("\nnope", "/a.jsonl:2: not a JSON object"), ("\r\nnope\n", "/a.jsonl:2: not a JSON object"),
            ("", "/b.jsonl:2: not a JSON object"),
        ] {
            let grown = files.afterCrash(.keep, seed: 0)
            grown["/a.jsonl"] += Array(more.utf8)
            let text = Self.message { try two.run(grown) }
            #expect(text.hasPrefix(told), "\(text)")
        }
    }

    @Test("after an event that fails and a full disk it goes on, once they are mended")
    func failures() throws {
        var query = Self.minutes
        query.outOfOrder = 0
        query.query = """
            SELECT k, CAST(v AS bigint) AS v INTO plain FROM i TIMESTAMP BY t;
            SELECT k, COUNT(*) AS n INTO minutes FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
            """
        let good = Self.events(40)
        let right = Self.store(["/i.jsonl": good])
        let bad = Array("{\"id\":\"z\",\"t\":\"\(EventTime(ticks: 0))\",\"k\":\"a\",\"v\":\"x\"}\n".utf8)
        let end = Self.events(30).count
        right["/i.jsonl"] = Array(good[..<end]) + bad + Array(good[end...])
        let told = Self.message { try query.run(right) }
        #expect(told.contains("/i.jsonl:43: {\"id\""), "\(told)")
        #expect(right.exists("/c"))
        let files = ["/i.jsonl": good]
        right["/i.jsonl"] = good
        #expect(try query.run(right) ?? 0 > 0)
        #expect(query.written(right) == (try query.uninterrupted(files)))

        let full = Self.store(["/i.jsonl": Self.events(60)])
        full.capacity = full["/i.jsonl"].count + 4_000
        let disk = Self.message { try Self.minutes.run(full) }
        #expect(disk.contains("cannot write: full by the test"), "\(disk)")
        #expect(!full.exists("/c.tmp"))
        full.capacity = Int.max
        try Self.minutes.run(full)
        #expect(
            Self.minutes.written(full) == (try Self.minutes.uninterrupted(["/i.jsonl": Self.events(60)])))
    }

    @Test("a checkpoint that does not belong is refused with what is different, and nothing is written")
    func refusals() throws {
        let inputs = ["/i.jsonl": Self.events(36), "/r.csv": Array("a,b\n1,2\n".utf8)]
        let files = Self.stopped(Self.minutes, inputs)
        let before = files.files(below: "")
        func refused(_ text: String, _ change: (inout Case) -> Void = { _ in }) {
            var query = Self.minutes
            change(&query)
            let told = Self.message { try query.run(files) }
            #expect(told == text)
            let isUntouched = files.files(below: "") == before
            #expect(isUntouched)
        }
        let end = "; run it as before, or delete /c to begin anew"
        refused("/c: the text of the query is not what it was made with" + end) { $0.query += " " }
        refused("/c: was made with --dedup id, and now it is nothing" + end) { $0.deduplication = [] }
        refused("/c: was made with --out-of-order 2s, and now it is 500ms" + end) {
            $0.outOfOrder = EventTime.ticksPerSecond / 2
        }
        refused("/c: was made with --arrival nothing, and now it is t" + end) { $0.arrival = "t" }
        refused("/c: was made with --ids no, and now it is yes" + end) { $0.withIDs = true }
        refused(
            "/c: was made with --output minutes=/minutes.jsonl, plain=/plain.csv, and now it is plain=/plain.csv"
                + end
        ) { $0.outputs.removeFirst() }
        refused("/c: was made with other settings: fewer --reference" + end) { $0.references = ["r=/r.csv"] }
    }

    @Test("a file that is not what it was is named, and no file is written")
    func otherFiles() throws {
        let anew = "; delete /c to begin anew"
        let whole = try Self.minutes.run(Self.stopped(Self.minutes, ["/i.jsonl": Self.events(36)]))
        #expect(whole == 30)
        let inputs = ["/i.jsonl": Self.events(36)]
        func told(_ change: (MemoryFileStore) -> Void) throws -> String {
            let files = Self.stopped(Self.minutes, inputs)
            change(files)
            let before = files.files(below: "")
            let text = Self.message { try Self.minutes.run(files) }
            let isUntouched = files.files(below: "") == before
            #expect(isUntouched)
            return text
        }
        let short = try told { $0["/i.jsonl"].removeLast($0["/i.jsonl"].count - 100) }
        #expect(short.hasPrefix("/i.jsonl: has 100 bytes, and when /c was made, "), "\(short)")
        #expect(short.hasSuffix(" were taken of it" + anew))
        let other = try told { $0["/i.jsonl"][7] ^= 1 }
        #expect(other.hasPrefix("/i.jsonl: its first "), "\(other)")
        #expect(other.hasSuffix(" bytes are not those that were taken of it when /c was made" + anew))
        let gone = try told { $0.forget("/plain.csv") }
        #expect(gone.hasPrefix("/plain.csv: is gone, and /c goes on behind "), "\(gone)")
        let cut = try told { $0["/plain.csv"].removeAll() }
        #expect(cut.hasPrefix("/plain.csv: has 0 bytes, and when /c was made, "), "\(cut)")
        #expect(cut.hasSuffix(" were written to it" + anew))
        let changed = try told { $0["/plain.csv"][0] ^= 1 }
        #expect(changed.hasPrefix("/plain.csv: its first "), "\(changed)")
        #expect(changed.hasSuffix(" bytes are not those that were written to it when /c was made" + anew))
        for index in [9, 30, 200] {
            let damaged = try told { $0["/c"][index] ^= 4 }
            #expect(damaged == "/c: damaged; delete it to begin anew")
        }
        let foreign = try told { $0["/c"] = Array("{\"a\":1}\n".utf8) }
        #expect(foreign == "/c: is no checkpoint of query run: give --checkpoint a file of its own")
    }

    @Test("what cannot be cut, and a name that is taken, is refused at once")
    func refusedAtOnce() throws {
        let files = Self.store(["/i.jsonl": Self.events(6)])
        var query = Self.minutes
        query.outputs = ["plain=-"]
        #expect(Self.message { try query.run(files) }.contains("standard output cannot be cut"))
        query.outputs = ["plain=/dev/null"]
        #expect(Self.message { try query.run(files) }.contains("/dev/null cannot be cut"))
        query.outputs = ["plain=/c"]
        #expect(
            Self.message { try query.run(files) } == "/c: is an --output: give --checkpoint a file of its own"
        )
        query.outputs = ["plain=/p", "minutes=/p"]
        #expect(Self.message { try query.run(files) }.contains("--output /p is given twice"))
        files["/c"] = []
        try Self.minutes.run(files)
        #expect(!files.exists("/c"))
    }

    @Test("reference data that changed is refused")
    func references() throws {
        var query = Self.minutes
        query.query = "SELECT i.k, i.v, r.b INTO plain FROM i TIMESTAMP BY t JOIN r ON i.k = r.a"
        query.outputs = ["/plain.csv"]
        query.references = ["r=/r.csv"]
        let rows = Array("a,b\n\"a,0\",2\n\"a,1\",3\n\"a,2\",4\n".utf8)
        let inputs = ["/i.jsonl": Self.events(36), "/r.csv": rows]
        try Self.cut(query, inputs, try query.uninterrupted(inputs))
        let files = Self.stopped(query, inputs)
        files["/r.csv"][rows.count - 2] = UInt8(ascii: "5")
        #expect(
            Self.message { try query.run(files) }
                == "/c: the rows of --reference r is not what it was made with; "
                + "run it as before, or delete /c to begin anew")
    }

    @Test("the bytes of a checkpoint are the documented ones")
    func goldenBytes() throws {
        let query = Case(
            query: "SELECT v INTO o FROM i TIMESTAMP BY t", inputs: ["/i.csv"], outputs: ["/o.csv"],
            deduplication: ["v"], stretch: 1)
        let time = EventTime(ticks: 0)
        let lines = "t,v\n\(time),1\n"
        // The second event stops the run, with what was saved behind the first.
        let files = Self.store(["/i.csv": Array((lines + "\(time)\n").utf8)])
        #expect(Self.message { try query.run(files) }.contains("/i.csv:3: 1 fields"))
        let bytes = files["/c"]
        let state = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("HEDSTRM1".utf8)) })
        var head: [UInt8] = []
        func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { head += Array($0) }
        }
        func put(_ text: String) {
            put(UInt32(text.utf8.count))
            head += Array(text.utf8)
        }
        head += Array("HEDREPLY".utf8)
        put(UInt32(1))
        put(UInt32(15))
        for text in [
            "the text of the query", "3489830802", "the query's name", "test", "--input", "", "--output",
            "o=/o.csv", "--ids", "no", "--dedup", "v", "--dedup-for", "", "--arrival", "", "--late", "5s",
            "--out-of-order", "0s", "--early", "300s", "--policy", "adjust", "--watermark-over", "",
            "--idle-after", "", "--errors", "stop",
        ] { put(text) }
        put(UInt32(1))
        put(UInt64(lines.utf8.count))
        put(UInt64(2))
        put(UInt64(1))
        put(Int64.min)
        head.append(0)
        put(UInt32(0x9649_607B))
        put(UInt32(0x9649_607B))
        put(UInt32(1))
        put(UInt64(4))
        put(UInt32(0x56F5_6DE0))
        put(UInt32(0x56F5_6DE0))
        head.append(1)
        put(UInt32(1))
        put("v")
        #expect(Array(bytes[..<state]) == head)
    }

    @Test("cut off, every golden case gives the same bytes", arguments: GoldenCase.all)
    func golden(_ golden: GoldenCase) throws {
        guard golden.failure == nil, golden.references.isEmpty else { return }
        let plan = try #require(golden.plan(golden.settings))
        var query = Case(
            query: golden.query, inputs: [], outputs: plan.outputs.map { "\($0)=/\($0).out.jsonl" })
        query.outputs += ["_late=/_late.jsonl", "_errors=/_errors.jsonl"]
        query.settings = golden.settings
        query.arrival = golden.arrivalField
        query.withIDs = true
        query.stretch = 1
        var inputs: [String: [UInt8]] = [:]
        for input in plan.inputs {
            let own = golden.folder.appending(path: "\(input.name).jsonl")
            let file =
                FileManager.default.fileExists(atPath: own.path)
                ? own : golden.folder.appending(path: "input.jsonl")
            inputs["/\(input.name)"] = Array(try Data(contentsOf: file))
            query.inputs.append("\(input.name)=/\(input.name)")
        }
        // What no replay takes (events without a time of arrival) is not cut.
        guard let expected = try? query.uninterrupted(inputs) else { return }
        for call in [14, 23, 40] {
            let files = Self.store(inputs)
            files.crashAt = call
            _ = try? query.run(files)
            guard files.hasCrashed else { break }
            files.restartProcess()
            try query.run(files)
            let isSame = query.written(files) == expected
            #expect(isSame, "cut off at call \(call)")
        }
    }
}
