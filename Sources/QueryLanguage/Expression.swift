/// A name as it stands in the text, without brackets.
package struct Name: Hashable, Sendable {
    package var text: String
    package var span: SourceSpan

    package init(text: String, span: SourceSpan) {
        self.text = text
        self.span = span
    }

    /// Names of inputs, steps and outputs compare without regard to case.
    package func matches(_ other: String) -> Bool { text.lowercased() == other.lowercased() }
}

/// A constant.
package enum Literal: Hashable, Sendable {
    case null
    case bigint(Int64)
    case float(Double)
    case text(String)
    case boolean(Bool)
}

/// A step into a value: a field of a record or an element of an array, from 0.
package enum PathElement: Hashable, Sendable {
    case name(Name)
    case index(Int)
}

/// An expression of the query language with its place in the text.
package struct Expression: Hashable, Sendable {
    package let kind: Kind
    package let span: SourceSpan
    /// Levels of the tree, at least 1; the reader keeps it within `QueryLimits.expressionHeightMax`.
    let height: Int

    package init(_ kind: Kind, _ span: SourceSpan) {
        self.kind = kind
        self.span = span
        height = 1 + (kind.children.map(\.height).max() ?? 0)
    }

    package indirect enum Kind: Hashable, Sendable {
        case literal(Literal)
        /// A field; the first element is a name, of the input or of the field itself.
        case column([PathElement])
        /// A step into the result of a call or of parentheses.
        case access(Expression, [PathElement])
        /// The first argument of DATEADD and its kin.
        case unit(TimeUnit)
        /// `*` as the argument of COUNT, LAG and LAST.
        case star
        case unary(UnaryOperator, Expression)
        case binary(BinaryOperator, Expression, Expression)
        case like(Expression, pattern: Expression, isNegated: Bool)
        case isIn(Expression, [Expression], isNegated: Bool)
        case between(Expression, low: Expression, high: Expression, isNegated: Bool)
        case isNull(Expression, isNegated: Bool)
        /// With an operand: compared for equality; without: each WHEN is a condition.
        case caseOf(operand: Expression?, [CaseBranch], otherwise: Expression?)
        /// A failing CAST stops the job, a failing TRY_CAST is NULL.
        case cast(Expression, SQLType, isTry: Bool)
        case call(FunctionCall)
    }
}

package enum UnaryOperator: String, Hashable, Sendable {
    case minus = "-"
    case plus = "+"
    case not = "NOT"
    case complement = "~"
}

package enum BinaryOperator: String, Hashable, Sendable {
    case or = "OR"
    case and = "AND"
    case equal = "="
    case notEqual = "<>"
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case remainder = "%"
    case bitAnd = "&"
    case bitOr = "|"
    case bitXor = "^"
}

package struct CaseBranch: Hashable, Sendable {
    package var condition: Expression
    package var result: Expression
}

/// A call of a known function.
package struct FunctionCall: Hashable, Sendable {
    /// The spelling of the function table, not that of the text.
    package var function: KnownFunction
    package var nameSpan: SourceSpan
    package var isDistinct: Bool
    package var arguments: [Expression]
    package var over: OverClause?

    /// An aggregate over the group, not over the rows before this one.
    package var isGroupAggregate: Bool {
        function.kind == .aggregate && (over == nil || over?.orderBy.isEmpty == false) && over?.limit == nil
    }
}

/// `OVER ([PARTITION BY …] [ORDER BY …] [LIMIT DURATION(unit, n)] [WHEN condition])`.
package struct OverClause: Hashable, Sendable {
    package var partitionBy: [Expression]
    package var orderBy: [OrderKey]
    package var limit: TimeSpan?
    package var when: Expression?
    package var span: SourceSpan
}

package struct OrderKey: Hashable, Sendable {
    package var expression: Expression
    package var isDescending: Bool
}

extension Expression.Kind {
    /// The expressions right below, in the order of the text.
    package var children: [Expression] {
        switch self {
        case .literal, .column, .unit, .star: return []
        case .access(let base, _): return [base]
        case .unary(_, let operand): return [operand]
        case .binary(_, let left, let right): return [left, right]
        case .like(let value, let pattern, _): return [value, pattern]
        case .isIn(let value, let list, _): return [value] + list
        case .between(let value, let low, let high, _): return [value, low, high]
        case .isNull(let value, _): return [value]
        case .cast(let value, _, _): return [value]
        case .caseOf(let operand, let branches, let otherwise):
            let parts = branches.flatMap { [$0.condition, $0.result] }
            return (operand.map { [$0] } ?? []) + parts + (otherwise.map { [$0] } ?? [])
        case .call(let call):
            guard let over = call.over else { return call.arguments }
            let keys = over.partitionBy + over.orderBy.map(\.expression)
            return call.arguments + keys + (over.when.map { [$0] } ?? [])
        }
    }
}
