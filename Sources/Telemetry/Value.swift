/// A value of the query language. Records have types, not columns: a field may change type between events.
package enum Value: Hashable, Sendable {
    case null
    case bigint(Int64)
    case float(Double)
    case text(String)
    case boolean(Bool)
    case time(EventTime)
    indirect case array([Value])
    indirect case record([Column])
}

/// A named value; the order of columns is the order of the SELECT list.
package struct Column: Hashable, Sendable {
    package var name: String
    package var value: Value

    package init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}

extension Value {
    /// Appends the JSON form (RFC 8259): times as ISO 8601 text, non-finite floats as null.
    package func appendJSON(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bigint(let value): JSONText.append(value, to: &bytes)
        case .float(let value): JSONText.append(value, to: &bytes)
        case .text(let value): JSONText.append(value, to: &bytes)
        case .boolean(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .time(let value):
            bytes.append(UInt8(ascii: "\""))
            value.appendISO8601(to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                value.appendJSON(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .record(let columns): Column.appendJSON(columns, to: &bytes)
        }
    }
}

extension Column {
    /// Appends `{"name":value,…}` in the given order.
    package static func appendJSON(_ columns: [Column], to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        for (index, column) in columns.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            JSONText.append(column.name, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            column.value.appendJSON(to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }
}
