import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// Retention cut short at every file call, and its files damaged.
@Suite struct RetentionCrashTests {
    private static let limits = RetentionTests.limits(RetentionPolicy(bytes: 5_000))

    /// Sends the batches from the first unacknowledged on; returns how many are acknowledged.
    private func run(_ script: CrashTests.Script, from start: Int, on files: MemoryFileStore) -> Int {
        var acknowledged = start
        do {
            let queue = try openQueue(files, Self.limits)
            while acknowledged < script.batches.count {
                try store(script.batches[acknowledged], in: queue, at: Int64(acknowledged) * 10)
                acknowledged += 1
                if acknowledged % 2 == 0 {
                    try queue.prepareNextSegment()
                    try queue.applyRetention(nowTicks: Int64(acknowledged) * 1_000_000_000)
                }
            }
        } catch {}
        return acknowledged
    }

    /// Each device's queue is what was sent, from its first sequence that is left to its last.
    private func verify(
        _ script: CrashTests.Script, _ files: MemoryFileStore, acknowledged: Int, _ note: Comment
    ) throws {
        let readOnly = try scanned(openQueue(files, Self.limits, mode: .readOnly))
        let queue = try openQueue(files, Self.limits)
        #expect(try scanned(queue).prefix(readOnly.count) == readOnly.prefix(readOnly.count), note)
        let promised = Set(script.batches.prefix(acknowledged).joined().map(\.payload))
        for (device, sent) in script.expected.sorted(by: { $0.key < $1.key }) {
            let first = Int(queue.firstSequence(device: DeviceID(device)))
            let last = Int(queue.lastSequence(device: DeviceID(device)))
            try #require(first <= last + 1 && last <= sent.count, note)
            #expect(try payloads(records(of: device, in: queue)) == Array(sent[(first - 1)..<last]), note)
            #expect(sent.lastIndex { promised.contains($0) }.map { $0 < last } ?? true, note)
        }
        // Nothing that was sent is stored again, whether its record is still there or not.
        let before = queue.counters.stored
        for batch in script.batches.prefix(acknowledged) {
            #expect(try store(batch, in: queue, at: 1_000).allSatisfy { $0 == .duplicate }, note)
        }
        #expect(queue.counters.stored == before, note)
    }

    /// Any one state file may be lost, at any moment.
    private func expectTwoWitnesses(_ files: MemoryFileStore, _ note: Comment) throws {
        let queue = try openQueue(files, Self.limits)
        for step in 0..<3 {
            // The helper's work may fail before it comes to retention.
            if step > 1 { try queue.prepareNextSegment() }
            if step > 0 { try queue.applyRetention(nowTicks: .max) }
            for path in try SnapshotTests.states(files) {
                let copy = files.afterCrash(.keep, seed: 0)
                copy.forget(path)
                #expect(throws: Never.self, note) { try openQueue(copy, Self.limits, mode: .readOnly) }
            }
        }
    }

    private func live(
        _ script: CrashTests.Script, crashes: [Int], mode: MemoryFileStore.CrashMode, seed: UInt64
    ) throws -> Bool {
        var files = MemoryFileStore()
        var acknowledged = 0
        var everCrashed = false
        for (life, crash) in crashes.enumerated() {
            files.crashAt = crash
            acknowledged = run(script, from: acknowledged, on: files)
            everCrashed = everCrashed || files.hasCrashed
            files = files.afterCrash(mode, seed: seed &+ UInt64(life))
            let note: Comment = "seed \(seed), crash at \(crashes), life \(life), \(mode)"
            try verify(script, files.afterCrash(.keep, seed: 0), acknowledged: acknowledged, note)
            try expectTwoWitnesses(files.afterCrash(.keep, seed: 0), note)
        }
        files.crashAt = nil
        acknowledged = run(script, from: acknowledged, on: files)
        let note: Comment = "seed \(seed), crash at \(crashes), drained, \(mode)"
        #expect(acknowledged == script.batches.count, note)
        try verify(script, files, acknowledged: acknowledged, note)
        return everCrashed
    }

    @Test(
        "a crash at every file call in turn loses nothing that is not removed and forgets nothing that is",
        arguments: MemoryFileStore.CrashMode.allCases)
    func everyCall(_ mode: MemoryFileStore.CrashMode) throws {
        let script = CrashTests.Script(seed: 3, messages: 60)
        var crash = 1
        while try live(script, crashes: [crash], mode: mode, seed: UInt64(crash)) { crash += 1 }
        #expect(crash > 150)
    }

    @Test(
        "a file call of retention that fails, and a crash behind it, lose and forget nothing",
        arguments: [false, true])
    func failedCall(_ isFull: Bool) throws {
        let limits = RetentionTests.limits(RetentionPolicy(bytes: 6_000))
        var call = 1
        var hasFailed = true
        while hasFailed {
            let files = MemoryFileStore()
            let queue = try openQueue(files, limits)
            try RetentionTests.fill(queue, rounds: 0..<60)
            try queue.applyRetention(nowTicks: 0)
            try RetentionTests.fill(queue, rounds: 60..<90)
            files.failing = (files.operations + call, isFull ? .full : .failed)
            // It may do without the call that failed.
            try? queue.applyRetention(nowTicks: 10_000_000_000)
            hasFailed = files.operations >= (files.failing?.at ?? 0)
            files.failing = nil
            for isTriedAgain in [false, true] {
                if isTriedAgain { try queue.applyRetention(nowTicks: 20_000_000_000) }
                for mode in MemoryFileStore.CrashMode.allCases {
                    let note: Comment = "call \(call), \(mode), tried again: \(isTriedAgain)"
                    let reopened = try openQueue(files.afterCrash(mode, seed: UInt64(call)), limits)
                    for round in 0..<90 {
                        let again = Message(device: "d1", id: "\(round)", payload: "1:\(round)")
                        #expect(try store([again], in: reopened, at: 90_000) == [.duplicate], note)
                    }
                }
            }
            call += 1
        }
        #expect(call > 10)
    }

    @Test("any script, any crashes", arguments: 0..<60 as Range<UInt64>)
    func seeds(_ seed: UInt64) throws {
        var random = SeededRandom(seed &* 1_009 &+ 1)
        let crashes = (0..<(1 + random.below(4))).map { _ in Int(1 + random.below(220)) }
        let mode = MemoryFileStore.CrashMode.allCases[Int(random.below(3))]
        _ = try live(
            CrashTests.Script(seed: seed, messages: 90), crashes: crashes, mode: mode, seed: seed)
    }

    /// A log whose front is gone, with marks.
    private func shortened() throws -> MemoryFileStore {
        let files = MemoryFileStore()
        let queue = try openQueue(files, Self.limits)
        try RetentionTests.fill(queue, rounds: 0..<40)
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset.bytes > 0)
        return files
    }

    @Test(
        "either of the two states may have any byte wrong or be missing; without both the log does not open")
    func damagedStates() throws {
        let files = try shortened()
        let states = try SnapshotTests.states(files)
        #expect(states.count == 2)
        let wanted = try SnapshotTests.summary(openQueue(files, Self.limits, mode: .readOnly))
        for path in states {
            let bytes = files[path]
            for place in stride(from: 0, to: bytes.count, by: 7) {
                files[path][place] ^= 0x11
                #expect(
                    try SnapshotTests.summary(openQueue(files, Self.limits, mode: .readOnly)) == wanted,
                    "\(path), byte \(place)")
                files[path] = bytes
            }
            // One that is missing is written again.
            files.forget(path)
            let queue = try openQueue(files, Self.limits)
            try queue.prepareNextSegment()
            #expect(try SnapshotTests.states(files).count == 2)
            #expect(try SnapshotTests.summary(openQueue(files, Self.limits)) == wanted)
            files[path] = bytes
        }
        for path in states { files[path][50] ^= 1 }
        var error = #expect(throws: QueueError.self) { try openQueue(files, Self.limits) }
        for path in states { #expect(error?.description.contains("\(path): damaged") == true) }
        for path in states { files.forget(path) }
        error = #expect(throws: QueueError.self) { try openQueue(files, Self.limits) }
        #expect(error?.description.contains("there is none") == true)
        #expect(error?.description.contains("from a backup") == true)
    }

    @Test("marks that are damaged or missing are refused by name; an empty file lets an operator go on")
    func damagedMarks() throws {
        let files = try shortened()
        let names = try RetentionTests.names(files, ".marks")
        let path = logDirectory + "/" + (try #require(names.first))
        let bytes = files[path]
        for place in stride(from: 0, to: bytes.count, by: 5) {
            files[path][place] ^= 0x11
            do {
                _ = try openQueue(files, Self.limits)
                Issue.record("opened with byte \(place) of the marks wrong")
            } catch QueueError.corrupt(let found, _, let explanation) {
                #expect(found == path)
                #expect(explanation.contains("empty file"))
            }
            files[path] = bytes
        }
        files.forget(path)
        let error = #expect(throws: QueueError.self) { try openQueue(files, Self.limits) }
        #expect(error?.description.contains(path) == true)
        #expect(error?.description.contains("missing") == true)
        files[path] = []
        let queue = try openQueue(files, Self.limits)
        #expect(queue.takeNotices().first?.contains(path) == true)
        #expect(
            try store([Message(device: "d0", id: "0", payload: "0:0")], in: queue, at: 50_000) == [.stored])
    }

    @Test("a log without any segment beside a state that knows of removed ones is not begun anew")
    func allGone() throws {
        let files = try shortened()
        for name in try RetentionTests.names(files, ".log") { files.forget(logDirectory + "/" + name) }
        let error = #expect(throws: QueueError.self) { try openQueue(files, Self.limits) }
        #expect(error?.description.contains("there is no segment") == true)
    }

    @Test("a missing segment behind the removed ones is still damage")
    func missingSegment() throws {
        let files = try shortened()
        let logs = try RetentionTests.names(files, ".log")
        files.forget(logDirectory + "/" + logs[0])
        #expect(throws: QueueError.self) { try openQueue(files, Self.limits) }
    }
}
