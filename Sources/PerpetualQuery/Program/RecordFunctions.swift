import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Steps into records and arrays, and what else is made of JSON.
enum RecordFunctions {
    /// A scalar of the scanner as a value; escapes are resolved in the arena.
    @inline(__always)
    static func datum(_ scalar: JSONScalar, _ arena: @autoclosure () -> ByteArena) -> Datum {
        switch scalar {
        case .bigint(let value): Datum(value)
        case .float(let value): Datum(value)
        case .text(let raw, let hasEscapes):
            hasEscapes ? arena().text(JSONString.decode(raw)) : Datum(.text, raw)
        case .boolean(let value): Datum(value)
        case .null: .null
        case .nested(let bytes): Datum(bytes.first == 0x7B ? .record : .array, bytes)
        }
    }

    /// A field of a record: the exact name, else the only one that differs in case. NULL when there is none.
    static func field(_ name: UnsafeRawBufferPointer, of record: Datum, _ arena: ByteArena) -> Datum {
        guard record.kind == .record else { return .null }
        var exact: Datum?
        var similar: Datum?
        var similarName: [UInt8] = []
        var isAmbiguous = false
        _ = JSONFieldScanner.forEachTopLevelField(record.bytes) { raw, scalar in
            if raw.count == name.count, Datum.order(raw, name) == 0 {
                exact = datum(scalar, arena)
                return
            }
            let isEscaped = raw.contains(0x5C)
            if !isEscaped, raw.count != name.count, raw.allSatisfy({ $0 < 0x80 }) { return }
            let text = JSONBytes.resolved(raw)
            if text.elementsEqual(name) {
                exact = datum(scalar, arena)
            } else if FieldMatch.isSimilar(text, name) {
                if similar != nil, similarName != text { isAmbiguous = true }
                similar = datum(scalar, arena)
                similarName = text
            }
        }
        return exact ?? (isAmbiguous ? .null : similar ?? .null)
    }

    static func element(_ index: Datum, of array: Datum, _ arena: ByteArena) -> Datum {
        guard array.kind == .array, let wanted = Conversion.integer(of: index), wanted >= 0 else {
            return .null
        }
        var found = Datum.null
        _ = JSONFieldScanner.forEachElement(array.bytes) { at, scalar in
            if Int64(at) < wanted { return true }
            found = datum(scalar, arena)
            return false
        }
        return found
    }

    static func call(
        _ function: ScalarFunction, _ arguments: Arguments, _ context: FunctionContext
    ) -> Datum {
        let value = arguments[0]
        switch function {
        case .getArrayElement:
            return value.kind == .array
                ? element(arguments[1], of: value, context.arena) : context.fail(.argument)
        case .getArrayLength:
            guard value.kind == .array else { return context.fail(.argument) }
            var count: Int64 = 0
            _ = JSONFieldScanner.forEachElement(value.bytes) { _, _ in
                count += 1
                return true
            }
            return Datum(count)
        case .getRecordPropertyValue:
            guard value.kind == .record, arguments[1].kind == .text else { return context.fail(.argument) }
            return field(arguments[1].bytes, of: value, context.arena)
        case .parseJSON:
            guard value.kind == .text, case .nested(let bytes)? = JSONFieldScanner.value(of: value.bytes),
                bytes.first == 0x7B
            else { return .null }
            return Datum(.record, bytes)
        default: return Geography.call(function, arguments, context)
        }
    }
}

/// Names without regard to case.
enum FieldMatch {
    static func isSimilar(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        if left.allSatisfy({ $0 < 0x80 }), right.allSatisfy({ $0 < 0x80 }) {
            return left.count == right.count && zip(left, right).allSatisfy { folded($0) == folded($1) }
        }
        return String(decoding: left, as: UTF8.self).lowercased()
            == String(decoding: right, as: UTF8.self).lowercased()
    }

    private static func folded(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
