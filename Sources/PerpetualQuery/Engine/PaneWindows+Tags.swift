// Groups that `PropertyGrouping` asks for by tag, and those of a state of the first format.
extension PaneWindows {
    /// Puts a group of a state of the first format into a group of its own, with one measure of numbers.
    ///
    /// - Returns: false when there is such a group, the end is none, or a limit refuses it.
    func adopt(_ numbers: Accumulator, timeline: Int32, end: Int64, key: UnsafeRawBufferPointer) -> Bool {
        guard ceiling(end, pane) == end, state.layout.measures.map(\.kind) == [.numeric] else { return false }
        let cell = self.cell(findPane(timeline, end), key, GroupKey.hash(key, limits.hashKey))
        guard cell >= 0, state.rows(block(cell)) == 0 else { return false }
        block(cell).storeBytes(of: numbers.count, as: UInt64.self)
        state.extent(block(cell), 0).pointee.numbers = numbers
        state.extent(block(cell), 0).pointee.kind = .number
        return true
    }

    // MARK: Rows of one record

    /// Finds the pane of a record whose groups are asked for by tag.
    @inline(__always)
    func begin(_ context: RowContext) {
        let known = knownPane(context.timeline, holding: context.time)
        currentPane = known >= 0 ? known : findPane(context.timeline, ceiling(context.time, pane))
        currentCell = -1
    }

    /// The group with this tag in the pane that `begin` found; −1 when it must be looked up by its key. Records of
    /// one device mostly have the same properties in the same order, so the next group is tried first.
    @inline(__always)
    func cell(tag: UInt32) -> Int32 {
        let first = panes[Int(currentPane)].firstCell
        var number = currentCell >= 0 ? cell(currentCell).pointee.next : first
        var left = min(panes[Int(currentPane)].cellCount, Self.tagStepsMax)
        while left > 0 {
            if number < 0 { number = first }
            if cell(number).pointee.tag == Int32(bitPattern: tag) {
                currentCell = number
                return number
            }
            number = cell(number).pointee.next
            left -= 1
        }
        return -1
    }

    /// The group with this key, made when it is not there and known by the tag from now on; −1 at a limit.
    func cell(tag: UInt32, key: UnsafeRawBufferPointer, hash: UInt64) -> Int32 {
        let number = cell(currentPane, key, hash)
        if number >= 0 {
            cell(number).pointee.tag = Int32(bitPattern: tag)
            currentCell = number
        }
        return number
    }

    @inline(__always)
    func add(_ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, to cell: Int32) -> RowFailure? {
        state.add(block(cell), context, frame)
    }
}
