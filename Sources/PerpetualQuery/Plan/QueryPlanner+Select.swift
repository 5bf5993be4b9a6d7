import QueryLanguage
import Telemetry

// FROM, WHERE and the SELECT list.
extension QueryPlanner {
    /// Plans one SELECT: its rows with the columns of its list.
    func relation(of select: Select) throws(QueryError) -> Relation {
        var scope = PlanScope()
        let from = try relation(ofSource: select.from)
        scope.add(select.from.visibleName, from)
        let own = CodeBlock(inside: from.block, isOwn: true)
        from.block.append(own)
        var current = from.moved(to: own)
        var compiler = ExpressionCompiler(
            planner: self, stage: current.stage, block: current.block, scope: scope)
        try planAnalytics(of: select, &compiler, current)
        for relation in select.relations {
            switch relation {
            case .apply(let apply): current = try self.apply(apply, to: current, &compiler)
            case .join(let join): current = try self.join(join, to: current, &compiler, select)
            }
        }
        if let condition = select.condition {
            current = filter(current, label: "where " + QueryPrinter.text(of: condition))
            try compiler.filter(condition, into: current.block)
        }
        compiler.block = current.block
        if let item = select.groupBy.first(where: \.isAWindow) {
            _ = item
            return try group(select, current, compiler)
        }
        if let having = select.having {
            // Without GROUP BY it is a condition on rows.
            current = filter(current, label: "having " + QueryPrinter.text(of: having))
            try compiler.filter(having, into: current.block)
            compiler.block = current.block
        }
        return try project(select, current, compiler)
    }

    /// A block inside the relation's, for the rows that pass.
    func filter(_ relation: Relation, label: String) -> Relation {
        let inner = CodeBlock(inside: relation.block)
        relation.block.append(inner)
        let filtered = relation.moved(to: inner)
        filtered.tree = PlanTree(label: label, children: [relation.tree])
        return filtered
    }

    // MARK: FROM

    func relation(ofSource from: InputSource) throws(QueryError) -> Relation {
        let key = from.name.text.lowercased()
        if steps[key] != nil {
            if let time = from.timestampBy {
                throw QueryError(
                    time.time.span,
                    "TIMESTAMP BY on a step is not supported: its rows have their times already",
                    hint: "write TIMESTAMP BY behind the input that the step reads")
            }
            let relation = try relation(ofStep: from.name)
            return try partitioned(relation, from)
        }
        if referenceNames.contains(key) {
            throw QueryError(
                from.name.span, "\(from.name.text) is reference data: it stands on the right side of a JOIN",
                hint: "write FROM stream JOIN \(from.name.text) ON …")
        }
        let input = input(from.name)
        let times = from.timestampBy.map { [$0.time] + $0.over } ?? []
        let text = key + "\u{0}" + times.map { QueryPrinter.text(of: $0) }.joined(separator: "\u{0}")
        let (source, isNew) = try self.source(text) { () throws(QueryError) in
            SourceDraft(input: input, stage: newStage())
        }
        let relation = Relation(
            stage: source.stage, block: source.stage.root, columns: [.open(.input(source))],
            tree: sourceTree(from, input))
        if isNew { try planTime(of: from, source, relation) }
        for key in from.timestampBy?.over ?? [] {
            relation.timeline.append((TimelineKey.text(of: key, sources: [from.visibleName]), -1))
        }
        return try partitioned(relation, from)
    }

    private func partitioned(_ relation: Relation, _ from: InputSource) throws(QueryError) -> Relation {
        guard let keys = from.partitionBy?.keys else { return relation }
        var scope = PlanScope()
        scope.add(from.visibleName, relation)
        let inner = CodeBlock(inside: relation.block, isOwn: true)
        relation.block.append(inner)
        let moved = relation.moved(to: inner)
        var compiler = ExpressionCompiler(planner: self, stage: relation.stage, block: inner, scope: scope)
        for key in keys { moved.partition.append(try compiler.compile(key)) }
        return moved
    }

    /// Declared types first, then the time and the keys of the timeline.
    private func planTime(
        of from: InputSource, _ source: SourceDraft, _ relation: Relation
    ) throws(QueryError) {
        var scope = PlanScope()
        scope.add(from.visibleName, relation)
        var compiler = ExpressionCompiler(
            planner: self, stage: source.stage, block: source.prologue, scope: scope)
        for column in tables[from.name.text.lowercased()]?.columns ?? [] {
            let slot = source.slot(ofField: field(column.name.text, of: source.input))
            let type = SQLType.allCases.firstIndex(of: column.type) ?? 0
            source.prologue.append(
                Instruction(.conform, result: slot, left: slot, target: type), column.name.span)
            source.hasTypes = true
        }
        try checkMinimum(from)
        guard let time = from.timestampBy else { return }
        if let system = time.time.firstCall(where: { $0.function.name == "System.Timestamp" }) {
            throw QueryError(
                system.nameSpan, "System.Timestamp() cannot stand in TIMESTAMP BY, which sets it",
                hint: "name a field of the payload")
        }
        source.timeSlot = try compiler.compile(time.time)
        for key in time.over { source.timelineSlots.append(try compiler.compile(key)) }
        for path in plan.settings.minimumWatermark?.keys ?? [] {
            source.deviceSlots.append(try compiler.compile(Expression(.column(path), from.name.span)))
        }
    }

    private func checkMinimum(_ from: InputSource) throws(QueryError) {
        guard let minimum = plan.settings.minimumWatermark else { return }
        guard let time = from.timestampBy else {
            throw QueryError(
                from.name.span,
                "the setting watermarkOver (\(minimum.text)) needs times of devices, and the time of "
                    + "\(from.name.text) is that of arrival, one for all",
                hint: "write FROM \(from.name.text) TIMESTAMP BY field, or leave watermarkOver out")
        }
        guard let key = time.over.first else { return }
        throw QueryError(
            key.span,
            "OVER gives every timeline windows of its own, and the setting watermarkOver (\(minimum.text)) waits "
                + "for all devices with windows of all",
            hint: "leave one of the two out")
    }

    private func sourceTree(_ from: InputSource, _ input: Int) -> PlanTree {
        let policy = plan.settings.timePolicy
        var label = "input \(from.name.text): "
        guard let time = from.timestampBy else { return PlanTree(label: label + "time of arrival") }
        label += "time by " + QueryPrinter.text(of: time.time)
        if !time.over.isEmpty {
            label +=
                ", a timeline for each " + time.over.map { QueryPrinter.text(of: $0) }.joined(separator: ", ")
        }
        let late =
            policy.lateToleranceTicks == TimePolicy.unlimited
            ? "late unlimited" : "late \(DurationText.text(policy.lateToleranceTicks))"
        if let minimum = plan.settings.minimumWatermark {
            let idle =
                minimum.idleTicks == TimePolicy.unlimited
                ? "however long it is silent" : "unless silent for \(DurationText.text(minimum.idleTicks))"
            label += "; the time is that of the \(minimum.text) furthest behind, \(idle)"
        }
        label += "; early \(DurationText.text(policy.earlyToleranceTicks)), \(late), out of order "
        label += "\(DurationText.text(policy.outOfOrderToleranceTicks)), \(policy.lateAction)"
        return PlanTree(label: label)
    }

    // MARK: APPLY

    private func apply(
        _ apply: Apply, to relation: Relation, _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> Relation {
        let span = apply.call.nameSpan
        compiler.block = relation.block
        let value = try compiler.compile(apply.call.arguments[0])
        let stage = relation.stage
        let loop = plan.loopCount
        plan.loopCount += 1
        let isArray = apply.call.function.name == "GetArrayElements"
        relation.block.append(
            Instruction(
                .applyBegin, left: value, right: (isArray ? 1 : 0) + (apply.isOuter ? 2 : 0), target: loop),
            span)
        let next = stage.newLabel()
        let end = stage.newLabel()
        let key = stage.newSlot()
        let element = stage.newSlot()
        relation.block.append(label: next)
        relation.block.append(
            Instruction(.applyNext, result: end, left: key, right: element, target: loop), span)
        let inner = CodeBlock(inside: relation.block)
        inner.isLoop = true
        relation.block.append(inner)
        relation.block.append(Instruction(.jump, target: next), span)
        relation.block.append(label: end)
        let text =
            (apply.isOuter ? "outer apply " : "cross apply ") + QueryPrinter.text(of: apply.call.arguments[0])
        let rows = Relation(
            stage: stage, block: inner,
            columns: [
                .named(isArray ? "ArrayIndex" : "PropertyName", slot: key),
                .named(isArray ? "ArrayValue" : "PropertyValue", slot: element),
            ], tree: relation.tree)
        compiler.scope.add(apply.alias, rows, isRecord: true)
        compiler.block = inner
        let applied = relation.moved(to: inner)
        applied.tree = PlanTree(
            label: "\(text) as \(apply.alias.text) (\(apply.call.function.name))", children: [relation.tree])
        return applied
    }

    // MARK: The list

    /// The columns of the SELECT list, computed in the relation's block.
    func project(
        _ select: Select, _ relation: Relation, _ compiler: ExpressionCompiler
    ) throws(QueryError) -> Relation {
        var compiler = compiler
        let inner = CodeBlock(inside: relation.block)
        relation.block.append(inner)
        compiler.block = inner
        var columns: [Relation.Column] = []
        var names = ColumnNames()
        for item in select.items {
            switch item {
            case .star(let path, let span):
                for column in try compiler.star(path, span) {
                    if case .named(let name, _) = column, !names.takeIfFree(name) { continue }
                    columns.append(column)
                }
            case .expression(let value, let alias):
                let slot = try compiler.compile(value)
                if let alias, !names.takeIfFree(alias.text) {
                    throw QueryError(
                        alias.span, "two columns are called \(alias.text)", hint: "give one another name")
                }
                columns.append(.named(alias?.text ?? names.take(value.outputName), slot: slot))
            }
        }
        let list = columns.map { column in
            switch column {
            case .named(let name, _): name
            case .open: "*"
            }
        }
        let projected = Relation(
            stage: relation.stage, block: inner, columns: columns,
            tree: PlanTree(label: "select " + list.joined(separator: ", "), children: [relation.tree]))
        projected.partition = relation.partition
        projected.timeline = timeline(relation, select)
        return projected
    }

    /// The keys of the timeline by the names that the SELECT gives them.
    private func timeline(_ relation: Relation, _ select: Select) -> [(text: String, slot: Int)] {
        let sources = SelectScope(select).sources
        return relation.timeline.map { key in
            for case .expression(let value, let alias) in select.items
            where TimelineKey.text(of: value, sources: sources) == key.text {
                let name = Name(text: alias?.text ?? value.outputName, span: value.span)
                return (QueryPrinter.text(of: [.name(name)]).lowercased(), key.slot)
            }
            return key
        }
    }
}

/// The keys of TIMESTAMP BY … OVER in a form in which they can be found in GROUP BY.
enum TimelineKey {
    static func text(of expression: Expression, sources: [Name]) -> String {
        QueryPrinter.text(of: expression) { path in
            guard path.count > 1, case .name(let first)? = path.first,
                sources.contains(where: { $0.matches(first.text) })
            else { return QueryPrinter.text(of: path).lowercased() }
            return QueryPrinter.text(of: Array(path.dropFirst())).lowercased()
        }
    }
}

/// Names of a list's columns, each once.
struct ColumnNames {
    private var used: Set<String> = []

    mutating func takeIfFree(_ name: String) -> Bool { used.insert(name).inserted }

    /// A name that nobody gave: with a number when it is taken.
    mutating func take(_ name: String) -> String {
        if used.insert(name).inserted { return name }
        var number = 1
        while !used.insert("\(name)\(number)").inserted { number += 1 }
        return "\(name)\(number)"
    }
}

extension GroupItem {
    var isAWindow: Bool {
        if case .expression = self { false } else { true }
    }
}

extension Expression {
    /// The column's name without alias: the field's, or the function's.
    var outputName: String {
        switch kind {
        case .column(let path), .access(_, let path):
            for case .name(let name) in path.reversed() { return name.text }
            return "element"
        case .call(let call):
            return call.function.name.hasPrefix("System.")
                ? String(call.function.name.dropFirst(7)) : call.function.name
        case .cast(let value, _, _): return value.outputName
        case .unary(_, let value): return value.outputName
        default: return "column"
        }
    }

    func firstCall(where isWanted: (FunctionCall) -> Bool) -> FunctionCall? {
        var found: FunctionCall?
        visit { part in
            if case .call(let call) = part.kind, found == nil, isWanted(call) { found = call }
            return found == nil
        }
        return found
    }
}

/// Lengths of time for people.
enum DurationText {
    static func text(_ ticks: Int64) -> String {
        let units: [(Int64, String)] = [
            (864_000_000_000, "d"), (36_000_000_000, "h"), (600_000_000, "min"), (10_000_000, "s"),
            (10_000, "ms"),
        ]
        if ticks == 0 { return "0 s" }
        for (size, name) in units where ticks % size == 0 { return "\(ticks / size) \(name)" }
        return "\(ticks / 10) µs"
    }
}
