import CChecksum

/// A record's bytes on disk; the layout is a table in BrokerJournal.docc/JournalFormat.md.
enum JournalFrame {
    static let headBytes = 8
    /// The kind of the record that ends a group.
    static let commitKind: UInt8 = 1

    /// One record of a buffer.
    struct Found {
        var kind: UInt8
        var body: UnsafeRawBufferPointer
        var byteCount: Int
    }

    /// Writes the checksums of records that stand one behind the other, with their lengths set.
    ///
    /// The last has to be a commit record: what is appended is a whole.
    static func seal(_ bytes: inout [UInt8], at position: UInt64) {
        bytes.withUnsafeMutableBytes { buffer in
            var at = 0
            var kind: UInt8 = 0
            while at < buffer.count {
                let length = Int(number(UnsafeRawBufferPointer(buffer), at, UInt32.self))
                precondition(length > 0)
                precondition(at + headBytes + length <= buffer.count)
                let frame = UnsafeRawBufferPointer(rebasing: buffer[at..<(at + headBytes + length)])
                let sum = checksum(frame, at: position + UInt64(at))
                buffer.storeBytes(of: sum.littleEndian, toByteOffset: at + 4, as: UInt32.self)
                kind = frame[8]
                at += headBytes + length
            }
            precondition(kind == commitKind, "a group of records ends with a commit")
        }
    }

    /// The record at the start of `bytes`; nil when there is no whole one.
    static func find(_ bytes: UnsafeRawBufferPointer, at position: UInt64, bytesMax: Int) -> Found? {
        guard bytes.count > headBytes else { return nil }
        let length = Int(number(bytes, 0, UInt32.self))
        guard length > 0, length <= bytesMax, headBytes + length <= bytes.count else { return nil }
        let frame = UnsafeRawBufferPointer(rebasing: bytes[..<(headBytes + length)])
        guard checksum(frame, at: position) == number(bytes, 4, UInt32.self) else { return nil }
        return Found(
            kind: frame[8], body: UnsafeRawBufferPointer(rebasing: frame[9...]), byteCount: frame.count)
    }

    /// Over the position, the length and what follows: a record is valid in its own place only.
    private static func checksum(_ frame: UnsafeRawBufferPointer, at position: UInt64) -> UInt32 {
        var sum = withUnsafeBytes(of: position.littleEndian) { headend_crc32c(0, $0.baseAddress, $0.count) }
        guard let base = frame.baseAddress else { return sum }
        sum = headend_crc32c(sum, base, 4)
        return headend_crc32c(sum, base + headBytes, frame.count - headBytes)
    }
}

/// The little-endian number at an offset; the caller has checked the size.
func number<Number: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ type: Number.Type
) -> Number {
    Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
}

/// Appends a little-endian number.
func put<Number: FixedWidthInteger>(_ value: Number, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
}
