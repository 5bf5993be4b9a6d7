import PerpetualQuery
import Platform
import Telemetry

// One input, three threads: one reads and decodes ahead, one computes, and the caller's has the rows.
extension QueryReplay {
    /// Batches and row buffers on the way: bound what is in memory beside the query's state.
    private static let batchCount = 8
    private static let rowBufferCount = 4

    /// Events with the place behind them. `@unchecked Sendable`: one thread fills it, hands it over, and does not touch
    /// it until it is handed back.
    private final class Stretch: @unchecked Sendable {
        let events: EventBatch
        /// nil: reading failed behind them.
        @exclusivity(unchecked) var end: InputPlace?

        init(_ events: EventBatch) { self.events = events }
    }

    /// Rows, and the state behind the events they are of. `@unchecked Sendable`: one thread fills it, hands it over,
    /// and does not touch it until it is handed back.
    private final class Harvest: @unchecked Sendable {
        let rows: RowBuffer
        @exclusivity(unchecked) var snapshot: ReplaySnapshot?

        init(_ rows: RowBuffer) { self.rows = rows }
    }

    /// What the reading thread needs. `@unchecked Sendable`: handed to that thread once, before it starts; `error` is
    /// read by others when the lane has ended.
    private final class Reader: @unchecked Sendable {
        let file: EventFile
        let decoder: EventDecoder
        let arrival: FieldReader?
        @exclusivity(unchecked) var pending: UnsafeRawBufferPointer?
        /// Of the next event.
        @exclusivity(unchecked) var sequence: UInt64
        private let eventsMax: Int
        @exclusivity(unchecked) private(set) var error: ReplayError?

        init(_ feed: Feed, _ decoder: EventDecoder, eventsMax: Int) {
            self.eventsMax = eventsMax
            file = feed.file
            self.decoder = decoder
            arrival = feed.arrival
            sequence = feed.sequence + 1
        }

        func run(_ stretches: Lane<Stretch>) {
            while error == nil, let stretch = stretches.takeFree() {
                stretch.end = nil
                do throws(ReplayError) {
                    try fill(stretch.events)
                    stretch.end = InputPlace(
                        position: pending == nil ? file.position : file.positionBefore,
                        sequence: sequence - 1)
                } catch { self.error = error }
                if stretch.events.count == 0 { break }
                stretches.send(stretch)
            }
            stretches.end()
        }

        /// Fills a batch; empty at the end of the input.
        private func fill(_ batch: EventBatch) throws(ReplayError) {
            batch.removeAll(firstSequence: sequence)
            batch.isText = file.isText
            defer { decoder.finish(batch) }
            while batch.count < eventsMax {
                if pending == nil { pending = try file.next() }
                guard let payload = pending, batch.hasRoom(for: payload.count) else { return }
                var time = EventTime(ticks: 0)
                if let arrival {
                    guard let arrived = arrival.time(of: payload) else {
                        throw ReplayError(
                            .input,
                            "\(file.place): no time of arrival in \(arrival.name): "
                                + "write ISO 8601 or an epoch number")
                    }
                    time = arrived
                }
                decoder.add(payload, arrival: time, line: file.number, to: batch)
                pending = nil
                sequence += 1
            }
        }
    }

    /// Why the computing thread stopped before the end of the input.
    private enum Stop {
        case failed(QueryFailure, place: String?)
        case notJSON(place: String)
        case notSaved(ReplayError)
    }

    /// What the computing thread needs. `@unchecked Sendable`: handed to that thread once, before it starts, and read
    /// again when it has ended.
    private final class Computer: @unchecked Sendable {
        let engine: StreamEngine
        let rows: RowBuffer
        let reader: Reader
        let harvests: Lane<Harvest>
        let checkpoints: ReplayCheckpoints?
        @exclusivity(unchecked) private(set) var stop: Stop?
        /// Nobody wants rows any more.
        @exclusivity(unchecked) private var isCancelled = false

        init(
            _ engine: StreamEngine, _ rows: RowBuffer, _ reader: Reader, _ harvests: Lane<Harvest>,
            _ checkpoints: ReplayCheckpoints?
        ) {
            self.engine = engine
            self.rows = rows
            self.reader = reader
            self.harvests = harvests
            self.checkpoints = checkpoints
        }

        func run(_ stretches: Lane<Stretch>) {
            // Windows of many groups hand their rows on while they close.
            engine.drain = { [unowned self] _ in handOver() }
            while stop == nil, !isCancelled, let stretch = stretches.receive() {
                take(stretch.events)
                let end = stretch.end
                stretches.giveBack(stretch)
                if let checkpoints, let end, stop == nil { checkpoint(checkpoints, end) }
                if rows.count + rows.systemRows.count >= QueryReplay.batchRows { handOver() }
            }
            stretches.cancel()
            if stop == nil, !isCancelled, reader.error == nil {
                do throws(QueryFailure) { try engine.flush() } catch { stop = .failed(error, place: nil) }
            }
            // The rows before a failure are right: they go out first.
            handOver()
            engine.drain = nil
            harvests.end()
        }

        private func take(_ batch: EventBatch) {
            func place(_ index: Int) -> String { "\(reader.file.path):\(batch.line(of: index))" }
            do throws(QueryFailure) {
                if let index = try engine.process(batch, stopsAtOthers: true) {
                    stop = .notJSON(place: place(index))
                }
            } catch {
                stop = .failed(error, place: place(engine.takenOfBatch))
            }
        }

        /// The rows before go with it, so that whoever writes them knows where they end.
        private func checkpoint(_ checkpoints: ReplayCheckpoints, _ end: InputPlace) {
            do throws(ReplayError) {
                let snapshot = try checkpoints.snapshotIfDue { ([end], engine.snapshotPieces()) }
                if let snapshot { handOver(with: snapshot) }
            } catch { stop = .notSaved(error) }
        }

        private func handOver(with snapshot: ReplaySnapshot? = nil) {
            if rows.isEmpty, snapshot == nil { return }
            guard let harvest = harvests.takeFree() else {
                isCancelled = true
                return rows.removeAll()
            }
            rows.exchange(with: harvest.rows)
            harvest.snapshot = snapshot
            harvests.send(harvest, isUrgent: snapshot != nil)
        }
    }

    /// Runs the query over a file, its end included.
    func runBatches(
        _ feed: Feed, _ plan: StreamPlan, _ engine: StreamEngine, _ rows: RowBuffer, _ title: String,
        _ saving: Saving?, _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) {
        let stretches = Lane(
            (0..<Self.batchCount).map { _ in Stretch(EventBatch(plan: plan, input: feed.input)) })
        let harvests = Lane((0..<Self.rowBufferCount).map { _ in Harvest(RowBuffer(plan: plan)) })
        let reader = Reader(
            feed, EventDecoder(plan: plan, input: feed.input, limits: limits), eventsMax: eventsPerStretch)
        let computer = Computer(engine, rows, reader, harvests, saving?.checkpoints)
        let reading = NamedThread("headend-decode") { reader.run(stretches) }
        let computing = NamedThread("headend-query") { computer.run(stretches) }
        let result = Result { () throws(ReplayError) in
            while let harvest = harvests.receive() {
                try body(harvest.rows)
                harvest.rows.removeAll()
                let snapshot = harvest.snapshot
                harvest.snapshot = nil
                if let snapshot { try saving?.save(snapshot) }
                harvests.giveBack(harvest)
            }
        }
        harvests.cancel()
        stretches.cancel()
        computing.join()
        reading.join()
        try result.get()
        switch computer.stop {
        case .failed(let failure, let place): throw failed(failure, place, title)
        case .notJSON(let place):
            throw ReplayError(.input, "\(place): not a JSON object: an event is an object on one line")
        case .notSaved(let error): throw error
        case nil: if let error = reader.error { throw error }
        }
    }
}
