import DeviceQueue
import FileStoreKit
import Foundation
import Platform
import Synchronization
import Testing

@testable import Hub

@Suite("The thread that has the next segment ready")
struct SegmentThreadTests {
    /// The machine's files, but for segments ahead while `isFull`.
    private final class Files: FileStore {
        private let real = PosixFileStore()
        let isFull = Mutex(true)

        func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
            if writable, path.hasSuffix(".next"), isFull.withLock({ $0 }) {
                throw FileError(kind: .full, operation: "open", path: path, code: 28, message: "no room")
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

    @Test("work that failed is tried again by itself, told once, and told when it goes on")
    func retry() throws {
        let directory = NSTemporaryDirectory() + "headend-segments-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var limits = QueueLimits()
        limits.segmentBytes = 18 << 20
        let files = Files()
        files.isFull.withLock { $0 = false }
        let queue = try DeviceQueue.open(directory: directory, files: files, limits: limits, nowTicks: 1)
        files.isFull.withLock { $0 = true }
        let lines = Monitor<[String]>([])
        let thread = SegmentThread(queue: queue, limits: limits, clock: SystemClock()) { line in
            lines.update { $0.append(line) }
        }
        thread.start()
        defer { thread.stop() }
        let first = lines.wait(timeoutNanoseconds: 20_000_000_000, until: { !$0.isEmpty }, then: { $0 })
        #expect(first.first?.contains("no room") == true)
        #expect(thread.failure?.contains("no room") == true)
        files.isFull.withLock { $0 = false }
        // No news comes: it goes on by itself.
        let all = lines.wait(timeoutNanoseconds: 20_000_000_000, until: { $0.count > 1 }, then: { $0 })
        #expect(all.dropFirst() == ["log segments: work goes on"])
        #expect(thread.failure == nil)
        #expect(files.exists(directory + "/00000000000018874368.next"))
    }
}
