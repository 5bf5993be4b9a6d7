/// LAG, LAST, ISFIRST or an aggregate OVER: what one function remembers of the rows before, for each
/// partition.
///
/// Rows come in the order of their times. A row counts for `duration` after its time: `(t − duration, t]`.
final class AnalyticOperator {
    private final class Partition {
        /// LAG and LAST: the values of the rows that satisfy WHEN, the newest last.
        var rows: [StoredRow] = []
        var aggregate: SlidingAggregate?
        /// ISFIRST: the end of the interval in which a row came.
        var intervalEnd = Int64.min
        var newest = Int64.min
    }

    private let plan: AnalyticPlan
    private let limits: StreamLimits
    private let keys: KeyTable
    private var partitions: [Partition?] = []
    private var key = KeyBuffer()
    private let state: GroupState?
    private let result: AggregateResult.Function?
    private let scratch: UnsafeMutableRawPointer
    private var rowCount = 0
    private var swept = Int64.min

    init(plan: AnalyticPlan, limits: StreamLimits, arena: ByteArena) {
        self.plan = plan
        self.limits = limits
        keys = KeyTable(hashKey: limits.hashKey)
        if case .aggregate(let function) = plan.function {
            result = function
            state = GroupState(measures: Self.measures(function, plan), limits: limits, arena: arena)
        } else {
            result = nil
            state = nil
        }
        scratch = .allocate(byteCount: max(state?.layout.byteCount ?? 0, 16), alignment: 16)
    }

    deinit {
        for partition in partitions { free(partition) }
        scratch.deallocate()
        key.deallocate()
    }

    private static func measures(_ function: AggregateResult.Function, _ plan: AnalyticPlan) -> [MeasurePlan]
    {
        let kind: MeasurePlan.Kind
        switch function {
        case .countRows: return []
        case .countValues: kind = .count
        case .sum, .average, .minimum, .maximum, .count: kind = .numeric
        case .standardDeviation, .standardDeviationOfAll, .variance, .varianceOfAll: kind = .moments
        case .countDistinct: kind = .distinct
        default: kind = .collection
        }
        return [MeasurePlan(kind: kind, argument: plan.argument, order: plan.order, kept: plan.kept)]
    }

    private func free(_ partition: Partition?) {
        guard let partition else { return }
        for row in partition.rows { row.free() }
        partition.aggregate?.clear()
    }

    /// Computes the function for a row, and remembers the row.
    func evaluate(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, _ functions: FunctionContext
    ) -> RowFailure? {
        let number = partition(context, frame)
        guard number >= 0, let partition = partitions[number] else { return .limit }
        let counts = plan.condition.map { frame[$0].isTrue } ?? true
        let oldest = context.time &- plan.duration
        partition.newest = max(partition.newest, context.time)
        switch plan.function {
        case .lag(let offset):
            let place = partition.rows.count - offset
            let found =
                place >= 0 && partition.rows[place].time > oldest ? partition.rows[place].values[0] : nil
            frame[plan.result] = copied(found, frame, functions)
            if counts { return remember(partition, context, frame, keep: offset) }
        case .last:
            if counts, let failure = remember(partition, context, frame, keep: 1) { return failure }
            let found = partition.rows.last.flatMap { $0.time > oldest ? $0.values[0] : nil }
            frame[plan.result] = copied(found, frame, functions)
        case .isFirst(let size):
            let rest = context.time % size
            let end = rest == 0 ? context.time : context.time + (rest > 0 ? size - rest : -rest)
            frame[plan.result] = Datum(Int64(counts && partition.intervalEnd != end ? 1 : 0))
            if counts { partition.intervalEnd = end }
        case .aggregate(let function):
            return aggregate(function, partition, counts, context, frame, functions)
        }
        return nil
    }

    /// The value in the arena, since the row that has it may go; the default when there is none.
    private func copied(
        _ value: Datum?, _ frame: UnsafeMutablePointer<Datum>, _ functions: FunctionContext
    ) -> Datum {
        guard var value else { return plan.standIn.map { frame[$0] } ?? .null }
        if value.hasBytes {
            value.bits = UInt64(UInt(bitPattern: functions.arena.copy(value.bytes).baseAddress))
        }
        return value
    }

    private func remember(
        _ partition: Partition, _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, keep: Int
    ) -> RowFailure? {
        guard rowCount < limits.windowRowsMax else { return .limit }
        partition.rows.append(StoredRow(context, frame, slots: [plan.argument]))
        rowCount += 1
        while partition.rows.count > keep {
            partition.rows.removeFirst().free()
            rowCount -= 1
        }
        return nil
    }

    private func aggregate(
        _ function: AggregateResult.Function, _ partition: Partition, _ counts: Bool, _ context: RowContext,
        _ frame: UnsafeMutablePointer<Datum>, _ functions: FunctionContext
    ) -> RowFailure? {
        guard let state else { return nil }
        if counts, let refused = state.refusal(frame) { return refused }
        let aggregate = partition.aggregate ?? SlidingAggregate(state: state)
        partition.aggregate = aggregate
        let before = aggregate.rowCount
        if counts {
            guard rowCount < limits.windowRowsMax else { return .limit }
            if let failure = aggregate.add(context, frame) { return failure }
        }
        if let failure = aggregate.enter(through: context.time) { return failure }
        if let failure = aggregate.leave(through: context.time &- plan.duration) { return failure }
        rowCount += aggregate.rowCount - before
        if let failure = aggregate.sum(into: scratch) { return failure }
        defer { state.clear(scratch) }
        frame[plan.result] = copied(state.result(function, 0, scratch, functions), frame, functions)
        return nil
    }

    private func partition(_ context: RowContext, _ frame: UnsafeMutablePointer<Datum>) -> Int {
        key.removeAll()
        key.append(bigEndian: UInt64(UInt32(bitPattern: context.timeline)))
        for slot in plan.partition { GroupKey.append(frame[slot], to: &key) }
        guard key.count <= limits.keyBytesMax else { return -1 }
        let (number, isNew) = keys.number(of: key.bytes)
        if isNew {
            while partitions.count <= number { partitions.append(nil) }
            partitions[number] = Partition()
            guard keys.count <= limits.openGroupsMax else { return -1 }
        }
        return number
    }

    /// Forgets partitions of which no row can count any more; now and then, since it looks at all.
    ///
    /// - Parameter timeline: the one whose time it is, or −1 for all.
    func forget(before watermark: Int64, timeline: Int32) {
        let span: Int64
        if case .isFirst(let size) = plan.function { span = size } else { span = plan.duration }
        let (oldest, overflow) = watermark.subtractingReportingOverflow(span)
        guard !overflow, oldest > swept else { return }
        swept = oldest.addingReportingOverflow(span).partialValue
        for number in 0..<keys.numberLimit {
            guard let partition = partitions[number], partition.newest < oldest else { continue }
            let owner = UInt64(bigEndian: keys.bytes(of: number).loadUnaligned(as: UInt64.self))
            guard timeline < 0 || owner == UInt64(timeline) else { continue }
            rowCount -= partition.rows.count + (partition.aggregate?.rowCount ?? 0)
            free(partition)
            partitions[number] = nil
            keys.remove(number)
        }
    }

    func write(to writer: inout StateWriter) {
        writer.put(UInt32(keys.count))
        for number in 0..<keys.numberLimit {
            guard let partition = partitions[number] else { continue }
            writer.put(keys.bytes(of: number))
            writer.put(partition.newest)
            writer.put(partition.intervalEnd)
            writer.put(UInt32(partition.rows.count))
            for row in partition.rows { row.write(to: &writer) }
            writer.put(UInt8(partition.aggregate == nil ? 0 : 1))
            partition.aggregate?.write(to: &writer)
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt32.self)) {
            let (number, isNew) = keys.number(of: try reader.takeBytes())
            guard isNew else { throw .damaged(at: reader.at) }
            while partitions.count <= number { partitions.append(nil) }
            let partition = Partition()
            partitions[number] = partition
            partition.newest = try reader.take(Int64.self)
            partition.intervalEnd = try reader.take(Int64.self)
            for _ in 0..<(try reader.take(UInt32.self)) {
                let row = try StoredRow.read(&reader)
                partition.rows.append(row)
                guard row.valueCount == 1 else { throw .damaged(at: reader.at) }
                rowCount += 1
            }
            if try reader.take(UInt8.self) == 1 {
                guard let state else { throw .damaged(at: reader.at) }
                let aggregate = SlidingAggregate(state: state)
                partition.aggregate = aggregate
                try aggregate.read(&reader)
                rowCount += aggregate.rowCount
            }
        }
    }
}
