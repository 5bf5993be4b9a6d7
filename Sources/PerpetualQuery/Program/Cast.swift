import QueryLanguage
import Telemetry

/// CAST: a value of another type; nil when it cannot be. NULL stays NULL.
enum Cast {
    static func convert(_ value: Datum, to type: SQLType, _ arena: ByteArena) -> Datum? {
        if value.isNull { return value }
        switch type {
        case .bigint: return bigint(value)
        case .float:
            switch value.kind {
            case .float: return value
            case .bigint: return Datum(Double(value.integer))
            case .bit: return Datum(Double(value.bits))
            case .text: return Conversion.float(of: value.bytes).map { Datum($0) }
            default: return nil
            }
        case .nvarcharMax:
            var made = value
            if value.kind != .text {
                var bytes: [UInt8] = []
                Conversion.appendText(of: value, to: &bytes)
                made = arena.text(bytes)
            }
            made.isCast = true
            return made
        case .datetime: return Conversion.ticks(of: value).map { Datum(ticks: $0) }
        case .bit: return bit(value)
        case .record: return value.kind == .record ? value : nil
        case .array: return value.kind == .array ? value : nil
        }
    }

    private static func bigint(_ value: Datum) -> Datum? {
        switch value.kind {
        case .bigint: value
        case .bit: Datum(Int64(value.bits))
        case .float: Conversion.whole(value.double).map { Datum($0) }
        case .text: Conversion.integer(of: value.bytes).map { Datum($0) }
        default: nil
        }
    }

    private static func bit(_ value: Datum) -> Datum? {
        switch value.kind {
        case .bit: return value
        case .bigint: return Datum(value.integer != 0)
        case .float: return Datum(value.double != 0)
        case .text:
            let text = Conversion.trimmed(value.bytes)
            if text.elementsEqual("1".utf8) { return Datum(true) }
            if text.elementsEqual("0".utf8) { return Datum(false) }
            let lower = text.map { $0 | 0x20 }
            if lower.elementsEqual("true".utf8) { return Datum(true) }
            return lower.elementsEqual("false".utf8) ? Datum(false) : nil
        default: return nil
        }
    }

    /// What CREATE TABLE takes for a type: the value itself, or one that it becomes without loss.
    ///
    /// - Parameter isText: all values come as text, as those of CSV do.
    static func conform(_ value: Datum, to type: SQLType, isText: Bool, _ arena: ByteArena) -> Datum? {
        if value.isNull { return value }
        if isText, value.kind == .text {
            if type != .nvarcharMax, value.count == 0 { return .null }
            return convert(value, to: type, arena)
        }
        switch (value.kind, type) {
        case (.bigint, .bigint), (.float, .float), (.bit, .bit), (.record, .record), (.array, .array):
            return value
        case (.bigint, .float): return Datum(Double(value.integer))
        case (.bit, .bigint): return Datum(Int64(value.bits))
        case (.bigint, .bit) where value.integer == 0 || value.integer == 1: return Datum(value.integer == 1)
        case (.text, .nvarcharMax):
            var text = value
            text.isCast = true
            return text
        case (.text, .datetime): return Conversion.ticks(of: value).map { Datum(ticks: $0) }
        default: return nil
        }
    }
}
