package import QueryLanguage
import Telemetry

/// Turns a checked document into a plan. What the language has and the engine has not ends in an error with
/// its place, never in a plan that means something else.
package final class QueryPlanner {
    var plan: StreamPlan
    let referenceNames: Set<String>
    var stages: [StageDraft] = []
    var sources: [SourceDraft] = []
    private var sourceByText: [String: SourceDraft] = [:]
    private var inputNumbers: [String: Int] = [:]
    private var referenceNumbers: [String: Int] = [:]
    private var outputNumbers: [String: Int] = [:]
    /// Steps by lower-case name, planned when the first reader comes to them.
    var steps: [String: QueryStep] = [:]
    private var plannedSteps: [String: Relation] = [:]
    private var stepsInHand: [String] = []
    var tables: [String: TableDeclaration] = [:]
    private var fieldNumbers: [String: Int] = [:]
    /// Joins whose sides may still be asked for columns.
    var joinDrafts: [(number: Int, left: StreamJoinDraft.Side, right: StreamJoinDraft.Side)] = []

    private init(name: String, version: Int, settings: StreamSettings, referenceInputs: [String]) {
        plan = StreamPlan(name: name, version: version, settings: settings)
        referenceNames = Set(referenceInputs.map { $0.lowercased() })
    }

    /// Reads, checks and plans a text.
    ///
    /// - Parameters:
    ///   - referenceInputs: names of inputs that are reference data.
    ///   - streamInputs: the streams that there are; nil: whatever the text names.
    /// - Returns: the plan; or nil and all that is wrong, in the order of the text.
    package static func plan(
        text: String, name: String, version: Int = 1, settings: StreamSettings = StreamSettings(),
        referenceInputs: [String] = [], streamInputs: [String]? = nil
    ) -> (plan: StreamPlan?, errors: [QueryError]) {
        let (document, errors) = QueryParser.parse(text)
        if !errors.isEmpty { return (nil, errors) }
        let found = QueryChecker.check(
            document, referenceInputs: referenceInputs, streamInputs: streamInputs)
        if !found.isEmpty { return (nil, found) }
        do {
            return (
                try plan(
                    document, name: name, version: version, settings: settings,
                    referenceInputs: referenceInputs), []
            )
        } catch { return (nil, [error]) }
    }

    /// Plans a document that `QueryChecker` found nothing wrong with.
    ///
    /// - Parameters:
    ///   - name: the query's identity in result ids.
    ///   - referenceInputs: names of inputs that are reference data.
    /// - Throws: the first thing that cannot be planned, with its place.
    package static func plan(
        _ document: QueryDocument, name: String, version: Int = 1,
        settings: StreamSettings = StreamSettings(),
        referenceInputs: [String] = []
    ) throws(QueryError) -> StreamPlan {
        let planner = QueryPlanner(
            name: name, version: version, settings: settings, referenceInputs: referenceInputs)
        for table in document.tables { planner.tables[table.name.text.lowercased()] = table }
        for step in document.steps { planner.steps[step.name.text.lowercased()] = step }
        for query in document.queries { try planner.plan(query) }
        // A step that nobody reads must be right all the same.
        for step in document.steps where !planner.readsReferenceOnly(step) {
            _ = try planner.relation(ofStep: step.name)
        }
        try planner.finish()
        return planner.plan
    }

    // MARK: Queries

    private func plan(_ query: Query) throws(QueryError) {
        let outputs = query.outputs.isEmpty ? [Name(text: "output", span: query.first.span)] : query.outputs
        for name in outputs where name.text.hasPrefix("_") {
            throw QueryError(
                name.span, "outputs that begin with _ belong to the system", hint: "choose another name")
        }
        let branches = try branches(of: query)
        try checkUnion(branches, query)
        let named = branches[0].columns
        for branch in branches {
            branch.stage.needsOrder = true
            let columns = branches.count > 1 ? renamed(branch.columns, as: named) : branch.columns
            for name in outputs {
                let number = plan.emits.count
                plan.emits.append(EmitPlan(output: output(name.text), columns: emitted(columns, branch)))
                branch.block.append(Instruction(.emit, target: number), query.first.span)
            }
        }
        let label = "output " + outputs.map(\.text).joined(separator: ", ")
        let trees = branches.map(\.tree)
        plan.explanation.append(
            PlanTree(
                label: label, children: trees.count == 1 ? trees : [PlanTree(label: "union", children: trees)]
            ))
    }

    func branches(of query: Query) throws(QueryError) -> [Relation] {
        var branches: [Relation] = []
        for select in query.selects { branches.append(try relation(of: select)) }
        return branches
    }

    func checkUnion(_ branches: [Relation], _ query: Query) throws(QueryError) {
        guard let first = branches.first else { return }
        for (index, branch) in branches.enumerated().dropFirst() {
            let select = query.unions[index - 1].select
            if branch.columns.count != first.columns.count {
                throw QueryError(
                    select.span,
                    "this SELECT of the UNION has \(branch.columns.count) columns, the first has "
                        + "\(first.columns.count)",
                    hint: "both sides of a UNION have the same columns in the same order")
            }
            for (mine, theirs) in zip(branch.columns, first.columns) {
                switch (mine, theirs) {
                case (.named, .named), (.open, .open): continue
                default:
                    throw QueryError(
                        select.span, "one side of this UNION has `*` where the other names a column",
                        hint: "name the columns on both sides")
                }
            }
        }
    }

    private func renamed(_ columns: [Relation.Column], as names: [Relation.Column]) -> [Relation.Column] {
        zip(columns, names).map { mine, theirs in
            if case .named(_, let slot) = mine, case .named(let name, _) = theirs {
                .named(name, slot: slot)
            } else {
                mine
            }
        }
    }

    private func emitted(_ columns: [Relation.Column], _ relation: Relation) -> [EmitColumn] {
        columns.map { column in
            switch column {
            case .named(let name, let slot): .named(name, slot: slot)
            case .open(.record(let slot)): .star(slot: slot)
            case .open(.input(let source)): .star(slot: payload(of: source, relation))
            case .open(.lookup(let draft)): .star(slot: draft.row())
            case .open(.side): .named("", slot: 0)
            }
        }
    }

    /// The slot with the payload as a record.
    func payload(of source: SourceDraft, _ relation: Relation) -> Int {
        plan.inputs[source.input].needsPayload = true
        let text = "payload of \(source.input)"
        if let slot = relation.block.slot(of: text) { return slot }
        // Carried, so that a sorted row has it: it is set before the program starts.
        let slot = source.slot(ofField: Self.payloadField)
        relation.block.remember(text, slot)
        return slot
    }

    /// Stands for the payload among the decoded fields of an input.
    static let payloadField = -1

    // MARK: Steps

    /// Such a step is planned where it is joined.
    private func readsReferenceOnly(_ step: QueryStep) -> Bool {
        step.query.selects.allSatisfy { referenceNames.contains($0.from.name.text.lowercased()) }
    }

    func relation(ofStep name: Name) throws(QueryError) -> Relation {
        let key = name.text.lowercased()
        if let planned = plannedSteps[key] {
            let again = planned.moved(to: planned.block)
            again.tree = PlanTree(label: "step \(name.text), as above")
            return again
        }
        guard let step = steps[key] else { throw QueryError(name.span, "there is no step \(name.text)") }
        if stepsInHand.contains(key) {
            throw QueryError(
                name.span, "the step \(name.text) reads itself", hint: "a step sees the steps before it")
        }
        stepsInHand.append(key)
        let branches = try branches(of: step.query)
        try checkUnion(branches, step.query)
        let relation = branches.count == 1 ? branches[0] : try union(branches, step.query)
        stepsInHand.removeLast()
        relation.tree = PlanTree(label: "step \(step.name.text)", children: [relation.tree])
        plannedSteps[key] = relation
        return relation
    }

    /// A stage that several relations feed.
    private func union(_ branches: [Relation], _ query: Query) throws(QueryError) -> Relation {
        let stage = newStage()
        stage.feederCount = branches.count
        if branches.contains(where: { !$0.timeline.isEmpty }) {
            throw QueryError(
                query.first.span, "a UNION step of inputs with TIMESTAMP BY … OVER is not supported yet",
                hint:
                    "such a step has one time for all that it reads; leave OVER out, and set watermarkOver "
                    + "(--watermark-over) to wait for the device furthest behind; or write each SELECT with its own "
                    + "INTO")
        }
        var columns: [Relation.Column] = []
        for column in branches[0].columns {
            let slot = stage.newCarriedSlot()
            switch column {
            case .named(let name, _): columns.append(.named(name, slot: slot))
            case .open: columns.append(.open(.record(slot: slot)))
            }
        }
        for (index, branch) in branches.enumerated() {
            var copies: [SlotCopy] = []
            for (from, to) in zip(emitted(branch.columns, branch), emitted(columns, branch)) {
                copies.append(SlotCopy(from: from.slot, to: to.slot))
            }
            let number = plan.feeds.count
            plan.feeds.append(FeedPlan(stage: stage.number, feeder: index, copies: copies))
            branch.block.append(Instruction(.feed, target: number), query.first.span)
            branch.stage.listeners.append(.feed(number))
        }
        return Relation(
            stage: stage, block: stage.root, columns: columns,
            tree: PlanTree(label: "union", children: branches.map(\.tree)))
    }

    // MARK: Numbers

    func newStage() -> StageDraft {
        let stage = StageDraft(number: stages.count)
        stages.append(stage)
        return stage
    }

    func input(_ name: Name) -> Int {
        if let number = inputNumbers[name.text.lowercased()] { return number }
        inputNumbers[name.text.lowercased()] = plan.inputs.count
        plan.inputs.append(InputPlan(name: name.text))
        return plan.inputs.count - 1
    }

    func reference(_ name: Name) -> Int {
        if let number = referenceNumbers[name.text.lowercased()] { return number }
        referenceNumbers[name.text.lowercased()] = plan.references.count
        plan.references.append(ReferencePlan(name: name.text))
        let number = plan.references.count - 1
        // All of them: a row that is not what was declared is told of, whoever reads the column.
        for column in tables[name.text.lowercased()]?.columns ?? [] {
            plan.references[number].types[referenceColumn(column.name.text, of: number)] = column.type
        }
        return number
    }

    func referenceColumn(_ name: String, of reference: Int) -> Int {
        let columns = plan.references[reference].columns
        if let number = columns.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) { return number }
        plan.references[reference].columns.append(name)
        plan.references[reference].types.append(nil)
        return columns.count
    }

    private func output(_ name: String) -> Int {
        if let number = outputNumbers[name.lowercased()] { return number }
        outputNumbers[name.lowercased()] = plan.outputs.count
        plan.outputs.append(name)
        return plan.outputs.count - 1
    }

    /// The number of a field among the decoded ones of an input.
    func field(_ name: String, of input: Int) -> Int {
        let fields = plan.inputs[input].fields
        if let number = fields.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) { return number }
        plan.inputs[input].fields.append(name)
        return fields.count
    }

    func fieldName(_ name: String) -> Int {
        if let number = fieldNumbers[name] { return number }
        fieldNumbers[name] = plan.fieldNames.count
        plan.fieldNames.append(name)
        return plan.fieldNames.count - 1
    }

    func source(_ text: String, _ make: () throws(QueryError) -> SourceDraft) throws(QueryError) -> (
        SourceDraft, isNew: Bool
    ) {
        if let source = sourceByText[text] { return (source, false) }
        let source = try make()
        sourceByText[text] = source
        sources.append(source)
        return (source, true)
    }

    // MARK: The end

    private func finish() throws(QueryError) {
        for (input, fields) in plan.settings.deduplication.sorted(by: { $0.key < $1.key }) {
            guard let number = inputNumbers[input.lowercased()] else { continue }
            plan.inputs[number].deduplication = fields.map { field($0, of: number) }
            plan.inputs[number].deduplicationHorizonTicks = plan.settings.deduplicationHorizonTicks
        }
        for draft in joinDrafts {
            plan.joins[draft.number].left.copies = draft.left.copies
            plan.joins[draft.number].right.copies = draft.right.copies
        }
        plan.stages = stages.map { $0.plan() }
        for source in sources {
            let prologue = StageDraft.link(source.prologue)
            var made = SourcePlan(input: source.input, stage: source.stage.number)
            made.loads = source.loads
            made.prologue = prologue.instructions
            made.spans = prologue.spans
            made.timeSlot = source.timeSlot
            made.timelineSlots = source.timelineSlots
            made.deviceSlots = source.deviceSlots
            made.hasTypes = source.hasTypes
            plan.sources.append(made)
            // Devices that wait for each other are out of order among themselves.
            let isLoose =
                plan.settings.timePolicy.outOfOrderToleranceTicks > 0 || !source.deviceSlots.isEmpty
            if source.timeSlot != nil, source.stage.needsOrder, isLoose {
                plan.stages[source.stage.number].isSorted = true
            }
            if source.timeSlot == nil, source.stage.readsTime || !source.stage.listeners.isEmpty {
                plan.needsArrivalTime = true
            }
        }
        for stage in stages where stage.needsOrder && stage.feederCount > 1 {
            plan.stages[stage.number].isSorted = true
        }
    }
}

extension EmitColumn {
    var slot: Int {
        switch self {
        case .named(_, let slot), .star(let slot): slot
        }
    }
}
