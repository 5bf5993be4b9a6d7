/// The text of a JSON string.
package enum JSONString {
    /// Resolves the escapes of a string's raw bytes (those between the quotes), which the scanner has validated.
    package static func decode(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        var at = 0
        while at < raw.count {
            guard raw[at] == 0x5C, at + 1 < raw.count else {
                bytes.append(raw[at])
                at += 1
                continue
            }
            switch raw[at + 1] {
            case 0x62: bytes.append(0x08)
            case 0x66: bytes.append(0x0C)
            case 0x6E: bytes.append(0x0A)
            case 0x72: bytes.append(0x0D)
            case 0x74: bytes.append(0x09)
            case 0x75:
                var scalar = UInt32(unit(raw, at + 2))
                if scalar & 0xFC00 == 0xD800 {
                    scalar = 0x10000 + (scalar & 0x3FF) << 10 + UInt32(unit(raw, at + 8) & 0x3FF)
                    at += 6
                }
                bytes.append(contentsOf: Array(String(UnicodeScalar(scalar) ?? "\u{FFFD}").utf8))
                at += 4
            default: bytes.append(raw[at + 1])
            }
            at += 2
        }
        return bytes
    }

    private static func unit(_ raw: UnsafeRawBufferPointer, _ from: Int) -> UInt16 {
        var value: UInt16 = 0
        for index in from..<min(from + 4, raw.count) {
            value = value << 4 | UInt16(hexDigit(raw[index]) ?? 0)
        }
        return value
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
