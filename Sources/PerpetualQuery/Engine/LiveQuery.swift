package import Telemetry

/// A query over one shard's stored records: records and ticks in, rows out, and what of its windows is complete.
///
/// Sans-I/O and single-owner, as the engine inside. Rows stand in `rows` after a call; the caller empties it.
package final class LiveQuery {
    package let plan: StreamPlan
    /// What came of the calls since the last `removeRows`.
    package let rows: RowBuffer
    let engine: StreamEngine
    /// By output, whether its rows come in windows that are complete some time.
    package let windowedOutputs: [Bool]
    private let step: Int64
    private let hasWindows: Bool
    /// Ends of windows that gave rows and are not yet complete for all timelines: the least and the greatest.
    private var emittedEarliest = Int64.max
    private var emittedLatest = Int64.min
    /// Rows of the buffer that were looked at.
    private var seenRows = 0

    /// - Throws: when reference data is missing, is no JSON, or has other types than CREATE TABLE says.
    package convenience init(
        plan: StreamPlan, references: [ReferenceData] = [], limits: StreamLimits = StreamLimits()
    ) throws(QueryFailure) {
        let tables = try ReferenceTable.all(of: plan, limits: limits) { name in
            references.first { $0.name.lowercased() == name.lowercased() }
        }
        self.init(plan: plan, tables: tables, limits: limits)
    }

    /// - Parameter tables: by the plan's reference.
    package init(plan: StreamPlan, tables: [ReferenceTable], limits: StreamLimits = StreamLimits()) {
        self.plan = plan
        rows = RowBuffer(plan: plan)
        engine = StreamEngine(plan: plan, tables: tables, rows: rows, limits: limits)
        windowedOutputs = plan.outputs.indices.map { plan.isWindowed(output: $0) }
        hasWindows = windowedOutputs.contains(true)
        step = plan.windowStep
    }

    /// Name of a device, for rows and `IoTHub.ConnectionDeviceId`.
    package var deviceName: (UInt32) -> DeviceID {
        get { engine.deviceName }
        set { engine.deviceName = newValue }
    }

    /// Joins the records that come from now on with other rows. They are no state: a query that is restored is
    /// given what was in force at its place in the log.
    package func replace(reference: Int, by table: ReferenceTable) {
        engine.replace(reference: reference, by: table)
    }

    /// Takes one record, in the order of the log.
    ///
    /// - Throws: when a row cannot be computed and the policy is to stop, or at a limit.
    package func process(
        _ record: RecordView,
        messageID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(QueryFailure) {
        try process(StreamEvent(record, messageID: messageID))
    }

    func process(_ event: StreamEvent) throws(QueryFailure) {
        try engine.process(event)
        look()
    }

    /// As `process`, with the wanted fields decoded already.
    func process(
        _ event: StreamEvent, decoded slots: UnsafeMutablePointer<Datum>, isJSON: Bool
    ) throws(QueryFailure) {
        try engine.process(event, engine.inputs[0], slots, name: .none, isJSON: isJSON)
        look()
    }

    /// Takes records that were decoded ahead, as `process(_:messageID:)` takes each.
    package func process(_ batch: EventBatch) throws(QueryFailure) {
        _ = try engine.process(batch, stopsAtOthers: false)
        look()
    }

    /// What decodes records into batches for it, on another thread if wanted; `takesBatches`.
    package func makeDecoder() -> EventDecoder { EventDecoder(plan: plan, input: 0, limits: engine.limits) }

    /// Whether its records can be decoded ahead: not those of which it reads the payload itself.
    package var takesBatches: Bool {
        engine.inputs.count == 1 && !engine.inputs[0].isDirect
            && engine.sources.allSatisfy { $0.grouping == nil }
    }

    /// The hub's clock says it is `arrival`. A tick for which `needsTick` is true must be in the log before it is
    /// given here, so that a replay closes the same windows at the same point.
    ///
    /// - Parameter drain: takes the rows out of the buffer whenever there are some thousands, so that a tick that
    ///   closes a window of every device needs no memory for all the rows at once.
    package func tick(
        arrival: EventTime, drain: (RowBuffer) -> Void = { _ in }
    ) throws(QueryFailure) {
        let result = withoutActuallyEscaping(drain) { drain in
            Result { () throws(QueryFailure) in
                engine.drain = { [self] rows in
                    look()
                    drain(rows)
                    rows.removeAll()
                    seenRows = 0
                }
                defer { engine.drain = nil }
                try engine.tick(arrival: arrival)
            }
        }
        try result.get()
        look()
        complete()
    }

    /// The end of the input: closes every window.
    package func flush() throws(QueryFailure) {
        try engine.flush()
        look()
    }

    /// Every window that ends at or before this moment is closed for all timelines, and stays so; nil for a query
    /// without windows, and before the first tick, or without OVER the first event.
    package var completeThrough: EventTime? {
        guard hasWindows, let settled = engine.settled else { return nil }
        return EventTime(ticks: lastEnd(before: settled))
    }

    /// Whether a tick at `now` would change anything that can be seen: close a window, let a row go on, or complete a
    /// window end for which rows went out.
    package func needsTick(now: EventTime) -> Bool {
        if engine.needsTick(now: now) { return true }
        guard hasWindows, emittedEarliest != Int64.max else { return false }
        let next = engine.floor(ifTickedAt: now)
        return next > engine.floor ?? Int64.min && lastEnd(before: next) >= emittedEarliest
    }

    package var counters: StreamCounters { engine.counters }

    /// The least time of all timelines; nil before the first tick, and the greatest event time without OVER.
    package var watermark: EventTime? {
        guard let least = engine.settled else { return nil }
        return TimeRange.ticks.contains(least) ? EventTime(ticks: least) : nil
    }

    /// The open window that ends first, and what has to happen for it to close; nil when none is open.
    package var nextWindow: (end: EventTime, timeline: String?, time: EventTime?)? {
        var found: (end: Int64, timeline: String?, time: Int64)?
        for group in engine.groups {
            for window in group.windows {
                let end = window.earliest(-1)
                guard end < found?.end ?? Int64.max else { continue }
                found = (end, nil, Int64.min)
                guard let source = engine.sources.first(where: \.isPartitioned),
                    let timeline = window.earliestTimeline, timeline < source.keys.numberLimit
                else { continue }
                let text = engine.text(ofKey: source.keys.bytes(of: timeline))
                let own = TimePolicy.saturatingSubtract(source.greatest[timeline], source.tolerance)
                found = (end, text, max(own, source.floor))
            }
        }
        guard let found, TimeRange.ticks.contains(found.end) else { return nil }
        return (
            EventTime(ticks: found.end), found.timeline,
            TimeRange.ticks.contains(found.time) ? EventTime(ticks: found.time) : watermark
        )
    }

    /// Open windows' groups, rows that wait for their turn, and rows that joins keep.
    package var openState: (groups: Int, waiting: Int, joined: Int) { engine.openState }

    /// Bytes of the state in memory, about: for status, not for each batch.
    package var stateBytes: Int { engine.stateBytes }

    /// Empties `rows`.
    package func removeRows() {
        rows.removeAll()
        seenRows = 0
    }

    /// The greatest window end that a time has passed.
    private func lastEnd(before time: Int64) -> Int64 {
        guard time > TimeRange.ticks.lowerBound else { return Int64.min }
        let last = min(time, TimeRange.ticks.upperBound) - 1
        let rest = last % step
        return last - (rest >= 0 ? rest : rest + step)
    }

    private func look() {
        while seenRows < rows.count {
            if windowedOutputs[rows.output(of: seenRows)] {
                let end = rows.time(of: seenRows).ticks
                emittedEarliest = min(emittedEarliest, end)
                emittedLatest = max(emittedLatest, end)
            }
            seenRows += 1
        }
    }

    private func complete() {
        guard let through = completeThrough?.ticks else { return }
        if through >= emittedLatest {
            emittedEarliest = Int64.max
            emittedLatest = Int64.min
        } else if through >= emittedEarliest {
            emittedEarliest = through + step
        }
    }
}

// The state as bytes; the layout is a table in PerpetualQuery.docc/StreamCheckpointFormat.md.
extension LiveQuery {
    private static let magic: UInt64 = 0x3145_5649_4C44_4548  // "HEDLIVE1", little-endian

    /// The whole state: a query restored from it goes on with the same rows and ids. Equal states give equal
    /// bytes.
    package func snapshot() -> [UInt8] { StateBytes.joined(snapshotPieces()) }

    /// As `snapshot()`, in pieces that need not be copied together. A pass over the whole state: a million groups
    /// take an eighth of a second.
    package func snapshotPieces() -> [[UInt8]] {
        let state = engine.snapshotPieces()
        var head: [UInt8] = []
        func put<Number: FixedWidthInteger>(_ value: Number) {
            withUnsafeBytes(of: value.littleEndian) { head.append(contentsOf: $0) }
        }
        put(Self.magic)
        put(emittedEarliest)
        put(emittedLatest)
        put(UInt32(StateBytes.count(state)))
        return StateBytes.sealed([head] + state)
    }

    /// Puts the state of a checkpoint into a query that has taken nothing yet. The state of the per-minute query of
    /// versions before the SQL engine is taken over as well.
    ///
    /// - Throws: when the bytes are damaged, of a newer format or of another plan. The query is then not usable.
    package func restore(_ state: [UInt8]) throws(CheckpointError) { try restore(state[...]) }

    package func restore(_ state: ArraySlice<UInt8>) throws(CheckpointError) {
        let result = state.withUnsafeBytes { bytes in
            Result { () throws(CheckpointError) in try read(bytes) }
        }
        try result.get()
    }

    private func read(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var reader = try StateReader(sealed: bytes)
        let magic = try reader.take(UInt64.self)
        if magic == FirstFormat.magic {
            (emittedEarliest, emittedLatest) = try FirstFormat.read(&reader, into: engine)
            return
        }
        guard magic == Self.magic else { throw .damaged(at: 0) }
        emittedEarliest = try reader.take(Int64.self)
        emittedLatest = try reader.take(Int64.self)
        let state = try reader.takeBytes()
        guard reader.isAtEnd else { throw .damaged(at: reader.at) }
        try engine.restore(from: state)
    }
}

extension LiveQuery {
    /// Whether its events take the short way of `PropertyGrouping`.
    package var isGroupingProperties: Bool { engine.sources.contains { $0.grouping != nil } }
}
