import FileStoreKit
import Telemetry
import Testing

@testable import DeviceQueue

/// Crash at every write of a replay: each quarantined message is stored once and settled, or waits; never both,
/// never neither, with a message id or without.
@Suite struct ReplayCrashTests {
    private static let count = 24

    /// Every third has no id; every fourth has been stored meanwhile; every fifth stays bad.
    private static func message(_ number: Int, isReplay: Bool) -> Message {
        var message = Message(
            device: "d\(number % 3)", id: number % 3 == 0 ? nil : "id-\(number)",
            payload: String(repeating: "x", count: number * 7 % 90) + "\(number)")
        if !isReplay { message.reason = .badTimestamp }
        if isReplay, number % 5 == 0 { message.reason = .noRule }
        return message
    }

    private static func isStoredMeanwhile(_ number: Int) -> Bool { number % 4 == 0 && number % 3 != 0 }

    private func prepare(_ queue: DeviceQueue) throws {
        for number in 1...Self.count { try store([Self.message(number, isReplay: false)], in: queue) }
        for number in 1...Self.count where Self.isStoredMeanwhile(number) {
            var good = Self.message(number, isReplay: false)
            good.reason = nil
            try store([good], in: queue)
        }
    }

    /// Replays everything that waits, in pages, as the hub does.
    private func replayAll(_ queue: DeviceQueue) throws {
        let sequences = try waiting(queue).map(\.sequence)
        for start in stride(from: 0, to: sequences.count, by: 5) {
            let page = sequences[start..<min(start + 5, sequences.count)]
            try replay(page.map { ($0, Self.message(Int($0), isReplay: true)) }, in: queue)
            try queue.prepareNextSegment()
        }
    }

    private func check(_ files: MemoryFileStore, isDone: Bool, _ note: Comment) throws {
        let queue = try openQueue(files)
        let stored = try scanned(queue).filter { $0.quarantineReason == nil }
        let waits = Set(try waiting(queue).map(\.sequence))
        for number in 1...Self.count {
            let payload = Self.message(number, isReplay: false).payload
            let copies = payloads(stored).filter { $0 == payload }.count
            if waits.contains(UInt64(number)) {
                #expect(copies == (Self.isStoredMeanwhile(number) ? 1 : 0), "\(number) waits; \(note)")
            } else {
                #expect(copies == 1, "\(number) is settled; \(note)")
            }
            if isDone { #expect(waits.contains(UInt64(number)) == (number % 5 == 0), "\(number); \(note)") }
        }
        let counters = queue.counters
        #expect(
            counters.received == UInt64(Self.count + (1...Self.count).count { Self.isStoredMeanwhile($0) }),
            note)
        #expect(counters.quarantined == UInt64(waits.count), note)
        try expectGapless(queue, note)
    }

    @Test(
        "a crash at every write in turn stores nothing twice and loses nothing",
        arguments: MemoryFileStore.CrashMode.allCases)
    func everyWrite(_ mode: MemoryFileStore.CrashMode) throws {
        let start = MemoryFileStore()
        try prepare(try openQueue(start))
        var crash = 1
        while true {
            var files = start.afterCrash(.keep, seed: 0)
            files.crashAt = crash
            do { try replayAll(try openQueue(files)) } catch {}
            let crashed = files.hasCrashed
            files = files.afterCrash(mode, seed: UInt64(crash))
            let note: Comment = "crash at write \(crash), \(mode)"
            try check(files.afterCrash(.keep, seed: 0), isDone: !crashed, note)
            // The next life finishes it; replaying once more changes nothing.
            for _ in 0..<2 { try replayAll(try openQueue(files)) }
            try check(files, isDone: true, note)
            if !crashed { break }
            crash += 1
        }
        #expect(crash > 15)
    }
}
