import CChecksum
import Platform

/// The first bytes of a compressed segment: its header and the index of its blocks. Layout:
/// `DeviceQueue.docc/LogFormat.md`.
struct CompressedHeader: Sendable, Equatable {
    /// A block as it is stored.
    struct Block: Sendable, Equatable {
        var byteCount: UInt32
        var checksum: UInt32
    }

    /// `HEADENDZ`
    static let magic: UInt64 = 0x5A44_4E45_4441_4548
    static let version: UInt32 = 1
    static let headerBytes = 64
    static let blockEntryBytes = 8
    /// Uncompressed bytes of a block. 64 KiB: as good a ratio as 256 KiB (8.1 on readings of the fleet), and a
    /// single record costs 26 µs instead of 90.
    static let blockBytes = 64 << 10
    /// Zstandard, the only method there is.
    static let method: UInt32 = 1

    var base: UInt64
    /// Bytes of the segment when it is not compressed.
    var byteCount: UInt64
    var logID: UInt64
    /// Bytes that the blocks hold; those behind are zeros.
    var contentBytes: UInt64
    var blocks: [Block]

    /// Where the first block is.
    var bodyStart: UInt64 { UInt64(Self.headerBytes + blocks.count * Self.blockEntryBytes) }

    static func blockCount(contentBytes: UInt64) -> Int {
        Int((contentBytes + UInt64(blockBytes) - 1) / UInt64(blockBytes))
    }

    func encoded() -> [UInt8] {
        var index: [UInt8] = []
        index.reserveCapacity(blocks.count * Self.blockEntryBytes)
        for block in blocks {
            index.append(littleEndian: block.byteCount)
            index.append(littleEndian: block.checksum)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerBytes + index.count)
        bytes.append(littleEndian: Self.magic)
        bytes.append(littleEndian: Self.version)
        bytes.append(littleEndian: UInt32(Self.blockBytes))
        bytes.append(littleEndian: base)
        bytes.append(littleEndian: byteCount)
        bytes.append(littleEndian: logID)
        bytes.append(littleEndian: contentBytes)
        bytes.append(littleEndian: UInt32(blocks.count))
        bytes.append(littleEndian: Self.method)
        bytes.append(littleEndian: Self.checksum(index))
        bytes.append(littleEndian: Self.checksum(bytes))
        return bytes + index
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
    }

    /// Reads header and index of a file.
    ///
    /// - Throws: `.newerFormat`, or `.corrupt` with the position.
    static func read(_ file: any StoredFile, path: String) throws(QueueError) -> CompressedHeader {
        let fixed = try read(file, at: 0, headerBytes)
        guard fixed.count == headerBytes else { throw damaged(path, fixed.count, "the header is cut short") }
        let sum = fixed.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, 60) }
        func word(_ at: Int) -> UInt64 {
            fixed.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt64.self) }
        }
        func half(_ at: Int) -> UInt32 {
            fixed.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
        }
        guard word(0) == magic, half(60) == sum else { throw damaged(path, 0, "the header is damaged") }
        guard half(8) <= version else {
            throw .newerFormat(path: path, found: Int(half(8)), known: Int(version))
        }
        var header = CompressedHeader(
            base: word(16), byteCount: word(24), logID: word(32), contentBytes: word(40), blocks: [])
        let count = Int(half(48))
        guard half(12) == UInt32(blockBytes), half(52) == method, header.byteCount <= UInt64(Int32.max),
            header.contentBytes <= header.byteCount, count == blockCount(contentBytes: header.contentBytes)
        else { throw damaged(path, 12, "the fields of the header contradict each other") }
        let index = try read(file, at: UInt64(headerBytes), count * blockEntryBytes)
        guard index.count == count * blockEntryBytes, checksum(index) == half(56) else {
            throw damaged(path, headerBytes, "the index of the blocks is damaged")
        }
        header.blocks = index.withUnsafeBytes { raw in
            (0..<count).map { number in
                Block(
                    byteCount: raw.loadUnaligned(fromByteOffset: number * blockEntryBytes, as: UInt32.self),
                    checksum: raw.loadUnaligned(
                        fromByteOffset: number * blockEntryBytes + 4, as: UInt32.self))
            }
        }
        guard header.blocks.allSatisfy({ $0.byteCount > 0 && Int($0.byteCount) <= blockBytes }) else {
            throw damaged(path, headerBytes, "the index of the blocks is impossible")
        }
        return header
    }

    static func damaged(_ path: String, _ position: Int, _ what: String) -> QueueError {
        .corrupt(
            path: path, offset: UInt64(position),
            explanation:
                "\(what); restore the file from a backup, or, to go on without its readings, move this "
                + "file and all later ones (keep them) out of the directory and start again")
    }

    private static func read(
        _ file: any StoredFile, at offset: UInt64, _ byteCount: Int
    ) throws(QueueError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 8)
        defer { buffer.deallocate() }
        let got = try Recovery.attempt { () throws(FileError) in try file.read(into: buffer, at: offset) }
        return Array(buffer[..<got])
    }
}
