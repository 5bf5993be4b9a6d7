import QueryLanguage
import Telemetry

/// Writes an expression as instructions; its value is then in a slot.
struct ExpressionCompiler {
    let planner: QueryPlanner
    var stage: StageDraft
    var block: CodeBlock
    var scope: PlanScope
    /// Expressions whose values are there already: grouping keys, aggregates, analytic functions.
    var ready = ReadyValues()
    /// Functions of the rows before, computed before joins and conditions: slots by the places of the calls.
    var analytics: [Int: Int] = [:]
    /// Behind GROUP BY: fields have no value of their own.
    var isGrouped = false
    var windowIDSlot: Int?
    /// HAVING sees the SELECT list's names.
    var aliases: [String: Expression] = [:]
    /// Inside a branch that may be left out, nothing is remembered for what follows.
    var branchDepth = 0

    init(planner: QueryPlanner, stage: StageDraft, block: CodeBlock, scope: PlanScope) {
        self.planner = planner
        self.stage = stage
        self.block = block
        self.scope = scope
    }

    func emit(_ instruction: Instruction, _ span: SourceSpan) { block.append(instruction, span) }

    /// - Returns: the slot of the value.
    mutating func compile(_ expression: Expression) throws(QueryError) -> Int {
        if !ready.isEmpty, let slot = ready.slot(of: expression, scope) { return slot }
        let span = expression.span
        switch expression.kind {
        case .literal(let literal): return stage.constant(Self.constant(literal))
        case .column(let path): return try column(path, span)
        case .access(let base, let path): return try access(base, path, span)
        case .unary(let symbol, let operand): return try unary(symbol, operand, span)
        case .binary(let symbol, let left, let right): return try binary(symbol, left, right, span)
        case .like(let value, let pattern, let isNegated):
            let text = try compile(value)
            let mask = try compile(pattern)
            let result = stage.newSlot()
            emit(Instruction(.like, result: result, left: text, right: mask, target: isNegated ? 1 : 0), span)
            return result
        case .isIn(let value, let list, let isNegated): return try isIn(value, list, isNegated, span)
        case .between(let value, let low, let high, let isNegated):
            return try between(value, low, high, isNegated, span)
        case .isNull(let value, let isNegated):
            let result = stage.newSlot()
            let slot = try compile(value)
            emit(Instruction(isNegated ? .isNotNull : .isNull, result: result, left: slot), span)
            return result
        case .caseOf(let operand, let branches, let otherwise):
            return try caseOf(operand, branches, otherwise, span)
        case .cast(let value, let type, let isTry):
            let slot = try compile(value)
            let result = stage.newSlot()
            let number = SQLType.allCases.firstIndex(of: type) ?? 0
            emit(Instruction(isTry ? .tryCast : .cast, result: result, left: slot, target: number), span)
            return result
        case .call(let call): return try self.call(call, span)
        case .unit(let unit):
            return stage.constant(.bigint(Int64(TimeUnit.allCases.firstIndex(of: unit) ?? 0)))
        case .star: throw QueryError(span, "`*` cannot stand here")
        }
    }

    static func constant(_ literal: Literal) -> ConstantValue {
        switch literal {
        case .null: .null
        case .bigint(let value): .bigint(value)
        case .float(let value): .float(value.bitPattern)
        case .text(let value): .text(Array(value.utf8))
        case .boolean(let value): .bit(value)
        }
    }

    // MARK: Operators

    mutating func operation(
        _ operation: Operation, _ left: Expression, _ right: Expression, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        let a = try compile(left)
        let b = try compile(right)
        let result = stage.newSlot()
        emit(Instruction(operation, result: result, left: a, right: b), span)
        return result
    }

    private mutating func unary(
        _ symbol: UnaryOperator, _ operand: Expression, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        switch (symbol, operand.kind) {
        case (.minus, .literal(.bigint(let value))) where value != Int64.min:
            return stage.constant(.bigint(-value))
        case (.minus, .literal(.float(let value))): return stage.constant(.float((-value).bitPattern))
        case (.plus, _): return try compile(operand)
        default: break
        }
        let slot = try compile(operand)
        let result = stage.newSlot()
        let operation: Operation =
            switch symbol {
            case .not: .not
            case .complement: .bitNot
            default: .negate
            }
        emit(Instruction(operation, result: result, left: slot), span)
        return result
    }

    private mutating func binary(
        _ symbol: BinaryOperator, _ left: Expression, _ right: Expression, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        guard symbol == .and || symbol == .or else {
            return try operation(Self.operation(symbol), left, right, span)
        }
        let result = stage.newSlot()
        let end = stage.newLabel()
        let first = try compile(left)
        emit(Instruction(.truth, result: result, left: first), left.span)
        emit(Instruction(symbol == .and ? .jumpUnlessTrue : .jumpIfTrue, left: result, target: end), span)
        let second = try branch { (compiler) throws(QueryError) in try compiler.compile(right) }
        emit(Instruction(.truth, result: result, left: second), right.span)
        block.append(label: end)
        return result
    }

    private static func operation(_ symbol: BinaryOperator) -> Operation {
        switch symbol {
        case .equal: .equal
        case .notEqual: .notEqual
        case .less: .less
        case .lessOrEqual: .lessOrEqual
        case .greater: .greater
        case .greaterOrEqual: .greaterOrEqual
        case .add: .add
        case .subtract: .subtract
        case .multiply: .multiply
        case .divide: .divide
        case .remainder: .remainder
        case .bitAnd: .bitAnd
        case .bitOr: .bitOr
        case .bitXor: .bitXor
        case .or, .and: .truth
        }
    }

    private mutating func isIn(
        _ value: Expression, _ list: [Expression], _ isNegated: Bool, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        let slot = try compile(value)
        let result = stage.newSlot()
        let end = stage.newLabel()
        if isNegated {
            emit(Instruction(.isNotNull, result: result, left: slot), span)
            emit(Instruction(.jumpUnlessTrue, left: result, target: end), span)
        }
        for (index, item) in list.enumerated() {
            let other =
                index == 0 && !isNegated
                ? try compile(item)
                : try branch { (compiler) throws(QueryError) in try compiler.compile(item) }
            emit(
                Instruction(isNegated ? .notEqual : .equal, result: result, left: slot, right: other),
                item.span)
            emit(Instruction(isNegated ? .jumpUnlessTrue : .jumpIfTrue, left: result, target: end), item.span)
        }
        block.append(label: end)
        return result
    }

    private mutating func between(
        _ value: Expression, _ low: Expression, _ high: Expression, _ isNegated: Bool, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        let slot = try compile(value)
        let least = try compile(low)
        let greatest = try compile(high)
        let result = stage.newSlot()
        let end = stage.newLabel()
        emit(Instruction(isNegated ? .less : .greaterOrEqual, result: result, left: slot, right: least), span)
        emit(Instruction(isNegated ? .jumpIfTrue : .jumpUnlessTrue, left: result, target: end), span)
        emit(
            Instruction(isNegated ? .greater : .lessOrEqual, result: result, left: slot, right: greatest),
            span)
        block.append(label: end)
        return result
    }

    private mutating func caseOf(
        _ operand: Expression?, _ branches: [CaseBranch], _ otherwise: Expression?, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        let result = stage.newSlot()
        let end = stage.newLabel()
        var subject: Int?
        if let operand { subject = try compile(operand) }
        branchDepth += 1
        defer { branchDepth -= 1 }
        for part in branches {
            let next = stage.newLabel()
            var condition = try compile(part.condition)
            if let subject {
                let equal = stage.newSlot()
                emit(Instruction(.equal, result: equal, left: subject, right: condition), part.condition.span)
                condition = equal
            }
            emit(Instruction(.jumpUnlessTrue, left: condition, target: next), part.condition.span)
            let value = try compile(part.result)
            emit(Instruction(.move, result: result, left: value), part.result.span)
            emit(Instruction(.jump, target: end), span)
            block.append(label: next)
        }
        let value =
            try otherwise.map { (other) throws(QueryError) in try compile(other) } ?? stage.constant(.null)
        emit(Instruction(.move, result: result, left: value), span)
        block.append(label: end)
        return result
    }

    /// What may be skipped: fields found inside are not remembered.
    mutating func branch<Result>(
        _ body: (inout ExpressionCompiler) throws(QueryError) -> Result
    ) throws(QueryError) -> Result {
        branchDepth += 1
        defer { branchDepth -= 1 }
        return try body(&self)
    }

    // MARK: Conditions

    /// Lets only rows into `inner` for which the condition is true; the test stands before it.
    mutating func filter(_ condition: Expression, into inner: CodeBlock) throws(QueryError) {
        let end = stage.newLabel()
        // Whatever is written into `inner` later is skipped too: the label stands at its end.
        inner.endLabels.append(end)
        block = inner
        try jumpUnless(condition, to: end)
    }

    /// Goes to the label unless the condition is true.
    mutating func jumpUnless(_ condition: Expression, to end: Int) throws(QueryError) {
        if ready.slot(of: condition, scope) == nil,
            case .binary(let symbol, let left, let right) = condition.kind
        {
            if symbol == .and {
                try jumpUnless(left, to: end)
                return try jumpUnless(right, to: end)
            }
            if let fused = Self.fused(symbol) {
                let a = try compile(left)
                let b = try compile(right)
                emit(Instruction(fused, left: a, right: b, target: end), condition.span)
                return
            }
        }
        let slot = try compile(condition)
        emit(Instruction(.jumpUnlessTrue, left: slot, target: end), condition.span)
    }

    private static func fused(_ symbol: BinaryOperator) -> Operation? {
        switch symbol {
        case .equal: .jumpUnlessEqual
        case .notEqual: .jumpUnlessNotEqual
        case .less: .jumpUnlessLess
        case .lessOrEqual: .jumpUnlessLessOrEqual
        case .greater: .jumpUnlessGreater
        case .greaterOrEqual: .jumpUnlessGreaterOrEqual
        default: nil
        }
    }

    /// Remembers a slot for what follows, unless that may not run.
    func remember(_ text: String, _ slot: Int) {
        if branchDepth == 0 { block.remember(text, slot) }
    }
}
