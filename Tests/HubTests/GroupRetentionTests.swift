import ConsumerGroups
import DeviceQueue
import FileStoreKit
import Foundation
import Platform
import Synchronization
import Telemetry
import Testing

@testable import Hub

/// Consumer groups over a log whose front goes away.
@Suite("Groups and retention", .timeLimit(.minutes(1)))
struct GroupRetentionTests {
    /// The machine's files; `whenGroupIsSaved` runs before a file of a group is renamed to its name.
    private final class Files: FileStore {
        private let real = PosixFileStore()
        let whenGroupIsSaved = Mutex<(@Sendable () -> Void)?>(nil)

        func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
            if writable, path.contains("/groups/") {
                let body = whenGroupIsSaved.withLock { body in
                    defer { body = nil }
                    return body
                }
                body?()
            }
            return try real.open(path, writable: writable)
        }
        func createDirectory(_ path: String) throws(FileError) { try real.createDirectory(path) }
        func list(_ directory: String) throws(FileError) -> [String] { try real.list(directory) }
        func exists(_ path: String) -> Bool { real.exists(path) }
        func rename(_ path: String, to newPath: String) throws(FileError) {
            try real.rename(path, to: newPath)
        }
        func remove(_ path: String) throws(FileError) { try real.remove(path) }
        func synchronizeDirectory(_ path: String) throws(FileError) { try real.synchronizeDirectory(path) }
        func lock(_ path: String) throws(FileError) -> any StoredFile { try real.lock(path) }
    }

    private final class Bench {
        let files = Files()
        let directory = NSTemporaryDirectory() + "headend-groups-\(UInt64.random(in: 0 ... .max))"
        let queue: DeviceQueue
        let service: GroupService

        init() throws {
            var limits = QueueLimits()
            limits.segmentBytes = 2_048
            limits.recordBytesMax = 1_024
            limits.deviceNameBytesMax = 64
            limits.clientNameBytesMax = 64
            limits.retention = RetentionPolicy(bytes: 6_000)
            queue = try DeviceQueue.open(
                directory: directory + "/queue/0", files: files, limits: limits, nowTicks: 1)
            service = try GroupService(
                queue: queue, directory: directory + "/groups", files: files, clock: SystemClock(),
                log: { _ in })
            service.start()
            let device = try #require(queue.device(named: "d"))
            let staging = StagingBuffer(byteCapacity: 4_096)
            let payload = [UInt8](repeating: 0x31, count: 200)
            for round in 0..<60 {
                staging.reset()
                let empty = UnsafeRawBufferPointer(start: nil, count: 0)
                let offset = payload.withUnsafeBytes {
                    staging.stageRecord(
                        device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0, eventTicks: nil,
                        topic: empty, properties: empty, payload: $0, messageID: .none)
                }
                _ = try #require(offset)
                try queue.append(staging, arrivalTicks: Int64(round) + 2)
                try queue.commit()
                try queue.prepareNextSegment()
            }
        }

        deinit {
            service.stop()
            try? FileManager.default.removeItem(atPath: directory)
        }

        func definition(mustNotMiss: Bool, from start: GroupStart = .earliest) -> GroupDefinition {
            GroupDefinition(
                name: "g", devices: .all, start: start, mustNotMiss: mustNotMiss, createdTicks: 1,
                logID: queue.identity)
        }

        func status() async throws -> GroupStatus { try await service.perform { try $0.status("g") } }

        func fetch(_ count: Int) async throws -> GroupFetched {
            try await service.request { worker, reply in
                do {
                    let fetch = GroupFetch(
                        member: "m", session: nil, recordsMax: count, bytesMax: 1 << 20, wait: 0,
                        lease: 60_000_000_000)
                    try worker.group("g").fetch(
                        fetch, now: SystemClock().monotonicNanoseconds(), reply: reply)
                } catch {
                    reply(.failure(error))
                }
            }
        }
    }

    @Test("a group that must not miss anything misses nothing that went while it was being made")
    func madeWhileRetentionWorks() async throws {
        let bench = try Bench()
        bench.files.whenGroupIsSaved.withLock { body in
            body = { [queue = bench.queue] in try? queue.applyRetention(nowTicks: 1_000) }
        }
        #expect(try await bench.service.create(bench.definition(mustNotMiss: true)))
        #expect(bench.files.whenGroupIsSaved.withLock { $0 == nil }, "nothing came between")
        let status = try await bench.status()
        #expect(status.lagRecords == 60)
        #expect(status.snapshot?.missed == 0)
        #expect(bench.queue.holds.map(\.name) == ["group:g"], "the hold of the placing is gone")
        #expect(try await bench.fetch(1).records.first?.sequence == 1)
    }

    @Test("moved back, it holds everything from there as soon as that is done")
    func movedBack() async throws {
        let bench = try Bench()
        #expect(try await bench.service.create(bench.definition(mustNotMiss: true, from: .latest)))
        try await bench.service.seek("g", to: .earliest)
        try bench.queue.applyRetention(nowTicks: 1_000)
        #expect(bench.queue.firstOffset == QueueOffset(0))
        #expect(try await bench.fetch(1).records.first?.sequence == 1)
        #expect(try await bench.status().snapshot?.missed == 0)
    }

    @Test("a group that was overtaken says so at once, while its member still holds what it got")
    func overtaken() async throws {
        let bench = try Bench()
        #expect(try await bench.service.create(bench.definition(mustNotMiss: false)))
        #expect(try await bench.fetch(3).records.count == 3)
        try bench.queue.applyRetention(nowTicks: 1_000)
        let removed = bench.queue.retention.removedRecords
        #expect(removed > 3)
        let status = try await bench.status()
        #expect(status.snapshot?.missed == removed)
        #expect(status.lagRecords == 60 - removed)
        #expect(status.snapshot?.inFlight == 0)
    }
}
