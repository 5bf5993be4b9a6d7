import QueryLanguage

/// Instructions while they are written: what runs for the rows that got here. A filter makes a block inside
/// the block, and whoever reads the filtered rows later writes into the inner one.
final class CodeBlock {
    enum Item {
        case instruction(Instruction, SourceSpan)
        case label(Int)
        case block(CodeBlock)
    }

    private(set) var items: [Item] = []
    /// Labels at the end of the block, whatever is appended before.
    var endLabels: [Int] = []
    let parent: CodeBlock?
    /// What fails in here fails for who reads these rows, and for nobody else: the row goes on behind the block.
    let isOwn: Bool
    /// Runs more than once for a row; what fails in here ends all the rounds.
    var isLoop = false
    /// Slots that hold a field of a value already, by what they are; seen by the blocks inside.
    private var known: [String: Int] = [:]

    init(inside parent: CodeBlock? = nil, isOwn: Bool = false) {
        self.parent = parent
        self.isOwn = isOwn
    }

    func append(_ instruction: Instruction, _ span: SourceSpan) {
        items.append(.instruction(instruction, span))
    }

    func append(label: Int) { items.append(.label(label)) }

    func append(_ block: CodeBlock) { items.append(.block(block)) }

    func slot(of text: String) -> Int? { known[text] ?? parent?.slot(of: text) }

    func remember(_ text: String, _ slot: Int) { known[text] = slot }
}

/// A stage while it is planned.
final class StageDraft {
    let number: Int
    let root = CodeBlock()
    /// What rows bring along: decoded fields of a source, columns of an operator.
    private(set) var carried: [Int] = []
    private(set) var slotCount = 0
    private var constants: [ConstantValue: Int] = [:]
    private var constantOrder: [ProgramConstant] = []
    private(set) var operands: [Int32] = []
    private var labelCount = 0
    /// What the program does depends on the order of the rows.
    var needsOrder = false
    /// System.Timestamp() is asked for.
    var readsTime = false
    var listeners: [StageListener] = []
    var feederCount = 1
    let condition = CodeBlock()
    var conditionSlot: Int?

    init(number: Int) { self.number = number }

    func newSlot() -> Int {
        slotCount += 1
        return slotCount - 1
    }

    /// A slot that rows of this stage bring along.
    func newCarriedSlot() -> Int {
        let slot = newSlot()
        carried.append(slot)
        return slot
    }

    func newLabel() -> Int {
        labelCount += 1
        return labelCount - 1
    }

    func constant(_ value: ConstantValue) -> Int {
        if let slot = constants[value] { return slot }
        let slot = newSlot()
        constants[value] = slot
        constantOrder.append(ProgramConstant(slot: slot, value: value))
        return slot
    }

    func addOperands(_ slots: [Int]) -> Int {
        operands.append(contentsOf: slots.map { Int32($0) })
        return operands.count - slots.count
    }

    func plan() -> StagePlan {
        var stage = StagePlan()
        let body = Self.link(root)
        let test = Self.link(condition)
        stage.program = Program(
            instructions: body.instructions, operands: operands, slotCount: slotCount,
            constants: constantOrder)
        stage.spans = body.spans
        stage.resumes = body.resumes
        stage.condition = test.instructions
        stage.conditionSpans = test.spans
        stage.conditionSlot = conditionSlot
        stage.carried = carried
        stage.listeners = listeners
        stage.feederCount = feederCount
        return stage
    }

    /// Instructions with where each stands in the text, and where the row goes on when it fails there.
    struct Linked {
        var instructions: [Instruction] = []
        var spans: [SourceSpan] = []
        var resumes: [Int32] = []
    }

    /// Puts blocks behind each other and labels into the instructions that jump there.
    static func link(_ block: CodeBlock) -> Linked {
        let (made, places) = flattened(block)
        var linked = made
        for index in linked.instructions.indices {
            place(&linked.instructions[index], places)
        }
        return linked
    }

    private static func flattened(_ block: CodeBlock) -> (Linked, [Int32: Int32]) {
        var linked = Linked()
        var places: [Int32: Int32] = [:]
        /// By own block, where it ends; the first is the whole.
        var ends: [Int32] = [0]
        func flatten(_ block: CodeBlock, owner: Int, isLoop: Bool) {
            for item in block.items {
                switch item {
                case .instruction(let instruction, let span):
                    linked.instructions.append(instruction)
                    linked.spans.append(span)
                    linked.resumes.append(Int32(owner))
                case .label(let label): places[Int32(label)] = Int32(linked.instructions.count)
                case .block(let inner):
                    let isLoop = isLoop || inner.isLoop
                    let own = inner.isOwn && !isLoop ? ends.count : owner
                    if own != owner { ends.append(0) }
                    flatten(inner, owner: own, isLoop: isLoop)
                    if own != owner { ends[own] = Int32(linked.instructions.count) }
                }
            }
            for label in block.endLabels { places[Int32(label)] = Int32(linked.instructions.count) }
        }
        flatten(block, owner: 0, isLoop: false)
        ends[0] = Int32(linked.instructions.count)
        linked.resumes = linked.resumes.map { ends[Int($0)] }
        return (linked, places)
    }

    private static func place(_ instruction: inout Instruction, _ places: [Int32: Int32]) {
        switch instruction.operation {
        case .jump, .jumpUnlessTrue, .jumpIfTrue, .jumpIfNotNull, .jumpUnlessEqual, .jumpUnlessNotEqual,
            .jumpUnlessLess, .jumpUnlessLessOrEqual, .jumpUnlessGreater, .jumpUnlessGreaterOrEqual:
            instruction.target = places[instruction.target] ?? 0
        case .applyNext: instruction.result = places[instruction.result] ?? 0
        case .lookupNext:
            instruction.left = places[instruction.left] ?? 0
            instruction.right = places[instruction.right] ?? 0
        default: break
        }
    }
}

/// A source while it is planned: an input with its event time, and the stage that its events run.
final class SourceDraft {
    let input: Int
    let stage: StageDraft
    let prologue = CodeBlock()
    var timeSlot: Int?
    var timelineSlots: [Int] = []
    /// Of `MinimumWatermark`.
    var deviceSlots: [Int] = []
    var hasTypes = false
    private(set) var loads: [SlotCopy] = []
    private var slots: [Int: Int] = [:]

    init(input: Int, stage: StageDraft) {
        self.input = input
        self.stage = stage
    }

    /// The slot of a decoded field.
    func slot(ofField field: Int) -> Int {
        if let slot = slots[field] { return slot }
        let slot = stage.newCarriedSlot()
        slots[field] = slot
        loads.append(SlotCopy(from: field, to: slot))
        return slot
    }
}

/// Rows while they are planned: where code for them goes, and what their columns are called.
final class Relation {
    enum Column {
        case named(String, slot: Int)
        /// Fields of whatever name: of an input's payload, or of a record.
        case open(Open)
    }
    enum Open {
        case input(SourceDraft)
        case record(slot: Int)
        /// Columns of reference data.
        case lookup(LookupDraft)
        /// The columns of a relation on one side of a join of streams, fetched as they are asked for.
        case side(StreamJoinDraft.Side, Relation)
    }

    let stage: StageDraft
    let block: CodeBlock
    var columns: [Column]
    /// Slots of PARTITION BY, which divide every group.
    var partition: [Int] = []
    /// Slots of TIMESTAMP BY … OVER, of which every group and partition must be made.
    var timeline: [(text: String, slot: Int)] = []
    var tree: PlanTree

    init(stage: StageDraft, block: CodeBlock, columns: [Column], tree: PlanTree) {
        self.stage = stage
        self.block = block
        self.columns = columns
        self.tree = tree
    }

    var open: Open? {
        for case .open(let open) in columns { return open }
        return nil
    }

    var source: SourceDraft? {
        if case .input(let source) = open { return source }
        return nil
    }

    /// Whether a name is that of a column for certain.
    func knows(_ name: String) -> Bool {
        if case .side(_, let relation) = open { return relation.knows(name) }
        return named(name) != nil
    }

    /// Whether columns of any name may be there.
    var isOpen: Bool {
        if case .side(_, let relation) = open { return relation.isOpen }
        return open != nil
    }

    /// The named column: the exact name, else the only one that differs in case.
    func named(_ name: String) -> Int? {
        var similar: [Int] = []
        for case .named(let column, let slot) in columns {
            if column.utf8.elementsEqual(name.utf8) { return slot }
            if column.lowercased() == name.lowercased() { similar.append(slot) }
        }
        return similar.count == 1 ? similar[0] : nil
    }

    var names: [String] {
        if case .side(_, let relation) = open { return relation.names }
        return columns.compactMap { if case .named(let name, _) = $0 { name } else { nil } }
    }

    /// The same columns for code elsewhere.
    func moved(to block: CodeBlock) -> Relation {
        let relation = Relation(stage: stage, block: block, columns: columns, tree: tree)
        relation.partition = partition
        relation.timeline = timeline
        return relation
    }
}
