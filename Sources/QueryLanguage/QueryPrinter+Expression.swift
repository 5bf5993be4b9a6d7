/// Expressions and windows in canonical text.
extension QueryPrinter {
    /// How tightly a node binds, as the parser reads it; 8 needs no parentheses anywhere.
    private static func level(_ kind: Expression.Kind) -> Int {
        switch kind {
        case .binary(let symbol, _, _):
            switch symbol {
            case .or: 1
            case .and: 2
            case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual: 4
            case .add, .subtract, .bitAnd, .bitOr, .bitXor: 5
            case .multiply, .divide, .remainder: 6
            }
        case .unary(.not, _): 3
        case .like, .isIn, .between, .isNull: 4
        case .unary: 7
        case .literal(.bigint(let value)): value < 0 ? 7 : 8
        case .literal(.float(let value)): value.sign == .minus ? 7 : 8
        default: 8
        }
    }

    /// Writes an expression, in parentheses when it binds looser than `least`.
    mutating func write(_ expression: Expression, atLeast least: Int = 0) {
        let isOpen = Self.level(expression.kind) < least
        if isOpen { append("(") }
        switch expression.kind {
        case .literal(let literal): append(Self.text(of: literal))
        case .column(let path): column.map { append($0(path)) } ?? write(path)
        case .access(let base, let path):
            if case .call = base.kind { write(base) } else { append("(\(inner(base)))") }
            for element in path { writeStep(element) }
        case .unit(let unit): append(unit.rawValue)
        case .star: append("*")
        case .unary(let symbol, let operand):
            append(symbol == .not ? "NOT " : symbol.rawValue)
            write(operand, atLeast: symbol == .not ? 3 : 8)
        case .binary(let symbol, let left, let right):
            let level = Self.level(expression.kind)
            write(left, atLeast: level == 4 ? 5 : level)
            append(" \(symbol.rawValue) ")
            write(right, atLeast: level + 1)
        case .like, .isIn, .between, .isNull: writePredicate(expression.kind)
        case .caseOf(let operand, let branches, let otherwise): writeCase(operand, branches, otherwise)
        case .cast(let value, let type, let isTry):
            append(isTry ? "TRY_CAST(" : "CAST(")
            write(value)
            append(" AS \(type.rawValue))")
        case .call(let call): write(call)
        }
        if isOpen { append(")") }
    }

    private mutating func writePredicate(_ kind: Expression.Kind) {
        switch kind {
        case .like(let value, let pattern, let isNegated):
            write(value, atLeast: 5)
            append(isNegated ? " NOT LIKE " : " LIKE ")
            write(pattern, atLeast: 5)
        case .isIn(let value, let values, let isNegated):
            write(value, atLeast: 5)
            append(isNegated ? " NOT IN (" : " IN (")
            list(values) { $0.write($1) }
            append(")")
        case .between(let value, let low, let high, let isNegated):
            write(value, atLeast: 5)
            append(isNegated ? " NOT BETWEEN " : " BETWEEN ")
            write(low, atLeast: 5)
            append(" AND ")
            write(high, atLeast: 5)
        case .isNull(let value, let isNegated):
            write(value, atLeast: 5)
            append(isNegated ? " IS NOT NULL" : " IS NULL")
        default: break
        }
    }

    private mutating func writeCase(
        _ operand: Expression?, _ branches: [CaseBranch], _ otherwise: Expression?
    ) {
        append("CASE")
        if let operand {
            append(" ")
            write(operand)
        }
        for branch in branches {
            append(" WHEN ")
            write(branch.condition)
            append(" THEN ")
            write(branch.result)
        }
        if let otherwise {
            append(" ELSE ")
            write(otherwise)
        }
        append(" END")
    }

    private static func text(of literal: Literal) -> String {
        switch literal {
        case .null: "NULL"
        case .bigint(let value): String(value)
        case .float(let value): value.description
        case .text(let value): quotedText(value)
        case .boolean(let value): value ? "TRUE" : "FALSE"
        }
    }

    mutating func write(_ path: [PathElement]) {
        for (index, element) in path.enumerated() {
            guard index == 0, case .name(let name) = element else {
                writeStep(element)
                continue
            }
            // Bare `System.Timestamp` is the function.
            append(name.text.lowercased() == "system" ? "[\(name.text)]" : Self.quoted(name))
        }
    }

    private mutating func writeStep(_ element: PathElement) {
        switch element {
        case .name(let name): append("." + Self.quoted(name))
        case .index(let index): append("[\(index)]")
        }
    }

    // MARK: Calls

    mutating func write(_ call: FunctionCall) {
        append(call.function.name + (call.isDistinct ? "(DISTINCT " : "("))
        list(call.arguments) { $0.write($1) }
        append(")")
        guard let over = call.over else { return }
        append(" OVER (")
        var pieces: [String] = []
        if !over.partitionBy.isEmpty {
            pieces.append(
                "PARTITION BY " + over.partitionBy.map { inner($0) }.joined(separator: ", "))
        }
        if !over.orderBy.isEmpty {
            let keys = over.orderBy.map {
                inner($0.expression) + ($0.isDescending ? " DESC" : " ASC")
            }
            pieces.append("ORDER BY " + keys.joined(separator: ", "))
        }
        if let limit = over.limit { pieces.append("LIMIT DURATION(\(Self.text(of: limit)))") }
        if let when = over.when { pieces.append("WHEN " + inner(when)) }
        append(pieces.joined(separator: " ") + ")")
    }

    // MARK: Windows

    private static func text(of span: TimeSpan) -> String {
        "\(span.unit.rawValue), \(text(of: span.amount))"
    }

    private static func offset(_ span: TimeSpan?) -> String {
        span.map { ", Offset(\(text(of: $0)))" } ?? ""
    }

    mutating func write(_ window: WindowDefinition) {
        switch window.kind {
        case .tumbling(let size, let offset):
            append("TumblingWindow(Duration(\(Self.text(of: size)))\(Self.offset(offset)))")
        case .hopping(let size, let hop, let offset):
            append("HoppingWindow(Duration(\(Self.text(of: size))), Hop(\(Self.text(of: hop)))")
            append(Self.offset(offset) + ")")
        case .sliding(let size): append("SlidingWindow(Duration(\(Self.text(of: size))))")
        case .session(let timeout, let longest, let keys):
            append(
                "SessionWindow(Timeout(\(Self.text(of: timeout))), MaxDuration(\(Self.text(of: longest))))")
            if !keys.isEmpty {
                append(" OVER (PARTITION BY ")
                list(keys) { $0.write($1) }
                append(")")
            }
        case .snapshot: append("System.Timestamp()")
        case .windows(let windows):
            append("Windows(")
            list(windows) { printer, identified in
                if let id = identified.id { printer.append("Window(\(Self.quotedText(id)), ") }
                printer.write(identified.window)
                if identified.id != nil { printer.append(")") }
            }
            append(")")
        }
    }
}
