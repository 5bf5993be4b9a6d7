import PerpetualQuery
import Platform
import Telemetry

// One input: a thread reads and decodes ahead, the caller's computes.
extension QueryReplay {
    /// Batches on their way between the two threads.
    private struct Pipe {
        var ready: [EventBatch] = []
        var free: [EventBatch] = []
        var isFinished = false
        var isCancelled = false
        var error: ReplayError?
    }

    private static let batchCount = 6

    /// What the reading thread needs. `@unchecked Sendable`: handed to that thread once, before it starts.
    private final class Reader: @unchecked Sendable {
        let file: EventFile
        let decoder: EventDecoder
        let arrival: FieldReader?
        @exclusivity(unchecked) var pending: UnsafeRawBufferPointer?
        @exclusivity(unchecked) var sequence: UInt64 = 1

        init(_ file: EventFile, _ decoder: EventDecoder, _ arrival: FieldReader?) {
            self.file = file
            self.decoder = decoder
            self.arrival = arrival
        }

        /// Fills a batch; empty at the end of the input.
        func fill(_ batch: EventBatch) throws(ReplayError) {
            batch.removeAll(firstSequence: sequence)
            batch.isText = file.isText
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

    func runBatches(
        _ input: Int, _ file: EventFile, _ plan: StreamPlan, _ engine: StreamEngine, _ rows: RowBuffer,
        _ title: String,
        _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) {
        let pipe = Monitor(
            Pipe(free: (0..<Self.batchCount).map { _ in EventBatch(plan: plan, input: input) }))
        let reader = Reader(
            file, EventDecoder(plan: plan, input: input, limits: limits), arrivalField.map { FieldReader($0) }
        )
        let thread = NamedThread("headend-decode") { Self.read(reader, into: pipe) }
        let result = Result { () throws(ReplayError) in
            while let batch = pipe.wait(
                until: { !$0.ready.isEmpty || $0.isFinished },
                then: { pipe -> EventBatch? in
                    pipe.ready.isEmpty ? nil : pipe.ready.removeFirst()
                })
            {
                try take(batch, engine, rows, file.path, title, body)
                if rows.count + rows.systemRows.count >= Self.batchRows {
                    try body(rows)
                    rows.removeAll()
                }
                pipe.update { $0.free.append(batch) }
            }
            if let error = pipe.withLock({ $0.error }) { throw error }
        }
        pipe.update { $0.isCancelled = true }
        thread.join()
        try result.get()
    }

    private static func read(_ reader: Reader, into pipe: Monitor<Pipe>) {
        while let batch = pipe.wait(
            until: { !$0.free.isEmpty || $0.isCancelled },
            then: { pipe -> EventBatch? in
                pipe.isCancelled ? nil : pipe.free.removeLast()
            })
        {
            var failure: ReplayError?
            do throws(ReplayError) { try reader.fill(batch) } catch { failure = error }
            let isLast = batch.count == 0 || failure != nil
            pipe.update { pipe in
                if batch.count > 0 { pipe.ready.append(batch) }
                pipe.error = failure
                pipe.isFinished = isLast
            }
            if isLast { return }
        }
    }

    private func take(
        _ batch: EventBatch, _ engine: StreamEngine, _ rows: RowBuffer, _ path: String, _ title: String,
        _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) {
        func place(_ index: Int) -> String { "\(path):\(batch.line(of: index))" }
        let stopped: Int?
        do throws(QueryFailure) { stopped = try engine.process(batch) } catch {
            // The rows before the failure are right: they go out first.
            try body(rows)
            throw failed(error, place(engine.takenOfBatch), title)
        }
        if let stopped {
            try body(rows)
            throw ReplayError(
                .input, "\(place(stopped)): not a JSON object: an event is an object on one line")
        }
    }
}
