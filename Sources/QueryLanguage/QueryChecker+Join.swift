/// Joins of streams: how far apart in time two rows may be.
extension QueryChecker {
    mutating func checkJoins(_ select: Select, _ scope: SelectScope) {
        var isStream = !isReference(select.from)
        for case .join(let join) in select.relations where !isUnknown(join.input) {
            let joinsReference = isReference(join.input)
            defer { isStream = isStream || !joinsReference }
            guard let condition = join.condition else {
                if !joinsReference {
                    report(
                        join.span,
                        "CROSS JOIN is for reference data, and \(join.input.name.text) is a stream",
                        hint: "write JOIN … ON DATEDIFF(second, a, b) BETWEEN 0 AND 10")
                }
                continue
            }
            if joinsReference || !isStream { continue }
            checkBound(join, condition, select, scope)
        }
    }

    private mutating func checkBound(
        _ join: Join, _ condition: Expression, _ select: Select, _ scope: SelectScope
    ) {
        var bound = TimeBound()
        var stray: SourceSpan?
        for term in Self.terms(of: condition) {
            guard let found = TimeBound(term) else { continue }
            let names = found.arguments.compactMap { argument -> String? in
                guard case .column(let path) = argument.kind, path.count == 1,
                    case .name(let name)? = path.first,
                    scope.isSource(name.text)
                else { return nil }
                return name.text.lowercased()
            }
            guard names.count == 2, names.contains(join.input.visibleName.text.lowercased()) else {
                stray = stray ?? term.span
                continue
            }
            bound.merge(found)
        }
        let left = select.from.visibleName.text
        let right = join.input.visibleName.text
        let example = "AND DATEDIFF(second, \(left), \(right)) BETWEEN 0 AND 10"
        guard let low = bound.low, let high = bound.high else {
            if let stray {
                report(
                    stray, "inside ON, DATEDIFF takes the names of the two inputs",
                    hint: "it compares the times of their rows: write \(example)")
            } else if bound.isEmpty {
                report(
                    join.span, "this JOIN of streams has no bound in time",
                    hint: "write \(example); if \(join.input.name.text) is reference data, declare it as such"
                )
            } else {
                report(
                    bound.span ?? join.span, "this bound in time is open on one side",
                    hint: "write \(example)")
            }
            return
        }
        if max(abs(low), abs(high)) > Double(TimeSpan.ticksMax) {
            report(
                bound.span ?? join.span, "this JOIN reaches further than 7 days",
                hint: "the largest distance in time is 7 days")
        }
    }

    /// The parts that must all hold.
    private static func terms(of condition: Expression) -> [Expression] {
        if case .binary(.and, let left, let right) = condition.kind {
            return terms(of: left) + terms(of: right)
        }
        return [condition]
    }
}

/// What a condition says about `DATEDIFF(unit, a, b)`, in ticks of 100 ns.
private struct TimeBound {
    var low: Double?
    var high: Double?
    var arguments: [Expression] = []
    var span: SourceSpan?

    var isEmpty: Bool { low == nil && high == nil }

    init() {}

    /// Nil when the term is no comparison of a DATEDIFF with constants.
    init?(_ term: Expression) {
        span = term.span
        switch term.kind {
        case .between(let value, let low, let high, isNegated: false):
            guard let unit = take(value), let from = Self.constant(low), let to = Self.constant(high) else {
                return nil
            }
            self.low = from * unit
            self.high = to * unit
        case .binary(let symbol, let left, let right):
            if let unit = take(left), let constant = Self.constant(right) {
                limit(symbol, constant * unit, isSwapped: false)
            } else if let unit = take(right), let constant = Self.constant(left) {
                limit(symbol, constant * unit, isSwapped: true)
            } else {
                return nil
            }
        default: return nil
        }
    }

    mutating func merge(_ other: TimeBound) {
        low = other.low ?? low
        high = other.high ?? high
        span = other.span ?? span
    }

    private mutating func limit(_ symbol: BinaryOperator, _ ticks: Double, isSwapped: Bool) {
        switch symbol {
        case .equal:
            low = ticks
            high = ticks
        case .less, .lessOrEqual: if isSwapped { low = ticks } else { high = ticks }
        case .greater, .greaterOrEqual: if isSwapped { high = ticks } else { low = ticks }
        default: break
        }
    }

    /// The ticks of a DATEDIFF's unit; keeps its two times.
    private mutating func take(_ expression: Expression) -> Double? {
        guard case .call(let call) = expression.kind, call.function.name == "DATEDIFF",
            case .unit(let unit)? = call.arguments.first?.kind
        else { return nil }
        arguments = Array(call.arguments.dropFirst())
        let day = 864_000_000_000.0
        switch unit {
        case .dayofyear, .weekday: return day
        case .week: return 7 * day
        case .month: return 31 * day
        case .quarter: return 92 * day
        case .year: return 366 * day
        default: return unit.ticks.map(Double.init)
        }
    }

    private static func constant(_ expression: Expression) -> Double? {
        switch expression.kind {
        case .literal(.bigint(let value)): return Double(value)
        case .literal(.float(let value)): return value
        case .unary(.minus, let operand): return constant(operand).map { -$0 }
        case .unary(.plus, let operand): return constant(operand)
        default: return nil
        }
    }
}
