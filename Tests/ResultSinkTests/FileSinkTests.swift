import Platform
import ResultSink
import Telemetry
import Testing

@Suite struct FileSinkTests {
    private func sink(
        _ store: FaultStore, _ log: ResultLog, clock: any HubClock = ImpatientClock()
    ) throws -> FileSink {
        try FileSink(root: "d/results", files: store, log: log, cursorPath: "d/file.cursor", clock: clock)
    }

    private func drain(_ sink: FileSink) throws {
        while try sink.deliver() {}
    }

    @Test("a window's file appears whole when the window is complete, its lines sorted by device and field")
    func windowFile() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let sink = try sink(store, log)
        let rows = [
            row("b", "t", minute: 61), row("a", "u", minute: 61), row("a", "t", minute: 62),
            row("a", "t", minute: 61),
        ]
        for row in rows { try log.append(row, topic: "") }
        try log.commit()
        try drain(sink)
        let path = "d/results/minute/date=2026-03-01/hour=01/minute-20260301T010100Z.jsonl"
        #expect(!store.exists(path))
        #expect(sink.counters == FileSinkCounters(offered: 4, delivered: 0, diverted: 0, outbox: 4))
        try log.appendComplete(through: moment(minute: 61))
        try log.commit()
        try drain(sink)
        let expected = [rows[3], rows[1], rows[0]].map { String(decoding: $0.json(), as: UTF8.self) + "\n" }
        #expect(store.text(path) == expected.joined())
        #expect(sink.counters == FileSinkCounters(offered: 4, delivered: 3, diverted: 0, outbox: 1))
        #expect(store.everything().keys.filter { $0.hasSuffix(".jsonl") } == [path])
    }

    @Test("the directories are those of the window's end, also at midnight and with a fraction")
    func names() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let sink = try sink(store, log)
        var fraction = row("a", "t", minute: 0)
        fraction.time = base.adding(ticks: 5_000_000)
        try log.append(row("a", "t", minute: 0), topic: "")
        try log.append(fraction, topic: "")
        try log.appendComplete(through: moment(minute: 1))
        try log.commit()
        try drain(sink)
        #expect(
            store.everything().keys.filter { $0.hasSuffix(".jsonl") }.sorted() == [
                "d/results/minute/date=2026-03-01/hour=00/minute-20260301T000000.500Z.jsonl",
                "d/results/minute/date=2026-03-01/hour=00/minute-20260301T000000Z.jsonl",
            ])
    }

    @Test("a file that is there is never written again")
    func neverAgain() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("a", "t", minute: 1), topic: "")
        try log.appendComplete(through: moment(minute: 1))
        try log.commit()
        try drain(sink(store, log, clock: StandingClock()))
        let path = "d/results/minute/date=2026-03-01/hour=00/minute-20260301T000100Z.jsonl"
        store.damage(path) { $0 = Array("mine\n".utf8) }
        let again = try sink(store, log)
        #expect(again.counters.outbox == 1)
        try drain(again)
        #expect(store.text(path) == "mine\n")
        #expect(again.counters == FileSinkCounters(offered: 1, delivered: 1, diverted: 0, outbox: 0))
    }

    @Test("pass-through rows are appended as they come, without waiting for a marker")
    func append() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        var expected = ""
        for round in 0..<4 {
            let sink = try sink(store, log)
            for index in 0..<3 {
                let row = row("d", "f", minute: round, value: index, output: "_late")
                expected += String(decoding: row.json(), as: UTF8.self) + "\n"
                try log.append(row, topic: "")
            }
            try log.append(row("x", "y", minute: round, output: "_errors"), topic: "")
            try log.commit()
            try drain(sink)
            #expect(store.text("d/results/_late/_late.jsonl") == expected)
            try sink.stop()
            #expect(sink.counters.outbox == 0)
        }
        #expect(store.text("d/results/_errors/_errors.jsonl").split(separator: "\n").count == 4)
    }

    @Test("what is in an append file behind its committed length is cut when the sink starts")
    func uncommittedTail() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let first = try sink(store, log)
        try log.append(row("a", "t", minute: 1, output: "_late"), topic: "")
        try log.commit()
        try drain(first)
        try first.stop()
        let path = "d/results/_late/_late.jsonl"
        let text = store.text(path)
        store.damage(path) { $0 += Array("{\"half\":".utf8) }
        _ = try sink(store, log)
        #expect(store.text(path) == text)
    }

    @Test("the cursor stays before the first row that waits, so that a release keeps it")
    func position() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let sink = try sink(store, log)
        try log.append(row("a", "t", minute: 1), topic: "")
        try log.commit()
        let second = log.endPosition
        try log.append(row("a", "t", minute: 2), topic: "")
        try log.appendComplete(through: moment(minute: 1))
        try log.commit()
        try drain(sink)
        try sink.stop()
        #expect(sink.position == second)
        try log.appendComplete(through: moment(minute: 2))
        try log.commit()
        try drain(sink)
        try sink.stop()
        #expect(sink.position == log.endPosition)
    }

    @Test("a row that comes after its window was complete is counted as diverted, and is in no file")
    func afterCompletion() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let sink = try sink(store, log)
        try log.appendComplete(through: moment(minute: 1))
        try log.append(row("a", "t", minute: 1), topic: "")
        try log.appendComplete(through: moment(minute: 2))
        try log.commit()
        try drain(sink)
        #expect(sink.counters == FileSinkCounters(offered: 1, delivered: 0, diverted: 1, outbox: 0))
        #expect(store.everything().keys.filter { $0.hasSuffix(".jsonl") }.isEmpty)
    }

    @Test("files above the run limit are sorted runs, the same at every try")
    func runs() throws {
        var limits = FileSinkLimits()
        limits.runBytesMax = 300
        var logLimits = ResultLogLimits()
        logLimits.readBytesMax = 500
        var texts: Set<String> = []
        for _ in 0..<2 {
            let store = FaultStore()
            let log = try ResultLog.open(directory: "d/log", files: store, limits: logLimits)
            let sink = try FileSink(
                root: "d/results", files: store, log: log, cursorPath: "d/c", limits: limits)
            for index in 0..<10 { try log.append(row("\(9 - index)", "t", minute: 1), topic: "") }
            try log.appendComplete(through: moment(minute: 1))
            try log.commit()
            try drain(sink)
            texts.insert(
                store.text("d/results/minute/date=2026-03-01/hour=00/minute-20260301T000100Z.jsonl"))
        }
        #expect(texts.count == 1)
        #expect(texts.first?.split(separator: "\n").count == 10)
    }

    @Test("a missing cursor is refused only when rows of an append file could be lost")
    func missingCursor() throws {
        let store = FaultStore()
        var limits = ResultLogLimits()
        limits.segmentBytesMax = 100
        let log = try ResultLog.open(directory: "d/log", files: store, limits: limits)
        let first = try sink(store, log)
        for index in 0..<5 {
            try log.append(row("a", "t", minute: 1, value: index, output: "_late"), topic: "")
            try log.commit()
        }
        try drain(first)
        try first.stop()
        let text = store.text("d/results/_late/_late.jsonl")
        try store.remove("d/file.cursor")
        try drain(sink(store, log))
        #expect(store.text("d/results/_late/_late.jsonl") == text)
        try store.remove("d/file.cursor")
        try log.release(before: log.endPosition)
        #expect(
            throws: FileSinkError.cursorMissing(
                path: "d/file.cursor", appendFile: "d/results/_late/_late.jsonl")
        ) { try sink(store, log) }
    }

    @Test("an append file shorter than its cursor says is an error that says how to go on")
    func shortAppendFile() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        let first = try sink(store, log)
        try log.append(row("a", "t", minute: 1, output: "_late"), topic: "")
        try log.commit()
        try drain(first)
        try first.stop()
        store.damage("d/results/_late/_late.jsonl") { $0.removeLast() }
        let error = try #require(throws: FileSinkError.self) { try sink(store, log) }
        #expect(error.description.hasPrefix("d/results/_late/_late.jsonl: has "))
    }
}
