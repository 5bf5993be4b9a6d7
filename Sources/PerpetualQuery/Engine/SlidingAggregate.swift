/// The rows of the last stretch of time, aggregated as they come and go: slices of equal times, of which
/// those that leave first are summed up from behind, so that adding and removing cost the same however many
/// there are.
///
/// Raw pointers: the aggregate owns its blocks and frees them when slices go and in `clear`.
final class SlidingAggregate {
    struct Slice {
        var time: Int64
        var block: UnsafeMutableRawPointer
    }

    private let state: GroupState
    /// In the order of time; those before `first` are gone.
    private(set) var slices: [Slice] = []
    private var first = 0
    /// Slices that are summed up in `back`, or entered.
    private(set) var entered = 0
    /// Of the slices before this one, `fronts` has the sums from each to the last of them.
    private var frontEnd = 0
    private var fronts: [UnsafeMutableRawPointer] = []
    private var back: UnsafeMutableRawPointer
    /// Rows in all slices.
    private(set) var rowCount = 0

    init(state: GroupState) {
        self.state = state
        back = .allocate(byteCount: state.layout.byteCount, alignment: 16)
        state.initialize(back)
    }

    deinit { back.deallocate() }

    /// Frees everything; the aggregate is not used afterwards.
    func clear() {
        for slice in slices[first...] { free(slice.block) }
        for front in fronts { free(front) }
        state.clear(back)
        slices = []
        fronts = []
    }

    private func free(_ block: UnsafeMutableRawPointer) {
        state.clear(block)
        block.deallocate()
    }

    private func newBlock() -> UnsafeMutableRawPointer {
        let block = UnsafeMutableRawPointer.allocate(byteCount: state.layout.byteCount, alignment: 16)
        state.initialize(block)
        return block
    }

    var isEmpty: Bool { first == slices.count }
    var oldest: Int64? { first < slices.count ? slices[first].time : nil }
    var newest: Int64? { slices.last?.time }
    /// The next slice that has not entered.
    var nextEntry: Int64? { entered < slices.count ? slices[entered].time : nil }
    var oldestEntered: Int64? { first < entered ? slices[first].time : nil }

    /// Adds a row at a time that is not before that of the last one.
    func add(_ context: RowContext, _ frame: UnsafeMutablePointer<Datum>) -> RowFailure? {
        rowCount += 1
        // A slice that has entered is part of a sum already; another of the same time is then begun.
        if let last = slices.last, entered < slices.count, last.time == context.time {
            return state.add(last.block, context, frame)
        }
        let block = newBlock()
        slices.append(Slice(time: context.time, block: block))
        return state.add(block, context, frame)
    }

    /// Lets the slices up to a time enter.
    func enter(through time: Int64) -> RowFailure? {
        while entered < slices.count, slices[entered].time <= time {
            if let failure = state.merge(back, slices[entered].block) { return failure }
            entered += 1
        }
        return nil
    }

    /// Takes the slices up to a time out.
    func leave(through time: Int64) -> RowFailure? {
        while first < entered, slices[first].time <= time {
            if fronts.isEmpty, let failure = turn() { return failure }
            rowCount -= Int(state.rows(slices[first].block))
            free(slices[first].block)
            free(fronts.removeLast())
            first += 1
        }
        if first > 64, first * 2 > slices.count {
            slices.removeFirst(first)
            entered -= first
            frontEnd -= first
            first = 0
        }
        return nil
    }

    /// Sums the entered slices up from behind.
    private func turn() -> RowFailure? {
        var index = entered - 1
        while index >= first {
            let sum = newBlock()
            // In the order of time: this slice, then what was summed up.
            var failure = state.merge(sum, slices[index].block)
            if failure == nil, let later = fronts.last { failure = state.merge(sum, later) }
            fronts.append(sum)
            if let failure { return failure }
            index -= 1
        }
        frontEnd = entered
        state.clear(back)
        state.initialize(back)
        return nil
    }

    /// The sum of what has entered and not left, in a block that the receiver clears.
    func sum(into block: UnsafeMutableRawPointer) -> RowFailure? {
        state.initialize(block)
        if let front = fronts.last, let failure = state.merge(block, front) { return failure }
        return state.merge(block, back)
    }

    /// In the count of slices: the number of `fronts` follows. What sums up to what must be the same after a restore,
    /// or sums of floats differ in their last digits.
    private static let hasFronts: UInt32 = 1 << 31

    func write(to writer: inout StateWriter) {
        writer.put(UInt32(slices.count - first) | Self.hasFronts)
        writer.put(UInt32(entered - first))
        writer.put(UInt32(fronts.count))
        for slice in slices[first...] {
            writer.put(slice.time)
            state.write(slice.block, to: &writer)
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        let stored = try reader.take(UInt32.self)
        let count = Int(stored & ~Self.hasFronts)
        let inside = Int(try reader.take(UInt32.self))
        // Checkpoints of earlier versions do not have it.
        let behind = stored & Self.hasFronts == 0 ? 0 : Int(try reader.take(UInt32.self))
        guard inside <= count, behind <= inside else { throw .damaged(at: reader.at) }
        for index in 0..<count {
            let time = try reader.take(Int64.self)
            let block = newBlock()
            slices.append(Slice(time: time, block: block))
            try state.read(&reader, into: block)
            rowCount += Int(state.rows(block))
            if index + 1 == behind {
                entered = behind
                guard turn() == nil else { throw .damaged(at: reader.at) }
            } else if index >= behind, index < inside {
                guard state.merge(back, block) == nil else { throw .damaged(at: reader.at) }
                entered += 1
            }
        }
    }
}
