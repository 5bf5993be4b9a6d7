import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// What retention takes from the quarantine waits no more, and every message is still accounted for.
@Suite struct QuarantineRetentionTests {
    private static let limits = RetentionTests.limits(RetentionPolicy(bytes: 6_000))

    private func bad(_ number: Int, device: String = "d") -> Message {
        Message(device: device, payload: "bad \(number)", reason: .badTimestamp)
    }

    private func isBalanced(_ counters: QueueCounters) -> Bool {
        counters.received
            == counters.stored + counters.duplicates + counters.quarantined + counters.quarantineRemoved
    }

    @Test("removed messages no longer wait, replayed ones are not counted again, and a restart agrees")
    func removedMessages() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files, Self.limits)
        try store([bad(1), bad(2), bad(3, device: "e")], in: queue)
        #expect(try replay([(2, Message(device: "d", payload: "bad 2"))], in: queue) == [.stored])
        try RetentionTests.fill(queue, rounds: 0..<60)
        try store([bad(4)], in: queue)
        let before = queue.counters
        #expect(before.quarantined == 3)
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.retention.removedQuarantined == 3)
        for life in 0..<2 {
            let counters = queue.counters
            #expect(counters.quarantined == 1, "life \(life)")
            #expect(counters.quarantineRemoved == 2)
            #expect(counters.replayedStored == 1)
            #expect(counters.received == before.received)
            #expect(isBalanced(counters))
            #expect(queue.tallies(device: DeviceID("d")) == (0, 1, 1))
            #expect(queue.tallies(device: DeviceID("e")) == (0, 0, 1))
            #expect(queue.quarantineState(1) == .unknown)
            #expect(queue.quarantineState(4) == .waiting(.badTimestamp))
            #expect(try waiting(queue).map(\.sequence) == [4])
            let again = try openQueue(files, Self.limits)
            #expect(again.appender.tallies == queue.appender.tallies)
            queue = again
        }
        #expect(try replay([(4, Message(device: "d", payload: "bad 4"))], in: queue) == [.stored])
        #expect(queue.counters.quarantined == 0)
    }

    @Test("a replay that stands behind what the state on disk covers is counted as one after a restart")
    func replayBehindTheState() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files, Self.limits)
        try store([bad(1), bad(2)], in: queue)
        try RetentionTests.fill(queue, rounds: 0..<60)
        // In the segment that is being written: no state covers it.
        #expect(try replay([(1, Message(device: "d", payload: "bad 1"))], in: queue) == [.stored])
        try queue.applyRetention(nowTicks: 0)
        for counters in [queue.counters, try openQueue(files, Self.limits).counters] {
            #expect(counters.quarantined == 0)
            #expect(counters.quarantineRemoved == 1)
            #expect(counters.replayedStored == 1)
            #expect(isBalanced(counters))
        }
        // And what is remembered of them does not grow with what was removed.
        #expect(queue.appender.tallies.encoded().count < 400)
    }
}
