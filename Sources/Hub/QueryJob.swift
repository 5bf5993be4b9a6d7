import DeviceQueue
import PerpetualQuery
import Platform
import ResultSink
import Telemetry

/// The parts of one running query, confined to its thread: engine, outbox, checkpoint, sinks.
///
/// `@unchecked Sendable`: handed to its thread once, before that thread starts, or made there.
package final class QueryJob: @unchecked Sendable {
    let definition: QueryDefinition
    let query: LiveQuery
    private let topics: ResultTopics
    private let outbox: ResultLog
    /// What the sinks read it through.
    private let reader: ResultReader
    private let checkpoints: QueryCheckpoints
    private let sinks: [any ResultDelivery]
    private let holdName: String
    private let queue: DeviceQueue
    /// The log that the checkpoint's offset counts in.
    private let logIdentity: UInt64
    /// The rows that it joins with.
    var references: JoinedReferences

    /// Everything before this place of the log is in the state.
    var position: QueueOffset
    /// Rows of records before this place are in the outbox already: they are left out until it is there.
    let resumeOffset: QueueOffset
    private var hasUnsavedRows = false
    private var markedThrough: EventTime?
    private var recentRows = RecentRows()
    /// The row in hand, for the outbox.
    private var json: [UInt8] = []
    private var topic: [UInt8] = []
    private let outputNames: [[UInt8]]
    private var recentErrors: [String] = []
    /// The last row that was left out.
    private var lastDropped: String?
    /// A failure on the way to the outbox or to the disk: the job is given up.
    private(set) var failure: (any Error)?
    private var sinkStatuses: [SinkStatus] = []
    /// All rows are saved, and every sink has them.
    private var isSettled = false
    private var finishedAt: UInt64 = 0

    /// Opens the query's folder and goes on where its last checkpoint stands.
    ///
    /// - Throws: what is damaged and how to go on.
    init(
        definition: QueryDefinition, plan: StreamPlan, topics: ResultTopics, queue: DeviceQueue,
        references shelf: ReferenceShelf, directory: String, files: any FileStore,
        outboxLimits: ResultLogLimits, checkpointLimits: CheckpointLimits,
        sinks makeSinks: (ResultReader) throws -> [any ResultDelivery]
    ) throws {
        self.definition = definition
        self.topics = topics
        outputNames = plan.outputs.map { Array($0.utf8) }
        self.queue = queue
        logIdentity = queue.identity
        holdName = Self.holdName(of: definition.name)
        // `query/minute` of a data directory, which is durable.
        let root = type(of: files).directory(of: type(of: files).directory(of: directory))
        try files.createDurableDirectory(directory, below: root)
        checkpoints = QueryCheckpoints(
            path: directory + "/checkpoint", files: files, limits: checkpointLimits)
        outbox = try ResultLog.open(directory: directory + "/outbox", files: files, limits: outboxLimits)
        var limits = StreamLimits()
        limits.hashKey = .random(in: .min ... .max)
        let saved = try checkpoints.load(resultEnd: outbox.endPosition)
        // Joined with what was in force where it goes on, which gives the rows that it gave before.
        references = JoinedReferences(shelf, plan)
        let begin = saved?.base.queueOffset ?? definition.startOffset ?? 0
        query = LiveQuery(plan: plan, tables: try references.advance(to: begin).map(\.table), limits: limits)
        query.deviceName = { queue.deviceID($0) ?? DeviceID("") }
        if let saved {
            try query.restore(saved.base.engineState.dropFirst(QueryFolder.identityBytes))
            try outbox.truncate(to: saved.delta?.resultPosition ?? saved.base.resultPosition)
            // Its marker stands before that position.
            markedThrough = query.completeThrough
        } else {
            try outbox.truncate(to: 0)
            checkpoints.begin(at: QueueOffset(begin))
        }
        position = checkpoints.baseOffset
        resumeOffset = checkpoints.savedOffset
        queue.hold(name: holdName, from: checkpoints.baseOffset)
        reader = ResultReader(outbox)
        sinks = try makeSinks(reader)
    }

    /// It takes records again that it had taken before, up to its last delta.
    var isResuming: Bool { position < resumeOffset }

    /// Before this place of the log it need not go again.
    var baseOffset: QueueOffset { checkpoints.baseOffset }

    /// What retention calls a query that it waits for.
    static func holdName(of name: String) -> String { "query " + name }

    /// Retention need not wait for this query any more.
    func releaseHold() { queue.releaseHold(name: holdName) }

    // MARK: In

    func tick(arrival: EventTime) throws {
        try query.tick(arrival: arrival) { rows in
            do { if failure == nil, !isResuming { try move(rows) } } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Takes the rows that the engine has made into the outbox.
    func moveRows() throws {
        // Whatever fails: these rows are given again by the job that follows.
        defer { query.removeRows() }
        if isResuming {
            markedThrough = query.completeThrough
            return
        }
        if !query.rows.isEmpty { try move(query.rows) }
        if let through = query.completeThrough, markedThrough.map({ $0 < through }) ?? true {
            markedThrough = through
            try outbox.appendComplete(through: through)
            hasUnsavedRows = true
        }
    }

    private func move(_ rows: RowBuffer) throws {
        for index in 0..<rows.count {
            if let after = definition.rowsAfter, rows.time(of: index) <= after { continue }
            try append(index, rows)
            hasUnsavedRows = true
            if rows.count - index <= RecentRows.countMax { recentRows.append(json) }
        }
        for row in rows.systemRows {
            try outbox.append(row, topic: topics.topic(of: row))
            hasUnsavedRows = true
            if row.output == StreamPlan.errorOutput {
                recentErrors.append(String(decoding: row.json(), as: UTF8.self))
            }
        }
        if let dropped = query.lastDropped { lastDropped = dropped.description }
        if recentErrors.count > 5 { recentErrors.removeFirst(recentErrors.count - 5) }
    }

    /// Puts a row into the outbox; one that is too large for it goes the way of those that cannot be computed.
    private func append(_ index: Int, _ rows: RowBuffer) throws {
        json.removeAll(keepingCapacity: true)
        topic.removeAll(keepingCapacity: true)
        let id = rows.id(of: index)
        rows.appendJSON(of: index, id: id, to: &json)
        topics.append(of: index, rows, to: &topic)
        do {
            try outbox.append(
                output: outputNames[rows.output(of: index)], rid: id, time: rows.time(of: index),
                topic: topic,
                json: json)
        } catch ResultLogError.rowTooLarge(let byteCount) {
            let row = rows.resultRow(index)
            let failure = RowTooLarge(output: row.output, rid: row.id.description, byteCount: byteCount)
            switch definition.onError {
            case .stop, .retry: throw failure
            case .drop: lastDropped = failure.description
            case .divert:
                let error = ResultRow(
                    output: StreamPlan.errorOutput, id: row.id, time: row.time,
                    columns: [
                        Column("reason", .text("row_too_large")),
                        Column("message", .text(failure.description)),
                        Column("output", .text(row.output)), Column("time", .time(row.time)),
                    ])
                try outbox.append(error, topic: topics.topic(of: error))
                recentErrors.append(String(decoding: error.json(), as: UTF8.self))
            }
        }
    }

    // MARK: Out

    /// Whether there is anything to save or deliver, or to look after once a second.
    func needsFinish(now: UInt64) -> Bool {
        !isSettled || hasUnsavedRows || checkpoints.isSaving || now &- finishedAt >= Self.lookNanoseconds
    }

    private static let lookNanoseconds: UInt64 = 1_000_000_000

    /// Saves what is due and lets the sinks deliver. Any thread, while no other touches the job; `failure` says
    /// what went wrong.
    ///
    /// - Parameter maySave: the thread has time for a checkpoint.
    func finish(now clock: () -> UInt64, maySave: Bool, isStopping: Bool) {
        do {
            if maySave || isStopping { try checkpointIfDue(now: clock, force: isStopping) }
            sinkStatuses = deliver(isStopping: isStopping)
            let end = outbox.endPosition
            isSettled = sinkStatuses.allSatisfy { $0.position == end && $0.failure == nil }
            finishedAt = clock()
        } catch {
            failure = error
        }
    }

    /// Whether `finish` would save.
    func isDue(now: UInt64) -> Bool { checkpoints.isSaving || isSaveDue(now: now) }

    private func isSaveDue(now: UInt64) -> Bool {
        if isResuming { return false }
        if checkpoints.isOld(now: now, position) { return true }
        return (hasUnsavedRows || position != checkpoints.savedOffset)
            && checkpoints.isTime(now: now, hasRows: hasUnsavedRows)
    }

    /// Saves offset, state and outbox length as one step: at most four times a second with rows, every ten seconds
    /// without.
    ///
    /// - Parameter force: the state is saved whole, as at the end.
    func checkpointIfDue(now clock: () -> UInt64, force: Bool) throws {
        // What it takes again is saved already.
        if isResuming { return }
        let hasNews = hasUnsavedRows || position != checkpoints.baseOffset
        if force ? hasNews : isSaveDue(now: clock()) {
            try outbox.commit()
            try checkpoints.save(
                at: position, resultPosition: outbox.endPosition, isWhole: force, clock: clock
            ) { [QueryFolder.bytes(of: logIdentity)] + query.snapshotPieces() }
            hasUnsavedRows = false
        } else if checkpoints.isSaving {
            _ = try checkpoints.goOn(clock: clock)
        }
        queue.hold(name: holdName, from: checkpoints.baseOffset)
    }

    /// Lets each sink deliver what the last checkpoint covers.
    func deliver(isStopping: Bool) -> [SinkStatus] {
        var moving = sinks
        while !moving.isEmpty { moving = moving.filter { $0.advance(isStopping: isStopping) } }
        reader.letGo()
        let statuses = sinks.map { $0.settle(isStopping: isStopping) }
        // Rows that every sink has are history.
        // What cannot be removed now is removed at a later turn.
        if let oldest = statuses.map(\.position).min() { try? outbox.release(before: oldest) }
        return statuses
    }

    /// Ends what sinks do on other threads: the outbox is opened anew, or goes away. The job is of no use then.
    func close(isLast: Bool) { for sink in sinks { sink.close(isLast: isLast) } }

    var status: QueryStatus {
        var status = QueryStatus()
        status.definition = definition
        status.counters = query.counters
        let open = query.openState
        status.openGroups = open.groups
        status.waitingRows = open.waiting
        status.joinedRows = open.joined
        status.stateBytes = query.stateBytes
        status.watermark = query.watermark
        status.nextWindow = query.nextWindow.map {
            QueryStatus.OpenWindow(end: $0.end, timeline: $0.timeline, time: $0.time)
        }
        status.consumed = position
        status.completeThrough = markedThrough
        status.sinks = sinkStatuses
        status.recentRows = recentRows.texts
        status.recentErrors = recentErrors
        status.lastDropped = lastDropped ?? query.lastDropped?.description
        status.misplaced = query.lastMisplaced
        status.joinSides = query.joinSides
        status.lastDevice = query.lastDevice
        status.shape = query.shape
        return status
    }
}

/// A row that no sink could take.
struct RowTooLarge: Error, CustomStringConvertible {
    var output: String
    var rid: String
    var byteCount: Int

    var description: String {
        "a row of \(output) has \(byteCount) bytes, more than a sink takes (_rid \(rid)): collect less in it"
    }
}
