/// Values as JSON text (RFC 8259), appended to bytes without a String or an array on the way.
package enum JSONText {
    /// Appends `text` quoted and escaped as §7 asks, nothing more.
    package static func append(_ text: String, to bytes: inout [UInt8]) {
        var text = text
        text.withUTF8 { append(utf8: UnsafeRawBufferPointer($0), to: &bytes) }
    }

    /// Appends UTF-8 quoted and escaped as §7 asks, nothing more.
    package static func append(utf8 text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        var from = 0
        var at = 0
        while at < text.count {
            if at + 8 <= text.count, isPlain(text.loadUnaligned(fromByteOffset: at, as: UInt64.self)) {
                at += 8
                continue
            }
            let byte = text[at]
            if byte < 0x20 || byte == 0x22 || byte == 0x5C {
                bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[from..<at]))
                from = at + 1
                appendEscape(byte, to: &bytes)
            }
            at += 1
        }
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[from...]))
        bytes.append(0x22)
    }

    /// Whether none of eight bytes needs an escape. May say no of a few that need none.
    @inline(__always)
    private static func isPlain(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = word ^ (ones &* 0x22)
        let backslashes = word ^ (ones &* 0x5C)
        let found =
            (word &- ones &* 0x20) & ~word | (quotes &- ones) & ~quotes | (backslashes &- ones) & ~backslashes
        return found & (ones &* 0x80) == 0
    }

    private static func appendEscape(_ byte: UInt8, to bytes: inout [UInt8]) {
        bytes.append(0x5C)
        switch byte {
        case 0x22, 0x5C: bytes.append(byte)
        case 0x0A: bytes.append(0x6E)
        case 0x0D: bytes.append(0x72)
        case 0x09: bytes.append(0x74)
        default:
            for digit in [0x75, 0x30, 0x30, hex(byte >> 4), hex(byte & 15)] as [UInt8] { bytes.append(digit) }
        }
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x57 + digit }

    package static func append(_ value: Int64, to bytes: inout [UInt8]) {
        if value < 0 { bytes.append(0x2D) }
        var magnitude = value.magnitude
        if magnitude < 10 {
            bytes.append(0x30 + UInt8(truncatingIfNeeded: magnitude))
            return
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var at = 20
            while magnitude > 0 {
                at -= 1
                let (quotient, digit) = magnitude.quotientAndRemainder(dividingBy: 10)
                digits[at] = 0x30 + UInt8(truncatingIfNeeded: digit)
                magnitude = quotient
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: digits[at...]))
        }
    }

    /// Appends the shortest digits that read as the same double; null for one that is not finite.
    package static func append(_ value: Double, to bytes: inout [UInt8]) {
        guard value.isFinite else {
            bytes.append(contentsOf: "null".utf8)
            return
        }
        var text = value.description
        text.withUTF8 { bytes.append(contentsOf: $0) }
    }
}
