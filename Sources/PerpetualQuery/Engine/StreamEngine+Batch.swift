import Telemetry

// Events that were decoded ahead.
extension StreamEngine {
    /// Events whose places in memory are fetched while as many before them are taken.
    private static let aheadCount = 32

    /// Takes the events of a batch, as `process(_:)` takes each.
    ///
    /// - Parameter stopsAtOthers: stops at an event that is no JSON object; else its fields are NULL.
    /// - Returns: the index of the event at which it stopped; nil when it did not.
    /// - Throws: as `process(_:)`; `takenOfBatch` then says how many came before.
    package func process(_ batch: EventBatch, stopsAtOthers: Bool) throws(QueryFailure) -> Int? {
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
            if !item.pointee.isJSON, stopsAtOthers { return index }
            try process(
                batch.event(index), input, batch.slots + index * batch.fieldCount, name: item.pointee.name,
                isJSON: item.pointee.isJSON)
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
                row.device = item.pointee.device
                row.sequence = item.pointee.sequence
                if let group {
                    let failed = group.use {
                        let key = batch.key(item.pointee)
                        return add(row, stage.frame, to: $0, key: key, hash: item.pointee.keyHash)
                    }
                    if let failed { note(failed, of: row, batch, stage) }
                } else {
                    event = batch.event(index)
                    accept(row, stage)
                    releaseArena()
                }
                if isLater, !hasFailed {
                    goOn(source, stage, timeline: 0, to: time)
                    releaseArena()
                }
            } else {
                let event = batch.event(index)
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
        event = batch.event(takenOfBatch)
        context.failure = failed
        failedAt = 0
        note(stage.body, row)
    }
}
