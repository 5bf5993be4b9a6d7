import QueryLanguage

/// Writes expressions in the engine's SQL with the same values: predicates are two-valued (a comparison with NULL
/// is false), bigints divide as bigints, and what differs is refused.
struct ExportTranslator {
    let engine: ExportEngine
    /// The input's name as the SELECT calls it.
    let source: Name
    let columns: [ColumnDeclaration]
    /// The text that stands for `System.Timestamp()`; nil where it has no value.
    var time: String?
    /// Whether aggregates may stand here.
    var isGrouped = false
    /// What HAVING may call by the names of the list, in lower case.
    var aliases: [String: Expression] = [:]

    func refused(_ span: SourceSpan, _ what: String, _ hint: String? = nil) -> QueryError {
        QueryError(span, "\(engine.title) cannot be given \(what)", hint: hint)
    }

    func translate(_ expression: Expression) throws(QueryError) -> ExportedExpression {
        let span = expression.span
        switch expression.kind {
        case .literal(let literal): return try self.literal(literal, span)
        case .column(let path): return try column(path, span)
        case .unary(let symbol, let operand): return try unary(symbol, operand, span)
        case .binary(let symbol, let left, let right): return try binary(symbol, left, right, span)
        case .isNull(let value, let isNegated):
            let text = try translate(value).text
            return ExportedExpression(
                text: "(\(text) IS \(isNegated ? "NOT " : "")NULL)", type: .bit, isCertain: true)
        case .isIn(let value, let list, let isNegated):
            let first = try translate(value)
            var items: [String] = []
            for item in list { items.append(try comparable(item, with: first)) }
            return predicate("\(first.text) \(isNegated ? "NOT " : "")IN (\(items.joined(separator: ", ")))")
        case .between(let value, let low, let high, let isNegated):
            let first = try translate(value)
            let least = try comparable(low, with: first)
            let greatest = try comparable(high, with: first)
            return predicate("\(first.text) \(isNegated ? "NOT " : "")BETWEEN \(least) AND \(greatest)")
        case .like(let value, let pattern, let isNegated):
            return try like(value, pattern, isNegated, span)
        case .caseOf(let operand, let branches, let otherwise):
            return try caseOf(operand, branches, otherwise, span)
        case .cast(let value, let type, let isTry): return try cast(value, type, isTry, span)
        case .call(let call): return try self.call(call, span)
        case .access: throw refused(span, "steps into records", "declare plain columns")
        case .unit, .star: throw refused(span, "this")
        }
    }

    private func predicate(_ text: String) -> ExportedExpression {
        ExportedExpression(text: "COALESCE(\(text), FALSE)", type: .bit, isCertain: true)
    }

    private func literal(_ literal: Literal, _ span: SourceSpan) throws(QueryError) -> ExportedExpression {
        switch literal {
        case .null: throw refused(span, "NULL without a type", "write CAST(NULL AS bigint)")
        case .bigint(let value): return ExportedExpression(text: "CAST(\(value) AS BIGINT)", type: .bigint)
        case .float(let value): return ExportedExpression(text: "CAST(\(value) AS DOUBLE)", type: .float)
        case .text(let value): return ExportedExpression(text: engine.text(value), type: .nvarcharMax)
        case .boolean(let value): return ExportedExpression(text: value ? "TRUE" : "FALSE", type: .bit)
        }
    }

    func column(_ path: [PathElement], _ span: SourceSpan) throws(QueryError) -> ExportedExpression {
        var names = path
        if names.count > 1, case .name(let first)? = names.first, first.matches(source.text) {
            names.removeFirst()
        }
        guard names.count == 1, case .name(let name)? = names.first else {
            throw refused(span, "steps into records", "declare plain columns")
        }
        if path.count == 1, let value = aliases[name.text.lowercased()] {
            var inner = self
            inner.aliases = [:]
            return try inner.translate(value)
        }
        let exact = columns.first { $0.name.text == name.text }
        let similar = columns.filter { $0.name.matches(name.text) }
        guard let column = exact ?? (similar.count == 1 ? similar.first : nil) else {
            throw refused(
                span, "\(name.text), which CREATE TABLE does not declare",
                "add it with its type to CREATE TABLE \(source.text)")
        }
        return ExportedExpression(text: engine.quoted(column.name.text), type: column.type)
    }

    // MARK: Operators

    private func unary(
        _ symbol: UnaryOperator, _ operand: Expression, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        let value = try translate(operand)
        switch symbol {
        case .not where value.type == .bit:
            return ExportedExpression(text: "(NOT \(value.truth))", type: .bit, isCertain: true)
        case .minus where value.type == .bigint || value.type == .float:
            return ExportedExpression(text: "(-\(value.text))", type: value.type)
        case .plus: return value
        default: throw refused(span, "`\(symbol.rawValue)` of a value of type \(value.type.rawValue)")
        }
    }

    private func binary(
        _ symbol: BinaryOperator, _ left: Expression, _ right: Expression, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        let a = try translate(left)
        switch symbol {
        case .and, .or:
            let b = try translate(right)
            guard a.type == .bit, b.type == .bit else {
                throw refused(span, "\(symbol.rawValue) of values that are no conditions")
            }
            return ExportedExpression(
                text: "(\(a.truth) \(symbol.rawValue) \(b.truth))", type: .bit, isCertain: true)
        case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual:
            return predicate("\(a.text) \(symbol.rawValue) \(try comparable(right, with: a))")
        case .add, .subtract, .multiply, .divide, .remainder: return try arithmetic(symbol, a, right, span)
        case .bitAnd, .bitOr, .bitXor: throw refused(span, "operators on bits")
        }
    }

    /// A value that is compared with another: of one type, or both numbers. A text beside a number would be read as
    /// one here, and differently there.
    private func comparable(
        _ expression: Expression, with other: ExportedExpression
    ) throws(QueryError) -> String {
        let value = try translate(expression)
        let isNumber = [value, other].allSatisfy { $0.type == .bigint || $0.type == .float }
        guard isNumber || value.type == other.type else {
            throw refused(
                expression.span, "a comparison of \(other.type.rawValue) with \(value.type.rawValue)",
                "CAST one of the two")
        }
        return value.text
    }

    private func arithmetic(
        _ symbol: BinaryOperator, _ a: ExportedExpression, _ right: Expression, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        let b = try translate(right)
        if symbol == .add, a.type == .nvarcharMax, b.type == .nvarcharMax {
            return ExportedExpression(text: "(\(a.text) || \(b.text))", type: .nvarcharMax)
        }
        guard [a, b].allSatisfy({ $0.type == .bigint || $0.type == .float }) else {
            throw refused(
                span, "`\(symbol.rawValue)` of \(a.type.rawValue) and \(b.type.rawValue)",
                "CAST both to bigint or float")
        }
        let isWhole = a.type == .bigint && b.type == .bigint
        if symbol == .divide {
            if isWhole, engine == .spark {
                return ExportedExpression(text: "(\(a.text) DIV \(b.text))", type: .bigint)
            }
            // A float divided by 0 ends the query here; there it is infinite.
            if !isWhole, engine == .flink, !Self.isNonZero(right) {
                throw refused(span, "a division of floats by what may be 0", "divide by a constant")
            }
        }
        if symbol == .remainder, !isWhole { throw refused(span, "% of floats") }
        return ExportedExpression(
            text: "(\(a.text) \(symbol.rawValue) \(b.text))", type: isWhole ? .bigint : .float)
    }

    private static func isNonZero(_ expression: Expression) -> Bool {
        switch expression.kind {
        case .literal(.bigint(let value)): value != 0
        case .literal(.float(let value)): value != 0
        default: false
        }
    }

    private func like(
        _ value: Expression, _ pattern: Expression, _ isNegated: Bool, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        let text = try translate(value)
        guard case .literal(.text(let mask)) = pattern.kind, text.type == .nvarcharMax else {
            throw refused(span, "LIKE but of a text with a constant pattern")
        }
        if mask.contains("[") || mask.contains("\\") {
            throw refused(pattern.span, "a LIKE pattern with `[` or `\\`")
        }
        return predicate("\(text.text) \(isNegated ? "NOT " : "")LIKE \(engine.text(mask))")
    }

    private func caseOf(
        _ operand: Expression?, _ branches: [CaseBranch], _ otherwise: Expression?, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        let subject = try operand.map { (value) throws(QueryError) in try translate(value) }
        var text = "CASE"
        var type: SQLType?
        func result(_ expression: Expression) throws(QueryError) -> String {
            if case .literal(.null) = expression.kind { return "NULL" }
            let value = try translate(expression)
            guard type == nil || type == value.type else {
                throw refused(
                    expression.span, "a CASE with results of different types", "CAST them to one type")
            }
            type = value.type
            return value.text
        }
        for branch in branches {
            if let subject {
                let test = predicate("\(subject.text) = \(try comparable(branch.condition, with: subject))")
                text += " WHEN \(test.text)"
            } else {
                text += " WHEN \(try translate(branch.condition).text)"
            }
            text += " THEN \(try result(branch.result))"
        }
        if let otherwise { text += " ELSE \(try result(otherwise))" }
        guard let type else { throw refused(span, "a CASE of NULLs") }
        return ExportedExpression(text: text + " END", type: type)
    }

    private func cast(
        _ value: Expression, _ type: SQLType, _ isTry: Bool, _ span: SourceSpan
    ) throws(QueryError) -> ExportedExpression {
        guard let name = engine.name(of: type) else { throw refused(span, "a cast to \(type.rawValue)") }
        if case .literal(.null) = value.kind {
            return ExportedExpression(text: "CAST(NULL AS \(name))", type: type)
        }
        let inner = try translate(value)
        if inner.type == type { return inner }
        switch (inner.type, type) {
        case (.bigint, .float), (.float, .bigint), (.bigint, .nvarcharMax), (.bit, .bigint),
            (.nvarcharMax, .bigint), (.nvarcharMax, .float):
            let isText = inner.type == .nvarcharMax
            // Texts are trimmed of blanks there too; a bigint out of range is an error in both.
            let verb = isTry && isText ? "TRY_CAST" : "CAST"
            return ExportedExpression(text: "\(verb)(\(inner.text) AS \(name))", type: type)
        default:
            throw refused(
                span, "a cast of \(inner.type.rawValue) to \(type.rawValue)",
                "its form differs; declare the column with the type in CREATE TABLE")
        }
    }
}
