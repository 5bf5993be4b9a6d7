import QueryLanguage
import Telemetry

// GROUP BY and HAVING.
extension QueryPlanner {
    func group(
        _ select: Select, _ relation: Relation, _ compiler: ExpressionCompiler
    ) throws(QueryError) -> Relation {
        var compiler = compiler
        var keys: [(key: Expression?, slot: Int)] = []
        let windows = try windows(of: select, relation, &compiler)
        for item in select.groupBy {
            switch item {
            case .expression(let key):
                if let call = key.firstCall(where: { $0.isGroupAggregate }) {
                    throw QueryError(call.nameSpan, "\(call.function.name) cannot stand in GROUP BY")
                }
                keys.append((key, try compiler.compile(key)))
            case .snapshot(let span) where select.groupBy.contains(where: \.isWindowFunction):
                let slot = relation.stage.newSlot()
                relation.stage.readsTime = true
                relation.block.append(Instruction(.rowTime, result: slot), span)
                keys.append((nil, slot))
            default: break
            }
        }
        for slot in relation.partition where !keys.contains(where: { $0.slot == slot }) {
            keys.append((nil, slot))
        }
        let sources = SelectScope(select).sources
        let texts = keys.compactMap { $0.key }.map { TimelineKey.text(of: $0, sources: sources) }
        try checkTimeline(relation, texts, select)
        let output = newStage()
        var draft = GroupDraft(planner: self, stage: relation.stage, output: output)
        let values = select.items.compactMap { item in
            if case .expression(let value, _) = item { value } else { nil }
        }
        for value in values + (select.having.map { [$0] } ?? []) {
            for call in value.groupAggregates { try draft.add(call, &compiler) }
        }
        var grouped = ExpressionCompiler(
            planner: self, stage: output, block: output.root, scope: compiler.scope)
        grouped.isGrouped = true
        var keyResults: [Int] = []
        for key in keys {
            let slot = output.newCarriedSlot()
            keyResults.append(slot)
            if let expression = key.key { grouped.ready.add(expression, compiler.scope, slot: slot) }
        }
        for (call, slot) in draft.slots {
            grouped.ready.add(Expression(.call(call), call.nameSpan), compiler.scope, slot: slot)
        }
        let windowID = output.newCarriedSlot()
        grouped.windowIDSlot = windowID
        let number = plan.groups.count
        plan.groups.append(
            GroupPlan(
                stage: relation.stage.number, outputStage: output.number, keySlots: keys.map(\.slot),
                keyResults: keyResults, windows: windows, measures: draft.measures, results: draft.results,
                windowIDResult: windowID))
        relation.block.append(Instruction(.aggregate, target: number), select.span)
        relation.stage.listeners.append(.group(number))
        if draft.needsOrder || windows.contains(where: \.needsOrder) { relation.stage.needsOrder = true }
        var result = Relation(
            stage: output, block: output.root, columns: [],
            tree: PlanTree(
                label: label(select, windows, draft.texts), children: [relation.tree],
                meaning: label(select, windows, draft.measureTexts)))
        result.timeline = relation.timeline
        if let having = select.having {
            result = filter(result, label: "having " + QueryPrinter.text(of: having))
            grouped.aliases = aliases(of: select)
            try grouped.filter(having, into: result.block)
            grouped.aliases = [:]
        }
        return try project(select, result, grouped)
    }

    private func aliases(of select: Select) -> [String: Expression] {
        var aliases: [String: Expression] = [:]
        for case .expression(let value, let alias?) in select.items {
            aliases[alias.text.lowercased()] = value
        }
        return aliases
    }

    /// Each timeline has its own time, so rows of two cannot be in one group.
    private func checkTimeline(_ relation: Relation, _ keys: [String], _ select: Select) throws(QueryError) {
        for key in relation.timeline where !keys.contains(key.text) && !relation.partition.contains(key.slot)
        {
            // The checker has told it for inputs, with the place of the key.
            if select.from.timestampBy != nil { continue }
            throw QueryError(
                select.groupBy.first?.spanOfItem ?? select.span,
                "\(key.text) of TIMESTAMP BY … OVER is missing from GROUP BY",
                hint: "each \(key.text) has a time of its own: write GROUP BY \(key.text), …")
        }
    }

    private func label(_ select: Select, _ windows: [WindowPlan], _ texts: [String]) -> String {
        let keys = select.groupBy.compactMap { item in
            if case .expression(let key) = item { QueryPrinter.text(of: key) } else { nil }
        }
        var label = "group by " + (keys + windows.map(\.description)).joined(separator: ", ")
        if !texts.isEmpty { label += ": " + texts.joined(separator: ", ") }
        return label
    }

    // MARK: Windows

    private func windows(
        of select: Select, _ relation: Relation, _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> [WindowPlan] {
        for item in select.groupBy {
            guard case .window(let definition) = item else { continue }
            if case .windows(let list) = definition.kind {
                var plans: [WindowPlan] = []
                for identified in list {
                    var plan = try window(identified.window, &compiler)
                    plan.id = identified.id
                    plans.append(plan)
                }
                return plans
            }
            return [try window(definition, &compiler)]
        }
        return [WindowPlan(kind: .snapshot)]
    }

    private func window(
        _ definition: WindowDefinition, _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> WindowPlan {
        switch definition.kind {
        case .tumbling(let size, let offset):
            return WindowPlan(kind: .hopping(size: size.ticks, hop: size.ticks, offset: offset?.ticks ?? 0))
        case .hopping(let size, let hop, let offset):
            if hop.ticks > size.ticks {
                throw QueryError(
                    hop.span, "this hop is longer than the window: events between would be lost",
                    hint: "the hop is at most the size; to leave events out use WHERE")
            }
            return WindowPlan(kind: .hopping(size: size.ticks, hop: hop.ticks, offset: offset?.ticks ?? 0))
        case .sliding(let size): return WindowPlan(kind: .sliding(size: size.ticks))
        case .session(let timeout, let longest, let keys):
            var slots: [Int] = []
            for key in keys { slots.append(try compiler.compile(key)) }
            return WindowPlan(
                kind: .session(timeout: timeout.ticks, longest: longest.ticks, partition: slots))
        case .snapshot: return WindowPlan(kind: .snapshot)
        case .windows:
            throw QueryError(definition.span, "Windows(…) cannot stand inside Windows(…)")
        }
    }
}

/// The aggregates of a GROUP BY while they are planned.
struct GroupDraft {
    let planner: QueryPlanner
    let stage: StageDraft
    let output: StageDraft
    private(set) var measures: [MeasurePlan] = []
    private(set) var results: [AggregateResult] = []
    /// The calls and their slots of the output stage.
    private(set) var slots: [(call: FunctionCall, slot: Int)] = []
    private var known: Set<String> = []
    private(set) var texts: [String] = []
    /// By measure, what it is of.
    private(set) var measureTexts: [String] = []
    private(set) var needsOrder = false

    init(planner: QueryPlanner, stage: StageDraft, output: StageDraft) {
        self.planner = planner
        self.stage = stage
        self.output = output
    }

    mutating func add(_ call: FunctionCall, _ compiler: inout ExpressionCompiler) throws(QueryError) {
        let expression = Expression(.call(call), call.nameSpan)
        guard known.insert(compiler.scope.comparable(expression)).inserted else { return }
        let (measure, function) = try AggregateDraft(call: call).plan(&compiler)
        var number = -1
        if let measure {
            if measure.kind == .collection { needsOrder = true }
            if let same = measures.firstIndex(of: measure) {
                number = same
            } else {
                number = measures.count
                measures.append(measure)
                let value =
                    measure.kind == .collection ? expression : call.arguments.first ?? expression
                measureTexts.append("\(measure.kind) of " + QueryPrinter.text(of: value))
            }
        }
        let slot = output.newCarriedSlot()
        slots.append((call, slot))
        results.append(AggregateResult(function: function, measure: number, result: slot))
        texts.append(QueryPrinter.text(of: expression))
    }
}

/// One aggregate function: what it keeps and what it gives.
struct AggregateDraft {
    let call: FunctionCall

    func plan(
        _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> (MeasurePlan?, AggregateResult.Function) {
        switch call.function.name {
        case "COUNT": return try count(&compiler)
        case "SUM": return (try numeric(&compiler), .sum)
        case "AVG": return (try numeric(&compiler), .average)
        case "MIN": return (try numeric(&compiler), .minimum)
        case "MAX": return (try numeric(&compiler), .maximum)
        case "STDEV": return (try moments(&compiler), .standardDeviation)
        case "STDEVP": return (try moments(&compiler), .standardDeviationOfAll)
        case "VAR": return (try moments(&compiler), .variance)
        case "VARP": return (try moments(&compiler), .varianceOfAll)
        case "Collect":
            return (
                MeasurePlan(kind: .collection, argument: try projected(call.arguments.first, &compiler)),
                .collect
            )
        case "TopOne":
            var measure = MeasurePlan(
                kind: .collection, argument: try projected(call.arguments.first, &compiler))
            measure.order = try order(&compiler)
            measure.kept = 1
            return (measure, .topOne)
        case "CollectTop":
            guard case .literal(.bigint(let count)) = call.arguments[0].kind, count > 0, count <= 1_000_000
            else {
                throw QueryError(
                    call.arguments[0].span, "CollectTop takes a constant number of events first",
                    hint: "write CollectTop(3) OVER (ORDER BY column DESC)")
            }
            var measure = MeasurePlan(
                kind: .collection, argument: try projected(call.arguments.dropFirst().first, &compiler))
            measure.order = try order(&compiler)
            measure.kept = Int(count)
            return (measure, .collectTop)
        default: return try percentile(&compiler)
        }
    }

    private func count(
        _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> (MeasurePlan?, AggregateResult.Function) {
        let value = call.arguments[0]
        if call.isDistinct {
            return (MeasurePlan(kind: .distinct, argument: try compiler.compile(value)), .countDistinct)
        }
        if case .star = value.kind { return (nil, .countRows) }
        if case .column(let path) = value.kind, path.count == 1, case .name(let name)? = path.first,
            let source = compiler.scope.source(name.text), !source.isRecord,
            source.relation.named(name.text) == nil
        {
            return (nil, .countRows)
        }
        return (MeasurePlan(kind: .count, argument: try compiler.compile(value)), .countValues)
    }

    private func numeric(_ compiler: inout ExpressionCompiler) throws(QueryError) -> MeasurePlan {
        MeasurePlan(kind: .numeric, argument: try compiler.compile(call.arguments[0]))
    }

    private func moments(_ compiler: inout ExpressionCompiler) throws(QueryError) -> MeasurePlan {
        MeasurePlan(kind: .moments, argument: try compiler.compile(call.arguments[0]))
    }

    /// The value that is collected: an expression, or the event as a record.
    private func projected(
        _ value: Expression?, _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> Int {
        if let value { return try compiler.compile(value) }
        if compiler.scope.sources.count == 1 {
            return try compiler.record(of: compiler.scope.sources[0].relation, call.nameSpan)
        }
        var names: [String] = []
        var slots: [Int] = []
        for source in compiler.scope.sources {
            names.append(source.name.text)
            slots.append(try compiler.record(of: source.relation, call.nameSpan))
        }
        return try compiler.makeRecord(names, slots, call.nameSpan)
    }

    private func order(_ compiler: inout ExpressionCompiler) throws(QueryError) -> [OrderSlot] {
        var slots: [OrderSlot] = []
        for key in call.over?.orderBy ?? [] {
            slots.append(
                OrderSlot(slot: try compiler.compile(key.expression), isDescending: key.isDescending))
        }
        return slots
    }

    private func percentile(
        _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> (MeasurePlan?, AggregateResult.Function) {
        let fraction: Double
        switch call.arguments[0].kind {
        case .literal(.float(let value)): fraction = value
        case .literal(.bigint(let value)): fraction = Double(value)
        default: fraction = -1
        }
        guard fraction >= 0, fraction <= 1 else {
            throw QueryError(
                call.arguments[0].span, "a percentile is a constant between 0 and 1",
                hint: "write \(call.function.name)(0.95) OVER (ORDER BY value)")
        }
        guard let key = call.over?.orderBy.first, call.over?.orderBy.count == 1 else {
            throw QueryError(
                call.nameSpan, "\(call.function.name) takes one column to order by",
                hint: "write \(call.function.name)(0.95) OVER (ORDER BY value)")
        }
        let slot = try compiler.compile(key.expression)
        let measure = MeasurePlan(
            kind: .collection, argument: slot, order: [OrderSlot(slot: slot, isDescending: key.isDescending)])
        return (
            measure,
            call.function.name == "Percentile_Cont"
                ? .percentileContinuous(fraction.bitPattern) : .percentileDiscrete(fraction.bitPattern)
        )
    }
}

extension GroupItem {
    var isWindowFunction: Bool {
        if case .window = self { true } else { false }
    }

    var spanOfItem: SourceSpan {
        switch self {
        case .expression(let key): key.span
        case .window(let window): window.span
        case .snapshot(let span): span
        }
    }
}

extension WindowPlan {
    init(kind: Kind) { self.init(kind: kind, id: nil) }

    /// The state depends on the order of the rows.
    var needsOrder: Bool {
        switch kind {
        case .sliding, .session: true
        case .hopping, .snapshot: false
        }
    }

    var description: String {
        let text =
            switch kind {
            case .hopping(let size, let hop, let offset):
                (size == hop ? "tumbling " : "hopping ") + DurationText.text(size)
                    + (size == hop ? "" : " every \(DurationText.text(hop))")
                    + (offset == 0 ? "" : " offset \(DurationText.text(offset))")
            case .sliding(let size): "sliding \(DurationText.text(size))"
            case .session(let timeout, let longest, _):
                "session timeout \(DurationText.text(timeout)) at most \(DurationText.text(longest))"
            case .snapshot: "equal times"
            }
        return id.map { "\(text) as '\($0)'" } ?? text
    }
}

extension Expression {
    /// The outermost aggregates over the group.
    var groupAggregates: [FunctionCall] {
        var calls: [FunctionCall] = []
        visit { part in
            guard case .call(let call) = part.kind, call.isGroupAggregate else { return true }
            calls.append(call)
            return false
        }
        return calls
    }
}
