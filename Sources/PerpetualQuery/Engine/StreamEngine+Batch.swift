import Telemetry

// Events that were decoded ahead.
extension StreamEngine {
    /// Events whose places in memory are fetched while as many before them are taken.
    private static let aheadCount = 32

    /// Takes the events of a batch, as `process(_:)` takes each.
    ///
    /// - Returns: the index of the first event that is no JSON object, at which it stopped; nil when there is none.
    /// - Throws: as `process(_:)`; `takenOfBatch` then says how many came before.
    package func process(_ batch: EventBatch) throws(QueryFailure) -> Int? {
        precondition(batch.isFinished, "the decoder has not finished the batch")
        let input = inputs[batch.input]
        takenOfBatch = 0
        var fetched = 0
        while takenOfBatch < batch.count {
            let end = min((takenOfBatch / Self.aheadCount + 1) * Self.aheadCount, batch.count)
            let wanted = min(end + Self.aheadCount, batch.count)
            if fetched < wanted {
                prefetch(batch, fetched..<wanted, input)
                fetched = wanted
            }
            if input.isPlain, !isFinished {
                takePlain(batch, upTo: end, input, input.sources[0])
                if let firstFailure { throw firstFailure.failure }
                if takenOfBatch == end { continue }
            }
            let index = takenOfBatch
            let item = batch.items + index
            guard item.pointee.isJSON else { return index }
            try process(
                streamEvent(batch, index), input, batch.slots + index * batch.fieldCount,
                name: item.pointee.name,
                isJSON: true)
            takenOfBatch += 1
        }
        return nil
    }

    private func prefetch(_ batch: EventBatch, _ range: Range<Int>, _ input: InputRuntime) {
        if let filter = input.duplicates {
            for index in range { filter.prefetch(batch.items[index].name) }
        }
        if let panes = input.plainGroup?.use({ $0.keptPanes }) {
            for index in range where batch.items[index].time != EventBatch.Item.noTime {
                panes.use { $0.prefetch(batch.items[index].time, hash: batch.items[index].keyHash) }
            }
        }
    }

    private func streamEvent(_ batch: EventBatch, _ index: Int) -> StreamEvent {
        let arrival = EventTime(ticks: batch.items[index].arrival)
        return StreamEvent(
            input: batch.input, device: 0, sequence: batch.firstSequence + UInt64(index),
            arrivalTime: arrival,
            eventTime: arrival, payload: batch.payload(index), isText: batch.isText)
    }

    /// Takes events whose time is known, up to the first whose is not, or that failed: `takenOfBatch` goes on with
    /// each. Does what `take` does, without what such events do not need.
    private func takePlain(_ batch: EventBatch, upTo end: Int, _ input: InputRuntime, _ source: SourceRuntime)
    {
        let stage = source.runtime
        let filter = input.keptDuplicates
        let group = input.plainGroup
        event = nil
        while takenOfBatch < end {
            let index = takenOfBatch
            let item = batch.items + index
            let ticks = item.pointee.time
            guard ticks != EventBatch.Item.noTime else { return }
            totals.events += 1
            if let filter, isDuplicate(item.pointee.name, filter) {
                if hasFailed { return }
                takenOfBatch += 1
                continue
            }
            let slots = batch.slots + index * batch.fieldCount
            let arrival = arrivesAtEventTime ? ticks : item.pointee.arrival
            let watermark = policy.watermark(greatest: source.greatest[0], floor: source.floor)
            if case .accepted(let time, .none) = policy.judge(
                event: ticks, arrival: arrival, watermark: watermark)
            {
                let isLater = accept(time: time, source, timeline: 0)
                for load in 0..<source.loadCount {
                    stage.frame[source.loads[load].to] = slots[source.loads[load].from]
                }
                var row = RowContext(time: time)
                row.sequence = batch.firstSequence + UInt64(index)
                if let group {
                    let failed = group.use {
                        let key = batch.key(item.pointee)
                        return add(row, stage.frame, to: $0, key: key, hash: item.pointee.keyHash)
                    }
                    if let failed { note(failed, of: row, batch, stage) }
                } else {
                    event = streamEvent(batch, index)
                    accept(row, stage)
                    releaseArena()
                }
                if isLater, !hasFailed {
                    goOn(source, stage, timeline: 0, to: time)
                    releaseArena()
                }
            } else {
                let event = streamEvent(batch, index)
                self.event = event
                take(event, source, slots, isJSON: true)
                releaseArena()
            }
            if hasFailed { return }
            takenOfBatch += 1
        }
    }

    /// What the only instruction of a stage says of a row.
    private func note(_ failed: RowFailure, of row: RowContext, _ batch: EventBatch, _ stage: StageRuntime) {
        event = streamEvent(batch, takenOfBatch)
        context.failure = failed
        failedAt = 0
        note(stage.body, row)
    }
}
