import QueryLanguage
import Telemetry

// The interpreter: one loop over the instructions of a stage, for the row in its frame.
extension StreamEngine {
    /// Runs code on a stage's frame.
    ///
    /// A row that fails for one SELECT is noted, and goes on to the others.
    ///
    /// - Returns: false when the row failed and cannot go on: `context.failure` says why, `failedAt` where.
    func run(_ code: StageRuntime.Code, _ stage: StageRuntime, _ row: inout RowContext) -> Bool {
        let frame = stage.frame
        let instructions = code.instructions
        let count = code.count
        var at = 0
        while at < count {
            let step = instructions[at]
            at += 1
            let left = Int(step.left)
            let right = Int(step.right)
            switch step.operation {
            case .jump: at = Int(step.target)
            case .jumpUnlessTrue: if !frame[left].isTrue { at = Int(step.target) }
            case .jumpIfTrue: if frame[left].isTrue { at = Int(step.target) }
            case .jumpIfNotNull: if !frame[left].isNull { at = Int(step.target) }
            case .jumpUnlessEqual:
                if Datum.compare(frame[left], frame[right]) != 0 { at = Int(step.target) }
            case .jumpUnlessNotEqual:
                guard let order = Datum.compare(frame[left], frame[right]), order != 0 else {
                    at = Int(step.target)
                    continue
                }
            case .jumpUnlessLess:
                if Datum.compare(frame[left], frame[right]) != -1 { at = Int(step.target) }
            case .jumpUnlessLessOrEqual:
                guard let order = Datum.compare(frame[left], frame[right]), order <= 0 else {
                    at = Int(step.target)
                    continue
                }
            case .jumpUnlessGreater:
                if Datum.compare(frame[left], frame[right]) != 1 { at = Int(step.target) }
            case .jumpUnlessGreaterOrEqual:
                guard let order = Datum.compare(frame[left], frame[right]), order >= 0 else {
                    at = Int(step.target)
                    continue
                }
            case .applyBegin, .applyNext, .lookupBegin, .lookupNext, .lookupMatched:
                if let next = loop(step, stage) { at = next }
            case .aggregate, .emit, .join, .feed, .analytic:
                act(step, stage, &row)
                if hasFailed { return true }
            default: compute(step, stage, row)
            }
            if context.failure != nil {
                failedAt = at - 1
                if code.resumes.isEmpty { return false }
                note(code, row)
                if hasFailed { return true }
                at = Int(code.resumes[failedAt])
            }
        }
        return true
    }

    /// Instructions that make one value of others.
    @inline(__always)
    private func compute(_ step: Instruction, _ stage: StageRuntime, _ row: RowContext) {
        let frame = stage.frame
        let a = frame[Int(step.left)]
        let b = frame[Int(step.right)]
        let value: Datum
        switch step.operation {
        case .move: value = a
        case .equal: value = Datum(Datum.compare(a, b) == 0)
        case .notEqual: value = Datum(Datum.compare(a, b).map { $0 != 0 } ?? false)
        case .less: value = Datum(Datum.compare(a, b) == -1)
        case .lessOrEqual: value = Datum(Datum.compare(a, b).map { $0 <= 0 } ?? false)
        case .greater: value = Datum(Datum.compare(a, b) == 1)
        case .greaterOrEqual: value = Datum(Datum.compare(a, b).map { $0 >= 0 } ?? false)
        case .truth: value = Datum(a.isTrue)
        case .not: value = a.isNull ? .null : a.kind == .bit ? Datum(a.bits == 0) : context.fail(.operand)
        case .isNull: value = Datum(a.isNull)
        case .isNotNull: value = Datum(!a.isNull)
        case .add: value = Arithmetic.add(a, b, context)
        case .subtract: value = Arithmetic.subtract(a, b, context)
        case .multiply: value = Arithmetic.multiply(a, b, context)
        case .divide, .remainder: value = Arithmetic.mixed(step.operation, a, b, context)
        case .negate: value = Arithmetic.negate(a, context)
        case .bitAnd, .bitOr, .bitXor: value = Arithmetic.bitwise(step.operation, a, b, context)
        case .bitNot: value = Arithmetic.complement(a, context)
        case .rowTime: value = Datum(ticks: row.time)
        default: value = computeOther(step, stage, a, b)
        }
        frame[Int(step.result)] = value
    }

    private func computeOther(_ step: Instruction, _ stage: StageRuntime, _ a: Datum, _ b: Datum) -> Datum {
        switch step.operation {
        case .like: return like(a, b, isNegated: step.target == 1)
        case .cast, .tryCast:
            let type = SQLType.allCases[Int(step.target)]
            if let made = Cast.convert(a, to: type, arena) { return made }
            return step.operation == .tryCast ? .null : context.fail(.cast)
        case .conform:
            let type = SQLType.allCases[Int(step.target)]
            return Cast.conform(a, to: type, isText: event?.isText ?? false, arena) ?? context.fail(.type)
        case .field:
            return RecordFunctions.field(UnsafeRawBufferPointer(fieldNames[Int(step.target)]), of: a, arena)
        case .element: return RecordFunctions.element(b, of: a, arena)
        case .call: return call(step, stage)
        case .record: return record(step, stage)
        default: return .null
        }
    }

    private func like(_ text: Datum, _ pattern: Datum, isNegated: Bool) -> Datum {
        if text.isNull || pattern.isNull { return Datum(false) }
        guard let subject = TextFunctions.text(text, context), pattern.kind == .text else {
            return context.fail(.operand)
        }
        guard let compiled = context.patterns.like(pattern.bytes) else { return context.fail(.limit) }
        return Datum(compiled.matches(subject) != isNegated)
    }

    private func call(_ step: Instruction, _ stage: StageRuntime) -> Datum {
        let arguments = Arguments(
            frame: stage.frame, slots: UnsafePointer(stage.operands + Int(step.left)), count: Int(step.right))
        let function = ScalarFunction.allCases[Int(step.target)]
        if function.isStrict {
            for index in 0..<arguments.count where arguments[index].isNull { return .null }
        }
        switch function {
        case .abs, .ceiling, .exp, .floor, .power, .round, .sign, .square, .sqrt:
            return NumberFunctions.call(function, arguments, context)
        case .nullIf:
            return Datum.compare(arguments[0], arguments[1]) == 0 ? .null : arguments[0]
        case .getType:
            let name = arguments[0].typeName
            return Datum(.text, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        case .dateAdd, .dateDifference, .dateName, .datePart, .dateTimeFromParts:
            return DateFunctions.call(function, arguments, context)
        case .getArrayElement, .getArrayLength, .getRecordPropertyValue, .parseJSON, .createPoint, .distance,
            .within:
            return RecordFunctions.call(function, arguments, context)
        default: return TextFunctions.call(function, arguments, context)
        }
    }

    /// A record of named slots; a slot without name stands for all fields of its record. The left of two
    /// columns with one name stands.
    private func record(_ step: Instruction, _ stage: StageRuntime) -> Datum {
        var bytes: [UInt8] = [0x7B]
        var used: Set<[UInt8]> = []
        let names = plan.shapes[Int(step.target)]
        func append(_ name: [UInt8], _ value: (inout [UInt8]) -> Void) {
            guard used.insert(name).inserted else { return }
            if bytes.count > 1 { bytes.append(0x2C) }
            name.withUnsafeBytes { JSONText.append(utf8: $0, to: &bytes) }
            bytes.append(0x3A)
            value(&bytes)
        }
        for (index, name) in names.enumerated() {
            let value = stage.frame[Int(stage.operands[Int(step.left) + index])]
            if !name.isEmpty {
                append(Array(name.utf8)) { value.appendJSON(to: &$0) }
            } else if value.kind == .record {
                _ = JSONFieldScanner.forEachTopLevelField(value.bytes) { raw, scalar in
                    append(JSONBytes.resolved(raw)) {
                        RecordFunctions.datum(scalar, self.arena).appendJSON(to: &$0)
                    }
                }
            }
        }
        bytes.append(0x7D)
        return Datum(.record, arena.copy(bytes))
    }

    // MARK: Rows

    private func act(_ step: Instruction, _ stage: StageRuntime, _ row: inout RowContext) {
        let number = Int(step.target)
        switch step.operation {
        case .aggregate: aggregate(row, stage.frame, into: groups[number])
        case .emit:
            rows.append(number, row, stage.frame)
            row.ordinal += 1
            totals.rows += 1
        case .analytic:
            if let failed = analytics[number].evaluate(row, stage.frame, context) { context.failure = failed }
        case .feed:
            let feed = plan.feeds[number]
            let target = stages[feed.stage]
            for copy in feed.copies { target.frame[copy.to] = stage.frame[copy.from] }
            let mark = arena.mark
            pass(named(row, feeder: feed.feeder), target)
            arena.release(to: mark)
            row.ordinal += 1
        case .join:
            join(number, isRight: step.left == 1, stage, row)
            row.ordinal += 1
        default: break
        }
    }

    @inline(__always)
    private func aggregate(_ row: RowContext, _ frame: UnsafeMutablePointer<Datum>, into group: GroupRuntime)
    {
        key.removeAll()
        for slot in group.keySlots { GroupKey.append(frame[slot], to: &key) }
        let bytes = key.bytes
        let hash = GroupKey.hash(bytes, limits.hashKey)
        if let failed = add(row, frame, to: group, key: bytes, hash: hash) { context.failure = failed }
    }

    /// Adds a row to its group in every window.
    ///
    /// - Returns: what is wrong; nil when nothing is.
    @inline(__always)
    func add(
        _ row: RowContext, _ frame: UnsafeMutablePointer<Datum>, to group: GroupRuntime,
        key: UnsafeRawBufferPointer, hash: UInt64
    ) -> RowFailure? {
        if let refused = group.state.refusal(frame) { return refused }
        if let panes = group.keptPanes { return panes.use { $0.add(row, frame, key: key, hash: hash) } }
        var failure: RowFailure?
        for window in group.windows {
            if let failed = window.add(row, frame, key: key, hash: hash) { failure = failed }
        }
        return failure
    }

    /// The row as a step of several SELECTs has it: which of them it comes from, and which of its rows it is there,
    /// are part of its name, or rows of one event that come by two ways would have one name.
    private func named(_ row: RowContext, feeder: Int) -> RowContext {
        key.removeAll()
        GroupKey.append(Datum(Int64(feeder)), to: &key)
        GroupKey.append(Datum(Int64(row.ordinal)), to: &key)
        let name = arena.allocate(row.key.count + key.bytes.count)
        name.copyBytes(from: row.key)
        UnsafeMutableRawBufferPointer(rebasing: name[row.key.count...]).copyBytes(from: key.bytes)
        var named = row
        named.key = UnsafeRawBufferPointer(name)
        named.ordinal = 0
        return named
    }

    private func join(_ number: Int, isRight: Bool, _ stage: StageRuntime, _ row: RowContext) {
        let join = joins[number]
        let output = stages[join.plan.outputStage]
        let failed = join.add(
            row, stage.frame, isRight: isRight, output: output.frame,
            test: {
                guard let slot = output.conditionSlot else { return true }
                var tested = row
                guard self.run(output.condition, output, &tested) else { return nil }
                return output.frame[slot].isTrue
            },
            failed: { pair in
                // Only this pair: what either row has else goes on.
                self.note(output.condition, row, of: pair)
                return !self.hasFailed
            },
            body: { context in
                self.pass(context, output)
                return nil
            })
        if let failed { context.failure = failed }
    }

    // MARK: Failures

    /// What becomes of a row that failed.
    ///
    /// - Parameter pair: the rows of a join, when only these two cannot be joined; `row` is the one in hand.
    func note(_ code: StageRuntime.Code, _ row: RowContext, of pair: RowContext? = nil) {
        guard let reason = context.failure else { return }
        context.failure = nil
        note(reason, code.spans.indices.contains(failedAt) ? code.spans[failedAt] : nil, row, of: pair)
    }

    func note(_ reason: RowFailure, _ span: SourceSpan?, _ row: RowContext, of pair: RowContext? = nil) {
        var failed = QueryFailure(reason, span)
        if row.kind == .event {
            failed.device = row.device
            failed.sequence = row.sequence
            // A row that waited is not the event in hand.
            if let event, event.device == row.device, event.sequence == row.sequence {
                failed.input = plan.inputs[event.input].name
                failed.payload = payloadText(event.payload)
            }
        }
        if row.kind != .event, row.kind != .join {
            var text: [UInt8] = [0x5B]
            GroupKey.forEach(in: row.key, arena: arena) { index, value in
                if index > 0 { text.append(0x2C) }
                value.appendJSON(to: &text)
            }
            text.append(0x5D)
            failed.group = String(decoding: text, as: UTF8.self)
        }
        switch plan.settings.errorPolicy {
        case .stop: stop(failed)
        case .divert: divert(failed, row, pair)
        case .drop:
            totals.errors += 1
            lastDropped = failed
        }
    }

    /// The first failure stops the engine.
    func stop(_ failed: QueryFailure) { firstFailure = firstFailure ?? FirstFailure(failed) }

    /// The values of a key, as JSON with commas between.
    func text(ofKey key: UnsafeRawBufferPointer) -> String {
        var text: [UInt8] = []
        GroupKey.forEach(in: key, arena: arena) { index, value in
            if index > 0 { text.append(0x2C) }
            value.appendJSON(to: &text)
        }
        return String(decoding: text, as: UTF8.self)
    }

    func payloadText(_ payload: UnsafeRawBufferPointer) -> String? {
        guard payload.count <= limits.rowPayloadBytesMax else { return nil }
        return String(validating: payload, as: UTF8.self)
    }

    /// The row of `_errors`: at most one for each row or pair of rows, and place.
    private func divert(_ failed: QueryFailure, _ row: RowContext, _ pair: RowContext?) {
        totals.errors += 1
        let time = EventTime(
            ticks: min(max((pair ?? row).time, TimeRange.ticks.lowerBound), TimeRange.ticks.upperBound - 1))
        let place = failed.span.map { "\($0.line):\($0.column)" } ?? ""
        var columns: [Column] = []
        columns.append(Column("reason", .text(failed.reason?.rawValue ?? "")))
        columns.append(Column("message", .text(failed.text)))
        columns.append(Column("place", .text(place)))
        columns.append(Column("time", .time(time)))
        columns.append(Column("group", failed.group.map { .text($0) } ?? .null))
        let isEvent = row.kind == .event
        columns.append(Column("device", isEvent ? .text(deviceName(row.device).text) : .null))
        columns.append(Column("sequence", isEvent ? .bigint(Int64(truncatingIfNeeded: row.sequence)) : .null))
        columns.append(Column("payload", failed.payload.map { .text($0) } ?? .null))
        let name = "\(failed.input ?? "")|\(failed.device)|\(failed.sequence)|\(failed.group ?? "")|\(place)"
        let id = ResultID(
            query: plan.name, version: plan.version, output: StreamPlan.errorOutput,
            groupKey: Array(name.utf8) + (pair.map { Array($0.key) } ?? []),
            windowKind: failed.reason?.rawValue ?? "", start: time, end: time, revision: 0)
        rows.append(ResultRow(output: StreamPlan.errorOutput, id: id, time: time, columns: columns))
    }

    /// The row of `_late` of an event that the time policy refused.
    func divert(_ ticks: Int64, _ event: StreamEvent, _ reason: TimePolicy.Refusal, _ watermark: Int64) {
        let device = deviceName(event.device)
        let time = EventTime(ticks: ticks)
        var key: [UInt8] = []
        Value.array([.text(device.text), .bigint(Int64(truncatingIfNeeded: event.sequence))]).appendJSON(
            to: &key)
        let id = ResultID(
            query: plan.name, version: plan.version, output: StreamPlan.lateOutput, groupKey: key,
            windowKind: "passthrough", start: time, end: time, revision: 0)
        rows.append(
            ResultRow(
                output: StreamPlan.lateOutput, id: id, time: time,
                columns: [
                    Column("device", .text(device.text)), Column("reason", .text(reason.text)),
                    Column("eventTime", .time(time)), Column("arrivalTime", .time(event.arrivalTime)),
                    Column(
                        "watermark",
                        TimeRange.ticks.contains(watermark) ? .time(EventTime(ticks: watermark)) : .null),
                    Column("sequence", .bigint(Int64(truncatingIfNeeded: event.sequence))),
                    Column("payload", payloadText(event.payload).map { .text($0) } ?? .null),
                ]))
    }
}
