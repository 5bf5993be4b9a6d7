import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

@Suite struct SegmentTests {
    private func filled(_ count: Int = 120) throws -> (MemoryFileStore, DeviceQueue) {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        for start in stride(from: 0, to: count, by: 4) {
            try store(
                (start..<start + 4).map { Message(device: "d\($0 % 5)", id: "\($0)", payload: "\($0)") },
                in: queue)
        }
        return (files, queue)
    }

    private func reads(_ queue: DeviceQueue) throws -> [[String]] {
        var all: [[String]] = []
        for (from, limit) in [
            (1, 5), (1, 1_000), (7, 3), (20, 10), (24, 1), (24, 9), (25, 5), (0, 2), (3, 0),
        ] {
            for device in 0..<5 {
                all.append(
                    try payloads(records(of: "d\(device)", in: queue, from: UInt64(from), limit: limit)))
            }
        }
        return all
    }

    @Test("a range of a device is found across segments")
    func ranges() throws {
        let (_, queue) = try filled()
        #expect(queue.catalog.segments.count > 5)
        #expect(try payloads(records(of: "d2", in: queue, from: 7, limit: 3)) == ["32", "37", "42"])
        #expect(try payloads(records(of: "d2", in: queue, from: 23, limit: 9)) == ["112", "117"])
        #expect(try records(of: "d2", in: queue, from: 25, limit: 9).isEmpty)
        #expect(try records(of: "d2", in: queue, from: UInt64.max, limit: Int.max).isEmpty)
        #expect(try records(of: "d2", in: queue, from: 2, limit: Int.max).count == 23)
    }

    @Test("a device that is silent for many segments is found too")
    func sparse() throws {
        let queue = try openQueue(MemoryFileStore())
        try store((0..<5).map { Message(device: "rare", payload: "\($0)") }, in: queue)
        for number in 0..<100 { try store([Message(device: "busy", id: "\(number)")], in: queue) }
        try store([Message(device: "rare", payload: "5")], in: queue)
        for number in 100..<200 { try store([Message(device: "busy", id: "\(number)")], in: queue) }
        try store([Message(device: "rare", payload: "6")], in: queue)
        for from in 1...7 {
            #expect(
                try payloads(records(of: "rare", in: queue, from: UInt64(from), limit: 1)) == ["\(from - 1)"])
        }
    }

    @Test("sidecars that are made, missing, damaged or of another segment give the same reads")
    func sidecars() throws {
        let (files, queue) = try filled()
        let wanted = try reads(queue)
        let sealed = queue.catalog.segments.dropLast()
        #expect(!files.exists(sealed[0].indexPath))
        try queue.prepareNextSegment()
        #expect(sealed.allSatisfy { files.exists($0.indexPath) })
        #expect(SegmentIndex.load(sealed[1], files: files) != nil)
        #expect(try reads(openQueue(files)) == wanted)
        for segment in sealed {
            let bytes = files[segment.indexPath]
            for place in stride(from: 0, to: bytes.count, by: 13) {
                files[segment.indexPath][place] ^= 0x20
                #expect(SegmentIndex.load(segment, files: files) == nil, "byte \(place)")
                files[segment.indexPath] = bytes
            }
        }
        for segment in sealed { files[segment.indexPath][41] ^= 1 }
        #expect(try reads(openQueue(files)) == wanted)
        files[sealed[1].indexPath] = files[sealed[2].indexPath]
        #expect(try reads(openQueue(files, mode: .readOnly)) == wanted)
        for segment in sealed { files.forget(segment.indexPath) }
        #expect(try reads(openQueue(files)) == wanted)
    }

    @Test("one buffer that fills several segments is committed in order")
    func largeBatch() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        let messages = (0..<100).map { Message(device: "d\($0 % 3)", id: "\($0)", payload: "\($0)") }
        #expect(try store(messages, in: queue).allSatisfy { $0 == .stored })
        #expect(queue.catalog.segments.count > 4)
        #expect(try payloads(scanned(queue)) == messages.map(\.payload))
        #expect(try payloads(scanned(openQueue(files))) == messages.map(\.payload))
    }

    @Test("a reader follows the writer from segment to segment, from any frame on")
    func following() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        let reader = queue.makeReader(from: QueueOffset(0))
        var places: [(offset: QueueOffset, rest: Int)] = []
        var seen: [String] = []
        for number in 0..<60 {
            try store([Message(id: "\(number)", payload: "\(number)")], in: queue)
            while try reader.next({ frame in
                if frame.kind == .record { seen.append(String(decoding: frame.payload, as: UTF8.self)) }
                places.append((frame.nextOffset, seen.count))
            }) {}
        }
        #expect(seen == (0..<60).map(String.init))
        for place in places {
            let late = queue.makeReader(from: place.offset)
            var rest = 0
            while try late.next({ if $0.kind == .record { rest += 1 } }) {}
            #expect(rest == 60 - place.rest)
        }
    }

    /// Commits; false when the disk is full.
    private func hasRoom(_ queue: DeviceQueue) throws -> Bool {
        do throws(QueueError) {
            try queue.commit()
            return true
        } catch {
            if case .full = error { return false }
            throw error
        }
    }

    @Test("a full disk stops the commit, loses nothing, and the same commit goes on when there is room")
    func full() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        files.capacity = 2_048 + 600
        var stored = 0
        var isFull = false
        while !isFull {
            try append([Message(id: "\(stored)", payload: "\(stored)")], to: queue)
            stored += 1
            isFull = try !hasRoom(queue)
        }
        let visible = try scanned(queue).count
        #expect(visible < stored)
        #expect(throws: QueueError.self) { try queue.commit() }
        // More may come in while the disk is full.
        try append(
            [Message(id: "\(stored)", payload: "\(stored)"), Message(id: "0", payload: "0")], to: queue)
        #expect(queue.failure == nil)
        files.capacity = Int.max
        try queue.commit()
        #expect(try payloads(scanned(queue)) == (0...stored).map(String.init))
        #expect(try payloads(scanned(openQueue(files))) == (0...stored).map(String.init))
        try expectGapless(queue)
    }

    @Test("a full disk in the middle of a helper's work does no harm")
    func fullHelper() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        files.capacity = 2_048 + 600
        #expect(throws: QueueError.self) { try queue.prepareNextSegment() }
        files.capacity = Int.max
        try queue.prepareNextSegment()
        for number in 0..<40 { try store([Message(id: "\(number)")], in: queue) }
        #expect(try scanned(openQueue(files)).count == 40)
    }

    @Test("a failed sync poisons the queue: nothing is appended or committed any more")
    func poisoned() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store([Message(id: "1")], in: queue)
        try append([Message(id: "2")], to: queue)
        files.failsSync = true
        #expect(throws: QueueError.self) { try queue.commit() }
        files.failsSync = false
        #expect(queue.failure?.contains("sync") == true)
        let cause = try #require(queue.failure)
        #expect(throws: QueueError.poisoned(cause: cause)) { try queue.commit() }
        #expect(throws: QueueError.poisoned(cause: cause)) { try append([Message(id: "3")], to: queue) }
        #expect(throws: QueueError.poisoned(cause: cause)) { try queue.appendTick(arrivalTicks: 1) }
        #expect(try scanned(queue).count == 1)
        #expect(try scanned(openQueue(files)).count == 2)
    }

    @Test("what waits for a commit is bounded")
    func pendingLimit() throws {
        var limits = smallLimits()
        limits.pendingBytesMax = 4_000
        let queue = try openQueue(MemoryFileStore(), limits)
        var accepted = 0
        do {
            while accepted < 1_000 {
                try append([Message(id: "\(accepted)")], to: queue)
                accepted += 1
            }
            Issue.record("no limit")
        } catch QueueError.pendingFull(let bytes) {
            #expect(bytes > 3_000)
        }
        try queue.commit()
        try store([Message(id: "more")], in: queue)
        #expect(try scanned(queue).count == accepted + 1)
    }

    @Test("limits that contradict each other are refused at open")
    func limits() throws {
        var limits = smallLimits()
        limits.recordBytesMax = 2_000
        #expect(throws: QueueError.self) { try openQueue(MemoryFileStore(), limits) }
        limits = smallLimits()
        limits.dedupSlots = 100
        #expect(throws: QueueError.self) { try openQueue(MemoryFileStore(), limits) }
        try QueueLimits().validate()
    }

    @Test("the largest record fits, at any place of a segment")
    func largestRecord() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        let large = String(repeating: "y", count: 1_024 - 80 - 25 - 8)
        var wanted: [String] = []
        for size in 0..<24 {
            let small = String(repeating: "z", count: size * 40)
            try store(
                [
                    Message(payload: small, client: "c", packetIdentifier: UInt16(size * 2 + 1)),
                    Message(payload: large, client: "c", packetIdentifier: UInt16(size * 2 + 2)),
                ], in: queue)
            wanted += [small, large]
        }
        #expect(try payloads(scanned(openQueue(files))) == wanted)
    }
}
