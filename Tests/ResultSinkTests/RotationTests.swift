import Foundation
import Platform
import ResultSink
import Telemetry
import Testing

/// Append files that somebody removes, renames or empties while the sink writes them.
@Suite struct RotationTests {
    enum Way: CaseIterable {
        case remove, rename, empty
    }

    private let path = "d/results/_late/_late.jsonl"

    private func sink(
        _ store: some FileStore, _ log: ResultLog, clock: any HubClock = StandingClock()
    ) throws -> FileSink {
        try FileSink(root: "d/results", files: store, log: log, cursorPath: "d/file.cursor", clock: clock)
    }

    private func append(_ values: ClosedRange<Int>, to log: ResultLog) throws {
        for value in values {
            try log.append(row("a", "t", minute: 1, value: value, output: "_late"), topic: "")
        }
        try log.commit()
    }

    private func deliver(_ sink: FileSink) throws { while try sink.deliver() {} }

    /// A sink that has delivered the values 0 to 2.
    private func threeRows(
        _ store: some FileStore, clock: any HubClock = StandingClock()
    ) throws -> (log: ResultLog, sink: FileSink) {
        let log = try ResultLog.open(directory: "d/log", files: store)
        let sink = try sink(store, log, clock: clock)
        try append(0...2, to: log)
        try deliver(sink)
        return (log, sink)
    }

    /// The values of the rows in a file, in their order.
    private func values(_ store: some FileStore, _ path: String) -> [Int] {
        store.text(path).split(separator: "\n").map { line in
            let rest = line.split(separator: "\"value\":").last?.prefix { $0.isNumber } ?? ""
            return Int(rest) ?? -1
        }
    }

    private func take(_ way: Way, _ store: FaultStore) throws {
        switch way {
        case .remove: try store.remove(path)
        case .rename: try store.rename(path, to: path + ".1")
        case .empty: store.damage(path) { $0 = [] }
        }
    }

    @Test("rows that follow go to a new file, which is said once", arguments: Way.allCases)
    func newFile(way: Way) throws {
        let store = FaultStore()
        let (log, sink) = try threeRows(store)
        try sink.stop()
        #expect(sink.takeNotices() == [])
        try take(way, store)
        try append(3...4, to: log)
        try deliver(sink)
        #expect(values(store, path) == [3, 4])
        #expect(values(store, path + ".1") == (way == .rename ? [0, 1, 2] : []))
        try sink.stop()
        let notices = sink.takeNotices()
        #expect(notices.count == 1 && notices[0].hasPrefix("d/results/_late/_late.jsonl was removed"))
        #expect(sink.takeNotices() == [])
        // Also when nothing came in between, and over a restart.
        try take(way, store)
        try deliver(sink)
        #expect(store.exists(path))
        let next = try self.sink(store, log)
        try append(5...5, to: log)
        try deliver(next)
        #expect(values(store, path) == [5])
        #expect(next.takeNotices() == [])
        #expect(next.counters == FileSinkCounters(offered: 6, delivered: 6, diverted: 0, outbox: 0))
    }

    @Test("a file that was taken away while the sink did not run is begun anew", arguments: Way.allCases)
    func betweenRuns(way: Way) throws {
        let store = FaultStore()
        let (log, first) = try threeRows(store)
        try first.stop()
        try take(way, store)
        let second = try sink(store, log)
        #expect(second.takeNotices().count == 1)
        try append(3...4, to: log)
        try deliver(second)
        // Killed before the cursor is saved again.
        try deliver(sink(store, log))
        #expect(values(store, path) == [3, 4])
    }

    @Test("rows do not count when their file was removed before the cursor was saved")
    func removedBeforeSave() throws {
        let store = FaultStore()
        let (log, first) = try threeRows(store)
        try first.stop()
        try append(3...4, to: log)
        try deliver(first)
        try store.remove(path)
        try first.stop()
        try deliver(sink(store, log))
        #expect(values(store, path) == [3, 4])
    }

    @Test(
        "killed at any step of going on in a new file, no row is lost, and none stands twice in a file",
        arguments: Way.allCases)
    func killed(way: Way) throws {
        var steps = 0
        for step in 1...100 {
            let store = FaultStore()
            let (log, sink) = try threeRows(store)
            try sink.stop()
            // In the file, and not counted by the cursor yet.
            try append(3...4, to: log)
            try deliver(sink)
            try take(way, store)
            try append(5...6, to: log)
            store.fail(at: store.operations + step, once: false)
            let isWhole = (try? deliver(sink)) != nil && (try? sink.stop()) != nil
            let after = store.crashed(.kept)
            let again = try self.sink(after, ResultLog.open(directory: "d/log", files: after))
            try deliver(again)
            try again.stop()
            let found = values(after, path)
            switch way {
            case .remove: #expect(found == [3, 4, 5, 6], "step \(step)")
            case .rename:
                #expect(values(after, path + ".1") == [0, 1, 2, 3, 4], "step \(step)")
                // What the cursor did not count stands in both when the kill came before it was noticed.
                #expect(found == [5, 6] || found == [3, 4, 5, 6], "step \(step): \(found)")
                if isWhole { #expect(found == [5, 6]) }
            case .empty: #expect(found == [5, 6] || found == [3, 4, 5, 6], "step \(step): \(found)")
            }
            steps = step
            if isWhole { break }
        }
        #expect((5..<100).contains(steps))
    }

    @Test("another file in its place is gone on with behind what it has")
    func otherFile() throws {
        let store = FaultStore()
        let (log, sink) = try threeRows(store, clock: ImpatientClock())
        try store.rename(path, to: path + ".1")
        try store.open(path, writable: true).write(Array("{\"value\":99}\n".utf8), at: 0)
        try append(3...4, to: log)
        try deliver(sink)
        #expect(values(store, path) == [99, 3, 4])
    }

    @Test("a file that was cut short is an error until it is moved away")
    func cutShort() throws {
        let store = FaultStore()
        let (log, sink) = try threeRows(store)
        try sink.stop()
        store.damage(path) { $0.removeLast(3) }
        try append(3...3, to: log)
        let error = try #require(throws: FileSinkError.self) { try deliver(sink) }
        #expect(error.description.contains("move it away"))
        try store.rename(path, to: path + ".1")
        try deliver(sink)
        #expect(values(store, path) == [3])
    }

    @Test("on a real disk a removed and a renamed file are told apart")
    func disk() throws {
        let store = PosixFileStore()
        let file = NSTemporaryDirectory() + "headend-rotation-\(UInt64.random(in: 0 ... .max))"
        defer { for name in [file, file + ".1"] where store.exists(name) { try? store.remove(name) } }
        let open = try store.open(file, writable: true)
        #expect(try !open.isRemoved())
        let identity = try store.fingerprint(file)?.file
        try store.rename(file, to: file + ".1")
        #expect(try !open.isRemoved())
        #expect(try store.fingerprint(file + ".1")?.file == identity)
        #expect(throws: FileError.self) { _ = try store.fingerprint(file) }
        try store.remove(file + ".1")
        #expect(try open.isRemoved())
    }
}
