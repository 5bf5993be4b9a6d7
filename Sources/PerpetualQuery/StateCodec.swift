import CChecksum

/// Writes little-endian numbers to a growing buffer.
struct StateWriter {
    private(set) var bytes: [UInt8] = []

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }

    mutating func put<Number: FixedWidthInteger>(_ value: Number) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ text: UnsafeRawBufferPointer) {
        put(UInt32(text.count))
        bytes.append(contentsOf: text)
    }

    /// Ends the buffer with the CRC-32C of all before.
    mutating func seal() {
        put(bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) })
    }
}

/// Reads what `StateWriter` wrote; never past the end.
struct StateReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var at = 0

    /// - Throws: when the CRC at the end does not match.
    init(sealed bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        guard bytes.count >= 4 else { throw .damaged(at: bytes.count) }
        let body = bytes.count - 4
        let stored = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: body, as: UInt32.self))
        guard headend_crc32c(0, bytes.baseAddress, body) == stored else { throw .damaged(at: body) }
        self.bytes = UnsafeRawBufferPointer(rebasing: bytes[..<body])
    }

    var isAtEnd: Bool { at == bytes.count }

    mutating func take<Number: FixedWidthInteger>(_ type: Number.Type) throws(CheckpointError) -> Number {
        let size = MemoryLayout<Number>.size
        guard bytes.count - at >= size else { throw .damaged(at: at) }
        defer { at += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
    }

    mutating func takeBytes() throws(CheckpointError) -> UnsafeRawBufferPointer {
        let count = Int(try take(UInt32.self))
        guard bytes.count - at >= count else { throw .damaged(at: at) }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<(at + count)])
    }
}
