package import DeviceQueue
import PerpetualQuery
package import Platform
import Telemetry

/// The query thread's work without the thread: log → engine → outbox → checkpoint → sinks, a turn at a time.
///
/// Commit order (architecture, steps 4 to 7): rows enter the outbox; one checkpoint names the consumed
/// offset, the engine's state and the outbox's length; only then do sinks deliver.
package struct QueryTurns: Sendable {
    private let queue: DeviceQueue
    private let storage: any StorageInbox
    private let clock: any HubClock
    private let opener: QueryOpener
    private var job: QueryJob?

    /// Opens the query where its last checkpoint stands.
    ///
    /// - Throws: what is damaged and how to go on.
    package init(
        queue: DeviceQueue, storage: any StorageInbox, clock: any HubClock, opener: QueryOpener
    ) throws {
        self.queue = queue
        self.storage = storage
        self.clock = clock
        self.opener = opener
        job = try opener.open()
    }

    /// The last turn failed: the next one opens the job again, and is best taken a little later.
    package var isGivenUp: Bool { job == nil }

    /// Consumes what is durable, checkpoints when that is due, and lets the sinks deliver.
    ///
    /// Whatever fails (a full disk, mostly) the job is given up and opened again from its last checkpoint,
    /// which gives the same rows with the same ids.
    ///
    /// - Parameter isStopping: everything durable is consumed and checkpointed, whatever is due.
    package mutating func turn(isStopping: Bool) throws -> QueryStatus {
        do {
            let current = try job ?? opener.open()
            job = current
            try current.consume(until: isStopping)
            if current.needsTick(now: clock.wallTicks()), !isStopping { storage.requestTick() }
            try current.checkpointIfDue(now: clock.monotonicNanoseconds, force: isStopping)
            return current.status(sinks: current.deliver(isStopping: isStopping))
        } catch {
            job = nil
            throw error
        }
    }
}
