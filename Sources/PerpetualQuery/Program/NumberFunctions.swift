import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Functions of numbers: a bigint stays one where the function allows it.
enum NumberFunctions {
    static func call(
        _ function: ScalarFunction, _ arguments: Arguments, _ context: FunctionContext
    ) -> Datum {
        guard let value = Conversion.number(of: arguments[0]) else { return context.fail(.argument) }
        let isInteger = value.kind == .bigint
        let double = isInteger ? Double(value.integer) : value.double
        switch function {
        case .abs:
            if !isInteger { return Datum(Swift.abs(double)) }
            return value.integer == Int64.min ? context.fail(.overflow) : Datum(Swift.abs(value.integer))
        case .ceiling: return isInteger ? value : Datum(double.rounded(.up))
        case .floor: return isInteger ? value : Datum(double.rounded(.down))
        case .sign:
            return isInteger
                ? Datum(value.integer.signum()) : Datum(double > 0 ? 1.0 : double < 0 ? -1.0 : 0.0)
        case .exp: return Arithmetic.float(exponential(double), context)
        case .square: return Arithmetic.float(double * double, context)
        case .sqrt: return double < 0 ? context.fail(.argument) : Datum(double.squareRoot())
        case .power: return power(value, arguments[1], context)
        case .round: return round(value, arguments[1], context)
        default: return context.fail(.argument)
        }
    }

    private static func power(_ value: Datum, _ exponent: Datum, _ context: FunctionContext) -> Datum {
        guard let by = Conversion.number(of: exponent) else { return context.fail(.argument) }
        let power = by.kind == .bigint ? Double(by.integer) : by.double
        guard value.kind == .bigint else { return Arithmetic.float(pow(value.double, power), context) }
        if by.kind == .bigint, by.integer >= 0 {
            var result: Int64 = 1
            var left = by.integer
            if value.integer.magnitude <= 1 { left = value.integer == -1 ? left & 1 : min(left, 1) }
            while left > 0 {
                let (next, overflow) = result.multipliedReportingOverflow(by: value.integer)
                if overflow { return context.fail(.overflow) }
                result = next
                left -= 1
            }
            return Datum(result)
        }
        guard let whole = Conversion.whole(pow(Double(value.integer), power)) else {
            return context.fail(.overflow)
        }
        return Datum(whole)
    }

    /// To a number of decimals, or of places before the point; halves go away from zero.
    private static func round(_ value: Datum, _ digits: Datum, _ context: FunctionContext) -> Datum {
        guard let places = Conversion.integer(of: digits) else { return context.fail(.argument) }
        if value.kind == .bigint {
            if places >= 0 { return value }
            guard places > -19 else { return Datum(Int64(0)) }
            var unit: Int64 = 1
            for _ in 0..<(-places) { unit *= 10 }
            let rest = value.integer % unit
            let down = value.integer - rest
            guard rest.magnitude >= unit.magnitude / 2 else { return Datum(down) }
            let (up, overflow) = down.addingReportingOverflow(rest < 0 ? -unit : unit)
            return overflow ? context.fail(.overflow) : Datum(up)
        }
        guard places > -308 else { return Datum(0.0) }
        guard places <= 22 else { return value }
        let scale = pow(10, Double(Swift.abs(places)))
        let scaled = places >= 0 ? value.double * scale : value.double / scale
        guard scaled.isFinite, Swift.abs(scaled) < 0x1p53 else { return value }
        let rounded = scaled.rounded(.toNearestOrAwayFromZero)
        let result = places >= 0 ? rounded / scale : rounded * scale
        return Datum(result == 0 ? 0.0 : result)
    }

    private static func exponential(_ value: Double) -> Double {
        #if canImport(Glibc)
            Glibc.exp(value)
        #else
            Darwin.exp(value)
        #endif
    }
}
