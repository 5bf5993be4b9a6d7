import QueryLanguage
import Telemetry

// LAG, LAST, ISFIRST and aggregates OVER: they see the rows of FROM, before WHERE.
extension QueryPlanner {
    func planAnalytics(
        of select: Select, _ compiler: inout ExpressionCompiler, _ relation: Relation
    ) throws(QueryError) {
        var expressions = select.items.compactMap { item in
            if case .expression(let value, _) = item { value } else { nil }
        }
        expressions += (select.condition.map { [$0] } ?? []) + (select.having.map { [$0] } ?? [])
        for case .expression(let key) in select.groupBy { expressions.append(key) }
        for case .join(let join) in select.relations { expressions += join.condition.map { [$0] } ?? [] }
        var calls: [FunctionCall] = []
        for expression in expressions {
            expression.visit { part in
                guard case .call(let call) = part.kind, call.isAnalytic else { return true }
                calls.append(call)
                return false
            }
        }
        if calls.isEmpty { return }
        relation.stage.needsOrder = true
        var known: [String: Int] = [:]
        for call in calls {
            try checkSources(of: call, select, relation)
            let text = compiler.scope.comparable(Expression(.call(call), call.nameSpan))
            let slot: Int
            if let same = known[text] { slot = same } else { slot = try analytic(call, &compiler, relation) }
            known[text] = slot
            compiler.analytics[call.nameSpan.place] = slot
        }
    }

    /// The function sees the rows of FROM only: before the joins there are no others.
    private func checkSources(
        of call: FunctionCall, _ select: Select, _ relation: Relation
    ) throws(QueryError) {
        if select.relations.isEmpty { return }
        let sources = SelectScope(select).sources
        let from = select.from.visibleName.text
        var wrong: QueryError?
        Expression(.call(call), call.nameSpan).visit { part in
            guard wrong == nil, case .column(let path) = part.kind, case .name(let name)? = path.first else {
                return wrong == nil
            }
            let source = path.count > 1 ? sources.first { $0.matches(name.text) } : nil
            if let source, !source.matches(from) {
                wrong = QueryError(
                    part.span,
                    "\(call.function.name) looks at the rows of \(from) only: it is computed before the JOIN",
                    hint: "join in a WITH step, and look back over the step")
            } else if source == nil, select.inputs.count > 1, relation.named(name.text) == nil {
                wrong = QueryError(
                    part.span,
                    "\(name.text) could be a field of "
                        + select.inputs.map(\.visibleName.text).joined(separator: " or of "),
                    hint: "write \(from).\(name.text)")
            }
            return wrong == nil
        }
        if let wrong { throw wrong }
    }

    private func analytic(
        _ call: FunctionCall, _ compiler: inout ExpressionCompiler, _ relation: Relation
    ) throws(QueryError) -> Int {
        if let inner = call.arguments.compactMap({ $0.firstCall(where: { $0.isAnalytic }) }).first {
            throw QueryError(
                inner.nameSpan, "\(inner.function.name) stands inside \(call.function.name)",
                hint: "compute the inner one in a WITH step")
        }
        var partition = relation.partition
        for key in call.over?.partitionBy ?? [] { partition.append(try compiler.compile(key)) }
        var condition: Int?
        if let when = call.over?.when { condition = try compiler.compile(when) }
        var made = AnalyticPlan(
            function: .last, partition: partition, argument: -1, standIn: nil, condition: condition,
            duration: call.over?.limit?.ticks ?? 0, result: 0)
        switch call.function.name {
        case "LAG":
            made.function = .lag(offset: try offset(call))
            made.argument = try value(call.arguments[0], call, &compiler, relation)
            if call.arguments.count > 2 { made.standIn = try compiler.compile(call.arguments[2]) }
        case "LAST":
            made.argument = try value(call.arguments[0], call, &compiler, relation)
            if call.arguments.count > 1 { made.standIn = try compiler.compile(call.arguments[1]) }
        case "ISFIRST":
            made.function = .isFirst(size: try interval(call))
        default:
            let (measure, function) = try AggregateDraft(call: call).plan(&compiler)
            if function == .countDistinct {
                throw QueryError(
                    call.nameSpan, "COUNT(DISTINCT …) takes no OVER", hint: "use a window in GROUP BY")
            }
            made.function = .aggregate(function)
            made.argument = measure?.argument ?? -1
            made.order = measure?.order ?? []
            made.kept = measure?.kept ?? Int.max
        }
        made.result = relation.stage.newSlot()
        let number = plan.analytics.count
        plan.analytics.append(made)
        compiler.emit(Instruction(.analytic, target: number), call.nameSpan)
        relation.stage.listeners.append(.analytic(number))
        return made.result
    }

    private func value(
        _ expression: Expression, _ call: FunctionCall, _ compiler: inout ExpressionCompiler,
        _ relation: Relation
    ) throws(QueryError) -> Int {
        if case .star = expression.kind { return try compiler.record(of: relation, expression.span) }
        return try compiler.compile(expression)
    }

    private func offset(_ call: FunctionCall) throws(QueryError) -> Int {
        guard call.arguments.count > 1 else { return 1 }
        guard case .literal(.bigint(let value)) = call.arguments[1].kind, value >= 1, value <= 10_000 else {
            throw QueryError(
                call.arguments[1].span, "LAG counts back by a constant from 1 to 10000",
                hint: "for the event in hand use LAST")
        }
        return Int(value)
    }

    private func interval(_ call: FunctionCall) throws(QueryError) -> Int64 {
        guard case .unit(let unit) = call.arguments[0].kind, let ticks = unit.ticks,
            case .literal(.bigint(let count)) = call.arguments[1].kind, count > 0,
            !count.multipliedReportingOverflow(by: ticks).overflow, count * ticks <= Self.durationTicksMax
        else {
            throw QueryError(
                call.arguments.last?.span ?? call.nameSpan,
                "ISFIRST takes a constant interval of at most 7 days", hint: "write ISFIRST(minute, 10)")
        }
        return count * ticks
    }
}

extension SourceSpan {
    /// Where it begins, as a number: spans themselves all compare as equal. No text has lines of 2^20 columns.
    var place: Int { line << 20 | column }
}

extension FunctionCall {
    /// Looks at the rows before this one rather than at the group.
    var isAnalytic: Bool {
        function.kind == .analytic || (function.kind == .aggregate && over?.limit != nil)
    }
}

extension QueryPlanner {
    /// The longest time that a query may look back: 7 days, in ticks.
    static let durationTicksMax: Int64 = 7 * 86_400 * EventTime.ticksPerSecond
}
