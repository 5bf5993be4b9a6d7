package import DeviceQueue
import PerpetualQuery
package import Platform
import Telemetry

/// The query thread's work without the thread, for one query: log → engine → outbox → checkpoint → sinks, a turn at
/// a time.
///
/// Commit order (architecture, steps 4 to 7): rows enter the outbox; one checkpoint names the consumed
/// offset, the engine's state and the outbox's length; only then do sinks deliver.
package struct QueryTurns: Sendable {
    private let fleet: QueryFleet

    /// Opens the query where its last checkpoint stands.
    ///
    /// - Throws: what is damaged and how to go on.
    package init(
        queue: DeviceQueue, storage: any StorageInbox, clock: any HubClock, opener: QueryOpener
    ) throws {
        fleet = QueryFleet(queue: queue, storage: storage, clock: clock)
        try fleet.add(opener, mustOpen: true)
    }

    /// The last turn failed: a later one opens the job again.
    package var isGivenUp: Bool { fleet.slots[0].job == nil }

    /// Consumes what is durable, checkpoints when that is due, and lets the sinks deliver.
    ///
    /// Whatever fails (a full disk, mostly) the job is given up and opened again from its last checkpoint,
    /// which gives the same rows with the same ids.
    ///
    /// - Parameter isStopping: everything durable is consumed and checkpointed, whatever is due.
    package func turn(isStopping: Bool) throws -> QueryStatus {
        fleet.turn(isStopping: isStopping)
        let status = fleet.statuses()[0]
        if isGivenUp, let failure = fleet.slots[0].failure { throw failure }
        return status
    }
}
