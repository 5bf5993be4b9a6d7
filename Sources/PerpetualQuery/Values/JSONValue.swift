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

/// Names and texts of JSON as bytes, without a String on the way.
enum JSONBytes {
    /// The text of a field's name or of a string; raw bytes without escapes are copied as they are.
    static func resolved(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        raw.contains(UInt8(ascii: "\\")) ? JSONString.decode(raw) : Array(raw)
    }

    /// Appends JSON that the scanner has validated, without the blanks between its parts.
    static func appendCompact(_ json: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        guard json.contains(where: { $0 <= 0x20 }) else {
            bytes.append(contentsOf: json)
            return
        }
        var isInString = false
        var isEscaped = false
        for byte in json {
            if isInString {
                isInString = isEscaped || byte != 0x22
                isEscaped = !isEscaped && byte == 0x5C
            } else if byte <= 0x20 {
                continue
            } else {
                isInString = byte == 0x22
            }
            bytes.append(byte)
        }
    }
}
