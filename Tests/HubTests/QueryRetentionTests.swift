import DeviceQueue
import Foundation
import MQTTBroker
import PerpetualQuery
import Platform
import Synchronization
import Telemetry
import Testing

@testable import Hub

@Suite("Queries and retention", .timeLimit(.minutes(1)))
struct QueryRetentionTests {
    @Test("a default query that was off while its place was removed says so and begins at what there is")
    func placeRemoved() throws {
        let directory = NSTemporaryDirectory() + "headend-query-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = PosixFileStore()
        var limits = QueueLimits()
        limits.segmentBytes = 2_048
        limits.recordBytesMax = 1_024
        limits.deviceNameBytesMax = 64
        limits.clientNameBytesMax = 64
        limits.retention = RetentionPolicy(bytes: 6_000)
        let clock = HubLife.Clock()
        let queue = try DeviceQueue.open(
            directory: directory + "/queue/0", files: files, limits: limits, nowTicks: clock.wallTicks())
        let storage = HubLife.Storage()
        let loop = BrokerLoop(
            executor: HubLife.Turns(), queue: queue, storage: storage, clock: clock, limits: HubLimits(),
            counters: HubCounters(startNonce: 1), seed: 1)
        let lines = Lines()
        let place = QueryOpener.Place(
            queue: queue, loop: loop, data: directory, files: files, clock: clock, log: { lines.add($0) })
        func store(_ rounds: Int) throws {
            let device = try #require(queue.device(named: "d"))
            let staging = StagingBuffer(byteCapacity: 4_096)
            let empty = UnsafeRawBufferPointer(start: nil, count: 0)
            for _ in 0..<rounds {
                staging.reset()
                let offset = Array(#"{"v":1,"filling":"\#(String(repeating: "x", count: 200))"}"#.utf8)
                    .withUnsafeBytes {
                        staging.stageRecord(
                            device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0,
                            eventTicks: nil,
                            topic: empty, properties: empty, payload: $0, messageID: .none)
                    }
                _ = try #require(offset)
                clock.nanoseconds += 1_000_000_000
                try queue.append(staging, arrivalTicks: clock.wallTicks())
                try queue.commit()
                try queue.prepareNextSegment()
            }
        }
        func minute(rounds: Int) throws -> QueryStatus {
            let opener = try QueryOpener(minuteAt: place)
            let turns = try QueryTurns(queue: queue, storage: storage, clock: clock, opener: opener)
            try store(rounds)
            return try turns.turn(isStopping: true)
        }
        #expect(try minute(rounds: 10).counters.events == 10)
        // Off: it is not there, and holds nothing.
        queue.releaseHold(name: "query minute")
        try store(60)
        try queue.applyRetention(nowTicks: clock.wallTicks())
        #expect(queue.firstOffset.bytes > 0)
        let left = try queue.records(device: DeviceID("d"), from: 1, limit: 1_000).count
        #expect(left < 60)
        let status = try minute(rounds: 5)
        #expect(lines.all.contains { $0.contains("retention removed all before") }, "\(lines.all)")
        #expect(status.failure == nil)
        #expect(status.counters.events == UInt64(left + 5))
        #expect(status.consumed == queue.durableEnd)
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }
}
