import Telemetry

/// Blocks of measures: filled with rows, merged, read, given back.
///
/// Raw pointer: the state owns its steps and frees them in deinit.
final class GroupState {
    /// A measure, as rows are added to it.
    private struct Step {
        var offset: Int
        var argument: Int
        var kind: MeasurePlan.Kind
    }

    let layout: MeasureLayout
    let objects: MeasureObjects
    private let limits: StreamLimits
    @exclusivity(unchecked) private var key = KeyBuffer()
    private let arena: ByteArena
    private let steps: UnsafeMutablePointer<Step>
    private let stepCount: Int

    init(measures: [MeasurePlan], limits: StreamLimits, arena: ByteArena) {
        layout = MeasureLayout(measures)
        self.limits = limits
        objects = MeasureObjects(hashKey: limits.hashKey)
        self.arena = arena
        stepCount = measures.count
        steps = .allocate(capacity: max(stepCount, 1))
        for (index, measure) in measures.enumerated() {
            let step = Step(offset: layout.offsets[index], argument: measure.argument, kind: measure.kind)
            (steps + index).initialize(to: step)
        }
    }

    deinit {
        key.deallocate()
        steps.deallocate()
    }

    func initialize(_ block: UnsafeMutableRawPointer) {
        block.storeBytes(of: 0, as: UInt64.self)
        for (index, measure) in layout.measures.enumerated() {
            let memory = block + layout.offsets[index]
            switch measure.kind {
            case .numeric: memory.initializeMemory(as: Extent.self, repeating: Extent(), count: 1)
            case .count: memory.storeBytes(of: 0, as: UInt64.self)
            case .moments: memory.initializeMemory(as: Moments.self, repeating: Moments(), count: 1)
            case .distinct, .collection: memory.storeBytes(of: -1, as: Int64.self)
            }
        }
    }

    func rows(_ block: UnsafeMutableRawPointer) -> UInt64 { block.load(as: UInt64.self) }

    func extent(_ block: UnsafeMutableRawPointer, _ measure: Int) -> UnsafeMutablePointer<Extent> {
        (block + layout.offsets[measure]).assumingMemoryBound(to: Extent.self)
    }

    func moments(_ block: UnsafeMutableRawPointer, _ measure: Int) -> UnsafeMutablePointer<Moments> {
        (block + layout.offsets[measure]).assumingMemoryBound(to: Moments.self)
    }

    func number(_ block: UnsafeMutableRawPointer, _ measure: Int) -> UnsafeMutablePointer<Int64> {
        (block + layout.offsets[measure]).assumingMemoryBound(to: Int64.self)
    }

    /// What is wrong with a row whatever group it comes to; nil when nothing is. Asked before a group is made for it,
    /// so that none is made of rows that do not count.
    @inline(__always)
    func refusal(_ frame: UnsafeMutablePointer<Datum>) -> RowFailure? {
        for index in 0..<stepCount {
            switch steps[index].kind {
            case .numeric, .moments:
                let value = frame[steps[index].argument]
                if value.kind == .float || value.kind == .bigint || value.isNull { continue }
                let hasOrder = Extent.kind(of: value) != nil
                let isNumber = steps[index].kind == .numeric || Conversion.number(of: value) != nil
                if !hasOrder || !isNumber { return .operand }
            case .count: break
            case .distinct:
                let isFull = objects.distinctCount >= limits.distinctValuesMax
                if isFull, !frame[steps[index].argument].isNull { return .limit }
            case .collection:
                if objects.collectedCount >= limits.collectedValuesMax { return .limit }
            }
        }
        return nil
    }

    /// Whether a group's measures have an order with the row's values.
    @inline(__always)
    private func takes(_ block: UnsafeMutableRawPointer, _ frame: UnsafeMutablePointer<Datum>) -> Bool {
        for index in 0..<stepCount where steps[index].kind == .numeric {
            let value = frame[steps[index].argument]
            let extent = (block + steps[index].offset).assumingMemoryBound(to: Extent.self)
            if value.kind == .float || value.kind == .bigint, extent.pointee.kind == .number { continue }
            if !extent.pointee.takes(value) { return false }
        }
        return true
    }

    /// Adds a row that has no `refusal`.
    ///
    /// - Returns: what is wrong with it; nil when nothing is.
    @inline(__always)
    func add(
        _ block: UnsafeMutableRawPointer, _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>
    ) -> RowFailure? {
        // Before anything is added: a row counts for all measures or for none.
        if stepCount > 1, !takes(block, frame) { return .operand }
        block.assumingMemoryBound(to: UInt64.self).pointee += 1
        for index in 0..<stepCount {
            let step = steps[index]
            let memory = block + step.offset
            switch step.kind {
            case .numeric:
                let extent = memory.assumingMemoryBound(to: Extent.self)
                if !extent.pointee.add(frame[step.argument]) {
                    block.assumingMemoryBound(to: UInt64.self).pointee -= 1
                    return .operand
                }
            case .count:
                if !frame[step.argument].isNull {
                    memory.assumingMemoryBound(to: Int64.self).pointee += 1
                }
            case .moments, .distinct, .collection:
                if let failure = addOther(block, index, context, frame) { return failure }
            }
        }
        return nil
    }

    /// Kept out of the loop over plain numbers.
    @inline(never)
    private func addOther(
        _ block: UnsafeMutableRawPointer, _ index: Int, _ context: RowContext,
        _ frame: UnsafeMutablePointer<Datum>
    ) -> RowFailure? {
        let step = steps[index]
        let argument = frame[max(step.argument, 0)]
        switch step.kind {
        case .distinct: return addDistinct(block, index, argument)
        case .collection: return collect(block, index, context, frame)
        default:
            if argument.isNull { return nil }
            guard let value = Conversion.number(of: argument)?.number else { return .operand }
            (block + step.offset).assumingMemoryBound(to: Moments.self).pointee.add(value)
            return nil
        }
    }

    private func addDistinct(_ block: UnsafeMutableRawPointer, _ index: Int, _ value: Datum) -> RowFailure? {
        if value.isNull { return nil }
        guard objects.distinctCount < limits.distinctValuesMax else { return .limit }
        let memory = number(block, index)
        if memory.pointee < 0 { memory.pointee = Int64(objects.newSet()) }
        key.removeAll()
        GroupKey.append(value, to: &key)
        objects.insert(key.bytes, into: Int(memory.pointee))
        return nil
    }

    private func collect(
        _ block: UnsafeMutableRawPointer, _ index: Int, _ context: RowContext,
        _ frame: UnsafeMutablePointer<Datum>
    ) -> RowFailure? {
        guard objects.collectedCount < limits.collectedValuesMax else { return .limit }
        let measure = layout.measures[index]
        let memory = number(block, index)
        if memory.pointee < 0 { memory.pointee = Int64(objects.newCollection()) }
        var slots = measure.order.map(\.slot)
        slots.append(measure.argument)
        objects.insert(StoredRow(context, frame, slots: slots), into: Int(memory.pointee), measure)
        return nil
    }

    /// Gives back what a block owns.
    func clear(_ block: UnsafeMutableRawPointer) {
        if layout.isPlain { return }
        for (index, measure) in layout.measures.enumerated() {
            switch measure.kind {
            case .numeric: extent(block, index).pointee.clear()
            case .count, .moments: break
            case .distinct:
                if number(block, index).pointee >= 0 { objects.freeSet(Int(number(block, index).pointee)) }
            case .collection:
                if number(block, index).pointee >= 0 {
                    objects.freeCollection(Int(number(block, index).pointee))
                }
            }
        }
    }

    /// Takes in the rows of another block, as if they came after those of this one. The other keeps its own.
    ///
    /// - Returns: what is wrong; nil when nothing is.
    func merge(_ block: UnsafeMutableRawPointer, _ other: UnsafeMutableRawPointer) -> RowFailure? {
        block.assumingMemoryBound(to: UInt64.self).pointee += rows(other)
        for (index, measure) in layout.measures.enumerated() {
            switch measure.kind {
            case .numeric:
                extent(block, index).pointee.merge(extent(other, index).pointee)
            case .count: number(block, index).pointee += number(other, index).pointee
            case .moments: moments(block, index).pointee.merge(moments(other, index).pointee)
            case .distinct:
                guard let set = objects.set(Int(number(other, index).pointee)) else { continue }
                if number(block, index).pointee < 0 { number(block, index).pointee = Int64(objects.newSet()) }
                for key in 0..<set.numberLimit where set.isUsed(key) {
                    objects.insert(set.bytes(of: key), into: Int(number(block, index).pointee))
                }
                if objects.distinctCount > limits.distinctValuesMax { return .limit }
            case .collection:
                guard let rows = objects.collection(Int(number(other, index).pointee)) else { continue }
                if number(block, index).pointee < 0 {
                    number(block, index).pointee = Int64(objects.newCollection())
                }
                objects.collection(Int(number(block, index).pointee))?.borrow(rows, measure)
            }
        }
        return nil
    }

    // MARK: Results

    /// A result of a group; nil with the failure when it has none.
    func result(
        _ function: AggregateResult.Function, _ measure: Int, _ block: UnsafeMutableRawPointer,
        _ context: FunctionContext
    ) -> Datum {
        switch function {
        case .countRows: return Datum(Int64(rows(block)))
        case .countValues: return Datum(number(block, measure).pointee)
        case .countDistinct:
            return Datum(Int64(objects.set(Int(number(block, measure).pointee))?.count ?? 0))
        case .count: return Datum(Int64(extent(block, measure).pointee.numbers.count))
        case .minimum, .maximum:
            let extent = extent(block, measure).pointee
            if extent.kind == .mixed { return context.fail(.operand) }
            return function == .minimum ? extent.leastValue : extent.greatestValue
        case .sum, .average: return sum(function, extent(block, measure).pointee, context)
        case .standardDeviation, .standardDeviationOfAll, .variance, .varianceOfAll:
            return spread(function, moments(block, measure).pointee, context)
        default:
            let rows = objects.collection(Int(number(block, measure).pointee))?.rows ?? []
            return CollectionResult.result(function, rows, context)
        }
    }

    private func sum(
        _ function: AggregateResult.Function, _ extent: Extent, _ context: FunctionContext
    ) -> Datum {
        switch extent.kind {
        case .none: return .null
        case .datetime, .text, .mixed: return context.fail(.operand)
        case .number: break
        }
        let value = function == .sum ? extent.numbers.sumValue : extent.numbers.averageValue
        switch value {
        case .bigint(let integer)?: return Datum(integer)
        case .float(let float)?: return Datum(float)
        default: return context.fail(.sumOverflow)
        }
    }

    private func spread(
        _ function: AggregateResult.Function, _ moments: Moments, _ context: FunctionContext
    ) -> Datum {
        let isOfAll = function == .standardDeviationOfAll || function == .varianceOfAll
        let divisor = isOfAll ? moments.count : moments.count &- 1
        if moments.count == 0 || divisor == 0 { return .null }
        let variance = moments.deviations / Double(divisor)
        let isRoot = function == .standardDeviation || function == .standardDeviationOfAll
        return Arithmetic.float(isRoot ? variance.squareRoot() : variance, context)
    }
}

/// Results that are made of collected values.
enum CollectionResult {
    static func result(
        _ function: AggregateResult.Function, _ rows: [StoredRow], _ context: FunctionContext
    ) -> Datum {
        switch function {
        case .topOne:
            guard let first = rows.first else { return .null }
            return owned(first.values[first.valueCount - 1], context.arena)
        case .collect, .collectTop:
            var bytes: [UInt8] = [0x5B]
            for (index, row) in rows.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                let value = row.values[row.valueCount - 1]
                if function == .collect {
                    value.appendJSON(to: &bytes)
                } else {
                    bytes.append(contentsOf: "{\"rank\":".utf8)
                    JSONText.append(Int64(index + 1), to: &bytes)
                    bytes.append(contentsOf: ",\"value\":".utf8)
                    value.appendJSON(to: &bytes)
                    bytes.append(0x7D)
                }
            }
            bytes.append(0x5D)
            return Datum(.array, context.arena.copy(bytes))
        case .percentileContinuous(let bits):
            return percentile(rows, Double(bitPattern: bits), isContinuous: true, context)
        case .percentileDiscrete(let bits):
            return percentile(rows, Double(bitPattern: bits), isContinuous: false, context)
        default: return .null
        }
    }

    private static func owned(_ value: Datum, _ arena: ByteArena) -> Datum {
        guard value.hasBytes else { return value }
        return Datum(value.kind, arena.copy(value.bytes))
    }

    /// Continuous: interpolated between the two values around place `fraction · (n − 1)`. Discrete: the
    /// first value whose share of the values is at least the fraction.
    private static func percentile(
        _ rows: [StoredRow], _ fraction: Double, isContinuous: Bool, _ context: FunctionContext
    ) -> Datum {
        var values: [Datum] = []
        for row in rows where !row.values[0].isNull {
            guard let number = Conversion.number(of: row.values[0]) else { return context.fail(.operand) }
            values.append(number)
        }
        if values.isEmpty { return .null }
        if !isContinuous {
            let place = Int((fraction * Double(values.count)).rounded(.up)) - 1
            return values[min(max(place, 0), values.count - 1)]
        }
        let place = fraction * Double(values.count - 1)
        let low = Int(place)
        guard let a = values[low].number, let b = values[min(low + 1, values.count - 1)].number else {
            return .null
        }
        return Arithmetic.float(a + (b - a) * (place - Double(low)), context)
    }
}
