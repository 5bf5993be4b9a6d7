import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// Compressed segments: the same bytes at the same offsets, whatever happens on the way.
@Suite struct CompressionTests {
    /// Limits under which every sealed segment is due; of 200 KiB a segment has several blocks.
    static func limits(segmentBytes: Int = 2_048) -> QueueLimits {
        var limits = smallLimits(segmentBytes: segmentBytes)
        limits.plainBytes = 0
        limits.blockCacheBytes = 2 * CompressedHeader.blockBytes
        limits.pendingBytesMax = 4 << 20
        return limits
    }

    static func payload(_ number: Int) -> String {
        "{\"id\":\"\(number)\",\"temperature\":\(Double(number % 90) / 4)}"
            + String(repeating: "\(number % 7)", count: number % 600)
    }

    static func message(_ number: Int) -> Message {
        Message(device: "d\(number % 5)", id: "\(number)", payload: payload(number))
    }

    /// A log with several sealed segments, none compressed yet.
    static func filled(
        segmentBytes: Int = 200 << 10, count: Int = 2_400
    ) throws -> (files: MemoryFileStore, queue: DeviceQueue) {
        let files = MemoryFileStore()
        let queue = try openQueue(files, limits(segmentBytes: segmentBytes))
        for start in stride(from: 0, to: count, by: 40) {
            try store((start..<start + 40).map(message), in: queue, at: Int64(start))
        }
        #expect(queue.catalog.segments.count > 3)
        return (files, queue)
    }

    static func compressAll(_ queue: DeviceQueue) throws {
        while try queue.compressNextSegment() {}
        let plain = queue.catalog.segments.dropLast().filter { !$0.isCompressed }
        #expect(plain.isEmpty)
    }

    @Test("the golden compressed file reads as the golden segment")
    func golden() throws {
        let hex = """
            48454144454e445a010000000000010000000000000000000008000000000000b6a4557d4f962c5e9a0300000000\
            0000010000000100000020a36ce758806a8f630100004d7e498928b52ffd609a02cd0a0016d13c29109dc6851e09\
            8a8642045006e9205b10eb200241a22c79c783312ce6b1312628cf3286d214c6db2d53340031002b00beffb4d937\
            8097c930fe5fb2fb05e343f4fd3f392e03c48f7a91ddd8018eb12843532fa594167ea87578febf4f9ed2c7d3f984\
            0231eaf5ff045371c57a980d0407d97deb6ab77a56cbea9b6566b1d5ad18ae7611fed3ff03ff657f9790fd56fcbf\
            6087b189ff27ff9fdb2fd2ff37bd7f7a9f5f9ced7f584cd6faff0756a5cdfc6ebffe15ff039b4e02a3c2ffb40308\
            0186e909b58a4f71112c24e4c3ff7fe00169b9812622f9bc6e670117fcf4fe7d344e18408c2c47f7fe2f2055cdb1\
            061df4aa500131a0516c861092882a09d1ede06e26501d2030de2588209b50c88c8d94acd3f69ab3e7d0c1f202cc\
            aea119b61fc253040a31e299eccc79b12508ca6c279bb276b73fb9dce5348e1b622841d4451771872de3449f9953\
            4a03e63c6f46949751c73ba354
            """
        let files = MemoryFileStore()
        files["/golden.logz"] = Self.bytes(hex)
        let file = try CompressedSegmentFile(
            files.open("/golden.logz", writable: false), path: "/golden.logz",
            cache: BlockCache(byteCountMax: 0))
        let wanted = GoldenTests.golden.flatMap { Self.bytes($0.hex) }
        #expect(
            try Self.read(file, 0, 4_096) == wanted + [UInt8](repeating: 0, count: 2_048 - wanted.count))
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).map { $0 > 0x39 ? $0 - 0x57 : $0 - 0x30 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func read(_ file: any StoredFile, _ at: Int, _ count: Int) throws -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        return Array(buffer[..<(try file.read(into: buffer, at: UInt64(at)))])
    }

    @Test("header and index stand where the format says")
    func layout() throws {
        let (files, queue) = try Self.filled()
        let segment = queue.catalog.segments[1]
        let plain = files[segment.plainPath]
        try Self.compressAll(queue)
        #expect(!files.exists(segment.plainPath))
        let bytes = files[segment.compressedPath]
        #expect(queue.catalog.segments[1].storedBytes == UInt64(bytes.count))
        #expect(
            try Recovery.segments(
                in: logDirectory, names: files.list(logDirectory), files: files
            ).segments == queue.catalog.segments)
        func number<Number: FixedWidthInteger>(_ at: Int, _: Number.Type) -> Int {
            bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: at, as: Number.self)) }
        }
        #expect(String(decoding: bytes[..<8], as: UTF8.self) == "HEADENDZ")
        #expect(number(8, UInt32.self) == 1)
        #expect(number(12, UInt32.self) == 65_536)
        #expect(number(16, UInt64.self) == Int(segment.base))
        #expect(number(24, UInt64.self) == 200 << 10)
        #expect(Array(bytes[32..<40]) == Array(plain[32..<40]))
        let content = try #require(plain.lastIndex { $0 != 0 }) + 1
        #expect(number(40, UInt64.self) == content)
        let blocks = (content + 65_535) / 65_536
        #expect(number(48, UInt32.self) == blocks)
        #expect(number(52, UInt32.self) == 1)
        let stored = (0..<blocks).reduce(0) { $0 + number(64 + $1 * 8, UInt32.self) }
        #expect(bytes.count == 64 + blocks * 8 + stored)
        #expect(bytes.count < plain.count / 4)
    }

    @Test("every range reads as from the plain file", arguments: 0..<6 as Range<UInt64>)
    func ranges(_ seed: UInt64) throws {
        var random = SeededRandom(seed)
        let (files, queue) = try Self.filled(
            segmentBytes: (64 << 10) + Int(random.below(20_000)) * 8, count: 2_400)
        let plain = queue.catalog.segments.dropLast().map { files[$0.plainPath] }
        try Self.compressAll(queue)
        let cache = BlockCache(byteCountMax: Int(random.below(4)) * CompressedHeader.blockBytes)
        for (segment, bytes) in zip(queue.catalog.segments, plain) {
            let file = try CompressedSegmentFile(
                files.open(segment.compressedPath, writable: false), path: segment.compressedPath,
                cache: cache)
            #expect(try file.byteCount() == UInt64(bytes.count))
            let edges = [
                0, 1, 65_535, 65_536, 65_537, 131_072, bytes.count - 1, bytes.count, bytes.count + 9,
            ]
            for round in 0..<120 {
                let at =
                    round < edges.count ? edges[round] : Int(random.below(UInt64(bytes.count)))
                let longest: UInt64 = round % 3 == 0 ? 100 : 300_000
                let count = Int(random.below(longest))
                let wanted = at < bytes.count ? Array(bytes[at..<min(at + count, bytes.count)]) : []
                #expect(try Self.read(file, at, count) == wanted, "seed \(seed), \(count) bytes at \(at)")
            }
        }
    }

    @Test("a compressed log gives the same reads, the same duplicates, and goes on")
    func sameQueue() throws {
        let (files, queue) = try Self.filled()
        let wanted = try scanned(queue)
        let open = queue.makeReader(from: QueueOffset(0))
        var followed = 0
        _ = try open.next { if $0.kind == .record { followed += 1 } }
        try queue.prepareNextSegment()
        try Self.compressAll(queue)
        // A reader in the middle of a segment reads on in the file that it has.
        while try open.next({ if $0.kind == .record { followed += 1 } }) {}
        #expect(followed == wanted.count)
        let again = try openQueue(files, Self.limits(segmentBytes: 200 << 10))
        for one in [queue, again] {
            #expect(try scanned(one) == wanted)
            #expect(
                try records(of: "d3", in: one, from: 17, limit: 200)
                    == wanted.filter { $0.device.text == "d3" }[16..<216].map { $0 })
            #expect(try store([Self.message(3), Self.message(1_203)], in: one) == [.duplicate, .duplicate])
            var changed = Self.message(8)
            changed.payload = "{}"
            #expect(try append([changed], to: one) == [.conflict])
        }
        for segment in queue.catalog.segments.dropLast() { files.forget(segment.indexPath) }
        let third = try openQueue(files, Self.limits(segmentBytes: 200 << 10), mode: .readOnly)
        #expect(try records(of: "d4", in: third, from: 5, limit: 1).first?.sequence == 5)
        for number in 5_000..<5_400 { try store([Self.message(number)], in: again) }
        try Self.compressAll(again)
        #expect(try scanned(again).filter { $0.quarantineReason == nil }.count == wanted.count + 400)
    }

    @Test("only what has enough of the log behind it is compressed, the oldest first")
    func due() throws {
        let files = MemoryFileStore()
        var limits = Self.limits()
        limits.plainBytes = 3 * 2_048
        let queue = try openQueue(files, limits)
        #expect(try !queue.compressNextSegment())
        for number in 0..<90 { try store([Message(id: "\(number)")], in: queue) }
        #expect(try queue.compressNextSegment())
        #expect(queue.catalog.segments.map(\.isCompressed).prefix(2) == [true, false])
        while try queue.compressNextSegment() {}
        let plain = queue.catalog.segments.filter { !$0.isCompressed }.count
        #expect(plain == 4)
        limits.plainBytes = nil
        #expect(try !openQueue(files, limits).compressNextSegment())
        limits.plainBytes = -1
        #expect(throws: QueueError.self) { try limits.validate() }
    }

    @Test("contents that stay large are left alone and not tried again")
    func incompressible() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files, Self.limits(segmentBytes: 16 << 10))
        var random = SeededRandom(5)
        for number in 0..<60 {
            let noise = (0..<900).map { _ in UInt8(random.below(256)) }
            try store([Message(id: "\(number)", properties: noise)], in: queue)
        }
        for number in 100..<400 { try store([Message(id: "\(number)")], in: queue) }
        while try queue.compressNextSegment() {}
        #expect(!queue.catalog.segments[0].isCompressed)
        #expect(files.exists(queue.catalog.segments[0].plainPath))
        #expect(queue.catalog.segments.dropLast(2).last?.isCompressed == true)
        let operations = files.operations
        #expect(try !queue.compressNextSegment())
        #expect(files.operations == operations)
    }

    @Test("stopping in the middle and a full disk change nothing")
    func interrupted() throws {
        let (files, queue) = try Self.filled()
        let names = try files.list(logDirectory)
        for limit in [0, 1, 3, 5] {
            var asked = 0
            let hasMore = try queue.compressNextSegment(shouldStop: {
                asked += 1
                return asked > limit
            })
            #expect(!hasMore)
            #expect(try files.list(logDirectory) == names)
        }
        files.capacity = names.reduce(0) { $0 + files[logDirectory + "/" + $1].count } + 5_000
        #expect(throws: QueueError.self) { try queue.compressNextSegment() }
        #expect(try files.list(logDirectory) == names)
        files.capacity = Int.max
        try Self.compressAll(queue)
        #expect(try scanned(openQueue(files, Self.limits(segmentBytes: 200 << 10))).count == 2_400)
    }
}
