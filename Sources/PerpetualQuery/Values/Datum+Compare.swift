import Telemetry

// Comparison as WHERE, MIN, ORDER BY and the keys see it.
extension Datum {
    /// −1, 0 or 1; nil when the two cannot be compared, which every predicate takes for false: one is NULL,
    /// or their types have no order between them. A text beside a number or a time is read as one.
    @inline(__always)
    static func compare(_ left: Datum, _ right: Datum) -> Int? {
        if left.kind == .bigint, right.kind == .bigint {
            return left.integer < right.integer ? -1 : (left.integer > right.integer ? 1 : 0)
        }
        if left.kind == .float, right.kind == .float { return order(left.double, right.double) }
        // A whole number that a double holds exactly, as constants mostly are.
        if left.kind == .float, right.kind == .bigint, right.integer.magnitude < 1 << 53 {
            return order(left.double, Double(right.integer))
        }
        return compareMixed(left, right)
    }

    private static func compareMixed(_ left: Datum, _ right: Datum) -> Int? {
        switch (left.kind, right.kind) {
        case (.null, _), (_, .null): return nil
        case (.text, .text): return order(left.bytes, right.bytes)
        case (.datetime, .datetime), (.bit, .bit), (.bit, .bigint), (.bigint, .bit):
            return left.integer < right.integer ? -1 : (left.integer > right.integer ? 1 : 0)
        case (.bigint, .float): return Accumulator.compare(left.integer, right.double)
        case (.float, .bigint): return -Accumulator.compare(right.integer, left.double)
        case (.bit, .float): return order(Double(left.bits), right.double)
        case (.float, .bit): return order(left.double, Double(right.bits))
        case (.text, .bigint), (.text, .float), (.text, .bit):
            return Conversion.number(of: left.bytes).flatMap { compare($0, right) }
        case (.bigint, .text), (.float, .text), (.bit, .text):
            return Conversion.number(of: right.bytes).flatMap { compare(left, $0) }
        case (.text, .datetime):
            return EventTime.parse(iso8601: left.bytes).flatMap { compare(Datum(ticks: $0.ticks), right) }
        case (.datetime, .text):
            return EventTime.parse(iso8601: right.bytes).flatMap { compare(left, Datum(ticks: $0.ticks)) }
        case (.record, .record), (.array, .array): return order(left.bytes, right.bytes) == 0 ? 0 : nil
        default: return nil
        }
    }

    @inline(__always)
    private static func order(_ left: Double, _ right: Double) -> Int {
        left < right ? -1 : (left > right ? 1 : 0)
    }

    static func order(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let count = min(left.count, right.count)
        var at = 0
        while at + 8 <= count {
            let a = left.loadUnaligned(fromByteOffset: at, as: UInt64.self).bigEndian
            let b = right.loadUnaligned(fromByteOffset: at, as: UInt64.self).bigEndian
            if a != b { return a < b ? -1 : 1 }
            at += 8
        }
        while at < count {
            if left[at] != right[at] { return left[at] < right[at] ? -1 : 1 }
            at += 1
        }
        return left.count < right.count ? -1 : (left.count > right.count ? 1 : 0)
    }

    /// The order of ORDER BY: NULL lowest, then numbers, times, texts, and what has no order last, as equals.
    static func rank(_ left: Datum, _ right: Datum) -> Int {
        if let order = compare(left, right) { return order }
        let a = left.rankClass
        let b = right.rankClass
        return a < b ? -1 : (a > b ? 1 : 0)
    }

    private var rankClass: Int {
        switch kind {
        case .null: 0
        case .bit, .bigint, .float: 1
        case .datetime: 2
        case .text: 3
        case .record: 4
        case .array: 5
        }
    }
}
