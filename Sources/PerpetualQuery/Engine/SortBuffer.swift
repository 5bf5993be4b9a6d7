/// Rows that wait until their timeline's time has come to them, and then go on in the order of their times;
/// of equal times in the order of their coming.
final class SortBuffer {
    private struct Entry {
        var row: StoredRow
        var order: UInt64
    }

    private let slots: [Int]
    private let limit: Int
    private var heaps: [[Entry]] = []
    private var nextOrder: UInt64 = 0
    private(set) var count = 0
    /// Timelines before this one have no row whose time has come at `lookedThrough`.
    private var lookAt = 0
    private var lookedThrough = Int64.min

    init(slots: [Int], limit: Int) {
        self.slots = slots
        self.limit = limit
    }

    deinit {
        for heap in heaps { for entry in heap { entry.row.free() } }
    }

    /// - Returns: false when the limit refuses the row.
    func add(_ context: RowContext, _ frame: UnsafeMutablePointer<Datum>) -> Bool {
        guard count < limit else { return false }
        insert(StoredRow(context, frame, slots: slots))
        return true
    }

    private func insert(_ row: StoredRow) {
        let timeline = Int(row.context.timeline)
        while heaps.count <= timeline { heaps.append([]) }
        heaps[timeline].append(Entry(row: row, order: nextOrder))
        nextOrder += 1
        count += 1
        lookAt = min(lookAt, timeline)
        var at = heaps[timeline].count - 1
        while at > 0 {
            let parent = (at - 1) / 2
            guard Self.precedes(heaps[timeline][at], heaps[timeline][parent]) else { break }
            heaps[timeline].swapAt(at, parent)
            at = parent
        }
    }

    private static func precedes(_ left: Entry, _ right: Entry) -> Bool {
        left.row.time != right.row.time ? left.row.time < right.row.time : left.order < right.order
    }

    /// Takes the next row of a timeline, or with −1 of the first timeline that has one, when its time has
    /// come.
    func next(_ timeline: Int32, through watermark: Int64) -> StoredRow? {
        if timeline >= 0 {
            guard Int(timeline) < heaps.count, let first = heaps[Int(timeline)].first,
                first.row.time <= watermark
            else { return nil }
            return pop(Int(timeline))
        }
        if watermark != lookedThrough {
            lookAt = 0
            lookedThrough = watermark
        }
        while lookAt < heaps.count {
            if let first = heaps[lookAt].first, first.row.time <= watermark { return pop(lookAt) }
            lookAt += 1
        }
        return nil
    }

    private func pop(_ timeline: Int) -> StoredRow {
        let first = heaps[timeline][0].row
        let last = heaps[timeline].removeLast()
        count -= 1
        guard !heaps[timeline].isEmpty else { return first }
        heaps[timeline][0] = last
        var at = 0
        while true {
            var child = 2 * at + 1
            guard child < heaps[timeline].count else { break }
            if child + 1 < heaps[timeline].count,
                Self.precedes(heaps[timeline][child + 1], heaps[timeline][child])
            {
                child += 1
            }
            guard Self.precedes(heaps[timeline][child], heaps[timeline][at]) else { break }
            heaps[timeline].swapAt(at, child)
            at = child
        }
        return first
    }

    func load(_ row: StoredRow, into frame: UnsafeMutablePointer<Datum>) {
        row.load(into: frame, slots: slots)
    }

    /// The greatest time that waits.
    var latest: Int64? { heaps.lazy.flatMap { $0.lazy.map(\.row.time) }.max() }

    func write(to writer: inout StateWriter) {
        writer.put(UInt64(count))
        for heap in heaps {
            for entry in heap.sorted(by: Self.precedes) { entry.row.write(to: &writer) }
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt64.self)) {
            let row = try StoredRow.read(&reader)
            guard row.valueCount == slots.count, row.context.timeline >= 0 else {
                row.free()
                throw .damaged(at: reader.at)
            }
            insert(row)
        }
    }
}
