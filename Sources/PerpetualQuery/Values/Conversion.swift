import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Conversions between the types, as CAST does them and as functions do them with their arguments.
enum Conversion {
    /// A bigint or float from text; nil when it is anything else. Blanks around it do not count.
    static func number(of text: UnsafeRawBufferPointer) -> Datum? {
        if let integer = integer(of: text) { return Datum(integer) }
        return float(of: text).map { Datum($0) }
    }

    static func integer(of text: UnsafeRawBufferPointer) -> Int64? {
        let digits = trimmed(text)
        var at = digits.startIndex
        var isNegative = false
        if at < digits.endIndex, digits[at] == 0x2D || digits[at] == 0x2B {
            isNegative = digits[at] == 0x2D
            at += 1
        }
        guard at < digits.endIndex else { return nil }
        var value: Int64 = 0
        while at < digits.endIndex {
            let digit = digits[at] &- 0x30
            guard digit < 10 else { return nil }
            let (scaled, over) = value.multipliedReportingOverflow(by: 10)
            let (next, overAgain) =
                isNegative
                ? scaled.subtractingReportingOverflow(Int64(digit))
                : scaled.addingReportingOverflow(Int64(digit))
            guard !over, !overAgain else { return nil }
            value = next
            at += 1
        }
        return value
    }

    /// Decimal digits with a point or exponent; no hexadecimal, no infinity, no NaN.
    static func float(of text: UnsafeRawBufferPointer) -> Double? {
        let number = trimmed(text)
        guard !number.isEmpty, number.count <= 400 else { return nil }
        for byte in number {
            switch byte {
            case 0x30...0x39, 0x2B, 0x2D, 0x2E, 0x45, 0x65: break
            default: return nil
            }
        }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: number.count + 1) { copy in
            for (index, byte) in number.enumerated() { copy[index] = CChar(bitPattern: byte) }
            copy[number.count] = 0
            guard let base = copy.baseAddress else { return nil }
            var end: UnsafeMutablePointer<CChar>?
            let value = strtod(base, &end)
            return end == base + number.count && value.isFinite ? value : nil
        }
    }

    static func trimmed(_ text: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer> {
        var from = text.startIndex
        var to = text.endIndex
        while from < to, text[from] == 0x20 || (text[from] >= 9 && text[from] <= 13) { from += 1 }
        while to > from, text[to - 1] == 0x20 || (text[to - 1] >= 9 && text[to - 1] <= 13) { to -= 1 }
        return text[from..<to]
    }

    /// The moment that a value stands for; nil when it is none.
    static func ticks(of datum: Datum) -> Int64? {
        switch datum.kind {
        case .datetime: datum.integer
        case .text: EventTime.parse(iso8601: datum.bytes)?.ticks
        default: nil
        }
    }

    /// A number from any value that stands for one; nil otherwise.
    static func number(of datum: Datum) -> Datum? {
        switch datum.kind {
        case .bigint, .float: datum
        case .bit: Datum(Int64(datum.bits))
        case .text: number(of: datum.bytes)
        default: nil
        }
    }

    /// An index or count; a fraction is cut.
    static func integer(of datum: Datum) -> Int64? {
        switch datum.kind {
        case .bigint: datum.integer
        case .bit: Int64(datum.bits)
        case .float: whole(datum.double)
        case .text: number(of: datum.bytes).flatMap { integer(of: $0) }
        default: nil
        }
    }

    static func whole(_ value: Double) -> Int64? {
        let cut = value.rounded(.towardZero)
        return cut >= -0x1p63 && cut < 0x1p63 ? Int64(cut) : nil
    }

    /// Appends a value as text, as CAST to nvarchar(max) and CONCAT do. NULL is nothing.
    static func appendText(of datum: Datum, to bytes: inout [UInt8]) {
        switch datum.kind {
        case .null: break
        case .text, .record, .array: bytes.append(contentsOf: datum.bytes)
        case .bit: bytes.append(contentsOf: (datum.bits != 0 ? "true" : "false").utf8)
        case .bigint: JSONText.append(datum.integer, to: &bytes)
        case .float:
            let value = datum.double
            if value == value.rounded(), abs(value) < 1e15 {
                JSONText.append(Int64(value), to: &bytes)
            } else {
                JSONText.append(value, to: &bytes)
            }
        case .datetime: EventTime(ticks: datum.integer).appendISO8601(to: &bytes)
        }
    }
}
