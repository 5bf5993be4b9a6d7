import PerpetualQuery
import Platform
import Telemetry

// One input, three threads: one reads and decodes ahead, one computes, and the caller's has the rows.
extension QueryReplay {
    /// Batches and row buffers on the way: bound what is in memory beside the query's state.
    private static let batchCount = 8
    private static let rowBufferCount = 4

    /// What the reading thread needs. `@unchecked Sendable`: handed to that thread once, before it starts; `error` is
    /// read by others when the lane has ended.
    private final class Reader: @unchecked Sendable {
        let file: EventFile
        let decoder: EventDecoder
        let arrival: FieldReader?
        @exclusivity(unchecked) var pending: UnsafeRawBufferPointer?
        @exclusivity(unchecked) var sequence: UInt64 = 1
        @exclusivity(unchecked) private(set) var error: ReplayError?

        init(_ file: EventFile, _ decoder: EventDecoder, _ arrival: FieldReader?) {
            self.file = file
            self.decoder = decoder
            self.arrival = arrival
        }

        func run(_ batches: Lane<EventBatch>) {
            while error == nil, let batch = batches.takeFree() {
                do throws(ReplayError) { try fill(batch) } catch { self.error = error }
                if batch.count == 0 { break }
                batches.send(batch)
            }
            batches.end()
        }

        /// Fills a batch; empty at the end of the input.
        private func fill(_ batch: EventBatch) throws(ReplayError) {
            batch.removeAll(firstSequence: sequence)
            batch.isText = file.isText
            defer { decoder.finish(batch) }
            while true {
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
    }

    /// What the computing thread needs. `@unchecked Sendable`: handed to that thread once, before it starts, and read
    /// again when it has ended.
    private final class Computer: @unchecked Sendable {
        let engine: StreamEngine
        let rows: RowBuffer
        let reader: Reader
        let results: Lane<RowBuffer>
        @exclusivity(unchecked) private(set) var stop: Stop?
        /// Nobody wants rows any more.
        @exclusivity(unchecked) private var isCancelled = false

        init(_ engine: StreamEngine, _ rows: RowBuffer, _ reader: Reader, _ results: Lane<RowBuffer>) {
            self.engine = engine
            self.rows = rows
            self.reader = reader
            self.results = results
        }

        func run(_ batches: Lane<EventBatch>) {
            // Windows of many groups hand their rows on while they close.
            engine.drain = { [unowned self] _ in handOver() }
            while stop == nil, !isCancelled, let batch = batches.receive() {
                take(batch)
                batches.giveBack(batch)
                if rows.count + rows.systemRows.count >= QueryReplay.batchRows { handOver() }
            }
            batches.cancel()
            if stop == nil, !isCancelled, reader.error == nil {
                do throws(QueryFailure) { try engine.flush() } catch { stop = .failed(error, place: nil) }
            }
            // The rows before a failure are right: they go out first.
            handOver()
            engine.drain = nil
            results.end()
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

        private func handOver() {
            if rows.isEmpty { return }
            guard let empty = results.takeFree() else {
                isCancelled = true
                return rows.removeAll()
            }
            rows.exchange(with: empty)
            results.send(empty)
        }
    }

    /// Runs the query over a file, its end included.
    func runBatches(
        _ input: Int, _ file: EventFile, _ plan: StreamPlan, _ engine: StreamEngine, _ rows: RowBuffer,
        _ title: String,
        _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) {
        let batches = Lane((0..<Self.batchCount).map { _ in EventBatch(plan: plan, input: input) })
        let results = Lane((0..<Self.rowBufferCount).map { _ in RowBuffer(plan: plan) })
        let reader = Reader(
            file, EventDecoder(plan: plan, input: input, limits: limits), arrivalField.map { FieldReader($0) }
        )
        let computer = Computer(engine, rows, reader, results)
        let reading = NamedThread("headend-decode") { reader.run(batches) }
        let computing = NamedThread("headend-query") { computer.run(batches) }
        let result = Result { () throws(ReplayError) in
            while let rows = results.receive() {
                try body(rows)
                rows.removeAll()
                results.giveBack(rows)
            }
        }
        results.cancel()
        batches.cancel()
        computing.join()
        reading.join()
        try result.get()
        switch computer.stop {
        case .failed(let failure, let place): throw failed(failure, place, title)
        case .notJSON(let place):
            throw ReplayError(.input, "\(place): not a JSON object: an event is an object on one line")
        case nil: if let error = reader.error { throw error }
        }
    }
}
