import DeviceQueue
import PerpetualQuery
import Platform
import Telemetry

/// Recorded history for one query that is far behind: a thread of its own reads the log and decodes the records, so
/// that the query's thread has only the query to compute.
///
/// Owned by the query's thread. With one thread for everything (`isAside` false) blocks are made while they are asked
/// for.
final class LogAhead {
    /// Records that stand one behind the other in the log, and the tick that follows them if one does.
    ///
    /// `@unchecked Sendable`: one thread fills it, hands it over, and does not touch it until it is handed back.
    final class Block: @unchecked Sendable {
        let batch: EventBatch
        /// Where the first record stands.
        @exclusivity(unchecked) fileprivate(set) var start = QueueOffset(0)
        /// Where to go on after it.
        @exclusivity(unchecked) fileprivate(set) var end = QueueOffset(0)
        @exclusivity(unchecked) fileprivate(set) var tick: EventTime?

        init(plan: StreamPlan) { batch = EventBatch(plan: plan, input: 0) }
    }

    /// Blocks on the way, some 12 MiB: what is read while the query's thread saves and the sinks deliver.
    private static let blockCount = 32

    private let source: Source
    private let lane: Lane<Block>?
    private let thread: NamedThread?
    /// Without a thread, blocks that are made.
    private var made: [Block] = []

    /// - Parameters:
    ///   - query: `takesBatches`; it is not touched after the call.
    ///   - limit: records from here on are not taken; nil: all that are durable when it gets there.
    ///   - isAside: on a thread of its own.
    init(
        queue: DeviceQueue, query: LiveQuery, from start: QueueOffset, to limit: QueueOffset?, isAside: Bool
    ) {
        let plan = query.plan
        let source = Source(
            reader: queue.makeReader(from: start), decoder: query.makeDecoder(), plan: plan, from: start,
            to: limit)
        self.source = source
        guard isAside else {
            lane = nil
            thread = nil
            return
        }
        let lane = Lane((0..<Self.blockCount).map { _ in Block(plan: plan) })
        self.lane = lane
        thread = NamedThread("headend-history") {
            source.run(take: { lane.takeFree() }, send: { lane.send($0) })
            lane.end()
        }
    }

    deinit {
        lane?.cancel()
        thread?.join()
    }

    /// The next records, in the order of the log; nil at the end. To be handed back by `giveBack`.
    ///
    /// - Throws: as `LogReader.next`, after the blocks before.
    func next() throws(QueueError) -> Block? {
        if let lane {
            if let block = lane.receive() { return block }
        } else {
            while made.isEmpty, source.step(take: { Block(plan: source.plan) }, send: { made.append($0) }) {}
            if !made.isEmpty { return made.removeFirst() }
        }
        if let error = source.error { throw error }
        return nil
    }

    func giveBack(_ block: Block) { lane?.giveBack(block) }

    /// Where to go on when `next` has given nil: also past what is no record.
    var end: QueueOffset { source.end }

    /// Makes blocks of the log.
    ///
    /// `@unchecked Sendable`: handed to its thread once, before it starts; `error` and `end` are read by another when
    /// the lane has ended.
    private final class Source: @unchecked Sendable {
        let plan: StreamPlan
        private let reader: LogReader
        private let decoder: EventDecoder
        private let limit: QueueOffset?
        @exclusivity(unchecked) private var block: Block?
        /// The limit is reached, nobody wants more, the end of the log is, or it cannot be read.
        @exclusivity(unchecked) private var isDone = false
        @exclusivity(unchecked) private(set) var error: QueueError?
        @exclusivity(unchecked) private(set) var end: QueueOffset

        init(
            reader: LogReader, decoder: EventDecoder, plan: StreamPlan, from start: QueueOffset,
            to limit: QueueOffset?
        ) {
            self.reader = reader
            self.decoder = decoder
            self.plan = plan
            self.limit = limit
            end = start
        }

        func run(take: () -> Block?, send: (Block) -> Void) {
            while step(take: take, send: send) {}
        }

        /// Takes some of the log.
        ///
        /// - Parameters:
        ///   - take: gives an empty block; nil: nobody wants more.
        ///   - send: gets one that is full, or the last.
        /// - Returns: whether there is more.
        func step(take: () -> Block?, send: (Block) -> Void) -> Bool {
            if isDone { return false }
            do throws(QueueError) {
                let hadBlock = try reader.next { frame in
                    if let limit, frame.offset >= limit { isDone = true }
                    if isDone { return }
                    self.take(frame, take, send)
                    end = frame.nextOffset
                }
                if !hadBlock { isDone = true }
                if !isDone || !hadBlock { end = reader.position }
            } catch {
                self.error = error
                isDone = true
            }
            if isDone { finish(send) }
            return !isDone
        }

        @inline(__always)
        private func take(_ frame: LogFrame, _ take: () -> Block?, _ send: (Block) -> Void) {
            switch frame.kind {
            case .record:
                let record = frame.record
                while true {
                    guard let block = open(frame.offset, take) else { return }
                    if decoder.add(record, messageID: frame.messageID, to: block.batch) { break }
                    finish(send)
                }
            case .tick:
                guard let block = open(frame.offset, take) else { return }
                block.tick = frame.arrivalTime
            default:
                block?.end = frame.nextOffset
                return
            }
            block?.end = frame.nextOffset
            if block?.tick != nil { finish(send) }
        }

        /// The block in hand, or an empty one.
        @inline(__always)
        private func open(_ offset: QueueOffset, _ take: () -> Block?) -> Block? {
            if let block { return block }
            guard let empty = take() else {
                isDone = true
                return nil
            }
            empty.batch.removeAll(firstSequence: 1)
            empty.start = offset
            empty.tick = nil
            block = empty
            return empty
        }

        private func finish(_ send: (Block) -> Void) {
            guard let full = block else { return }
            block = nil
            decoder.finish(full.batch)
            send(full)
        }
    }
}
