import CChecksum
import Platform

/// Tells the beginning of a file from that of another one, or from what was changed since: its length, and what stands
/// at its two ends.
struct FileMark: Hashable, Sendable {
    /// Bytes at either end that are looked at.
    static let spanBytes: UInt64 = 4_096

    var byteCount: UInt64
    /// CRC-32C of the first bytes.
    var head: UInt32
    /// CRC-32C of the last ones.
    var tail: UInt32

    init(byteCount: UInt64, head: UInt32, tail: UInt32) {
        self.byteCount = byteCount
        self.head = head
        self.tail = tail
    }

    /// Reads the first bytes of a file.
    ///
    /// - Returns: nil when it has fewer.
    init?(of file: any StoredFile, upTo byteCount: UInt64) throws(FileError) {
        let span = min(byteCount, Self.spanBytes)
        guard let head = try Self.sum(file, 0, span),
            let tail = try Self.sum(file, byteCount - span, span)
        else { return nil }
        self.init(byteCount: byteCount, head: head, tail: tail)
    }

    private static func sum(
        _ file: any StoredFile, _ offset: UInt64, _ byteCount: UInt64
    ) throws(FileError) -> UInt32? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(byteCount), alignment: 16)
        defer { buffer.deallocate() }
        guard try file.read(into: buffer, at: offset) == buffer.count else { return nil }
        return headend_crc32c(0, buffer.baseAddress, buffer.count)
    }

    /// CRC-32C.
    static func sum(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
    }
}
