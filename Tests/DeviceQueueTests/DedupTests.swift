import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

@Suite struct DedupTests {
    /// Few ids are remembered for long: a horizon of 1,000 ticks, and 5 a device.
    private func shortLimits() -> QueueLimits {
        var limits = smallLimits(segmentBytes: 1 << 20)
        limits.dedupHorizonTicks = 1_000
        limits.dedupMinimum = 5
        return limits
    }

    @Test("an id is known for the whole horizon, and the last ids of a quiet device for ever")
    func horizon() throws {
        let queue = try openQueue(MemoryFileStore(), shortLimits())
        try store([Message(device: "quiet", id: "q")], in: queue, at: 0)
        // Time enough, and records enough, for every slice to fall out.
        for number in 0..<3_000 {
            try store(
                [Message(device: "busy", id: "\(number)", payload: "\(number)")], in: queue,
                at: Int64(number) * 10)
        }
        let now: Int64 = 29_990
        #expect(try store([Message(device: "quiet", id: "q")], in: queue, at: now) == [.duplicate])
        // Within the horizon: the last hundred.
        for number in 2_900..<3_000 {
            #expect(
                try store(
                    [Message(device: "busy", id: "\(number)", payload: "\(number)")], in: queue, at: now)
                    == [.duplicate])
        }
        // Far beyond it: stored again.
        #expect(
            try store([Message(device: "busy", id: "10", payload: "10")], in: queue, at: now) == [.stored])
        #expect(queue.counters.rememberedIDs < 1_000)
        #expect(queue.counters.forgottenEarly == 0)
    }

    @Test("the last ids of each device survive the horizon also through a restart")
    func minimumAfterRestart() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files, shortLimits())
        for number in 0..<20 {
            try store([Message(device: "q", id: "\(number)", payload: "\(number)")], in: queue, at: 1)
        }
        for number in 0..<1_000 {
            try store([Message(device: "busy", id: "\(number)")], in: queue, at: Int64(number) * 20)
        }
        for _ in 0..<2 {
            for number in 15..<20 {
                #expect(
                    try store(
                        [Message(device: "q", id: "\(number)", payload: "\(number)")], in: queue, at: 20_000)
                        == [.duplicate])
            }
            queue = try openQueue(files, shortLimits())
        }
        #expect(try store([Message(device: "q", id: "3", payload: "3")], in: queue, at: 20_000) == [.stored])
    }

    @Test("tables grow many times over without losing an id")
    func growth() throws {
        var limits = smallLimits(segmentBytes: 8 << 20)
        limits.dedupBytesMax = 64 << 20
        limits.pendingBytesMax = 64 << 20
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        let count = 20_000
        let staging = StagingBuffer(byteCapacity: 1 << 20)
        func send(_ wanted: AppendOutcome) throws {
            for start in stride(from: 0, to: count, by: 1_000) {
                staging.reset()
                let offsets = try (start..<start + 1_000).map {
                    try Message(device: "d\($0 % 50)", id: "id-\($0)").stage(in: staging, for: queue)
                }
                try queue.append(staging, arrivalTicks: 1)
                #expect(offsets.allSatisfy { staging.outcome(at: $0) == wanted })
                try queue.commit()
            }
        }
        try send(.stored)
        #expect(queue.counters.rememberedIDs >= UInt64(count))
        try send(.duplicate)
        queue = try openQueue(files, limits)
        try send(.duplicate)
        #expect(queue.counters.falseSuspicions == 0)
    }

    @Test("at the memory limit the oldest ids go first, counted, and the newest stay")
    func memoryLimit() throws {
        var limits = smallLimits(segmentBytes: 4 << 20)
        limits.dedupBytesMax = 24 * 1_024 * 4
        limits.pendingBytesMax = 64 << 20
        let queue = try openQueue(MemoryFileStore(), limits)
        for number in 0..<10_000 { try store([Message(id: "\(number)", payload: "\(number)")], in: queue) }
        let counters = queue.counters
        #expect(counters.rememberedBytes <= UInt64(limits.dedupBytesMax))
        #expect(counters.forgottenEarly > 5_000)
        for number in 9_500..<10_000 {
            #expect(try store([Message(id: "\(number)", payload: "\(number)")], in: queue) == [.duplicate])
        }
        #expect(try store([Message(id: "1", payload: "1")], in: queue) == [.stored])
    }

    @Test("ids of every length up to 200 bytes differ by any one byte")
    func hashing() {
        for length in 1...200 {
            var bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            func hash(_ device: UInt32) -> UInt64 {
                bytes.withUnsafeBytes { raw in
                    raw.baseAddress.map { KeyedHash.hash($0, raw.count, device: device, key: 99) } ?? 0
                }
            }
            let first = hash(1)
            #expect(hash(2) != first)
            for place in 0..<length {
                bytes[place] ^= 1
                #expect(hash(1) != first, "length \(length), byte \(place)")
                bytes[place] ^= 1
            }
        }
    }

    @Test("ids whose hashes collide are told apart by the stored record")
    func collision() throws {
        let limits = smallLimits(segmentBytes: 1 << 20)
        let queue = try openQueue(MemoryFileStore(), limits)
        try store([Message(id: "a", payload: "1")], in: queue)
        // Make the table claim that the first record also answers for another id.
        let number = try #require(queue.device(named: "meter-1"))
        let other = Array("b".utf8)
        let hash = other.withUnsafeBytes { raw in
            raw.baseAddress.map { KeyedHash.hash($0, 1, device: number, key: queue.catalog.hashKey) } ?? 0
        }
        let place = DedupPlace(position: 64 + 40 + 48, device: number, sequence: 1)
        queue.appender.dedup.insert(hash, place, ticks: 2_000, devices: DeviceStates(numberMax: 1_000))
        #expect(try store([Message(id: "b", payload: "1")], in: queue) == [.stored])
        #expect(queue.counters.falseSuspicions == 1)
        #expect(try store([Message(id: "b", payload: "1")], in: queue) == [.duplicate])
    }
}
