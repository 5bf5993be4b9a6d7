import QueryLanguage
import Telemetry

/// A stage that does nothing but `CROSS APPLY GetRecordProperties(payload)`, a WHERE, and GROUP BY a timeline's
/// keys and the property's name, done in one scan of the payload: no row is made for a property.
///
/// The plan says whether a stage is one (`init` gives nil when not), never its text. What makes it fast:
/// - a WHERE that reads the name and, through GetType, the value's type has one answer for each name and type, which
///   is computed once, by the interpreter;
/// - a group is the timeline's pane and the name's number; its key is made when the group is.
///
/// All else (a full table of names, above all) goes through the interpreter, with the same result.
///
/// Raw pointers: this class owns the names' bytes and the pending properties, and frees them in deinit.
final class PropertyGrouping {
    struct Pending {
        var name: UInt32
        var value: Datum
    }
    /// What the WHERE says of one name, a bit for each type of value.
    private struct Verdict {
        var known: UInt8 = 0
        var passes: UInt8 = 0
    }
    /// Where a name stood in the record in hand.
    private struct Mark {
        var record: UInt64
        var index: Int
    }

    let group: GroupRuntime
    let windows: [PaneWindows]
    /// The windows of the only kind, when there is one.
    fileprivate let onlyWindow: Kept<PaneWindows>?
    let nameSlot: Int
    let valueSlot: Int
    /// The WHERE; it passes when the name's slot holds a bit afterwards (`code(of:)`).
    let filter: StageRuntime.Code
    /// Number of the aggregate instruction, whose place in the text failures have.
    let aggregateAt: Int
    /// Slot of the record.
    let recordSlot: Int

    private let names: FieldNames
    @exclusivity(unchecked) private var nameBytes: [UnsafeMutableRawBufferPointer] = []
    @exclusivity(unchecked) private var verdicts: [Verdict] = []
    @exclusivity(unchecked) private var marks: [Mark] = []
    @exclusivity(unchecked) private var recordNumber: UInt64 = 0
    @exclusivity(unchecked) private(set) var pending: UnsafeMutablePointer<Pending>
    @exclusivity(unchecked) private(set) var pendingCount = 0
    @exclusivity(unchecked) private var isRefused = false
    /// Place of the next field in the record.
    @exclusivity(unchecked) private var place = 0
    private static let pendingMax = 1_024

    enum Scan {
        case taken
        case notJSON
        /// The interpreter takes the record.
        case refused
    }

    /// - Returns: nil when the stage is not of this form.
    init?(
        stage: StageRuntime, plan: StagePlan, source: SourcePlan, groups: [GroupRuntime], limits: StreamLimits
    ) {
        let code = plan.program.instructions
        guard code.count >= 4, code[0].operation == .applyBegin, code[0].right == 0, !plan.isSorted,
            code[1].operation == .applyNext, Int(code[1].result) == code.count,
            code[code.count - 1].operation == .jump, code[code.count - 1].target == 1,
            code[code.count - 2].operation == .aggregate,
            source.loads.contains(where: {
                $0.to == Int(code[0].left) && $0.from == QueryPlanner.payloadField
            })
        else { return nil }
        aggregateAt = code.count - 2
        recordSlot = Int(code[0].left)
        let (nameSlot, valueSlot) = (Int(code[1].left), Int(code[1].right))
        self.nameSlot = nameSlot
        self.valueSlot = valueSlot
        let group = groups[Int(code[aggregateAt].target)]
        self.group = group
        let panes = group.windows.compactMap { $0 as? PaneWindows }
        var keys = Set(source.timelineSlots)
        guard panes.count == group.windows.count, !keys.isEmpty else { return nil }
        windows = panes
        onlyWindow = panes.count == 1 ? Kept(panes[0]) : nil
        keys.insert(nameSlot)
        let isPlain = group.plan.measures.allSatisfy { measure in
            [.numeric, .count, .moments].contains(measure.kind)
                && [-1, nameSlot, valueSlot].contains(measure.argument)
        }
        guard Set(group.keySlots) == keys, group.keySlots.count == keys.count, isPlain,
            let filter = Self.filter(code, plan.program, nameSlot: nameSlot, valueSlot: valueSlot)
        else { return nil }
        self.filter = StageRuntime.code(filter, Array(plan.spans[2..<aggregateAt]))
        names = FieldNames(limits: limits)
        pending = .allocate(capacity: Self.pendingMax)
    }

    deinit {
        filter.instructions.deallocate()
        pending.deallocate()
        for bytes in nameBytes { bytes.deallocate() }
    }

    /// The WHERE as code of its own, when it reads nothing but the name, constants and the value's type.
    private static func filter(
        _ code: [Instruction], _ program: Program, nameSlot: Int, valueSlot: Int
    ) -> [Instruction]? {
        let end = code.count - 2
        var readable = Set(program.constants.map(\.slot))
        readable.insert(nameSlot)
        var filter: [Instruction] = []
        for at in 2..<end {
            var step = code[at]
            let (left, right) = (Int(step.left), Int(step.right))
            switch step.operation {
            case .jump, .jumpUnlessTrue, .jumpIfTrue, .jumpIfNotNull, .jumpUnlessEqual, .jumpUnlessNotEqual,
                .jumpUnlessLess, .jumpUnlessLessOrEqual, .jumpUnlessGreater, .jumpUnlessGreaterOrEqual:
                let isUnary = [.jumpUnlessTrue, .jumpIfTrue, .jumpIfNotNull].contains(step.operation)
                let reads = step.operation == .jump ? [] : isUnary ? [left] : [left, right]
                guard reads.allSatisfy(readable.contains), (2...end + 1).contains(Int(step.target)) else {
                    return nil
                }
                step.target -= 2
            case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual, .like:
                guard readable.contains(left), readable.contains(right) else { return nil }
                readable.insert(Int(step.result))
            case .move, .truth, .not, .isNull, .isNotNull:
                guard readable.contains(left) else { return nil }
                readable.insert(Int(step.result))
            case .call:
                let arguments = (0..<right).map { Int(program.operands[left + $0]) }
                let isType = ScalarFunction.allCases[Int(step.target)] == .getType
                guard arguments.allSatisfy({ readable.contains($0) || (isType && $0 == valueSlot) }) else {
                    return nil
                }
                readable.insert(Int(step.result))
            default: return nil
            }
            guard Int(step.result) != nameSlot || isJump(step.operation) else { return nil }
            filter.append(step)
        }
        // Reached when the row passes: a name is a text, so a bit in its place says it. A row that does not pass
        // goes on behind this.
        filter.append(Instruction(.isNotNull, result: nameSlot, left: nameSlot))
        return filter
    }

    private static func isJump(_ operation: Operation) -> Bool {
        operation.rawValue <= Operation.jumpUnlessGreaterOrEqual.rawValue
    }

    // MARK: The scan

    /// Reads the record's properties into `pending`: of a name that comes twice the last value, at its first place.
    func scan(_ payload: UnsafeRawBufferPointer, _ arena: ByteArena) -> Scan {
        pendingCount = 0
        isRefused = false
        place = 0
        recordNumber += 1
        let isJSON = JSONFieldScanner.forEachTopLevelField(payload) { raw, scalar in
            self.offer(raw, scalar, arena)
        }
        if !isJSON || !InputDecoder.isObject(payload) {
            pendingCount = 0
            return .notJSON
        }
        return isRefused ? .refused : .taken
    }

    @inline(__always)
    private func offer(_ raw: UnsafeRawBufferPointer, _ scalar: JSONScalar, _ arena: ByteArena) {
        place += 1
        guard let number = names.number(of: raw, at: place - 1) else {
            isRefused = true
            return
        }
        let name = Int(number)
        if name >= verdicts.count { learn(upTo: name) }
        let value = RecordFunctions.datum(scalar, arena)
        if marks[name].record == recordNumber {
            pending[marks[name].index].value = value
            return
        }
        let bit: UInt8 = 1 << value.kind.rawValue
        let verdict = verdicts[name]
        if verdict.known & ~verdict.passes & bit != 0 { return }
        guard pendingCount < Self.pendingMax else {
            isRefused = true
            return
        }
        marks[name] = Mark(record: recordNumber, index: pendingCount)
        pending[pendingCount] = Pending(name: number, value: value)
        pendingCount += 1
    }

    private func learn(upTo name: Int) {
        while nameBytes.count <= name {
            let text = Array(names.names[nameBytes.count].utf8)
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(text.count, 1), alignment: 8)
            copy.copyBytes(from: text)
            nameBytes.append(UnsafeMutableRawBufferPointer(rebasing: copy[..<text.count]))
            verdicts.append(Verdict())
            marks.append(Mark(record: 0, index: 0))
        }
    }

    func name(_ number: UInt32) -> Datum {
        Datum(.text, UnsafeRawBufferPointer(nameBytes[Int(number)]))
    }

    /// What is known of a property: whether it passes; nil when the WHERE has to be asked.
    @inline(__always)
    func passes(_ property: Pending) -> Bool? {
        let bit: UInt8 = 1 << property.value.kind.rawValue
        let verdict = verdicts[Int(property.name)]
        return verdict.known & bit == 0 ? nil : verdict.passes & bit != 0
    }

    func remember(_ property: Pending, passes: Bool) {
        let bit: UInt8 = 1 << property.value.kind.rawValue
        verdicts[Int(property.name)].known |= bit
        if passes { verdicts[Int(property.name)].passes |= bit }
    }
}

extension StreamEngine {
    /// Runs the body of a stage that groups properties, for an accepted row.
    ///
    /// Of a direct source, the event's fields are put into the frame only when they are needed.
    ///
    /// - Returns: whether the payload is a JSON object.
    func group(
        _ grouping: PropertyGrouping, _ event: StreamEvent, _ row: RowContext, _ source: SourceRuntime,
        _ slots: UnsafeMutablePointer<Datum>
    ) -> Bool {
        let stage = source.runtime
        switch grouping.scan(event.payload, arena) {
        case .taken: break
        case .notJSON: return false
        case .refused:
            if source.isDirect { load(event, source, slots, stage.frame, isJSON: true) }
            var row = row
            if !run(stage.body, stage, &row) { note(stage.body, row) }
            return true
        }
        let frame = stage.frame
        var isLoaded = !source.isDirect
        var hasBegun = false
        for index in 0..<grouping.pendingCount {
            let property = grouping.pending[index]
            guard let passes = grouping.passes(property) ?? ask(grouping, property, stage, row) else {
                return true
            }
            guard passes else { continue }
            if !hasBegun {
                // Not before: a window is never empty.
                if let window = grouping.onlyWindow {
                    window.use { $0.begin(row) }
                } else {
                    for window in grouping.windows { window.begin(row) }
                }
                hasBegun = true
            }
            frame[grouping.nameSlot] = grouping.name(property.name)
            frame[grouping.valueSlot] = property.value
            var failed: RowFailure?
            if let window = grouping.onlyWindow {
                failed = window.use { window in
                    let cell = window.cell(tag: property.name)
                    if cell >= 0 { return window.add(row, frame, to: cell) }
                    return addNew(property.name, to: window, grouping, event, row, source, slots, &isLoaded)
                }
            } else {
                for window in grouping.windows where failed == nil {
                    let cell = window.cell(tag: property.name)
                    failed =
                        cell >= 0
                        ? window.add(row, frame, to: cell)
                        : addNew(property.name, to: window, grouping, event, row, source, slots, &isLoaded)
                }
            }
            if let failed {
                context.failure = failed
                failedAt = grouping.aggregateAt
                note(stage.body, row)
                return true
            }
        }
        return true
    }

    /// Adds the property in the frame to a group that the window does not know by its tag.
    private func addNew(
        _ name: UInt32, to window: PaneWindows, _ grouping: PropertyGrouping, _ event: StreamEvent,
        _ row: RowContext, _ source: SourceRuntime, _ slots: UnsafeMutablePointer<Datum>,
        _ isLoaded: inout Bool
    ) -> RowFailure? {
        let frame = source.runtime.frame
        if !isLoaded {
            load(event, source, slots, frame, isJSON: true)
            isLoaded = true
        }
        key.removeAll()
        for slot in grouping.group.keySlots { GroupKey.append(frame[slot], to: &key) }
        let cell = window.cell(tag: name, key: key.bytes, hash: GroupKey.hash(key.bytes, limits.hashKey))
        return cell < 0 ? .limit : window.add(row, frame, to: cell)
    }

    /// Runs the WHERE for one property; nil when it failed, which ends the record.
    private func ask(
        _ grouping: PropertyGrouping, _ property: PropertyGrouping.Pending, _ stage: StageRuntime,
        _ row: RowContext
    ) -> Bool? {
        stage.frame[grouping.nameSlot] = grouping.name(property.name)
        stage.frame[grouping.valueSlot] = property.value
        var row = row
        guard run(grouping.filter, stage, &row) else {
            note(grouping.filter, row)
            return nil
        }
        let passes = stage.frame[grouping.nameSlot].kind == .bit
        grouping.remember(property, passes: passes)
        return passes
    }
}
