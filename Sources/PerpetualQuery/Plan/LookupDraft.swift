import QueryLanguage
import Telemetry

/// A join with reference data while it is planned.
final class LookupDraft {
    private let planner: QueryPlanner
    private let number: Int
    private let stage: StageDraft

    init(planner: QueryPlanner, number: Int, stage: StageDraft) {
        self.planner = planner
        self.number = number
        self.stage = stage
    }

    private var reference: Int { planner.plan.lookups[number].reference }

    /// The slot of a column.
    func slot(of column: String) -> Int {
        let position = planner.referenceColumn(column, of: reference)
        if let load = planner.plan.lookups[number].loads.first(where: { $0.from == position }) {
            return load.to
        }
        let slot = stage.newSlot()
        planner.plan.lookups[number].loads.append(SlotCopy(from: position, to: slot))
        planner.plan.lookups[number].cleared.append(slot)
        return slot
    }

    /// The slot of the whole row.
    func row() -> Int {
        if let slot = planner.plan.lookups[number].rowSlot { return slot }
        planner.plan.references[reference].needsRow = true
        let slot = stage.newSlot()
        planner.plan.lookups[number].rowSlot = slot
        planner.plan.lookups[number].cleared.append(slot)
        return slot
    }

    /// The rows, seen through the step that stands between, if there is one.
    func relation(
        of step: QueryStep?, _ join: Join, _ test: CodeBlock, _ next: Int
    ) throws(QueryError) -> Relation {
        let rows = Relation(
            stage: stage, block: test, columns: [.open(.lookup(self))], tree: PlanTree(label: ""))
        guard let select = step?.query.first else { return rows }
        if let item = select.groupBy.first {
            throw QueryError(item.spanOfItem, "reference data has no windows: it has no time")
        }
        var scope = PlanScope()
        scope.add(select.from.visibleName, rows)
        var compiler = ExpressionCompiler(planner: planner, stage: stage, block: test, scope: scope)
        if let condition = select.condition { try compiler.jumpUnless(condition, to: next) }
        var columns: [Relation.Column] = []
        for item in select.items {
            switch item {
            case .star(let path, let span):
                let isWhole = path.isEmpty || path.count == 1 && path[0].matches(select.from.visibleName.text)
                columns += isWhole ? [.open(.lookup(self))] : try compiler.star(path, span)
            case .expression(let value, let alias):
                let slot = try compiler.compile(value)
                planner.plan.lookups[number].cleared.append(slot)
                columns.append(.named(alias?.text ?? value.outputName, slot: slot))
            }
        }
        return Relation(stage: stage, block: test, columns: columns, tree: rows.tree)
    }

    /// The condition: equalities of a column with something else become the key, the rest is tested row by
    /// row.
    func plan(
        _ join: Join, _ rows: Relation, _ left: Relation, _ compiler: inout ExpressionCompiler,
        _ test: CodeBlock, _ next: Int
    ) throws(QueryError) {
        guard let condition = join.condition else { return }
        var index: [Int] = []
        var rest: [Expression] = []
        for term in condition.terms {
            guard case .binary(.equal, let a, let b) = term.kind else {
                rest.append(term)
                continue
            }
            if let column = plainColumn(a, join, rows, compiler), !mentions(b, join, compiler) {
                index.append(column)
                planner.plan.lookups[number].keys.append(try compiler.compile(b))
            } else if let column = plainColumn(b, join, rows, compiler), !mentions(a, join, compiler) {
                index.append(column)
                planner.plan.lookups[number].keys.append(try compiler.compile(a))
            } else {
                rest.append(term)
            }
        }
        if !index.isEmpty {
            let known = planner.plan.references[reference].indexes
            planner.plan.lookups[number].index = known.firstIndex(of: index) ?? known.count
            if !known.contains(index) { planner.plan.references[reference].indexes.append(index) }
        }
        compiler.block = test
        for term in rest { try compiler.jumpUnless(term, to: next) }
    }

    /// The position of the reference column that an expression is.
    private func plainColumn(
        _ expression: Expression, _ join: Join, _ rows: Relation, _ compiler: ExpressionCompiler
    ) -> Int? {
        guard case .column(var path) = expression.kind, case .name(let first)? = path.first else {
            return nil
        }
        if path.count == 2, first.matches(join.input.visibleName.text) {
            path.removeFirst()
        } else if path.count != 1 || (try? compiler.scope.owner(of: first).relation) !== rows {
            return nil
        }
        guard path.count == 1, case .name(let name)? = path.first else { return nil }
        if case .lookup(let draft)? = rows.open, draft === self, rows.named(name.text) == nil {
            return planner.referenceColumn(name.text, of: reference)
        }
        guard let slot = rows.named(name.text) else { return nil }
        return planner.plan.lookups[number].loads.first { $0.to == slot }?.from
    }

    private func mentions(_ expression: Expression, _ join: Join, _ compiler: ExpressionCompiler) -> Bool {
        var found = false
        expression.visit { part in
            guard case .column(let path) = part.kind, case .name(let first)? = path.first else { return true }
            if first.matches(join.input.visibleName.text) {
                found = true
            } else if compiler.scope.source(first.text) == nil || path.count == 1,
                let owner = try? compiler.scope.owner(of: first)
            {
                found = found || owner.name.matches(join.input.visibleName.text)
            }
            return true
        }
        return found
    }
}

extension Expression {
    /// The parts that must all hold.
    var terms: [Expression] {
        if case .binary(.and, let left, let right) = kind { return left.terms + right.terms }
        return [self]
    }
}
