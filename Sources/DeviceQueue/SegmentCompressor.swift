import CChecksum
import Platform

/// Writes the compressed form of a sealed segment, and the plain form again. Every step leaves a whole file
/// under one of the names; the caller changes the catalogue.
struct SegmentCompressor: ~Copyable {
    enum Outcome: Equatable {
        case compressed(storedBytes: UInt64)
        /// The contents do not become small enough to be worth it.
        case incompressible
        /// The caller wanted to stop.
        case stopped
    }

    /// Level 1: level 3 takes 1.2 to 1.4 times as long and saves nothing on readings.
    static let level: Int32 = 1
    /// A segment is compressed when a sample of it becomes a fifth smaller.
    static let sampleBlocks = 16

    let files: any FileStore
    let cache: BlockCache
    private let compressor: ZstandardCompressor
    private let plain: UnsafeMutableRawBufferPointer
    private let packed: UnsafeMutableRawBufferPointer

    /// - Returns: nil when the system has no memory.
    init?(files: any FileStore, cache: BlockCache) {
        guard let compressor = ZstandardCompressor(level: Self.level) else { return nil }
        self.files = files
        self.cache = cache
        self.compressor = compressor
        plain = .allocate(byteCount: CompressedHeader.blockBytes, alignment: 16)
        packed = .allocate(
            byteCount: ZstandardCompressor.byteCountMax(of: CompressedHeader.blockBytes), alignment: 16)
    }

    deinit {
        plain.deallocate()
        packed.deallocate()
    }

    /// Makes the compressed file beside the plain one: written, synced, read back and compared, then given its
    /// name. The plain file is not touched.
    ///
    /// - Parameter shouldStop: asked after each block.
    borrowing func compress(_ segment: Segment, shouldStop: () -> Bool) throws(QueueError) -> Outcome {
        let temporary = segment.compressedPath + ".tmp"
        do throws(QueueError) {
            return try compress(segment, by: temporary, shouldStop)
        } catch {
            // What is left of it is room that the log may need; the next start removes it if this cannot.
            try? files.remove(temporary)
            throw error
        }
    }

    private borrowing func compress(
        _ segment: Segment, by temporary: String, _ shouldStop: () -> Bool
    ) throws(QueueError) -> Outcome {
        try Recovery.attempt { () throws(FileError) in
            let source = try files.open(segment.plainPath, writable: false)
            defer { source.close() }
            let contentBytes = try contentEnd(source, byteCount: Int(segment.byteCount))
            guard try isWorthwhile(source, contentBytes: contentBytes) else { return .incompressible }
            let target = try files.open(temporary, writable: true)
            defer { target.close() }
            try target.truncate(to: 0)
            var header = CompressedHeader(
                base: segment.base, byteCount: segment.byteCount, logID: segment.logID,
                contentBytes: UInt64(contentBytes), blocks: [])
            guard try writeBlocks(source, target, &header, shouldStop) else {
                try files.remove(temporary)
                return .stopped
            }
            try target.write(header.encoded(), at: 0)
            try target.synchronize()
            guard try isCopy(target, of: source, segment, shouldStop) else {
                try files.remove(temporary)
                if shouldStop() { return .stopped }
                throw FileError(
                    kind: .failed, operation: "compress the segment to", path: temporary, code: 5,
                    message: "what was written does not read back the same; the segment stays as it is")
            }
            try files.rename(temporary, to: segment.compressedPath)
            try files.synchronizeDirectory(Self.directory(of: segment))
            return .compressed(storedBytes: try target.byteCount())
        }
    }

    /// Makes the plain file of a segment that has only the compressed one, and removes that: the newest
    /// segment is written to.
    ///
    /// - Throws: `.corrupt` when a block is damaged.
    borrowing func restore(_ segment: Segment) throws(QueueError) {
        let stored = try Recovery.attempt { () throws(FileError) in
            try files.open(segment.compressedPath, writable: false)
        }
        defer { stored.close() }
        let source = try CompressedSegmentFile(stored, path: segment.compressedPath, cache: cache)
        if let place = try Recovery.attempt({ () throws(FileError) in try source.firstDamage() }) {
            throw CompressedHeader.damaged(
                segment.compressedPath, Int(place), "the block that begins there, uncompressed, is damaged")
        }
        try Recovery.attempt { () throws(FileError) in
            let temporary = segment.plainPath + ".tmp"
            let target = try files.open(temporary, writable: true)
            defer { target.close() }
            try target.truncate(to: 0)
            var at: UInt64 = 0
            while at < segment.byteCount {
                let got = try source.read(into: plain, at: at)
                if got == 0 { break }
                try target.write(UnsafeRawBufferPointer(rebasing: plain[..<got]), at: at)
                at += UInt64(got)
            }
            try target.synchronize()
            try files.rename(temporary, to: segment.plainPath)
            try files.synchronizeDirectory(Self.directory(of: segment))
            try files.remove(segment.compressedPath)
            try files.synchronizeDirectory(Self.directory(of: segment))
        }
    }

    private static func directory(of segment: Segment) -> String {
        PosixFileStore.directory(of: segment.plainPath)
    }

    /// Behind the last byte that is not zero.
    private borrowing func contentEnd(
        _ source: any StoredFile, byteCount: Int
    ) throws(FileError) -> Int {
        var end = byteCount
        while end > 0 {
            let start = max(0, (end - 1) / plain.count * plain.count)
            let slice = UnsafeMutableRawBufferPointer(rebasing: plain[..<(end - start)])
            let got = try source.read(into: slice, at: UInt64(start))
            var at = got
            // Eight bytes a step: most of a block that is not all zero is found at once.
            while at & 7 != 0, at > 0, slice[at - 1] == 0 { at -= 1 }
            while at >= 8, at & 7 == 0, slice.loadUnaligned(fromByteOffset: at - 8, as: UInt64.self) == 0 {
                at -= 8
            }
            while at > 0, slice[at - 1] == 0 { at -= 1 }
            if at > 0 { return start + at }
            end = start
        }
        return 0
    }

    /// Whether blocks from all over the segment become a fifth smaller.
    private borrowing func isWorthwhile(
        _ source: any StoredFile, contentBytes: Int
    ) throws(FileError) -> Bool {
        let count = CompressedHeader.blockCount(contentBytes: UInt64(contentBytes))
        var before = 0
        var after = 0
        for sample in 0..<min(Self.sampleBlocks, count) {
            let start = count * sample / min(Self.sampleBlocks, count) * CompressedHeader.blockBytes
            let block = try read(source, at: start, contentBytes: contentBytes)
            before += block.count
            after += compressor.compress(block, into: packed) ?? block.count
        }
        return after * 5 <= before * 4
    }

    private borrowing func read(
        _ source: any StoredFile, at start: Int, contentBytes: Int
    ) throws(FileError) -> UnsafeRawBufferPointer {
        let size = min(plain.count, contentBytes - start)
        let got = try source.read(
            into: UnsafeMutableRawBufferPointer(rebasing: plain[..<size]), at: UInt64(start))
        return UnsafeRawBufferPointer(rebasing: plain[..<got])
    }

    /// - Returns: false when the caller wanted to stop.
    private borrowing func writeBlocks(
        _ source: any StoredFile, _ target: any StoredFile, _ header: inout CompressedHeader,
        _ shouldStop: () -> Bool
    ) throws(FileError) -> Bool {
        let contentBytes = Int(header.contentBytes)
        let count = CompressedHeader.blockCount(contentBytes: header.contentBytes)
        var at = UInt64(CompressedHeader.headerBytes + count * CompressedHeader.blockEntryBytes)
        var sinceSync = 0
        for number in 0..<count {
            if shouldStop() { return false }
            let block = try read(
                source, at: number * CompressedHeader.blockBytes, contentBytes: contentBytes)
            var stored = block
            if let size = compressor.compress(block, into: packed), size < block.count {
                stored = UnsafeRawBufferPointer(rebasing: packed[..<size])
            }
            header.blocks.append(
                CompressedHeader.Block(
                    byteCount: UInt32(stored.count),
                    checksum: headend_crc32c(0, stored.baseAddress, stored.count)))
            try target.write(stored, at: at)
            at += UInt64(stored.count)
            sinceSync += stored.count
            // In pieces, so that a sync of the log beside it never waits for all of it.
            if sinceSync >= 2 << 20 {
                try target.synchronize()
                sinceSync = 0
            }
        }
        return true
    }

    /// Whether the file just written reads as the segment does, byte for byte.
    private borrowing func isCopy(
        _ target: any StoredFile, of source: any StoredFile, _ segment: Segment, _ shouldStop: () -> Bool
    ) throws(FileError) -> Bool {
        guard
            let copy = try? CompressedSegmentFile(
                target, path: segment.compressedPath + ".tmp", cache: BlockCache(byteCountMax: 0))
        else { return false }
        let other = UnsafeMutableRawBufferPointer.allocate(byteCount: plain.count, alignment: 16)
        defer { other.deallocate() }
        var at: UInt64 = 0
        while at < segment.byteCount {
            if shouldStop() { return false }
            let got = try source.read(into: plain, at: at)
            let gotCopy = try copy.read(into: other, at: at)
            guard got == gotCopy, got > 0 else { return false }
            let left = UnsafeRawBufferPointer(rebasing: plain[..<got])
            guard left.equals(UnsafeRawBufferPointer(rebasing: other[..<got])) else { return false }
            at += UInt64(got)
        }
        return true
    }
}
