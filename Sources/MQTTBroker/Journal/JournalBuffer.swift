/// The records of what changed since they were last taken away.
///
/// It does nothing until it is enabled: a broker without a disk keeps its state in memory only.
struct JournalBuffer {
    private(set) var isEnabled = false
    private(set) var bytes: [UInt8] = []
    /// Position of the first byte of `bytes`.
    private(set) var start: UInt64 = 0
    /// The next group begins a segment.
    var startsSegment = false
    /// Goes with the next group.
    var cleaned: JournalCleaned?

    /// Where the next record will stand.
    var end: UInt64 { start + UInt64(bytes.count) }
    var isEmpty: Bool { bytes.isEmpty && cleaned == nil }

    mutating func enable(at position: UInt64) {
        isEnabled = true
        start = position
    }

    /// Adds a record.
    /// - Returns: its position.
    @discardableResult mutating func add(_ kind: JournalKind, _ body: (inout RecordWriter) -> Void) -> UInt64
    {
        precondition(isEnabled)
        let position = end
        var writer = RecordWriter(bytes: bytes)
        bytes = []
        let at = writer.bytes.count
        writer.put(UInt32(0))
        writer.put(UInt32(0))
        writer.put(kind.rawValue)
        body(&writer)
        let length = UInt32(writer.bytes.count - at - 8)
        withUnsafeBytes(of: length.littleEndian) { source in
            for index in 0..<4 { writer.bytes[at + index] = source[index] }
        }
        bytes = writer.bytes
        return position
    }

    /// Takes what is there as one group.
    mutating func take() -> JournalGroup? {
        guard isEnabled, !isEmpty else { return nil }
        add(.commit) { _ in }
        let group = JournalGroup(
            bytes: bytes, start: start, startsSegment: startsSegment, cleaned: cleaned)
        start = end
        bytes = []
        bytes.reserveCapacity(min(group.bytes.count, 1 << 20))
        startsSegment = false
        cleaned = nil
        return group
    }
}

/// Appends the fields of a record, little-endian.
struct RecordWriter {
    var bytes: [UInt8]

    mutating func put<Number: FixedWidthInteger>(_ value: Number) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A text behind which the record goes on.
    mutating func put(_ text: String?) {
        guard let text else { return put(UInt32.max) }
        put(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// What goes to the end of the record.
    mutating func rest(_ text: String) { bytes.append(contentsOf: text.utf8) }
}

/// Reads the fields of a record. What is missing reads as zeros and nothing, and `isWhole` says so: the checksum was
/// right, so this is a record of another program.
struct RecordReader {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    private(set) var isWhole = true

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number {
        let end = at + MemoryLayout<Number>.size
        guard end <= bytes.count else {
            isWhole = false
            return 0
        }
        defer { at = end }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
    }

    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        guard count <= bytes.count - at else {
            isWhole = false
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<(at + count)])
    }

    mutating func text() -> String? {
        let count: UInt32 = number()
        guard count != .max else { return nil }
        return String(decoding: bytes(Int(count)), as: UTF8.self)
    }

    mutating func rest() -> UnsafeRawBufferPointer { bytes(bytes.count - at) }

    mutating func restText() -> String { String(decoding: rest(), as: UTF8.self) }
}
