import CChecksum

/// Writes little-endian numbers to pieces of memory: a state of hundreds of megabytes is neither copied together nor
/// copied when it grows.
///
/// Raw pointer: the writer owns the piece it fills and frees it in deinit.
struct StateWriter: ~Copyable {
    private static let pieceBytes = 1 << 20

    private var full: [[UInt8]] = []
    private let piece: UnsafeMutableRawBufferPointer
    private var used = 0

    init() { piece = .allocate(byteCount: Self.pieceBytes, alignment: 16) }

    deinit { piece.deallocate() }

    @inline(__always)
    mutating func put<Number: FixedWidthInteger>(_ value: Number) {
        let size = MemoryLayout<Number>.size
        if used + size > Self.pieceBytes { turn() }
        piece.storeBytes(of: value.littleEndian, toByteOffset: used, as: Number.self)
        used += size
    }

    mutating func put(_ text: UnsafeRawBufferPointer) {
        put(UInt32(text.count))
        var rest = text[...]
        while !rest.isEmpty {
            if used == Self.pieceBytes { turn() }
            let part = rest.prefix(Self.pieceBytes - used)
            UnsafeMutableRawBufferPointer(rebasing: piece[used...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: part))
            used += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    private mutating func turn() {
        full.append(Array(piece[..<used]))
        used = 0
    }

    /// All that was written, in order, with the CRC-32C of it at the end; the writer is empty then.
    mutating func sealed() -> [[UInt8]] {
        turn()
        let pieces = StateBytes.sealed(full)
        full = []
        return pieces
    }
}

/// Bytes of a state in pieces.
enum StateBytes {
    /// Appends the CRC-32C of all.
    static func sealed(_ pieces: [[UInt8]]) -> [[UInt8]] {
        let sum = pieces.reduce(0) { sum, piece in
            piece.withUnsafeBytes { headend_crc32c(sum, $0.baseAddress, $0.count) }
        }
        return pieces + [withUnsafeBytes(of: sum.littleEndian) { Array($0) }]
    }

    static func joined(_ pieces: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count(pieces))
        for piece in pieces { bytes += piece }
        return bytes
    }

    static func count(_ pieces: [[UInt8]]) -> Int { pieces.reduce(0) { $0 + $1.count } }
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
