import Telemetry

/// The running aggregates of one group: 48 bytes, trivial, kept in place in a window's cells.
///
/// Integers are summed exactly in 128 bits, so whether a sum fits 64 bits does not depend on the order of the
/// values. From the first float on the sum is a double, added in arrival order.
struct Accumulator {
    /// The group's field number; `emptyField` marks a free cell.
    var field: UInt32 = Self.emptyField
    /// The `…IsFloat` bits.
    var flags: UInt32 = 0
    var count: UInt64 = 0
    /// Bit patterns of an Int64 or a Double, as the flags say.
    var minimum: UInt64 = 0
    var maximum: UInt64 = 0
    /// Low and high word of an Int128, or in the low word the bit pattern of a Double.
    var sumLow: UInt64 = 0
    var sumHigh: UInt64 = 0

    static let emptyField = UInt32.max
    static let minimumIsFloat: UInt32 = 1
    static let maximumIsFloat: UInt32 = 2
    static let sumIsFloat: UInt32 = 4
    static let allFlags: UInt32 = 7

    init() {}

    @inline(__always)
    mutating func add(_ value: Int64) {
        let bits = UInt64(bitPattern: value)
        if count == 0 {
            minimum = bits
            maximum = bits
        } else {
            if isLess(value, minimum, flags & Self.minimumIsFloat != 0) {
                minimum = bits
                flags &= ~Self.minimumIsFloat
            }
            if isGreater(value, maximum, flags & Self.maximumIsFloat != 0) {
                maximum = bits
                flags &= ~Self.maximumIsFloat
            }
        }
        count += 1
        if flags & Self.sumIsFloat != 0 {
            sumLow = (Double(bitPattern: sumLow) + Double(value)).bitPattern
        } else {
            // 2^64 values of 64 bits fit 128 bits, so this addition cannot overflow.
            let (low, carry) = sumLow.addingReportingOverflow(bits)
            sumLow = low
            sumHigh = sumHigh &+ (value < 0 ? UInt64.max : 0) &+ (carry ? 1 : 0)
        }
    }

    @inline(__always)
    mutating func add(_ value: Double) {
        let bits = value.bitPattern
        if count == 0 {
            minimum = bits
            maximum = bits
            flags = Self.allFlags
            sumLow = bits
        } else {
            if flags & Self.minimumIsFloat != 0
                ? value < Double(bitPattern: minimum)
                : Self.compare(Int64(bitPattern: minimum), value) > 0
            {
                minimum = bits
                flags |= Self.minimumIsFloat
            }
            if flags & Self.maximumIsFloat != 0
                ? value > Double(bitPattern: maximum)
                : Self.compare(Int64(bitPattern: maximum), value) < 0
            {
                maximum = bits
                flags |= Self.maximumIsFloat
            }
            if flags & Self.sumIsFloat == 0 {
                sumLow = Double(exactSum).bitPattern
                sumHigh = 0
                flags |= Self.sumIsFloat
            }
            sumLow = (Double(bitPattern: sumLow) + value).bitPattern
        }
        count += 1
    }

    /// Takes in the values of another, as if they came after those of this one.
    mutating func merge(_ other: Accumulator) {
        if other.count == 0 { return }
        if count == 0 {
            let own = field
            self = other
            field = own
            return
        }
        let total = count + other.count
        let sums = (low: sumLow, high: sumHigh, flags: flags)
        // Only the extremes are taken from these two; count and sum are set below.
        for (bits, isFloat) in [
            (other.minimum, other.flags & Self.minimumIsFloat != 0),
            (other.maximum, other.flags & Self.maximumIsFloat != 0),
        ] {
            if isFloat { add(Double(bitPattern: bits)) } else { add(Int64(bitPattern: bits)) }
        }
        count = total
        flags = flags & ~Self.sumIsFloat | sums.flags & Self.sumIsFloat
        (sumLow, sumHigh) = (sums.low, sums.high)
        if flags & Self.sumIsFloat != 0 || other.flags & Self.sumIsFloat != 0 {
            sumLow = (floatSum + other.floatSum).bitPattern
            sumHigh = 0
            flags |= Self.sumIsFloat
        } else {
            let sum = exactSum + other.exactSum
            sumLow = UInt64(truncatingIfNeeded: sum)
            sumHigh = UInt64(truncatingIfNeeded: sum >> 64)
        }
    }

    private var floatSum: Double {
        flags & Self.sumIsFloat != 0 ? Double(bitPattern: sumLow) : Double(exactSum)
    }

    var minimumValue: Value {
        flags & Self.minimumIsFloat != 0
            ? .float(Double(bitPattern: minimum)) : .bigint(Int64(bitPattern: minimum))
    }

    var maximumValue: Value {
        flags & Self.maximumIsFloat != 0
            ? .float(Double(bitPattern: maximum)) : .bigint(Int64(bitPattern: maximum))
    }

    /// nil: the sum fits neither a bigint nor, once it is one, a float.
    var sumValue: Value? {
        if flags & Self.sumIsFloat != 0 {
            let sum = Double(bitPattern: sumLow)
            return sum.isFinite ? .float(sum) : nil
        }
        return Int64(exactly: exactSum).map { .bigint($0) }
    }

    /// nil: the sum of the floats is past the greatest double.
    var averageValue: Value? {
        let sum: Double
        if flags & Self.sumIsFloat != 0 {
            sum = Double(bitPattern: sumLow)
        } else if let exact = Int64(exactly: exactSum) {
            sum = Double(exact)
        } else {
            sum = Double(exactSum)
        }
        return sum.isFinite ? .float(sum / Double(count)) : nil
    }

    private var exactSum: Int128 { Int128(truncatingIfNeeded: sumHigh) << 64 | Int128(sumLow) }

    @inline(__always)
    private func isLess(_ value: Int64, _ bits: UInt64, _ isFloat: Bool) -> Bool {
        isFloat ? Self.compare(value, Double(bitPattern: bits)) < 0 : value < Int64(bitPattern: bits)
    }

    @inline(__always)
    private func isGreater(_ value: Int64, _ bits: UInt64, _ isFloat: Bool) -> Bool {
        isFloat ? Self.compare(value, Double(bitPattern: bits)) > 0 : value > Int64(bitPattern: bits)
    }

    /// Compares an integer and a finite double exactly, also past 2^53 where the integer has no double of its
    /// own: −1, 0 or 1.
    static func compare(_ integer: Int64, _ float: Double) -> Int {
        if float >= 0x1p63 { return -1 }
        if float < -0x1p63 { return 1 }
        let whole = Int64(float.rounded(.towardZero))
        if integer != whole { return integer < whole ? -1 : 1 }
        let fraction = float - float.rounded(.towardZero)
        return fraction > 0 ? -1 : (fraction < 0 ? 1 : 0)
    }
}
