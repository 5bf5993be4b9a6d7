import QueryLanguage
import Telemetry

// JOIN with reference data and of streams.
extension QueryPlanner {
    func join(
        _ join: Join, to relation: Relation, _ compiler: inout ExpressionCompiler, _ select: Select
    ) throws(QueryError) -> Relation {
        if let (reference, step) = referenceData(join.input.name) {
            return try lookup(join, reference, step, to: relation, &compiler)
        }
        return try streamJoin(join, to: relation, &compiler, select)
    }

    /// The reference data that a name stands for, and the step between, if there is one.
    func referenceData(_ name: Name) -> (Name, QueryStep?)? {
        let key = name.text.lowercased()
        guard let step = steps[key] else { return referenceNames.contains(key) ? (name, nil) : nil }
        let select = step.query.first
        guard step.query.unions.isEmpty, select.relations.isEmpty,
            referenceNames.contains(select.from.name.text.lowercased())
        else { return nil }
        return (select.from.name, step)
    }

    private func lookup(
        _ join: Join, _ name: Name, _ step: QueryStep?, to relation: Relation,
        _ compiler: inout ExpressionCompiler
    ) throws(QueryError) -> Relation {
        let stage = relation.stage
        compiler.block = relation.block
        let reference = reference(name)
        let number = plan.lookups.count
        plan.lookups.append(
            LookupPlan(
                reference: reference, index: nil, keys: [], loads: [], rowSlot: nil,
                isLeftOuter: join.kind == .left))
        let draft = LookupDraft(planner: self, number: number, stage: stage)
        let before = CodeBlock(inside: relation.block)
        relation.block.append(before)
        let next = stage.newLabel()
        let matched = stage.newLabel()
        let end = stage.newLabel()
        relation.block.append(Instruction(.lookupBegin, target: number), join.span)
        relation.block.append(label: next)
        relation.block.append(
            Instruction(.lookupNext, left: end, right: matched, target: number), join.span)
        let test = CodeBlock(inside: relation.block)
        relation.block.append(test)
        let inner = CodeBlock(inside: relation.block)
        let rows = try draft.relation(of: step, join, test, next)
        compiler.scope.add(join.input.visibleName, rows)
        compiler.block = before
        try draft.plan(join, rows, relation, &compiler, test, next)
        relation.block.append(Instruction(.lookupMatched, target: number), join.span)
        relation.block.append(label: matched)
        inner.isLoop = true
        relation.block.append(inner)
        relation.block.append(Instruction(.jump, target: next), join.span)
        relation.block.append(label: end)
        compiler.block = inner
        let joined = relation.moved(to: inner)
        let condition = join.condition.map { " on " + QueryPrinter.text(of: $0) } ?? ""
        let how = plan.lookups[number].index == nil ? "every row is looked at" : "by key"
        joined.tree = PlanTree(
            label: "\(join.kind.rawValue.lowercased()) reference data \(name.text)\(condition) (\(how))",
            children: [relation.tree])
        return joined
    }

    private func streamJoin(
        _ join: Join, to left: Relation, _ compiler: inout ExpressionCompiler, _ select: Select
    ) throws(QueryError) -> Relation {
        var scope = PlanScope()
        let source = try relation(ofSource: join.input)
        let inner = CodeBlock(inside: source.block, isOwn: true)
        source.block.append(inner)
        let right = source.moved(to: inner)
        scope.add(join.input.visibleName, right)
        if !left.timeline.isEmpty || !right.timeline.isEmpty {
            throw QueryError(
                join.span, "a JOIN of streams with TIMESTAMP BY … OVER is not supported yet",
                hint:
                    "a join has one time for both sides, not one for each key; leave OVER out, and the setting "
                    + "watermarkOver (--watermark-over) waits for the device furthest behind, so that none with a fast "
                    + "clock makes others late")
        }
        for case .star(let path, let span) in select.items where path.isEmpty {
            throw QueryError(
                span, "`*` cannot stand in a SELECT with JOIN", hint: "name the columns, or write input.*")
        }
        return try StreamJoinDraft(planner: self, join: join, left: left, right: right)
            .plan(&compiler, right: scope)
    }
}
