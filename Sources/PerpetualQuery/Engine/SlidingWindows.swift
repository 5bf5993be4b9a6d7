/// Sliding windows `(t − size, t]`: a result whenever a row enters or leaves a group, unless nothing is left.
///
/// Rows come in the order of their times.
final class SlidingWindows: WindowOperator {
    private struct Group {
        var rows: SlidingAggregate
        var timeline: Int32
    }

    private let size: Int64
    /// Groups by timeline and key.
    private let keys: KeyTable
    private var groups: [Group?] = []
    /// Groups by the time at which a row enters or leaves next; one heap a timeline, and timelines by theirs.
    private var heaps: [DueHeap] = []
    private var due = DueHeap()
    private var rowCount = 0
    private var tableKey = KeyBuffer()
    private let scratch: UnsafeMutableRawPointer

    init(size: Int64, state: GroupState, plan: WindowPlan, limits: StreamLimits) {
        self.size = size
        keys = KeyTable(hashKey: limits.hashKey)
        scratch = .allocate(byteCount: state.layout.byteCount, alignment: 16)
        super.init(state: state, plan: plan, kind: .sliding, limits: limits)
    }

    deinit {
        for group in groups { group?.rows.clear() }
        scratch.deallocate()
        tableKey.deallocate()
    }

    override var openGroups: Int { keys.count }
    override var earliestTimeline: Int? { due.earliestNumber }

    private func number(_ timeline: Int32, _ key: UnsafeRawBufferPointer) -> Int {
        tableKey.removeAll()
        tableKey.append(bigEndian: UInt64(UInt32(bitPattern: timeline)))
        for byte in key { tableKey.append(byte) }
        let (number, isNew) = keys.number(of: tableKey.bytes)
        if isNew {
            while groups.count <= number { groups.append(nil) }
            groups[number] = Group(rows: SlidingAggregate(state: state), timeline: timeline)
        }
        return number
    }

    override func add(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, key: UnsafeRawBufferPointer, hash: UInt64
    ) -> RowFailure? {
        guard rowCount < limits.windowRowsMax, keys.count < limits.openGroupsMax,
            key.count <= limits.keyBytesMax
        else { return .limit }
        let number = number(context.timeline, key)
        rowCount += 1
        if let failure = groups[number]?.rows.add(context, frame) { return failure }
        schedule(number)
        return nil
    }

    private func schedule(_ number: Int) {
        guard let group = groups[number] else { return }
        let leaving = group.rows.oldestEntered.map { $0 + size } ?? Int64.max
        let next = min(leaving, group.rows.nextEntry ?? Int64.max)
        while heaps.count <= Int(group.timeline) { heaps.append(DueHeap()) }
        heaps[Int(group.timeline)].set(number, due: next)
        due.set(Int(group.timeline), due: heaps[Int(group.timeline)].earliest)
    }

    override func earliest(_ timeline: Int32) -> Int64 {
        timeline < 0 ? due.earliest : due.due(Int(timeline))
    }

    override func close(_ timeline: Int32, _ body: (ClosedGroup) -> RowFailure?) -> RowFailure? {
        let end = earliest(timeline)
        var order: [(prefix: UInt64, key: UnsafeRawBufferPointer, number: Int32)] = []
        while due.earliest == end || timeline >= 0,
            let line = timeline >= 0 ? Int(timeline) : due.earliestNumber
        {
            while heaps[line].earliest == end, let number = heaps[line].earliestNumber {
                let key = UnsafeRawBufferPointer(rebasing: keys.bytes(of: number)[8...])
                order.append((Self.prefix(key), key, Int32(number)))
                heaps[line].set(number, due: Int64.max)
            }
            due.set(line, due: heaps[line].earliest)
            if timeline >= 0 { break }
        }
        Self.sort(&order)
        for item in order {
            if let failure = change(Int(item.number), item.key, end, body) { return failure }
        }
        return nil
    }

    private func change(
        _ number: Int, _ key: UnsafeRawBufferPointer, _ end: Int64, _ body: (ClosedGroup) -> RowFailure?
    ) -> RowFailure? {
        guard let group = groups[number] else { return nil }
        let before = group.rows.rowCount
        var failure = group.rows.leave(through: end - size)
        failure = failure ?? group.rows.enter(through: end)
        rowCount -= before - group.rows.rowCount
        if failure == nil, group.rows.oldestEntered != nil {
            failure = group.rows.sum(into: scratch)
            if failure == nil {
                failure = body(
                    ClosedGroup(
                        key: key, block: scratch, timeline: group.timeline, start: end - size, end: end))
            }
            state.clear(scratch)
        }
        if group.rows.isEmpty {
            group.rows.clear()
            groups[number] = nil
            keys.remove(number)
        } else {
            schedule(number)
        }
        return failure
    }

    override func write(to writer: inout StateWriter) {
        writer.put(UInt32(keys.count))
        for number in 0..<keys.numberLimit {
            guard let group = groups[number] else { continue }
            writer.put(keys.bytes(of: number))
            group.rows.write(to: &writer)
        }
    }

    override func read(_ reader: inout StateReader) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt32.self)) {
            let stored = try reader.takeBytes()
            guard stored.count >= 8 else { throw .damaged(at: reader.at) }
            let timeline = UInt64(bigEndian: stored.loadUnaligned(as: UInt64.self))
            guard timeline < UInt64(limits.timelinesMax) else { throw .damaged(at: reader.at) }
            let number = number(Int32(timeline), UnsafeRawBufferPointer(rebasing: stored[8...]))
            try groups[number]?.rows.read(&reader)
            rowCount += groups[number]?.rows.rowCount ?? 0
            schedule(number)
        }
    }
}
