// Writing a packet at the end of a byte array. A string or length beyond what the wire can carry is a mistake
// of this process, never a peer's doing: it traps before a corrupt packet leaves.

extension Array where Element == UInt8 {
    mutating func appendUInt16(_ value: UInt16) {
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func appendUInt32(_ value: UInt32) {
        appendUInt16(UInt16(truncatingIfNeeded: value >> 16))
        appendUInt16(UInt16(truncatingIfNeeded: value))
    }

    /// MQTT 5.0 §1.5.5.
    mutating func appendVariableByteInteger(_ value: Int) {
        precondition(value >= 0)
        precondition(value <= WireLimits.variableByteIntegerMax)
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// MQTT 5.0 §1.5.4.
    mutating func appendString(_ text: String) {
        let utf8 = text.utf8
        precondition(utf8.count <= WireLimits.stringBytesMax, "a string longer than 65,535 bytes")
        appendUInt16(UInt16(utf8.count))
        append(contentsOf: utf8)
    }

    /// MQTT 5.0 §1.5.6.
    mutating func appendBinary(_ data: [UInt8]) {
        precondition(data.count <= WireLimits.stringBytesMax, "binary data longer than 65,535 bytes")
        appendUInt16(UInt16(data.count))
        append(contentsOf: data)
    }

    /// Appends what `content` writes, behind its length as a variable byte integer.
    ///
    /// Room for one length byte is left at first, which is enough up to 127 bytes; what is longer moves up
    /// by the one to three bytes missing.
    mutating func appendLengthPrefixed(_ content: (inout [UInt8]) -> Void) {
        let lengthIndex = count
        append(0)
        content(&self)
        let length = count - lengthIndex - 1
        precondition(length <= WireLimits.variableByteIntegerMax, "a packet longer than the wire can say")
        if length >= 0x80 { makeRoom(forLength: length, at: lengthIndex) }
        var rest = length
        var index = lengthIndex
        while rest >= 0x80 {
            self[index] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
            index += 1
        }
        self[index] = UInt8(truncatingIfNeeded: rest)
    }

    /// Moves the last `length` bytes up, so that their length fits in front of them, from `index` on.
    private mutating func makeRoom(forLength length: Int, at index: Int) {
        let missing = length < 1 << 14 ? 1 : length < 1 << 21 ? 2 : 3
        for _ in 0..<missing { append(0) }
        withUnsafeMutableBytes { all in
            // In bounds: `index + 1 + length + missing` is the count; the ranges may overlap (memmove).
            guard let content = all.baseAddress?.advanced(by: index + 1) else { return }
            content.advanced(by: missing).copyMemory(from: content, byteCount: length)
        }
    }
}
