import DeviceQueue
import PerpetualQuery
import Platform
import ResultSink
import Telemetry

/// The parts of one running query, confined to its thread: reader, engine, outbox, checkpoint, sinks.
///
/// `@unchecked Sendable`: handed to its thread once, before that thread starts.
package final class QueryJob: @unchecked Sendable {
    private let plan: StreamPlan
    private let topics: ResultTopics
    private let reader: LogReader
    private let query: LiveQuery
    private let outbox: ResultLog
    private let checkpoints: CheckpointStore
    private let sinks: [any ResultDelivery]

    private var hasUnsavedRows = false
    private var savedOffset: QueueOffset
    private var savedAt: UInt64 = 0
    /// How long the last checkpoint took.
    private var saveNanoseconds: UInt64 = 0
    private var markedThrough: EventTime?
    private var recentRows: [String] = []
    /// Retention must not remove what the next start reads again: everything from the checkpoint on.
    private static let holdName = "query minute"
    private let queue: DeviceQueue
    /// The log that the checkpoint's offset counts in.
    private let logIdentity: UInt64

    /// Opens the query's folder and goes on where its last checkpoint stands.
    ///
    /// - Throws: what is damaged and how to go on.
    init(
        plan: StreamPlan, topics: ResultTopics, queue: DeviceQueue, directory: String, files: any FileStore,
        outboxLimits: ResultLogLimits, sinks makeSinks: (ResultLog) throws -> [any ResultDelivery]
    ) throws {
        self.plan = plan
        self.topics = topics
        logIdentity = queue.identity
        // `query/minute` of a data directory, which is durable.
        let root = type(of: files).directory(of: type(of: files).directory(of: directory))
        try files.createDurableDirectory(directory, below: root)
        checkpoints = CheckpointStore(path: directory + "/checkpoint", files: files)
        outbox = try ResultLog.open(directory: directory + "/outbox", files: files, limits: outboxLimits)
        var limits = StreamLimits()
        limits.hashKey = .random(in: .min ... .max)
        query = try LiveQuery(plan: plan, limits: limits)
        query.deviceName = { queue.deviceID($0) ?? DeviceID("") }
        if let checkpoint = try checkpoints.load() {
            try query.restore(Array(checkpoint.engineState.dropFirst(QueryFolder.identityBytes)))
            try outbox.truncate(to: checkpoint.resultPosition)
            // Its marker stands before that position.
            markedThrough = query.completeThrough
            savedOffset = QueueOffset(checkpoint.queueOffset)
        } else {
            try outbox.truncate(to: 0)
            savedOffset = QueueOffset(0)
        }
        self.queue = queue
        queue.hold(name: Self.holdName, from: savedOffset)
        reader = queue.makeReader(from: savedOffset)
        sinks = try makeSinks(outbox)
    }

    /// Feeds the engine with what is durable, up to a bounded number of rows or bytes a turn.
    func consume(until isStopping: Bool) throws {
        var blocks = 0
        // A failure ends the job, which is opened again from its checkpoint: the rows in hand are void.
        var failure: (any Error)?
        while true {
            let hadBlock = try reader.next { frame in
                guard failure == nil else { return }
                do {
                    switch frame.kind {
                    case .record: try self.query.process(frame.record, messageID: frame.messageID)
                    case .tick:
                        try self.query.tick(arrival: frame.arrivalTime) { rows in
                            do { if failure == nil { try self.move(rows) } } catch { failure = error }
                        }
                    default: break
                    }
                } catch {
                    failure = failure ?? error
                }
            }
            if let failure { throw failure }
            guard hadBlock else { return }
            try moveRowsToOutbox()
            blocks += 1
            // A long replay still checkpoints and delivers now and then.
            if blocks >= 64, !isStopping { return }
        }
    }

    private func move(_ rows: RowBuffer) throws {
        for index in 0..<rows.count {
            let row = rows.resultRow(index)
            try outbox.append(row, topic: topics.topic(of: row))
            hasUnsavedRows = true
            if rows.count - index <= 100 { recentRows.append(String(decoding: row.json(), as: UTF8.self)) }
        }
        for row in rows.systemRows {
            try outbox.append(row, topic: topics.topic(of: row))
            hasUnsavedRows = true
        }
        if recentRows.count > 200 { recentRows.removeFirst(recentRows.count - 100) }
    }

    private func moveRowsToOutbox() throws {
        // Whatever fails: these rows are given again by the job that follows.
        defer { query.removeRows() }
        try move(query.rows)
        if let through = query.completeThrough, markedThrough.map({ $0 < through }) ?? true {
            markedThrough = through
            try outbox.appendComplete(through: through)
            hasUnsavedRows = true
        }
    }

    func needsTick(now ticks: Int64) -> Bool { query.needsTick(now: EventTime(ticks: ticks)) }

    /// Saves offset, state and outbox length as one step: at most once a second with rows, every ten without, and
    /// never for more than a twentieth of the time: with a million devices the state has a hundred megabytes.
    func checkpointIfDue(now clock: () -> UInt64, force: Bool) throws {
        let now = clock()
        let age = now &- savedAt
        let pause: UInt64 = hasUnsavedRows ? 1_000_000_000 : 10_000_000_000
        let isDue = age >= max(pause, saveNanoseconds * 20)
        guard force || isDue, hasUnsavedRows || reader.position != savedOffset else { return }
        try outbox.commit()
        try checkpoints.save(
            queueOffset: reader.position.bytes, resultPosition: outbox.endPosition,
            engineState: [QueryFolder.bytes(of: logIdentity), query.snapshot()])
        savedOffset = reader.position
        queue.hold(name: Self.holdName, from: savedOffset)
        savedAt = clock()
        saveNanoseconds = savedAt &- now
        hasUnsavedRows = false
    }

    /// Lets each sink deliver what the last checkpoint covers.
    func deliver(isStopping: Bool) -> [SinkStatus] {
        let statuses = sinks.map { $0.deliver(isStopping: isStopping) }
        // Rows that every sink has are history.
        // What cannot be removed now is removed at a later turn.
        if let oldest = statuses.map(\.position).min() { try? outbox.release(before: oldest) }
        return statuses
    }

    func status(sinks: [SinkStatus]) -> QueryStatus {
        var status = QueryStatus()
        status.counters = query.counters
        status.openGroups = query.openState.groups
        status.consumed = reader.position
        status.completeThrough = markedThrough
        status.sinks = sinks
        status.recentRows = recentRows.suffix(100)
        return status
    }
}
