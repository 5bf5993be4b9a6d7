import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

@Suite struct RecoveryTests {
    static let segment = logDirectory + "/00000000000000000000.log"

    /// Two commits of three messages each.
    private func smallLog() throws -> (files: MemoryFileStore, firstEnd: Int, end: Int) {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store((1...3).map { Message(device: "d\($0 % 2)", id: "\($0)", payload: "\($0)") }, in: queue)
        let firstEnd = Int(queue.durableEnd.bytes)
        try store((4...6).map { Message(device: "d\($0 % 2)", id: "\($0)", payload: "\($0)") }, in: queue)
        return (files, firstEnd, Int(queue.durableEnd.bytes))
    }

    enum Damage: CaseIterable {
        /// Nothing from the place on reached the disk.
        case cut
        /// One byte is wrong.
        case flipped
        /// Eight bytes from the place on did not reach the disk.
        case hole
    }

    @Test(
        "a tear at any byte of the last commit leaves the first one whole, and the rest can be sent again",
        arguments: Damage.allCases)
    func tornTail(_ damage: Damage) throws {
        let (files, firstEnd, end) = try smallLog()
        let whole = files[Self.segment]
        for place in firstEnd..<end {
            var bytes = whole
            switch damage {
            case .cut: for at in place..<end { bytes[at] = 0 }
            case .flipped: bytes[place] ^= 0x41
            case .hole: for at in place..<min(place + 8, end) { bytes[at] = 0 }
            }
            files[Self.segment] = bytes
            // Reading only changes nothing, and ignores the tear.
            #expect(try scanned(openQueue(files, mode: .readOnly)).count >= 3)
            #expect(files[Self.segment] == bytes)
            var queue = try openQueue(files)
            #expect(try scanned(queue).count >= 3, "\(damage) at \(place)")
            let rest = files[Self.segment][Int(queue.durableEnd.bytes)...]
            #expect(rest.allSatisfy { $0 == 0 }, "\(damage) at \(place)")
            try store((1...6).map { Message(device: "d\($0 % 2)", id: "\($0)", payload: "\($0)") }, in: queue)
            #expect(try payloads(scanned(queue)) == ["1", "2", "3", "4", "5", "6"], "\(damage) at \(place)")
            try expectGapless(queue, "\(damage) at \(place)")
            // And the repaired log opens again, as the same.
            queue = try openQueue(files)
            #expect(try payloads(records(of: "d1", in: queue)) == ["1", "3", "5"], "\(damage) at \(place)")
        }
    }

    @Test("damage before the last commit is refused with the file and the place, at every byte")
    func middle() throws {
        let (files, firstEnd, _) = try smallLog()
        let whole = files[Self.segment]
        for place in LogFormat.segmentHeaderBytes..<firstEnd {
            var bytes = whole
            bytes[place] ^= 0x10
            files[Self.segment] = bytes
            do {
                _ = try openQueue(files)
                Issue.record("opened with damage at \(place)")
            } catch QueueError.corrupt(let path, let offset, let explanation) {
                #expect(path == Self.segment)
                #expect(offset <= UInt64(place) && offset + 200 > UInt64(place))
                #expect(explanation.contains("move this file"))
            }
            #expect(files[Self.segment] == bytes)
        }
    }

    @Test("a commit that vanished altogether is damage when a later one is there")
    func missingCommit() throws {
        let (files, firstEnd, _) = try smallLog()
        var bytes = files[Self.segment]
        for at in LogFormat.segmentHeaderBytes..<firstEnd { bytes[at] = 0 }
        files[Self.segment] = bytes
        #expect(throws: QueueError.self) { try openQueue(files) }
    }

    @Test("a repaired tear inside a batch is not taken for damage when the log went on in another segment")
    func repairedThenRolled() throws {
        let (files, _, end) = try smallLog()
        var bytes = files[Self.segment]
        bytes[end - 1] ^= 1
        files[Self.segment] = bytes
        var queue = try openQueue(files)
        for number in 7..<40 { try store([Message(id: "\(number)", payload: "\(number)")], in: queue) }
        #expect(queue.catalog.segments.count > 2)
        let all = try scanned(queue)
        queue = try openQueue(files)
        #expect(try scanned(queue) == all)
        try expectGapless(queue)
    }

    @Test("a damaged sealed segment is refused even when it is its last batch")
    func sealedSegment() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        for number in 0..<30 { try store([Message(id: "\(number)")], in: queue) }
        let reader = queue.makeReader(from: QueueOffset(0))
        var lastInFirst = 0
        while try reader.next({ if $0.offset.bytes < 2_048 { lastInFirst = Int($0.nextOffset.bytes) } }) {}
        var bytes = files[Self.segment]
        bytes[lastInFirst - 10] ^= 1
        files[Self.segment] = bytes
        #expect(throws: QueueError.self) { try openQueue(files) }
        let again = queue.makeReader(from: QueueOffset(0))
        #expect(throws: QueueError.self) { while try again.next({ _ in }) {} }
        // A whole batch wiped at the end of a sealed segment shows as a gap in the commit numbers.
        for at in (lastInFirst - 200)..<lastInFirst { bytes[at] = 0 }
        files[Self.segment] = bytes
        #expect(throws: QueueError.self) { try openQueue(files) }
    }

    @Test("a whole batch that vanished from the end of a sealed segment shows as a gap in the commit numbers")
    func commitGap() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        // Ticks only: no sequence of a device could give it away.
        for number in 0..<60 {
            try queue.appendTick(arrivalTicks: Int64(number))
            try queue.commit()
        }
        try #require(queue.catalog.segments.count > 2)
        let reader = queue.makeReader(from: QueueOffset(0))
        var batch = 0..<0
        while try reader.next({ frame in
            guard frame.offset.bytes < 2_048 else { return }
            let start = frame.kind == .commit ? Int(frame.offset.bytes) : batch.lowerBound
            batch = start..<Int(frame.nextOffset.bytes)
        }) {}
        var bytes = files[Self.segment]
        for at in batch { bytes[at] = 0 }
        files[Self.segment] = bytes
        let error = #expect(throws: QueueError.self) { try openQueue(files) }
        #expect(error?.description.contains("what is between them is missing") == true)
    }

    @Test(
        "what a dead process left in the page cache is on disk before anything relies on it",
        arguments: [false, true])
    func pageCache(_ syncFailed: Bool) throws {
        let files = MemoryFileStore()
        let message = Message(id: "1", payload: "1")
        let first = try openQueue(files)
        try append([message], to: first)
        // The write is done, the sync is not; or the sync failed, and the kernel calls the pages clean.
        if syncFailed { files.failsSync = true } else { files.crashAt = files.operations + 2 }
        #expect(throws: QueueError.self) { try first.commit() }
        files.failsSync = false
        files.restartProcess()
        let second = try openQueue(files)
        #expect(try store([message], in: second) == [.duplicate])
        // The duplicate is acknowledged now; the machine dies.
        let third = try openQueue(files.afterCrash(.drop, seed: 0))
        #expect(try payloads(scanned(third)) == ["1"])
    }

    @Test("a missing segment, a foreign one, a renamed one and a damaged header are refused")
    func segmentSet() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        for number in 0..<40 { try store([Message(id: "\(number)")], in: queue) }
        let segments = queue.catalog.segments
        try #require(segments.count > 3)
        let second = files[segments[1].path]
        files.forget(segments[1].path)
        #expect(throws: QueueError.self) { try openQueue(files) }
        files[segments[1].path] = second
        _ = try openQueue(files)
        var damaged = second
        damaged[20] ^= 1
        files[segments[1].path] = damaged
        #expect(throws: QueueError.self) { try openQueue(files) }
        files[segments[1].path] = files[segments[2].path]
        #expect(throws: QueueError.self) { try openQueue(files) }
        let other = MemoryFileStore()
        _ = try DeviceQueue.open(
            directory: logDirectory, files: other, limits: smallLimits(), nowTicks: 1, seed: 8)
        files[segments[1].path] = second
        files[Self.segment] = other[Self.segment]
        #expect(throws: QueueError.self) { try openQueue(files) }
    }

    @Test("a segment of a newer format is refused by its number")
    func newerSegment() throws {
        let files = MemoryFileStore()
        _ = try openQueue(files)
        files[Self.segment][8] = 2
        #expect(throws: QueueError.newerFormat(path: Self.segment, found: 2, known: 1)) {
            try openQueue(files)
        }
    }

    @Test("a file that was cut short keeps what is left, when no commit is behind it")
    func shortFile() throws {
        let (files, firstEnd, _) = try smallLog()
        files[Self.segment] = Array(files[Self.segment].prefix(firstEnd + 50))
        let queue = try openQueue(files)
        #expect(try payloads(scanned(queue)) == ["1", "2", "3"])
        #expect(files[Self.segment].count == 2_048)
        try store([Message(id: "7", payload: "7")], in: queue)
        #expect(try scanned(openQueue(files)).count == 4)
    }

    @Test("reading only works on an empty directory and refuses to write")
    func readOnly() throws {
        let files = MemoryFileStore()
        let empty = try openQueue(files, mode: .readOnly)
        #expect(try scanned(empty).isEmpty)
        #expect(try files.list(logDirectory).isEmpty)
        #expect(throws: QueueError.readOnly(path: logDirectory)) { try empty.commit() }
        let (full, _, _) = try smallLog()
        let queue = try openQueue(full, mode: .readOnly)
        #expect(try scanned(queue).count == 6)
        #expect(throws: QueueError.readOnly(path: logDirectory)) { try append([Message()], to: queue) }
    }

    @Test("a reader refuses an offset outside of the log and one inside of a frame")
    func badOffset() throws {
        let (files, _, end) = try smallLog()
        let queue = try openQueue(files)
        let inside = queue.makeReader(from: QueueOffset(72))
        #expect(throws: QueueError.self) { try inside.next { _ in } }
        let odd = queue.makeReader(from: QueueOffset(65))
        #expect(throws: QueueError.self) { try odd.next { _ in } }
        #expect(try !queue.makeReader(from: QueueOffset(UInt64(end))).next { _ in })
    }
}
