/// Reads a packet's body from front to back and never beyond its end: a short packet is a `WireError`.
///
/// Does not own its bytes: it lives no longer than the closure or call that was given the pointer. Every load
/// is guarded by `require`, so that no content makes it trap.
struct WireReader {
    let bytes: UnsafeRawBufferPointer
    /// Index in `bytes` of the next byte to read; `<= end`.
    private(set) var offset: Int
    /// Index after the last byte that may be read; `<= bytes.count`.
    let end: Int

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        self.offset = 0
        self.end = bytes.count
    }

    /// Reads a part of `bytes`; the part is cut to what `bytes` has.
    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>) {
        self.bytes = bytes
        self.end = min(max(range.upperBound, 0), bytes.count)
        self.offset = min(max(range.lowerBound, 0), self.end)
    }

    var isAtEnd: Bool { offset == end }

    @inline(__always)
    private func require(_ count: Int, _ place: StaticString) throws(WireError) {
        guard end - offset >= count else { throw WireReader.truncated(place) }
    }

    @inline(__always)
    mutating func uint8(_ place: StaticString) throws(WireError) -> UInt8 {
        try require(1, place)
        defer { offset += 1 }
        return bytes[offset]
    }

    @inline(__always)
    mutating func uint16(_ place: StaticString) throws(WireError) -> UInt16 {
        try require(2, place)
        defer { offset += 2 }
        return UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inline(__always)
    mutating func uint32(_ place: StaticString) throws(WireError) -> UInt32 {
        try require(4, place)
        defer { offset += 4 }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// A variable byte integer of at most four bytes in its shortest form. MQTT 5.0 §1.5.5.
    @inline(__always)
    mutating func variableByteInteger(_ place: StaticString) throws(WireError) -> Int {
        let first = try uint8(place)
        if first < 0x80 { return Int(first) }
        return try variableByteInteger(startingWith: first, place)
    }

    private mutating func variableByteInteger(
        startingWith first: UInt8, _ place: StaticString
    ) throws(WireError) -> Int {
        var value = Int(first & 0x7F)
        var shift = 0
        while shift < 21 {
            shift += 7
            let byte = try uint8(place)
            value |= Int(byte & 0x7F) << shift
            if byte < 0x80 {
                guard byte != 0 else {
                    throw WireError(.malformedPacket, "\(place) is not in its shortest form")
                }
                return value
            }
        }
        throw WireError(.malformedPacket, "\(place) is longer than four bytes")
    }

    /// The indices of `count` bytes, which it steps over.
    @inline(__always)
    mutating func skip(_ count: Int, _ place: StaticString) throws(WireError) -> Range<Int> {
        try require(count, place)
        defer { offset += count }
        return offset..<(offset + count)
    }

    /// The indices of binary data, without its two-byte length. MQTT 5.0 §1.5.6.
    @inline(__always)
    mutating func binaryRange(_ place: StaticString) throws(WireError) -> Range<Int> {
        try skip(Int(try uint16(place)), place)
    }

    /// The indices of a UTF-8 string, checked. MQTT 5.0 §1.5.4.
    @inline(__always)
    mutating func stringRange(_ place: StaticString) throws(WireError) -> Range<Int> {
        let range = try binaryRange(place)
        guard isValidUTF8String(UnsafeRawBufferPointer(rebasing: bytes[range])) else {
            throw WireError(.malformedPacket, "\(place) is not valid UTF-8 or has U+0000 in it")
        }
        return range
    }

    mutating func string(_ place: StaticString) throws(WireError) -> String {
        String(decoding: bytes[try stringRange(place)], as: UTF8.self)
    }

    mutating func binary(_ place: StaticString) throws(WireError) -> [UInt8] {
        [UInt8](bytes[try binaryRange(place)])
    }

    /// Everything that is left.
    mutating func rest() -> Range<Int> {
        defer { offset = end }
        return offset..<end
    }

    func requireEnd(_ packet: StaticString) throws(WireError) {
        guard isAtEnd else { throw WireError(.malformedPacket, "\(packet) has bytes after its end") }
    }

    @inline(never)
    private static func truncated(_ place: StaticString) -> WireError {
        WireError(.malformedPacket, "the packet ends inside \(place)")
    }
}
