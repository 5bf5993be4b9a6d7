import QueryLanguage

/// A stage at work: its frame, its code, and rows that wait.
///
/// Raw pointers: the stage owns frame, code, operands and the bytes of its constants, and frees them in
/// deinit.
final class StageRuntime {
    struct Code {
        let instructions: UnsafeMutablePointer<Instruction>
        let count: Int
        let spans: [SourceSpan]
        /// By instruction, where a row goes on that fails there; empty: it does not.
        var resumes: [Int32] = []
    }

    let number: Int
    let frame: UnsafeMutablePointer<Datum>
    let body: Code
    let condition: Code
    let conditionSlot: Int?
    let operands: UnsafeMutablePointer<Int32>
    let listeners: [StageListener]
    let sort: SortBuffer?
    /// By feeder, how far its time is.
    var feederTimes: [Int64]
    private var constantBytes: [UnsafeMutableRawBufferPointer] = []

    init(number: Int, plan: StagePlan, limits: StreamLimits) {
        self.number = number
        let program = plan.program
        frame = .allocate(capacity: max(program.slotCount, 1))
        frame.initialize(repeating: .null, count: max(program.slotCount, 1))
        body = Self.code(program.instructions, plan.spans, plan.resumes)
        condition = Self.code(plan.condition, plan.conditionSpans)
        conditionSlot = plan.conditionSlot
        operands = .allocate(capacity: max(program.operands.count, 1))
        for (index, operand) in program.operands.enumerated() { operands[index] = operand }
        listeners = plan.listeners
        sort = plan.isSorted ? SortBuffer(slots: plan.carried, limit: limits.sortedRowsMax) : nil
        feederTimes = Array(repeating: Int64.min, count: max(plan.feederCount, 1))
        for constant in program.constants { frame[constant.slot] = datum(constant.value) }
    }

    deinit {
        frame.deallocate()
        body.instructions.deallocate()
        condition.instructions.deallocate()
        operands.deallocate()
        for bytes in constantBytes { bytes.deallocate() }
    }

    static func code(
        _ instructions: [Instruction], _ spans: [SourceSpan], _ resumes: [Int32] = []
    ) -> Code {
        let memory = UnsafeMutablePointer<Instruction>.allocate(capacity: max(instructions.count, 1))
        for (index, instruction) in instructions.enumerated() {
            (memory + index).initialize(to: instruction)
        }
        return Code(
            instructions: memory, count: instructions.count, spans: spans, resumes: resumes)
    }

    private func datum(_ constant: ConstantValue) -> Datum {
        switch constant {
        case .null: return .null
        case .bigint(let value): return Datum(value)
        case .float(let bits): return Datum(Double(bitPattern: bits))
        case .bit(let value): return Datum(value)
        case .text(let text):
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(text.count, 1), alignment: 8)
            bytes.copyBytes(from: text)
            constantBytes.append(bytes)
            return Datum(.text, UnsafeRawBufferPointer(rebasing: bytes[..<text.count]))
        }
    }
}

/// An input with its event time, at work.
///
/// Raw pointer: the source owns its prologue's code and frees it in deinit.
final class SourceRuntime {
    let plan: SourcePlan
    let prologue: StageRuntime.Code
    let isPartitioned: Bool
    /// Keys of timelines, when there are many.
    let keys: KeyTable
    /// By timeline, the greatest accepted event time; `Int64.min` before the first.
    @exclusivity(unchecked) var greatest: [Int64] = [Int64.min]
    /// The least time of any timeline, raised by ticks.
    @exclusivity(unchecked) var floor = Int64.min
    /// The times of devices, when `floor` is the least of them too.
    let minimum: MinimumTime?
    /// With it, the `floor` that the stage knows of.
    @exclusivity(unchecked) var told = Int64.min
    /// The stage that its events run through.
    let runtime: StageRuntime
    /// The stage's body, when it only groups properties.
    let grouping: PropertyGrouping?
    /// The same.
    let keptGrouping: Kept<PropertyGrouping>?
    /// The windows of the only GROUP BY that listens to the stage and that nothing listens to: time that closes none
    /// of them need not go on.
    let leaf: Kept<PaneWindows>?
    private let leafWindows: PaneWindows?
    /// Time and timeline are those that the hub knows, and the body groups properties: nothing of the payload is
    /// needed before that.
    let isDirect: Bool
    /// The input's names of events, when they are remembered for a time only.
    @exclusivity(unchecked) var forgetful: Kept<DuplicateFilter>?
    /// By device number, its timeline; −1 when it is not known yet.
    @exclusivity(unchecked) var timelineOfDevice: [Int32] = []

    /// −1: the arrival time.
    let timeSlot: Int
    let tolerance: Int64
    let loads: UnsafeMutablePointer<SlotCopy>
    let loadCount: Int

    init(
        _ plan: SourcePlan, _ settings: StreamSettings, runtime: StageRuntime, grouping: PropertyGrouping?,
        leaf: PaneWindows?, limits: StreamLimits
    ) {
        keys = KeyTable(hashKey: limits.hashKey)
        minimum =
            plan.deviceSlots.isEmpty
            ? nil : settings.minimumWatermark.map { MinimumTime($0, limits: limits) }
        self.plan = plan
        self.runtime = runtime
        self.grouping = grouping
        keptGrouping = grouping.map { Kept($0) }
        leafWindows = leaf
        self.leaf = leaf.map { Kept($0) }
        timeSlot = plan.timeSlot ?? -1
        tolerance = plan.timeSlot == nil ? 0 : settings.timePolicy.outOfOrderToleranceTicks
        loadCount = plan.loads.count
        loads = .allocate(capacity: max(loadCount, 1))
        for (index, load) in plan.loads.enumerated() { (loads + index).initialize(to: load) }
        prologue = StageRuntime.code(plan.prologue, plan.spans)
        isPartitioned = !plan.timelineSlots.isEmpty
        func property(_ slot: Int?) -> EventProperty? {
            plan.loads.first { $0.to == slot && $0.from < -1 }.flatMap {
                EventProperty(rawValue: EventProperty.number(ofField: $0.from))
            }
        }
        isDirect =
            grouping != nil && plan.prologue.isEmpty && property(plan.timeSlot) == .eventTime
            && plan.timelineSlots.count == 1 && property(plan.timelineSlots[0]) == .device
        if isPartitioned { greatest = [] }
    }

    deinit {
        prologue.instructions.deallocate()
        loads.deallocate()
    }
}

/// An input at work: its decoder, and what its events feed.
final class InputRuntime {
    let decoder: InputDecoder
    let needsDecoding: Bool
    let duplicates: DuplicateFilter?
    let keptDuplicates: Kept<DuplicateFilter>?
    /// Slots of the fields that name an event.
    let names: [Int]
    let sources: [SourceRuntime]
    /// The only of `sources`, when there is one.
    let onlySource: Kept<SourceRuntime>?
    /// The payload is read by its only source.
    let isDirect: Bool
    /// Events that were decoded ahead bring their time along, and the key of this group when there is one.
    let isPlain: Bool
    let plainGroup: Kept<GroupRuntime>?

    init(
        _ plan: InputPlan, _ decoder: InputDecoder, _ sources: [SourceRuntime], _ plain: PlainEvents?,
        _ groups: [GroupRuntime]
    ) {
        self.decoder = decoder
        self.sources = sources
        onlySource = sources.count == 1 ? Kept(sources[0]) : nil
        needsDecoding = !plan.fields.isEmpty || plan.needsPayload
        names = plan.deduplication
        duplicates = names.isEmpty ? nil : DuplicateFilter(horizon: plan.deduplicationHorizonTicks)
        keptDuplicates = duplicates.map { Kept($0) }
        if plan.deduplicationHorizonTicks != nil {
            for source in sources { source.forgetful = keptDuplicates }
        }
        isDirect = sources.count == 1 && sources[0].isDirect && plan.fields.isEmpty && names.isEmpty
        isPlain = plain != nil && sources.count == 1 && sources[0].grouping == nil
        plainGroup = isPlain ? plain?.group.map { Kept(groups[$0]) } : nil
    }
}

/// GROUP BY at work.
final class GroupRuntime {
    let plan: GroupPlan
    let state: GroupState
    let windows: [WindowOperator]
    /// The windows when they are of one kind and made of panes, which most are.
    let onlyPanes: PaneWindows?
    let keptPanes: Kept<PaneWindows>?
    let keySlots: [Int]

    init(_ plan: GroupPlan, limits: StreamLimits, arena: ByteArena) {
        self.plan = plan
        state = GroupState(measures: plan.measures, limits: limits, arena: arena)
        keySlots = plan.keySlots
        windows = plan.windows.map { [state] in WindowOperator.make($0, plan, state, limits) }
        onlyPanes = windows.count == 1 ? windows[0] as? PaneWindows : nil
        keptPanes = onlyPanes.map { Kept($0) }
    }
}

/// A loop over reference rows or elements while the program runs.
struct LoopState {
    /// Of reference data the row in hand, −1 behind the last one.
    var at = 0
    /// Rows that are found are not all equal to what is looked for.
    var isLoose = false
    var isMatched = false
    var elements: UnsafeMutablePointer<Datum>?
    var count = 0
}
