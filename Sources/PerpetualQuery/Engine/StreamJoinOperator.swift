/// A join of two streams: the rows of either side that a row of the other may still match.
///
/// A row is kept until the other side's time is past every match that it can have. A left row of an outer
/// join that found none then goes on with NULLs.
final class StreamJoinOperator {
    private struct Entry {
        var row: StoredRow
        /// Number of the key; −1: a key with NULL, which matches nothing.
        var key: Int
        var order: UInt64
        var isMatched = false
    }

    private final class Side {
        let plan: StreamJoinPlan.Side
        let slots: [Int]
        let keys: KeyTable
        /// By key: numbers of entries in the order of their coming.
        var rowsOfKey: [[Int]] = []
        var entries: [Entry?] = []
        var free: [Int] = []
        var due = DueHeap()
        var watermark = Int64.min

        init(_ plan: StreamJoinPlan.Side, hashKey: UInt64) {
            self.plan = plan
            keys = KeyTable(hashKey: hashKey)
            slots = plan.copies.map(\.from)
        }

        var count: Int { entries.count - free.count }
    }

    let plan: StreamJoinPlan
    private let limits: StreamLimits
    private let left: Side
    private let right: Side
    private var key = KeyBuffer()
    private var identity = KeyBuffer()
    private var nextOrder: UInt64 = 0

    init(plan: StreamJoinPlan, limits: StreamLimits) {
        self.plan = plan
        self.limits = limits
        left = Side(plan.left, hashKey: limits.hashKey)
        right = Side(plan.right, hashKey: limits.hashKey)
    }

    deinit {
        for entry in left.entries { entry?.row.free() }
        for entry in right.entries { entry?.row.free() }
        key.deallocate()
        identity.deallocate()
    }

    /// How far the joined rows' time is.
    var watermark: Int64 {
        let slack = plan.isLeftOuter ? plan.greatestDistance - plan.missDelay : 0
        let (behind, overflow) = right.watermark.subtractingReportingOverflow(max(slack, 0))
        return min(left.watermark, overflow ? Int64.min : behind)
    }

    var rowCount: Int { left.count + right.count }
    var sideCounts: (left: Int, right: Int) { (left.count, right.count) }

    /// Takes a row, and hands out its matches.
    ///
    /// - Parameters:
    ///   - output: the frame of the joined rows.
    ///   - test: whether the frame's rows match by the rest of the condition; nil: that cannot be computed.
    ///   - failed: gets the context of such a pair, which does not match; says whether others are looked at.
    ///   - body: gets the context of a match; its values are in the frame.
    func add(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, isRight: Bool,
        output: UnsafeMutablePointer<Datum>, test: () -> Bool?, failed: (RowContext) -> Bool,
        body: (RowContext) -> RowFailure?
    ) -> RowFailure? {
        let own = isRight ? right : left
        let other = isRight ? left : right
        guard own.count < limits.joinRowsMax else { return .limit }
        key.removeAll()
        var hasNull = false
        for slot in own.plan.keys {
            hasNull = hasNull || frame[slot].isNull
            GroupKey.appendForJoin(frame[slot], to: &key)
        }
        let row = StoredRow(context, frame, slots: own.slots)
        var isMatched = false
        if !hasNull, let number = other.keys.find(key.bytes, hash: other.keys.hash(key.bytes)) {
            for index in other.rowsOfKey[number] {
                guard let entry = other.entries[index] else { continue }
                let (a, b) = isRight ? (entry.row, row) : (row, entry.row)
                let distance = b.time &- a.time
                guard distance >= plan.leastDistance, distance <= plan.greatestDistance else { continue }
                load(a, plan.left, output)
                load(b, plan.right, output)
                guard let matches = test() else {
                    if failed(joined(a, b)) { continue }
                    row.free()
                    return nil
                }
                guard matches else { continue }
                isMatched = true
                other.entries[index]?.isMatched = true
                if let failure = body(joined(a, b)) {
                    row.free()
                    return failure
                }
            }
        }
        // The other side's time may be past all matches of a row that comes out of a window or another join: nothing
        // would ask for it again.
        if last(row, isRight: isRight) < other.watermark {
            defer { row.free() }
            return !isRight && plan.isLeftOuter && !isMatched ? miss(row, output, body) : nil
        }
        keep(row, hasNull ? -1 : own.keys.number(of: key.bytes).number, own, isRight, isMatched)
        return nil
    }

    private func load(_ row: StoredRow, _ side: StreamJoinPlan.Side, _ output: UnsafeMutablePointer<Datum>) {
        for (index, copy) in side.copies.enumerated() { output[copy.to] = row.values[index] }
        output[side.timeResult] = Datum(ticks: row.time)
    }

    private func joined(_ a: StoredRow, _ b: StoredRow?) -> RowContext {
        var context = (b.map { $0.time > a.time ? $0 : a } ?? a).context
        context.kind = .join
        context.ordinal = 0
        context.timeline = 0
        identity.removeAll()
        append(a.context)
        if let b { append(b.context) } else { GroupKey.append(.null, to: &identity) }
        context.key = identity.bytes
        context.start = a.time
        context.end = b?.time ?? a.time
        return context
    }

    private func append(_ context: RowContext) {
        if context.kind == .event {
            GroupKey.append(Datum(Int64(context.device)), to: &identity)
            GroupKey.append(Datum(Int64(truncatingIfNeeded: context.sequence)), to: &identity)
            // Of several rows of one event (APPLY), and of rows that came by several ways (UNION).
            guard context.ordinal > 0 || context.key.count > 0 else { return }
            GroupKey.append(Datum(.text, context.key), to: &identity)
            GroupKey.append(Datum(Int64(context.ordinal)), to: &identity)
        } else {
            GroupKey.append(Datum(ticks: context.start), to: &identity)
            GroupKey.append(Datum(ticks: context.end), to: &identity)
            GroupKey.append(Datum(.text, context.key), to: &identity)
            if context.ordinal > 0 { GroupKey.append(Datum(Int64(context.ordinal)), to: &identity) }
        }
    }

    /// The time after which a row can have no more matches.
    private func last(_ row: StoredRow, isRight: Bool) -> Int64 {
        let (time, overflow) =
            isRight
            ? row.time.subtractingReportingOverflow(plan.leastDistance)
            : row.time.addingReportingOverflow(plan.greatestDistance)
        return overflow ? Int64.max - 1 : time
    }

    private func keep(_ row: StoredRow, _ key: Int, _ side: Side, _ isRight: Bool, _ isMatched: Bool) {
        let entry = Entry(row: row, key: key, order: nextOrder, isMatched: isMatched)
        nextOrder += 1
        let number: Int
        if let unused = side.free.popLast() {
            number = unused
            side.entries[number] = entry
        } else {
            number = side.entries.count
            side.entries.append(entry)
        }
        if key >= 0 {
            while side.rowsOfKey.count <= key { side.rowsOfKey.append([]) }
            side.rowsOfKey[key].append(number)
        }
        side.due.set(number, due: last(row, isRight: isRight))
    }

    /// The time of one side goes on: rows of the other that can have no more matches go.
    func advance(
        isRight: Bool, to watermark: Int64, output: UnsafeMutablePointer<Datum>,
        body: (RowContext) -> RowFailure?
    ) -> RowFailure? {
        let side = isRight ? right : left
        let other = isRight ? left : right
        guard watermark > side.watermark else { return nil }
        side.watermark = watermark
        var misses: [Int] = []
        while other.due.earliest < watermark, let number = other.due.earliestNumber {
            other.due.set(number, due: Int64.max)
            if isRight, plan.isLeftOuter, other.entries[number]?.isMatched == false {
                misses.append(number)
            } else {
                drop(number, other)
            }
        }
        // Of equal times the row that came first: what the heap has in front depends on where rows were put, which
        // a checkpoint does not keep.
        misses.sort { before($0, $1, other, isRight: !isRight) }
        var failure: RowFailure?
        for number in misses {
            if failure == nil, let entry = other.entries[number] { failure = miss(entry.row, output, body) }
            drop(number, other)
        }
        return failure
    }

    private func before(_ left: Int, _ right: Int, _ side: Side, isRight: Bool) -> Bool {
        guard let left = side.entries[left], let right = side.entries[right] else { return false }
        let ends = (last(left.row, isRight: isRight), last(right.row, isRight: isRight))
        return ends.0 == ends.1 ? left.order < right.order : ends.0 < ends.1
    }

    private func miss(
        _ row: StoredRow, _ output: UnsafeMutablePointer<Datum>, _ body: (RowContext) -> RowFailure?
    ) -> RowFailure? {
        load(row, plan.left, output)
        for copy in plan.right.copies { output[copy.to] = .null }
        output[plan.right.timeResult] = .null
        var context = joined(row, nil)
        context.time = row.time &+ plan.missDelay
        return body(context)
    }

    private func drop(_ number: Int, _ side: Side) {
        guard let entry = side.entries[number] else { return }
        if entry.key >= 0 {
            side.rowsOfKey[entry.key].removeAll { $0 == number }
            if side.rowsOfKey[entry.key].isEmpty { side.keys.remove(entry.key) }
        }
        entry.row.free()
        side.entries[number] = nil
        side.free.append(number)
    }

    func write(to writer: inout StateWriter) {
        for side in [left, right] {
            writer.put(side.watermark)
            let kept = side.entries.compactMap { $0 }.sorted { $0.order < $1.order }
            writer.put(UInt32(kept.count))
            for entry in kept {
                writer.put(UInt8(entry.isMatched ? 1 : 0))
                writer.put(UInt8(entry.key < 0 ? 1 : 0))
                if entry.key >= 0 { writer.put(side.keys.bytes(of: entry.key)) }
                entry.row.write(to: &writer)
            }
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        for side in [left, right] {
            side.watermark = try reader.take(Int64.self)
            for _ in 0..<(try reader.take(UInt32.self)) {
                let isMatched = try reader.take(UInt8.self) == 1
                let hasNull = try reader.take(UInt8.self) == 1
                let key = hasNull ? -1 : side.keys.number(of: try reader.takeBytes()).number
                let row = try StoredRow.read(&reader)
                guard row.valueCount == side.slots.count else {
                    row.free()
                    throw .damaged(at: reader.at)
                }
                keep(row, key, side, side === right, isMatched)
            }
        }
    }
}
