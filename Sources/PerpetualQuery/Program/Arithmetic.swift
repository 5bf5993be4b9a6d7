import Telemetry

/// Operators on values: bigint stays bigint, a float makes a float, NULL makes NULL, `+` joins texts.
enum Arithmetic {
    @inline(__always)
    static func add(_ left: Datum, _ right: Datum, _ context: FunctionContext) -> Datum {
        if left.kind == .bigint, right.kind == .bigint {
            let (sum, overflow) = left.integer.addingReportingOverflow(right.integer)
            return overflow ? context.fail(.overflow) : Datum(sum)
        }
        if left.kind == .float, right.kind == .float { return float(left.double + right.double, context) }
        if left.kind == .text, right.kind == .text {
            guard left.bytes.count + right.bytes.count <= context.textBytesMax else {
                return context.fail(.limit)
            }
            let joined = context.arena.allocate(left.bytes.count + right.bytes.count)
            joined.copyMemory(from: left.bytes)
            UnsafeMutableRawBufferPointer(rebasing: joined[left.bytes.count...]).copyMemory(from: right.bytes)
            return Datum(.text, UnsafeRawBufferPointer(joined))
        }
        return mixed(.add, left, right, context)
    }

    @inline(__always)
    static func subtract(_ left: Datum, _ right: Datum, _ context: FunctionContext) -> Datum {
        if left.kind == .bigint, right.kind == .bigint {
            let (difference, overflow) = left.integer.subtractingReportingOverflow(right.integer)
            return overflow ? context.fail(.overflow) : Datum(difference)
        }
        if left.kind == .float, right.kind == .float { return float(left.double - right.double, context) }
        return mixed(.subtract, left, right, context)
    }

    @inline(__always)
    static func multiply(_ left: Datum, _ right: Datum, _ context: FunctionContext) -> Datum {
        if left.kind == .float, right.kind == .float { return float(left.double * right.double, context) }
        return mixed(.multiply, left, right, context)
    }

    static func mixed(
        _ operation: Operation, _ left: Datum, _ right: Datum, _ context: FunctionContext
    ) -> Datum {
        if left.isNull || right.isNull { return .null }
        guard let a = Conversion.number(of: left), let b = Conversion.number(of: right) else {
            return context.fail(.operand)
        }
        if a.kind == .bigint, b.kind == .bigint { return integers(operation, a.integer, b.integer, context) }
        let x = a.kind == .bigint ? Double(a.integer) : a.double
        let y = b.kind == .bigint ? Double(b.integer) : b.double
        switch operation {
        case .add: return float(x + y, context)
        case .subtract: return float(x - y, context)
        case .multiply: return float(x * y, context)
        case .divide: return y == 0 ? context.fail(.divisionByZero) : float(x / y, context)
        case .remainder:
            return y == 0
                ? context.fail(.divisionByZero) : float(x.truncatingRemainder(dividingBy: y), context)
        default: return context.fail(.operand)
        }
    }

    private static func integers(
        _ operation: Operation, _ a: Int64, _ b: Int64, _ context: FunctionContext
    ) -> Datum {
        let (value, overflow): (Int64, Bool)
        switch operation {
        case .add: (value, overflow) = a.addingReportingOverflow(b)
        case .subtract: (value, overflow) = a.subtractingReportingOverflow(b)
        case .multiply: (value, overflow) = a.multipliedReportingOverflow(by: b)
        case .divide:
            if b == 0 { return context.fail(.divisionByZero) }
            (value, overflow) = a.dividedReportingOverflow(by: b)
        case .remainder:
            if b == 0 { return context.fail(.divisionByZero) }
            return Datum(b == -1 ? 0 : a % b)
        default: return context.fail(.operand)
        }
        return overflow ? context.fail(.overflow) : Datum(value)
    }

    @inline(__always)
    static func float(_ value: Double, _ context: FunctionContext) -> Datum {
        value.isFinite ? Datum(value) : context.fail(.overflow)
    }

    static func negate(_ value: Datum, _ context: FunctionContext) -> Datum {
        if value.isNull { return .null }
        guard let number = Conversion.number(of: value) else { return context.fail(.operand) }
        if number.kind == .float { return Datum(-number.double) }
        return number.integer == Int64.min ? context.fail(.overflow) : Datum(-number.integer)
    }

    /// `&`, `|` and `^`: bits with bits give a bit, else bigints.
    static func bitwise(
        _ operation: Operation, _ left: Datum, _ right: Datum, _ context: FunctionContext
    ) -> Datum {
        if left.isNull || right.isNull { return .null }
        guard left.kind == .bit || left.kind == .bigint, right.kind == .bit || right.kind == .bigint else {
            return context.fail(.operand)
        }
        let bits: UInt64
        switch operation {
        case .bitAnd: bits = left.bits & right.bits
        case .bitOr: bits = left.bits | right.bits
        default: bits = left.bits ^ right.bits
        }
        if left.kind == .bit, right.kind == .bit { return Datum(bits != 0) }
        return Datum(Int64(bitPattern: bits))
    }

    static func complement(_ value: Datum, _ context: FunctionContext) -> Datum {
        switch value.kind {
        case .null: .null
        case .bit: Datum(value.bits == 0)
        case .bigint: Datum(~value.integer)
        default: context.fail(.operand)
        }
    }
}
