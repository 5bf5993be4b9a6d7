import DeviceQueue
import PerpetualQuery
import Telemetry

// A query that is far behind: new, with the whole log before it, or opened again with much to take again.
extension QueryFleet {
    /// Below that the thread reads for itself: what is behind by less is behind for a moment.
    static let aheadBytesMin: UInt64 = 8 << 20
    /// Blocks a turn, so that a long replay still checkpoints and delivers now and then.
    private static let blocksPerTurn = 32
    /// Every so many blocks, the census looks at some events.
    private static let blocksPerCensus = 4

    /// Gives the query that has most need of it what was read and decoded for it.
    func readAhead() {
        if ahead == nil { beginAhead() }
        guard let (slot, log) = ahead, let job = slot.job else { return }
        hasMore = true
        do {
            for number in 0..<Self.blocksPerTurn {
                guard let block = try log.next() else {
                    job.position = max(job.position, log.end)
                    ahead = nil
                    return regroup()
                }
                if number % Self.blocksPerCensus == 0 { look(at: block) }
                try job.query.process(block.batch)
                if let tick = block.tick { try job.tick(arrival: tick) }
                try job.moveRows()
                job.position = block.end
                log.giveBack(block)
            }
        } catch {
            fail(slot, error)
        }
    }

    /// One at a time: the first that is far enough behind, and alone there. Others that stand at one place read
    /// together, and a payload is decoded once for all of them.
    private func beginAhead() {
        let durableEnd = queue.durableEnd
        for slot in slots where !slot.isPaused && (!slot.isTogether || together.count == 1) {
            guard let job = slot.job else { continue }
            let isAlone = slot.isTogether || together.isEmpty
            // Where it meets the others; what it takes again without rows ends where it stood.
            let limit = job.isResuming ? job.resumeOffset : isAlone ? nil : position
            guard (limit ?? durableEnd).bytes >= job.position.bytes &+ aheadBytesMin,
                job.query.takesBatches, job.query.plan.references.isEmpty
            else { continue }
            slot.reader = nil
            ahead = (
                slot,
                LogAhead(
                    queue: queue, query: job.query, from: job.position, to: limit, isAside: threads > 1)
            )
            return regroup()
        }
    }

    private func look(at block: LogAhead.Block) {
        guard block.start >= censusEnd else { return }
        censusEnd = block.end
        for index in 0..<min(census.eventsPerBlock, block.batch.count) {
            census.take(block.batch.payload(index))
        }
    }
}
