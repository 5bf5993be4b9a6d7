package import Telemetry

/// JSON text to values, and bytes to JSON strings.
package enum JSONValue {
    /// The fields of an object in order; the last of a name that comes twice, at its first place.
    package static func columns(of object: UnsafeRawBufferPointer) -> [Column] {
        var columns: [Column] = []
        _ = JSONFieldScanner.forEachTopLevelField(object) { name, scalar in
            let text = String(decoding: JSONBytes.resolved(name), as: UTF8.self)
            let column = Column(text, value(of: scalar))
            if let same = columns.firstIndex(where: { $0.name.utf8.elementsEqual(text.utf8) }) {
                columns[same] = column
            } else {
                columns.append(column)
            }
        }
        return columns
    }

    static func elements(of array: UnsafeRawBufferPointer) -> [Value] {
        var values: [Value] = []
        _ = JSONFieldScanner.forEachElement(array) { _, scalar in
            values.append(value(of: scalar))
            return true
        }
        return values
    }

    private static func value(of scalar: JSONScalar) -> Value {
        switch scalar {
        case .null: .null
        case .boolean(let value): .boolean(value)
        case .bigint(let value): .bigint(value)
        case .float(let value): .float(value)
        case .text(let raw, let hasEscapes):
            .text(
                hasEscapes
                    ? String(decoding: JSONString.decode(raw), as: UTF8.self)
                    : String(decoding: raw, as: UTF8.self))
        case .nested(let nested):
            nested.first == UInt8(ascii: "{") ? .record(columns(of: nested)) : .array(elements(of: nested))
        }
    }
}

/// JSON strings as bytes, without a String on the way.
enum JSONBytes {
    /// The text of a field's name or of a string; raw bytes without escapes are copied as they are.
    static func resolved(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        raw.contains(UInt8(ascii: "\\")) ? JSONString.decode(raw) : Array(raw)
    }

    /// Appends UTF-8 quoted and escaped as RFC 8259 §7 asks, nothing more.
    static func appendText(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        var from = 0
        for (index, byte) in text.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[from..<index]))
            from = index + 1
            bytes.append(0x5C)
            switch byte {
            case 0x22, 0x5C: bytes.append(byte)
            case 0x0A: bytes.append(0x6E)
            case 0x0D: bytes.append(0x72)
            case 0x09: bytes.append(0x74)
            default:
                bytes.append(contentsOf: [0x75, 0x30, 0x30])
                bytes.append(hex(byte >> 4))
                bytes.append(hex(byte & 15))
            }
        }
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[from...]))
        bytes.append(0x22)
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x57 + digit }
}
