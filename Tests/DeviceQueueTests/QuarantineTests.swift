import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// A quarantined message put through the rules again: with the number of its device and its payload, as the hub
/// stages it.
@discardableResult
func replay(
    _ messages: [(sequence: UInt64, message: Message)], in queue: DeviceQueue, at ticks: Int64 = 9_000
) throws -> [AppendOutcome] {
    let staging = StagingBuffer(byteCapacity: 1 << 16)
    let offsets = try messages.map { sequence, message in
        if let reason = message.reason {
            return try #require(staging.stageReplayed(sequence: sequence, reason: reason))
        }
        let number = try #require(queue.device(named: message.device))
        let topic = Array("devices/\(message.device)/telemetry".utf8)
        return try topic.withUnsafeBytes { topic in
            try Array(message.payload.utf8).withUnsafeBytes { payload in
                try Array((message.id ?? "").utf8).withUnsafeBytes { id in
                    try #require(
                        staging.stageRecord(
                            device: number, client: 0, packetIdentifier: 0, flags: 1, reason: 0,
                            eventTicks: message.eventTicks ?? 5, topic: topic,
                            properties: UnsafeRawBufferPointer(start: nil, count: 0), payload: payload,
                            messageID: message.id == nil ? .none : .decoded(id), replayedFrom: sequence))
                }
            }
        }
    }
    try queue.append(staging, arrivalTicks: ticks)
    try queue.commit()
    return offsets.map { staging.outcome(at: $0) }
}

/// Sequence and reason of what waits, by a reader.
func waiting(
    _ queue: DeviceQueue, _ filter: QuarantineReader.Filter = .init()
) throws -> [(sequence: UInt64, reason: QuarantineReason?)] {
    let reader = queue.makeQuarantineReader(filter)
    var found: [(sequence: UInt64, reason: QuarantineReason?)] = []
    while try reader.next({ found.append(($0.sequence, $1)) }) {}
    return found
}

@Suite struct QuarantineTests {
    private func bad(_ number: Int, id: String? = nil, _ reason: QuarantineReason = .badTimestamp) -> Message
    {
        Message(device: "d", id: id, payload: "bad \(number)", reason: reason)
    }

    private func good(_ number: Int, id: String? = nil) -> Message {
        Message(device: "d", id: id, payload: "bad \(number)")
    }

    /// Closing and opening must change nothing that the queue knows.
    private func reopened(_ queue: DeviceQueue, _ files: MemoryFileStore) throws -> DeviceQueue {
        let again = try openQueue(files)
        #expect(again.appender.tallies == queue.appender.tallies)
        let encoded = queue.appender.tallies.encoded()
        let decoded = encoded.withUnsafeBytes {
            LogTallies(decoding: $0, repeatedMax: smallLimits().repeatedRecords)
        }
        #expect(decoded == queue.appender.tallies)
        for (left, right) in [(queue.counters, again.counters)] {
            #expect(left.received == right.received)
            #expect(left.stored == right.stored)
            #expect(left.duplicates == right.duplicates)
            #expect(left.quarantinedByReason == right.quarantinedByReason)
            #expect(left.setAsideByReason == right.setAsideByReason)
            #expect(left.replayedStored == right.replayedStored)
            #expect(left.replayedDuplicates == right.replayedDuplicates)
        }
        return again
    }

    @Test("a replayed message is stored once, leaves the quarantine, and knows where it came from")
    func replayStores() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        try store([bad(1), bad(2), bad(3, .notJSON)], in: queue)
        #expect(try replay([(2, good(2))], in: queue) == [.stored])
        #expect(try replay([(2, good(2))], in: queue) == [.duplicate], "settled already: nothing is written")
        #expect(try waiting(queue).map(\.sequence) == [1, 3])
        #expect(try waiting(queue, .init(reason: .notJSON)).map(\.sequence) == [3])
        #expect(try waiting(queue, .init(from: 2, includesSettled: true)).map(\.sequence) == [2, 3])
        queue = try reopened(queue, files)
        #expect(try replay([(2, good(2))], in: queue) == [.duplicate], "after a restart too")
        let record = try #require(try records(of: "d", in: queue).first)
        #expect(record.replayedFrom == 2)
        #expect(record.sequence == 1)
        #expect(record.arrivalTime.ticks == 9_000)
        #expect(record.eventTime.ticks == 5)
        let counters = queue.counters
        #expect(counters.received == 3)
        #expect(counters.stored == 1)
        #expect(counters.quarantined == 2)
        #expect(counters.setAsideByReason.reduce(0, +) == 3)
        #expect(counters.replayedStored == 1)
        let raw = try queue.quarantined(from: 1, limit: 10)
        #expect(raw.map(\.isSettled) == [false, true, false])
        #expect(queue.tallies(device: DeviceID("d")).quarantined == 2)
    }

    @Test("a message that is still bad waits on for its new reason")
    func stillBad() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store([bad(1, .notJSON), bad(2)], in: queue)
        let end = queue.durableEnd
        #expect(try replay([(1, bad(1, .notJSON))], in: queue) == [.noted])
        #expect(queue.durableEnd == end, "the same reason needs no note")
        #expect(try replay([(1, bad(1, .noRule))], in: queue) == [.noted])
        let again = try reopened(queue, files)
        #expect(try waiting(again).map(\.reason) == [.noRule, .badTimestamp])
        #expect(try waiting(again, .init(reason: .noRule)).map(\.sequence) == [1])
        #expect(try again.quarantined(from: 1, limit: 1).first?.quarantineReason == .noRule)
    }

    @Test("the ordinary dedup holds for a replay, and what waits does not answer for it")
    func dedup() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        // The same id with another body: the first one is kept, the second waits.
        try store([Message(device: "d", id: "a", payload: "first")], in: queue)
        #expect(try store([Message(device: "d", id: "a", payload: "bad 1")], in: queue) == [.conflict])
        #expect(try replay([(1, good(1, id: "a"))], in: queue) == [.conflict], "it is no duplicate of itself")
        #expect(try waiting(queue).map(\.reason) == [.conflict])
        let kept = try #require(try queue.record(device: DeviceID("d"), messageID: "a"))
        #expect(String(decoding: kept.payload, as: UTF8.self) == "first")

        // Set aside, then sent again in good order by the device itself, then replayed.
        try store([bad(2, id: "b")], in: queue)
        #expect(try store([good(2, id: "b")], in: queue) == [.stored])
        #expect(try replay([(2, good(2, id: "b"))], in: queue) == [.duplicate])
        #expect(queue.counters.replayedDuplicates == 1)

        // Replayed, then sent again by the device.
        try store([bad(3, id: "c")], in: queue)
        #expect(try replay([(3, good(3, id: "c"))], in: queue) == [.stored])
        #expect(try store([good(3, id: "c")], in: queue) == [.duplicate])
        queue = try reopened(queue, files)
        #expect(try payloads(records(of: "d", in: queue)) == ["first", "bad 2", "bad 3"])
        #expect(try records(of: "d", in: queue).map(\.duplicateCount) == [0, 1, 1])
        #expect(queue.tallies(device: DeviceID("d")) == (2, 1, 0))
        let counters = queue.counters
        #expect(counters.received == counters.stored + counters.duplicates + counters.quarantined)
        #expect(counters.received == 6)
    }

    @Test("repetitions are counted exactly, each record's own, across restarts and segments")
    func repetitions() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        let all = (0..<60).map { Message(device: "d\($0 % 3)", id: "\($0)", payload: "p\($0)") }
        try store(all, in: queue)
        var random = SeededRandom(3)
        var sent = [Int](repeating: 0, count: all.count)
        for _ in 0..<20 {
            let picks = (0..<40).map { _ in Int(random.below(60)) }
            for pick in picks { sent[pick] += 1 }
            #expect(Set(try store(picks.map { all[$0] }, in: queue)) == [.duplicate])
            queue = try reopened(queue, files)
        }
        for device in 0..<3 {
            let wanted = stride(from: device, to: 60, by: 3).map { UInt64(sent[$0]) }
            #expect(try records(of: "d\(device)", in: queue).map(\.duplicateCount) == wanted)
            #expect(queue.tallies(device: DeviceID("d\(device)")).duplicates == wanted.reduce(0, +))
        }
        #expect(queue.counters.duplicates == 800)
        #expect(queue.counters.received == 860)
    }

    @Test("beyond the limit the counts of the oldest records are forgotten and said to be; totals stay exact")
    func forgottenCounts() throws {
        let files = MemoryFileStore()
        var limits = smallLimits()
        limits.repeatedRecords = 8
        let queue = try openQueue(files, limits)
        let all = (0..<20).map { Message(device: "d", id: "\($0)", payload: "p\($0)") }
        try store(all, in: queue)
        for message in all { try store([message], in: queue) }
        let counts = try records(of: "d", in: queue).map(\.duplicateCount)
        #expect(counts.last == 1)
        #expect(counts.first == .some(nil))
        #expect(counts.compactMap { $0 }.allSatisfy { $0 == 1 })
        #expect(queue.counters.duplicates == 20)
        #expect(try openQueue(files, limits).appender.tallies == queue.appender.tallies)
    }

    @Test("a reader passes over segments without quarantined messages and sees every other")
    func reader() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        var expected: [UInt64] = []
        for round in 0..<30 {
            if round % 7 == 0 {
                try store([bad(round)], in: queue)
                expected.append(UInt64(expected.count + 1))
            }
            try store(
                (0..<4).map {
                    Message(device: "d", payload: String(repeating: "x", count: 200) + "\(round) \($0)")
                },
                in: queue)
            try queue.prepareNextSegment()
        }
        #expect(queue.catalog.segments.count > 10)
        #expect(try waiting(queue).map(\.sequence) == expected)
        #expect(try waiting(queue, .init(from: 4)).map(\.sequence) == [4, 5])
        #expect(try waiting(queue, .init(from: 6)).isEmpty)
    }

    @Test("a log that speaks of a quarantined message it does not hold is refused")
    func contradiction() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store([bad(1)], in: queue)
        // Not checked by the writer: the hub only replays what it read.
        queue.appender.tallies.forceWaiting(sequence: 2)
        try replay([(2, good(2))], in: queue)
        let error = #expect(throws: QueueError.self) { try openQueue(files) }
        #expect(error?.description.contains("a replay of quarantined message 2 comes before") == true)
    }
}

extension LogTallies {
    /// Makes the next sequence look as if it waited.
    mutating func forceWaiting(sequence: UInt64) {
        let frame = UnsafeMutableRawPointer.allocate(byteCount: FrameLayout.recordHeaderBytes, alignment: 8)
        defer { frame.deallocate() }
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.recordHeaderBytes)
        frame.storeBytes(of: FrameKind.quarantined.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: 1, toByteOffset: FrameLayout.reason, as: UInt8.self)
        frame.storeBytes(of: sequence, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        take(UnsafeRawPointer(frame))
    }
}
