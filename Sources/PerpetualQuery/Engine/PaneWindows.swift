/// Tumbling and hopping windows, and groups of equal times: rows are added once, to the pane that holds
/// their time; a window is the union of its panes.
///
/// A pane is as long as the hop when that divides the size, so that a tumbling window is one pane. Groups
/// are cells of one hash table over (pane, key). A timeline has its few panes in a list by end.
///
/// Raw pointers: this class owns the cells' blocks and keys and frees them when their pane goes and in
/// deinit.
final class PaneWindows: WindowOperator {
    struct Timeline {
        var firstPane: Int32 = -1
        /// The pane that the last row went to.
        var lastPane: Int32 = -1
    }

    struct Pane {
        var end: Int64
        var timeline: Int32
        var previous: Int32
        var next: Int32
        var firstCell: Int32
        var lastCell: Int32
        var cellCount: Int32
    }

    /// The head of a group's memory; the measures stand right behind it, so that a group is one place in memory.
    struct Cell {
        var hash: UInt64
        /// The key itself when it has room, else in the first word the address of a copy.
        var key: (UInt64, UInt64, UInt64) = (0, 0, 0)
        var keyCount: Int32
        var pane: Int32
        var next: Int32
        /// What `PropertyGrouping` calls the group inside its pane; −1: it has not asked for it yet.
        var tag: Int32 = -1

        static let inlineBytes = 24
        static let keyOffset = MemoryLayout<Cell>.offset(of: \.key) ?? 8
        /// Measures begin here.
        static let bytes = (MemoryLayout<Cell>.size + 15) & ~15
    }

    // One caller at a time, and no method hands its own state to another: exclusivity need not be checked at run
    // time for each access.
    private let size: Int64
    private let hop: Int64
    private let offset: Int64
    let pane: Int64
    @exclusivity(unchecked) var timelines: [Timeline] = []
    /// Timelines by the end of their next window.
    @exclusivity(unchecked) private var due = DueHeap()
    @exclusivity(unchecked) var panes: [Pane] = []
    @exclusivity(unchecked) private var freePanes: [Int32] = []
    @exclusivity(unchecked) private(set) var cells: UnsafeMutableRawPointer
    @exclusivity(unchecked) private var cellCapacity = 256
    @exclusivity(unchecked) private var cellTop = 0
    @exclusivity(unchecked) private var freeCells: [Int32] = []
    @exclusivity(unchecked) private(set) var slots: UnsafeMutablePointer<Int32>
    @exclusivity(unchecked) private(set) var slotCount = 1_024
    @exclusivity(unchecked) private var cellCount = 0
    let stride: Int
    @exclusivity(unchecked) var currentPane: Int32 = -1
    @exclusivity(unchecked) var currentCell: Int32 = -1
    /// Groups of a pane that are looked at for their tag before the key is looked up.
    static let tagStepsMax: Int32 = 32
    private let scratch: UnsafeMutableRawPointer
    @exclusivity(unchecked) private var order:
        [(prefix: UInt64, key: UnsafeRawBufferPointer, number: Int32)] = []

    init(
        size: Int64, hop: Int64, offset: Int64, state: GroupState, plan: WindowPlan, kind: RowContext.Kind,
        limits: StreamLimits
    ) {
        self.size = size
        self.hop = hop
        self.offset = offset
        var (a, b) = (size, hop)
        while b != 0 { (a, b) = (b, a % b) }
        pane = a
        // A small group begins a cache line, so that it takes no more of them than it must.
        let bytes = Cell.bytes + state.layout.byteCount
        stride = bytes <= 256 ? (bytes + 63) & ~63 : bytes
        cells = TableMemory.allocate(byteCount: cellCapacity * stride)
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: -1, count: slotCount)
        scratch = .allocate(byteCount: state.layout.byteCount, alignment: 16)
        super.init(state: state, plan: plan, kind: kind, limits: limits)
    }

    deinit {
        for timeline in timelines {
            var number = timeline.firstPane
            while number >= 0 {
                var cell = panes[Int(number)].firstCell
                while cell >= 0 {
                    state.clear(block(cell))
                    freeKey(cell)
                    cell = self.cell(cell).pointee.next
                }
                number = panes[Int(number)].next
            }
        }
        cells.deallocate()
        slots.deallocate()
        scratch.deallocate()
    }

    override var openGroups: Int { cellCount }
    override var earliestTimeline: Int? { due.earliestNumber }

    override var stateBytes: Int {
        cellCapacity * stride + slotCount * 4 + freeCells.capacity * 4 + freePanes.capacity * 4
            + panes.capacity * MemoryLayout<Pane>.stride + timelines.capacity * MemoryLayout<Timeline>.stride
            + due.byteCount
    }

    @inline(__always)
    func block(_ cell: Int32) -> UnsafeMutableRawPointer { cells + Int(cell) * stride + Cell.bytes }

    @inline(__always)
    func cell(_ number: Int32) -> UnsafeMutablePointer<Cell> {
        (cells + Int(number) * stride).assumingMemoryBound(to: Cell.self)
    }

    @inline(__always)
    private func key(_ number: Int32) -> UnsafeRawBufferPointer {
        let cell = cell(number)
        let count = Int(cell.pointee.keyCount)
        let start =
            count <= Cell.inlineBytes
            ? UnsafeRawPointer(cell) + Cell.keyOffset : UnsafeRawPointer(bitPattern: UInt(cell.pointee.key.0))
        return UnsafeRawBufferPointer(start: start, count: count)
    }

    private func freeKey(_ number: Int32) {
        if cell(number).pointee.keyCount > Cell.inlineBytes {
            UnsafeMutableRawPointer(bitPattern: UInt(cell(number).pointee.key.0))?.deallocate()
        }
    }

    /// The least k · length + offset that is not before a time.
    @inline(__always)
    func ceiling(_ time: Int64, _ length: Int64) -> Int64 {
        let shifted = time - offset
        let rest = shifted % length
        if rest == 0 { return time }
        return time + (rest > 0 ? length - rest : -rest)
    }

    // MARK: Rows

    override func add(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, key: UnsafeRawBufferPointer, hash: UInt64
    ) -> RowFailure? {
        let known = knownPane(context.timeline, holding: context.time)
        let number = known >= 0 ? known : findPane(context.timeline, ceiling(context.time, pane))
        let cell = self.cell(number, key, hash)
        if cell < 0 { return .limit }
        return state.add(block(cell), context, frame)
    }

    /// The timeline's pane with this end, made when it is not there.
    func findPane(_ timeline: Int32, _ end: Int64) -> Int32 {
        while timelines.count <= Int(timeline) { timelines.append(Timeline()) }
        // From where the last row went: a window may have thousands of panes.
        var at = timelines[Int(timeline)].lastPane
        while at >= 0, panes[Int(at)].end > end { at = panes[Int(at)].previous }
        var after = at < 0 ? timelines[Int(timeline)].firstPane : panes[Int(at)].next
        while after >= 0, panes[Int(after)].end <= end { (at, after) = (after, panes[Int(after)].next) }
        if at < 0 || panes[Int(at)].end != end {
            let before = at
            let made = Pane(
                end: end, timeline: timeline, previous: before, next: after, firstCell: -1, lastCell: -1,
                cellCount: 0)
            if let unused = freePanes.popLast() {
                at = unused
                panes[Int(at)] = made
            } else {
                at = Int32(panes.count)
                panes.append(made)
            }
            if before >= 0 {
                panes[Int(before)].next = at
            } else {
                timelines[Int(timeline)].firstPane = at
            }
            if after >= 0 { panes[Int(after)].previous = at }
            let next = ceiling(end, hop)
            if next < due.due(Int(timeline)) { due.set(Int(timeline), due: next) }
        }
        timelines[Int(timeline)].lastPane = at
        return at
    }

    /// The group's cell, made when it is not there; −1 when a limit refuses it.
    @inline(__always)
    func cell(_ pane: Int32, _ key: UnsafeRawBufferPointer, _ keyHash: UInt64) -> Int32 {
        let hash = self.hash(keyHash, pane)
        var slot = self.slot(hash)
        while slots[slot] >= 0 {
            let cell = self.cell(slots[slot])
            if cell.pointee.hash == hash, cell.pointee.pane == pane, Int(cell.pointee.keyCount) == key.count,
                GroupKey.areEqual(self.key(slots[slot]), key)
            {
                return slots[slot]
            }
            slot = (slot + 1) & (slotCount - 1)
        }
        return makeCell(pane, key, hash)
    }

    private func makeCell(_ pane: Int32, _ key: UnsafeRawBufferPointer, _ hash: UInt64) -> Int32 {
        guard cellCount < limits.openGroupsMax, key.count <= limits.keyBytesMax else { return -1 }
        if (cellCount + 1) * 2 > slotCount { growSlots() }
        let number: Int32
        if let unused = freeCells.popLast() {
            number = unused
        } else {
            if cellTop == cellCapacity { growCells() }
            number = Int32(cellTop)
            cellTop += 1
        }
        let made = cell(number)
        made.initialize(
            to: Cell(hash: hash, keyCount: Int32(key.count), pane: pane, next: -1))
        var place = UnsafeMutableRawPointer(made) + Cell.keyOffset
        if key.count > Cell.inlineBytes {
            place = .allocate(byteCount: key.count, alignment: 8)
            made.pointee.key.0 = UInt64(UInt(bitPattern: place))
        }
        if let base = key.baseAddress { place.copyMemory(from: base, byteCount: key.count) }
        let last = panes[Int(pane)].lastCell
        if last >= 0 { cell(last).pointee.next = number } else { panes[Int(pane)].firstCell = number }
        panes[Int(pane)].lastCell = number
        panes[Int(pane)].cellCount += 1
        state.initialize(block(number))
        enter(number)
        cellCount += 1
        return number
    }

    private func enter(_ number: Int32) {
        var slot = self.slot(cell(number).pointee.hash)
        while slots[slot] >= 0 { slot = (slot + 1) & (slotCount - 1) }
        slots[slot] = number
    }

    private func growSlots() {
        let old = slots
        let oldCount = slotCount
        slotCount *= 2
        slots = TableMemory.allocate(slotCount, of: Int32.self)
        slots.initialize(repeating: -1, count: slotCount)
        for index in 0..<oldCount where old[index] >= 0 { enter(old[index]) }
        old.deallocate()
    }

    private func growCells() {
        let more = TableMemory.allocate(byteCount: cellCapacity * 2 * stride)
        more.copyMemory(from: cells, byteCount: cellCapacity * stride)
        cells.deallocate()
        cells = more
        cellCapacity *= 2
    }

    private func removeCell(_ number: Int32) {
        var slot = self.slot(cell(number).pointee.hash)
        while slots[slot] != number { slot = (slot + 1) & (slotCount - 1) }
        var next = (slot + 1) & (slotCount - 1)
        while slots[next] >= 0 {
            let home = self.slot(cell(slots[next]).pointee.hash)
            if (next - home) & (slotCount - 1) >= (next - slot) & (slotCount - 1) {
                slots[slot] = slots[next]
                slot = next
            }
            next = (next + 1) & (slotCount - 1)
        }
        slots[slot] = -1
        state.clear(block(number))
        freeKey(number)
        freeCells.append(number)
        cellCount -= 1
    }

    // MARK: Closing

    override func earliest(_ timeline: Int32) -> Int64 {
        timeline < 0 ? due.earliest : due.due(Int(timeline))
    }

    override func close(_ timeline: Int32, _ body: (ClosedGroup) -> RowFailure?) -> RowFailure? {
        let end = earliest(timeline)
        var closing: [Int] = []
        if timeline >= 0 {
            closing.append(Int(timeline))
        } else {
            while due.earliest == end, let next = due.earliestNumber {
                closing.append(next)
                due.set(next, due: Int64.max)
            }
        }
        order.removeAll(keepingCapacity: true)
        for timeline in closing { gather(timeline, end) }
        Self.sort(&order)
        var failure: RowFailure?
        var at = 0
        while at < order.count, failure == nil {
            var next = at + 1
            while next < order.count, order[next].prefix == order[at].prefix,
                Datum.order(order[next].key, order[at].key) == 0
            {
                next += 1
            }
            failure = handOut(at..<next, end, body)
            at = next
        }
        for timeline in closing { moveOn(timeline, end) }
        return failure
    }

    private func gather(_ timeline: Int, _ end: Int64) {
        var number = timelines[timeline].firstPane
        while number >= 0, panes[Int(number)].end <= end {
            if panes[Int(number)].end > end - size {
                var cell = panes[Int(number)].firstCell
                while cell >= 0 {
                    let key = self.key(cell)
                    order.append((Self.prefix(key), key, cell))
                    cell = self.cell(cell).pointee.next
                }
            }
            number = panes[Int(number)].next
        }
    }

    private func handOut(_ range: Range<Int>, _ end: Int64, _ body: (ClosedGroup) -> RowFailure?)
        -> RowFailure?
    {
        let first = order[range.lowerBound]
        var closed = ClosedGroup(
            key: first.key, block: block(first.number),
            timeline: panes[Int(cell(first.number).pointee.pane)].timeline,
            start: end - size, end: end)
        if range.count == 1 { return body(closed) }
        state.initialize(scratch)
        defer { state.clear(scratch) }
        // In the order of time, which float sums and ties of collections depend on.
        let parts = range.map { order[$0].number }.sorted {
            panes[Int(cell($0).pointee.pane)].end < panes[Int(cell($1).pointee.pane)].end
        }
        for part in parts {
            if let failure = state.merge(scratch, block(part)) { return failure }
        }
        closed.block = scratch
        return body(closed)
    }

    /// Frees the panes that no later window has, and sets the timeline's next end.
    private func moveOn(_ timeline: Int, _ end: Int64) {
        var number = timelines[timeline].firstPane
        while number >= 0, panes[Int(number)].end <= end + hop - size {
            var cell = panes[Int(number)].firstCell
            while cell >= 0 {
                let next = self.cell(cell).pointee.next
                removeCell(cell)
                cell = next
            }
            let next = panes[Int(number)].next
            freePanes.append(number)
            number = next
        }
        timelines[timeline].firstPane = number
        let last = timelines[timeline].lastPane
        if number >= 0 {
            panes[Int(number)].previous = -1
            if last >= 0, panes[Int(last)].end < panes[Int(number)].end { timelines[timeline].lastPane = -1 }
        } else {
            timelines[timeline].lastPane = -1
        }
        let next = number < 0 ? Int64.max : max(end + hop, ceiling(panes[Int(number)].end, hop))
        due.set(timeline, due: next)
    }

    // MARK: Checkpoint

    override func write(to writer: inout StateWriter) {
        writer.put(UInt32(timelines.lazy.filter { $0.firstPane >= 0 }.count))
        for (timeline, first) in timelines.enumerated() where first.firstPane >= 0 {
            writer.put(UInt32(timeline))
            writer.put(due.due(timeline))
            var number = first.firstPane
            var count: UInt32 = 0
            while number >= 0 {
                count += 1
                number = panes[Int(number)].next
            }
            writer.put(count)
            number = first.firstPane
            while number >= 0 {
                write(pane: panes[Int(number)], to: &writer)
                number = panes[Int(number)].next
            }
        }
    }

    private func write(pane: Pane, to writer: inout StateWriter) {
        writer.put(pane.end)
        writer.put(UInt32(pane.cellCount))
        if pane.cellCount == 1 {
            writer.put(key(pane.firstCell))
            return state.write(block(pane.firstCell), to: &writer)
        }
        var groups: [(prefix: UInt64, key: UnsafeRawBufferPointer, number: Int32)] = []
        var cell = pane.firstCell
        while cell >= 0 {
            let key = self.key(cell)
            groups.append((Self.prefix(key), key, cell))
            cell = self.cell(cell).pointee.next
        }
        Self.sort(&groups)
        for group in groups {
            writer.put(group.key)
            state.write(block(group.number), to: &writer)
        }
    }

    override func read(_ reader: inout StateReader) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt32.self)) {
            let timeline = try reader.take(UInt32.self)
            guard timeline < limits.timelinesMax else { throw .damaged(at: reader.at) }
            let next = try reader.take(Int64.self)
            for _ in 0..<(try reader.take(UInt32.self)) {
                let end = try reader.take(Int64.self)
                guard ceiling(end, pane) == end else { throw .damaged(at: reader.at) }
                let number = findPane(Int32(timeline), end)
                for _ in 0..<(try reader.take(UInt32.self)) {
                    let key = try reader.takeBytes()
                    let cell = self.cell(number, key, GroupKey.hash(key, limits.hashKey))
                    guard cell >= 0, state.rows(block(cell)) == 0 else { throw .damaged(at: reader.at) }
                    try state.read(&reader, into: block(cell))
                }
            }
            due.set(Int(timeline), due: next)
        }
    }
}
