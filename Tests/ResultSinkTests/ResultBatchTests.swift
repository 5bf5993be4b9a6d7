import Platform
import ResultSink
import Telemetry
import Testing

/// Reading in place, for several sinks at once.
@Suite struct ResultBatchTests {
    private func log(_ store: FaultStore, readBytesMax: Int) throws -> ResultLog {
        var limits = ResultLogLimits()
        limits.segmentBytesMax = 3_000
        limits.bufferBytesMax = 700
        limits.readBytesMax = readBytesMax
        return try ResultLog.open(directory: "d/log", files: store, limits: limits)
    }

    private func fill(_ log: ResultLog, rows: Int = 40) throws {
        for index in 0..<rows {
            let output = index % 3 == 0 ? "_late" : "minute"
            try log.append(
                row("dev", "f\(index)", minute: index, value: index, output: output),
                topic: index % 4 == 0 ? "" : "t/\(index)")
            if index % 10 == 9 { try log.appendComplete(through: moment(minute: index)) }
        }
        try log.commit()
    }

    private func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test(
        "what is seen in place is what was appended, whatever the size of a read",
        arguments: [1, 300, 1 << 18])
    func inPlace(readBytesMax: Int) throws {
        let log = try log(FaultStore(), readBytesMax: readBytesMax)
        try fill(log)
        let batch = ResultBatch()
        var at: UInt64 = 0
        var rows = 0
        var topics = 0
        var batches = 0
        while at < log.endPosition {
            try log.read(into: batch, from: at)
            #expect(batch.position == at)
            batches += 1
            topics += batch.topicRowCount
            for entry in batch.entries {
                #expect(entry.position == at)
                at = entry.nextPosition
                #expect(entry.rowsBefore == rows)
                guard entry.isRow else {
                    #expect(entry.time == moment(minute: rows - 1))
                    continue
                }
                let original = row(
                    "dev", "f\(rows)", minute: rows, value: rows, output: rows % 3 == 0 ? "_late" : "minute")
                #expect(text(entry.output) == original.output)
                #expect(text(entry.topic) == (rows % 4 == 0 ? "" : "t/\(rows)"))
                #expect(Array(entry.json) == original.json())
                #expect(entry.rid == original.id)
                #expect(entry.time == original.time)
                rows += 1
            }
            #expect(batch.endPosition == at)
        }
        #expect(rows == 40)
        #expect(topics == 30)
        if readBytesMax == 1 { #expect(batches == 44) }
        try log.read(into: batch, from: at)
        #expect(batch.isEmpty)
    }

    @Test("a row larger than a read is read all the same, and the next ones behind it")
    func large() throws {
        let log = try log(FaultStore(), readBytesMax: 300)
        let name = String(repeating: "x", count: 20_000)
        try log.append(row(name, "f", minute: 1), topic: "t")
        try log.append(row("dev", "f", minute: 1), topic: "t")
        try log.commit()
        let reader = ResultReader(log)
        let first = try #require(try reader.batch(from: 0))
        #expect(first.entries.map(\.json.count).first ?? 0 > 20_000)
        #expect(first.entries.count { _ in true } == 1)
        let second = try #require(try reader.batch(from: first.endPosition))
        #expect(second.entries.count { _ in true } == 1)
        #expect(second.endPosition == log.endPosition)
        #expect(try reader.batch(from: log.endPosition) == nil)
    }

    @Test("sinks at the same place cost one read, and what one still has is not written over")
    func shared() throws {
        let store = FaultStore()
        let log = try log(store, readBytesMax: 500)
        try fill(log)
        let reader = ResultReader(log)
        let before = store.reads
        let first = try #require(try reader.batch(from: 0))
        #expect(try reader.batch(from: 0) === first)
        let middle = try #require(first.entries.map(\.nextPosition).first)
        #expect(try reader.batch(from: middle) === first)
        #expect(store.reads == before + 1)
        let seen = first.entries.map { text($0.json) }
        let second = try #require(try reader.batch(from: first.endPosition))
        #expect(second !== first)
        #expect(first.entries.map { text($0.json) } == seen)
        #expect(second.entries.map { text($0.json) } != seen)
        #expect(throws: ResultLogError.notAnEntry(position: second.position + 3)) {
            try reader.batch(from: second.position + 3)
        }
    }

    @Test("in front of an entry that is damaged the others are served, and the error names file and byte")
    func damage() throws {
        let store = FaultStore()
        let log = try log(store, readBytesMax: 1 << 18)
        for index in 0..<8 {
            try log.append(row("dev", "f", minute: 1, value: index, output: "_late"), topic: "t")
        }
        try log.commit()
        let entries = try log.read(from: 0, limit: 100)
        let sink = try FileSink(root: "d/results", files: store, log: log, cursorPath: "d/c")
        let path = "d/log/00000000000000000000.results"
        let bad = 40 + entries[5].position
        store.damage(path) { $0[Int(bad) + 60] ^= 1 }
        #expect(try sink.deliver())
        let lines = entries[..<5].map { String(decoding: $0.json, as: UTF8.self) + "\n" }
        #expect(store.text("d/results/_late/_late.jsonl") == lines.joined())
        #expect(throws: FileSinkError.log(.damaged(path: path, offset: bad))) { try sink.deliver() }
        // Torn: the file ends inside the entry that was committed whole.
        store.damage(path) { $0.removeLast($0.count - Int(bad) - 20) }
        #expect(try ResultReader(log).batch(from: 0)?.endPosition == entries[5].position)
        #expect(throws: ResultLogError.damaged(path: path, offset: bad)) {
            try ResultReader(log).batch(from: entries[5].position)
        }
    }

    @Test(
        "windows whose rows stand between each other, and growing files, are written from one look at each row",
        arguments: [200, 1 << 18], [1_000, 1 << 20])
    func mixed(readBytesMax: Int, runBytesMax: Int) throws {
        let store = FaultStore()
        let log = try log(store, readBytesMax: readBytesMax)
        var limits = FileSinkLimits()
        limits.runBytesMax = runBytesMax
        let sink = try FileSink(
            root: "d/results", files: store, log: log, cursorPath: "d/c", appended: ["all"],
            excluded: ["none"], limits: limits)
        var expected: [String: [String]] = [:]
        var state: UInt64 = 7
        for index in 0..<60 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Names that begin alike, and some that are the beginning of others.
            let name = String(repeating: "a", count: Int(state >> 60)) + ["", "b", "\u{E9}"][index % 3]
            let output = ["m", "n", "all", "none", "_x"][index % 5]
            let row = row(name, "f", minute: 1 + index % 4, value: index, output: output)
            try log.append(row, topic: "")
            let minute = "date=2026-03-01/hour=00/\(output)-20260301T000\(1 + index % 4)00Z.jsonl"
            switch output {
            case "none": continue
            case "all", "_x": expected["d/results/\(output)/\(output).jsonl", default: []].append(line(row))
            default: expected["d/results/\(output)/\(minute)", default: []].append(line(row))
            }
        }
        try log.appendComplete(through: moment(minute: 9))
        try log.commit()
        let before = store.reads
        while try sink.deliver() {}
        let reads = store.reads - before
        for (path, lines) in expected {
            let isGrowing = path.contains("/all.") || path.contains("/_x.")
            let sorted = lines.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            #expect(store.text(path) == (isGrowing ? lines : sorted).joined(), "\(path)")
        }
        #expect(store.everything().keys.count { $0.hasSuffix(".jsonl") } == expected.count)
        #expect(sink.counters == FileSinkCounters(offered: 60, delivered: 60, diverted: 0, outbox: 0))
        if readBytesMax > 1_000, runBytesMax > 10_000 {
            // Each segment twice: when rows come, and when their windows are complete.
            let segments = store.everything().keys.count { $0.hasPrefix("d/log/") }
            #expect(reads <= 2 * segments)
        }
    }

    private func line(_ row: ResultRow) -> String { String(decoding: row.json(), as: UTF8.self) + "\n" }

    @Test("the digits of an id are those of its text")
    func digits() {
        for id in [ResultID(high: 0, low: 0x0123_4567_89AB_CDEF), ResultID(high: .max, low: 1)] {
            var digits = [UInt8](repeating: 0, count: ResultID.digitCount)
            digits.withUnsafeMutableBytes { id.write(to: $0) }
            #expect(String(decoding: digits, as: UTF8.self) == id.description)
        }
    }
}
