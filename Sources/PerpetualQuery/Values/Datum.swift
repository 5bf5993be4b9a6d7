import Telemetry

/// A value while a query computes with it: 16 bytes, trivial, so that a row is a plain array of them and no
/// operation on numbers allocates.
///
/// Texts, records and arrays are borrowed bytes: of the payload, of the constants, of a stored row, or of
/// the arena of the call. Records and arrays are JSON text that the scanner has validated; a text is
/// resolved UTF-8.
struct Datum {
    enum Kind: UInt8 {
        case null = 0
        case bit, bigint, float, datetime, text, record, array
    }

    /// An Int64, a Double's pattern, ticks, 0 or 1, or the address of the bytes.
    var bits: UInt64
    /// Bytes of a text, record or array; else 0.
    var count: UInt32
    var kind: Kind
    /// The nvarchar came from a CAST, which MIN and MAX take as the wish to compare texts.
    var isCast = false

    static let null = Datum(bits: 0, count: 0, kind: .null)

    init(bits: UInt64, count: UInt32, kind: Kind) {
        self.bits = bits
        self.count = count
        self.kind = kind
    }

    @inline(__always) init(_ value: Int64) {
        self.init(bits: UInt64(bitPattern: value), count: 0, kind: .bigint)
    }

    @inline(__always) init(_ value: Double) { self.init(bits: value.bitPattern, count: 0, kind: .float) }

    @inline(__always) init(_ value: Bool) { self.init(bits: value ? 1 : 0, count: 0, kind: .bit) }

    @inline(__always) init(ticks: Int64) {
        self.init(bits: UInt64(bitPattern: ticks), count: 0, kind: .datetime)
    }

    @inline(__always) init(_ kind: Kind, _ bytes: UnsafeRawBufferPointer) {
        self.init(
            bits: UInt64(UInt(bitPattern: bytes.baseAddress)), count: UInt32(truncatingIfNeeded: bytes.count),
            kind: kind)
    }

    @inline(__always) var isNull: Bool { kind == .null }
    @inline(__always) var integer: Int64 { Int64(bitPattern: bits) }
    @inline(__always) var double: Double { Double(bitPattern: bits) }
    @inline(__always) var isTrue: Bool { kind == .bit && bits != 0 }
    @inline(__always) var hasBytes: Bool { kind.rawValue >= Kind.text.rawValue }

    /// The bytes of a text, record or array; empty for all else.
    @inline(__always) var bytes: UnsafeRawBufferPointer {
        guard hasBytes else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: UInt(bits)), count: Int(count))
    }

    /// The number as a double; nil when it is none. A bit counts as 0 or 1.
    @inline(__always) var number: Double? {
        switch kind {
        case .bigint: Double(integer)
        case .float: double
        case .bit: Double(bits)
        default: nil
        }
    }

    /// The name of the type as `GetType` tells it.
    var typeName: StaticString {
        switch kind {
        case .null: "null"
        case .bit: "bit"
        case .bigint: "bigint"
        case .float: "float"
        case .datetime: "datetime"
        case .text: "nvarchar(max)"
        case .record: "record"
        case .array: "array"
        }
    }
}

// Out to the product's own values and to JSON.
extension Datum {
    /// A copy that owns its bytes. Records and arrays become values too.
    var value: Value {
        switch kind {
        case .null: .null
        case .bit: .boolean(bits != 0)
        case .bigint: .bigint(integer)
        case .float: .float(double)
        case .datetime: .time(EventTime(ticks: integer))
        case .text: .text(String(decoding: bytes, as: UTF8.self))
        case .record: .record(JSONValue.columns(of: bytes))
        case .array: .array(JSONValue.elements(of: bytes))
        }
    }

    /// Appends the JSON form (RFC 8259): times as ISO 8601 text, non-finite floats as null.
    func appendJSON(to bytes: inout [UInt8]) {
        switch kind {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bit: bytes.append(contentsOf: (bits != 0 ? "true" : "false").utf8)
        case .bigint: JSONText.append(integer, to: &bytes)
        case .float: JSONText.append(double, to: &bytes)
        case .datetime:
            bytes.append(0x22)
            EventTime(ticks: integer).appendISO8601(to: &bytes)
            bytes.append(0x22)
        case .text: JSONText.append(utf8: self.bytes, to: &bytes)
        case .record, .array: bytes.append(contentsOf: self.bytes)
        }
    }
}
