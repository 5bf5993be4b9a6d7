import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// Compressed segments after crashes, bit flips and an operator's hands.
@Suite struct CompressionDamageTests {
    @Test(
        "a crash at every step of compressing leaves each reading there, once",
        arguments: MemoryFileStore.CrashMode.allCases)
    func crashes(_ mode: MemoryFileStore.CrashMode) throws {
        let script = CrashTests.Script(seed: 3)
        let wanted = Set(script.batches.joined().map(\.payload))
        var crash = 1
        var hasCrashed = true
        while hasCrashed {
            let files = MemoryFileStore()
            let queue = try openQueue(files, CompressionTests.limits())
            for batch in script.batches { try store(batch, in: queue) }
            try queue.prepareNextSegment()
            let before = try scanned(queue)
            files.crashAt = files.operations + crash
            do { while try queue.compressNextSegment() {} } catch {}
            hasCrashed = files.hasCrashed
            let left = files.afterCrash(mode, seed: UInt64(crash))
            let note: Comment = "crash at step \(crash), \(mode)"
            // Looking changes nothing and needs nothing settled.
            let looking = try openQueue(
                left.afterCrash(.keep, seed: 0), CompressionTests.limits(), mode: .readOnly)
            #expect(try scanned(looking) == before, note)
            let again = try openQueue(left, CompressionTests.limits())
            #expect(try scanned(again) == before, note)
            #expect(Set(before.map { String(decoding: $0.payload, as: UTF8.self) }) == wanted)
            try CompressionTests.compressAll(again)
            #expect(try scanned(again) == before, note)
            #expect(try left.list(logDirectory).allSatisfy { !$0.hasSuffix(".tmp") }, note)
            #expect(try left.list(logDirectory).filter { $0.hasSuffix(".log") }.count == 1, note)
            crash += 1
        }
        #expect(crash > 20)
    }

    @Test("where both files are the plain one counts, and the other is made again")
    func both() throws {
        let (files, queue) = try CompressionTests.filled()
        let wanted = try scanned(queue)
        let segment = queue.catalog.segments[0]
        let plain = files[segment.plainPath]
        try CompressionTests.compressAll(queue)
        files[segment.plainPath] = plain
        files[segment.compressedPath] = [1, 2, 3]
        let limits = CompressionTests.limits(segmentBytes: 200 << 10)
        #expect(try scanned(openQueue(files, limits, mode: .readOnly)) == wanted)
        #expect(files.exists(segment.compressedPath))
        let again = try openQueue(files, limits)
        #expect(!files.exists(segment.compressedPath))
        #expect(try scanned(again) == wanted)
        try CompressionTests.compressAll(again)
        #expect(try scanned(again) == wanted)
    }

    @Test("every damaged byte of header and index is found at open, and the file is named")
    func headerDamage() throws {
        let (files, queue) = try CompressionTests.filled()
        try CompressionTests.compressAll(queue)
        let path = queue.catalog.segments[1].compressedPath
        let good = files[path]
        let blocks = Int(good[48])
        for place in 0..<64 + blocks * 8 {
            files[path][place] ^= 0x10
            #expect(throws: QueueError.self, "byte \(place)") {
                try openQueue(files, CompressionTests.limits(segmentBytes: 200 << 10), mode: .readOnly)
            }
            files[path] = good
        }
        for count in [0, 63, 64, 80, good.count - 1] {
            files[path] = Array(good[..<count])
            do throws(QueueError) {
                _ = try DeviceQueue.open(
                    directory: logDirectory, files: files, limits: smallLimits(), nowTicks: 0)
                Issue.record("opened with \(count) bytes")
            } catch {
                guard case .corrupt(path, _, _) = error else {
                    Issue.record("\(error)")
                    continue
                }
            }
        }
    }

    @Test("a damaged block is named with file and place, and what is before it is still given")
    func blockDamage() throws {
        let (files, queue) = try CompressionTests.filled()
        let all = try scanned(queue)
        try CompressionTests.compressAll(queue)
        let segment = queue.catalog.segments[1]
        let good = files[segment.compressedPath]
        let first = good.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 64, as: UInt32.self)) }
        let body = 64 + Int(good[48]) * 8
        for (place, block) in [(body, 0), (body + first - 1, 0), (body + first + 10, 1)] {
            files[segment.compressedPath][place] ^= 0x04
            let limits = CompressionTests.limits(segmentBytes: 200 << 10)
            do throws(QueueError) {
                _ = try DeviceQueue.open(
                    directory: logDirectory, files: files, limits: limits, mode: .readOnly, nowTicks: 0)
                Issue.record("opened with block \(block) damaged")
            } catch {
                guard case .corrupt(segment.compressedPath, let offset, _) = error else {
                    Issue.record("\(error)")
                    continue
                }
                // In the first block even the segment's header is gone.
                #expect(block == 0 ? offset == 0 : (offset > 60_000 && offset <= 65_536))
            }
            // A queue that is open meets it when it reads.
            let damagedQueue = queue
            damagedQueue.catalog.forgetOpenFiles()
            var given = 0
            #expect(throws: QueueError.self) { try damagedQueue.scan { _, _ in given += 1 } }
            let before = all.filter { $0.offset.bytes < segment.base }.count
            #expect(block == 0 ? given == before : given > before)
            files[segment.compressedPath] = good
        }
    }

    @Test("when later segments were moved away, the newest is made plain and written on")
    func newestIsCompressed() throws {
        let (files, queue) = try CompressionTests.filled()
        try CompressionTests.compressAll(queue)
        let segments = queue.catalog.segments
        let wanted = try scanned(queue).filter { $0.offset.bytes < segments[1].end }
        for segment in segments.dropFirst(2) {
            for path in segment.paths { files.forget(path) }
        }
        let limits = CompressionTests.limits(segmentBytes: 200 << 10)
        #expect(try scanned(openQueue(files, limits, mode: .readOnly)) == wanted)
        var crash = 1
        var hasCrashed = true
        while hasCrashed {
            let copy = files.afterCrash(.keep, seed: 0)
            copy.crashAt = crash
            _ = try? openQueue(copy, limits)
            hasCrashed = copy.hasCrashed
            let again = try openQueue(copy.afterCrash(.torn, seed: UInt64(crash)), limits)
            #expect(try scanned(again) == wanted)
            try store([Message(device: "new", id: "new")], in: again)
            #expect(try scanned(again).count == wanted.count + 1)
            crash += 1
        }
        #expect(crash > 8)
        files[segments[1].compressedPath][2_000] ^= 1
        #expect(throws: QueueError.self) { try openQueue(files, limits) }
        #expect(!files.exists(segments[1].plainPath))
    }
}

extension SegmentCatalog {
    /// So that a test's damage on disk is seen.
    func forgetOpenFiles() {
        for segment in segments where segment.isCompressed {
            _ = replaceWithCompressed(segment, storedBytes: segment.storedBytes)
        }
    }
}
