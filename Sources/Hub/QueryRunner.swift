import DeviceQueue
import PerpetualQuery
import Platform
import ResultSink
import Synchronization
import Telemetry

/// Runs one perpetual query over the durable log on a thread of its own: log → engine → outbox → checkpoint →
/// sinks. It reads what is durable and nothing else, so a slow query or sink delays only its own results.
///
/// Commit order (architecture, steps 4 to 7): rows enter the outbox; one checkpoint names the consumed offset,
/// the engine's state and the outbox's length; only then do sinks deliver.
final class QueryRunner: Sendable {
    /// What others may know of a running query.
    struct Status: Sendable {
        var counters = EngineCounters()
        var consumed = QueueOffset(0)
        var completeThrough: EventTime?
        var sinks: [SinkStatus] = []
        var failure: String?
        var recentRows: [String] = []
    }

    private struct Mailbox {
        var hasNews = true
        var isStopping = false
    }

    private let queue: DeviceQueue
    private let storage: StorageThread
    private let clock: any HubClock
    private let mailbox = Monitor(Mailbox())
    private let published = Mutex(Status())

    init(queue: DeviceQueue, storage: StorageThread, clock: any HubClock) {
        self.queue = queue
        self.storage = storage
        self.clock = clock
    }

    var status: Status { published.withLock { $0 } }

    /// The durable end has moved.
    func wake() { mailbox.update { $0.hasNews = true } }

    /// Ends `run` after everything durable is consumed and checkpointed.
    func stop() { mailbox.update { $0.isStopping = true } }

    /// The thread's body. The first job was opened by the caller and belongs to this thread from here on.
    ///
    /// Whatever fails (a full disk, mostly) the job is given up and opened again from its last checkpoint, which
    /// gives the same rows with the same ids; until then the failure is in `status`.
    ///
    /// - Parameter reopen: opens the job anew.
    func run(_ first: QueryJob, reopen: () throws -> QueryJob) {
        var job: QueryJob? = first
        var isStopping = false
        while !isStopping {
            let pause = job == nil ? Self.retryNanoseconds : Self.pauseNanoseconds
            isStopping = mailbox.wait(timeoutNanoseconds: pause) {
                (job != nil && $0.hasNews) || $0.isStopping
            } then: { mailbox in
                mailbox.hasNews = false
                return mailbox.isStopping
            }
            do {
                let current = try job ?? reopen()
                job = current
                try turn(current, isStopping: isStopping)
            } catch {
                job = nil
                published.withLock { $0.failure = String(describing: error) }
            }
        }
    }

    private func turn(_ job: QueryJob, isStopping: Bool) throws {
        try job.consume(until: isStopping, names: queue)
        if job.needsTick(now: clock.wallTicks()), !isStopping { storage.requestTick() }
        try job.checkpointIfDue(now: clock.monotonicNanoseconds, force: isStopping)
        let sinks = job.deliver(isStopping: isStopping)
        let status = job.status(sinks: sinks)
        published.withLock { $0 = status }
    }

    private static let retryNanoseconds: UInt64 = 1_000_000_000

    /// How long the thread sleeps when nothing arrives: bounds how late a tick or a delivery can be.
    private static let pauseNanoseconds: UInt64 = 200_000_000
}
