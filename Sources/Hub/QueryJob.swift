import DeviceQueue
import PerpetualQuery
import Platform
import ResultSink
import Telemetry

/// The parts of one running query, confined to its thread: reader, engine, outbox, checkpoint, sinks.
///
/// `@unchecked Sendable`: handed to its thread once, before that thread starts.
final class QueryJob: @unchecked Sendable {
    private let plan: QueryPlan
    private let topics: ResultTopics
    private let reader: LogReader
    private let engine: QueryEngine
    private let outbox: ResultLog
    private let checkpoints: CheckpointStore
    private let sinks: [any ResultDelivery]

    private var rows: [ResultRow] = []
    private var hasUnsavedRows = false
    private var savedOffset: QueueOffset
    private var savedAt: UInt64 = 0
    private var markedThrough: EventTime?
    private var recentRows: [String] = []
    /// The log that the checkpoint's offset counts in.
    private let logIdentity: UInt64

    /// Opens the query's folder and goes on where its last checkpoint stands.
    ///
    /// - Throws: what is damaged and how to go on.
    init(
        plan: QueryPlan, topics: ResultTopics, queue: DeviceQueue, directory: String, files: any FileStore,
        sinks makeSinks: (ResultLog) throws -> [any ResultDelivery]
    ) throws {
        self.plan = plan
        self.topics = topics
        logIdentity = queue.identity
        try files.createDirectory(directory)
        checkpoints = CheckpointStore(path: directory + "/checkpoint", files: files)
        outbox = try ResultLog.open(directory: directory + "/outbox", files: files, limits: ResultLogLimits())
        if let checkpoint = try checkpoints.load() {
            engine = try QueryEngine(
                plan: plan, restoring: Array(checkpoint.engineState.dropFirst(QueryFolder.identityBytes)))
            try outbox.truncate(to: checkpoint.resultPosition)
            savedOffset = QueueOffset(checkpoint.queueOffset)
        } else {
            engine = QueryEngine(plan: plan)
            try outbox.truncate(to: 0)
            savedOffset = QueueOffset(0)
        }
        reader = queue.makeReader(from: savedOffset)
        sinks = try makeSinks(outbox)
    }

    /// Feeds the engine with what is durable, up to a bounded number of rows or bytes a turn.
    func consume(until isStopping: Bool, names queue: DeviceQueue) throws {
        let names: (UInt32) -> DeviceID = { queue.deviceID($0) ?? DeviceID("") }
        var blocks = 0
        while true {
            let hadBlock = try reader.next { frame in
                switch frame.kind {
                case .record: self.engine.process(frame.record, deviceName: names, rows: &self.rows)
                case .tick: self.engine.tick(arrival: frame.arrivalTime, deviceName: names, rows: &self.rows)
                default: break
                }
            }
            guard hadBlock else { return }
            try moveRowsToOutbox()
            blocks += 1
            // A long replay still checkpoints and delivers now and then.
            if blocks >= 64, !isStopping { return }
        }
    }

    private func moveRowsToOutbox() throws {
        for row in rows {
            try outbox.append(row, topic: topics.topic(of: row))
            hasUnsavedRows = true
            if row.output == plan.output {
                recentRows.append(String(decoding: row.json(), as: UTF8.self))
            }
        }
        rows.removeAll(keepingCapacity: true)
        if recentRows.count > 200 { recentRows.removeFirst(recentRows.count - 100) }
        if let through = engine.completeThrough, markedThrough.map({ $0 < through }) ?? true {
            markedThrough = through
            try outbox.appendComplete(through: through)
            hasUnsavedRows = true
        }
    }

    func needsTick(now ticks: Int64) -> Bool { engine.needsTick(now: EventTime(ticks: ticks)) }

    /// Saves offset, state and outbox length as one step: at most once a second with rows, every ten without.
    func checkpointIfDue(now: UInt64, force: Bool) throws {
        let age = now &- savedAt
        let isDue = hasUnsavedRows ? age >= 1_000_000_000 : age >= 10_000_000_000
        guard force || isDue, hasUnsavedRows || reader.position != savedOffset else { return }
        try outbox.commit()
        try checkpoints.save(
            Checkpoint(
                queueOffset: reader.position.bytes, resultPosition: outbox.endPosition,
                engineState: QueryFolder.bytes(of: logIdentity) + engine.snapshot()))
        savedOffset = reader.position
        savedAt = now
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

    func status(sinks: [SinkStatus]) -> QueryRunner.Status {
        QueryRunner.Status(
            counters: engine.counters, consumed: reader.position, completeThrough: markedThrough,
            sinks: sinks,
            failure: nil, recentRows: recentRows.suffix(100))
    }
}
