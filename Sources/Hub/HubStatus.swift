import Atomics
import BrokerJournal
package import DeviceQueue
import MQTTBroker
import PerpetualQuery
import Telemetry

/// One look at everything a hub counts, with the identities that must add up:
/// `received = stored + duplicate + rejected + quarantined + quarantineRemoved`, and for each sink
/// `offered = delivered + outbox + diverted`.
package struct HubStatus: Sendable {
    package var received: Int
    package var stored: Int
    package var duplicate: Int
    /// Messages that were refused, since the start of the hub: the log, which holds what the other counters say over
    /// all starts, knows nothing of them.
    package var rejected: [(reason: String, count: Int)]
    /// Messages that wait in the quarantine, by the reason they wait for now.
    package var quarantined: [(reason: String, count: Int)]
    /// Messages that waited in the quarantine until retention removed them.
    package var quarantineRemoved: Int
    /// Messages ever set aside, by the reason they were set aside for.
    package var setAside: [(reason: String, count: Int)]
    /// Quarantined messages that a replay stored, or found to be stored: no longer in `quarantined`.
    package var replayedStored: Int
    package var replayedDuplicate: Int
    package var devices: Int
    package var connections: Int
    package var uptimeSeconds: Int
    package var windowsClosed: Int
    package var late: Int
    package var openWindows: Int
    package var recentRows: [String]
    package var sinks: [SinkStatus]
    package var upstreams: [BridgeStatus]
    package var storageState: String
    /// What the threads behind the ingest path cannot do at the moment.
    package var upkeepFailures: [String]
    package var commits: Int
    package var durableBytes: UInt64
    /// What of the log is there, what was removed, and who holds on to it.
    package var log: RetentionStatus
    /// Message ids in memory, and those forgotten before their time.
    package var rememberedIDs: Int
    /// Message ids forgotten before their horizon, for want of memory.
    package var forgottenEarly: Int
    /// Messages taken for duplicates by a hash alone, because the stored record does not read back.
    package var decidedByHash: Int
    package var subscriptions: Int
    package var refusals: [(reason: String, count: Int)]
    package var connectionsTurnedAway: Int
    /// Times the system had no descriptor or memory for another connection.
    package var acceptPauses: Int
    /// Connections over TLS or WebSocket that never got ready, by why.
    package var handshakes: [(reason: String, count: Int)]
    package var keepAliveTimeouts: Int
    /// Connections that are not read now, and how often the storage was so far behind that publishers waited.
    package var readsHeld: Int
    package var pauses: Int
    package var stagedBytes: Int
    /// Bytes of packets that have begun and not ended, and connections closed for too many of them.
    package var partialBytes: Int
    package var partialsRefused: Int
    /// Clients whose QoS 2 state is in the log, and QoS 2 messages of those above the limit.
    package var qos2Clients: Int
    package var unloggedQoS2: Int
    /// Sessions, retained messages, what waits, and what was not delivered or not kept and why.
    package var broker: [(name: String, count: Int)]
    /// What clients had no right to, and were not let in for.
    package var denied: [(name: String, count: Int)]
    /// Connections closed at the door, and clients held to their rate.
    package var limited: [(name: String, count: Int)]
    /// Messages that subscribers did not get: too slow at QoS 0, or their session's buffer was full.
    package var droppedForSubscribers: Int

    init(_ pipeline: Pipeline, uptimeSeconds: Int) {
        let queue = pipeline.queue.counters
        rejected = pipeline.counters.rejections
        quarantined = Self.byReason(queue.quarantinedByReason)
        quarantineRemoved = Int(queue.quarantineRemoved)
        setAside = Self.byReason(queue.setAsideByReason)
        replayedStored = Int(queue.replayedStored)
        replayedDuplicate = Int(queue.replayedDuplicates)
        stored = Int(queue.stored)
        duplicate = Int(queue.duplicates)
        received =
            stored + duplicate + rejected.reduce(0) { $0 + $1.count }
            + quarantined.reduce(0) { $0 + $1.count } + quarantineRemoved
        devices = Int(queue.devices)
        connections = pipeline.counters.connections.load(ordering: .relaxed)
        self.uptimeSeconds = uptimeSeconds
        let query = pipeline.queries.status
        windowsClosed = Int(query.counters.rows)
        late = Int(query.counters.late + query.counters.early + query.counters.outOfOrder)
        openWindows = query.openGroups
        recentRows = query.recentRows
        sinks = query.sinks
        upstreams = pipeline.bridges.statuses
        switch pipeline.storage.state {
        case .running: storageState = "running"
        case .full: storageState = "full"
        case .failed: storageState = "failed"
        }
        upkeepFailures = pipeline.upkeepFailures
        commits = pipeline.storage.commitCount
        durableBytes = pipeline.queue.durableEnd.bytes
        log = pipeline.queue.retention
        rememberedIDs = Int(queue.rememberedIDs)
        forgottenEarly = Int(queue.forgottenEarly)
        decidedByHash = Int(queue.decidedByHash)
        subscriptions = pipeline.counters.brokerCounters.subscriptions
        refusals = pipeline.counters.refusalsByReason
        handshakes = pipeline.counters.unreadyByReason
        connectionsTurnedAway = pipeline.counters.connectionsRefused.load(ordering: .relaxed)
        acceptPauses = pipeline.counters.acceptPauses.load(ordering: .relaxed)
        keepAliveTimeouts = pipeline.counters.keepAliveTimeouts.load(ordering: .relaxed)
        let gauges = pipeline.counters.loopGauges
        readsHeld = gauges.readsHeld
        stagedBytes = gauges.stagedBytes
        partialBytes = gauges.partialBytes
        pauses = pipeline.counters.pauses.load(ordering: .relaxed)
        partialsRefused = pipeline.counters.partialsRefused.load(ordering: .relaxed)
        qos2Clients = pipeline.queue.clientCount
        unloggedQoS2 = pipeline.counters.unloggedQoS2.load(ordering: .relaxed)
        let slow = pipeline.counters.droppedSlowConsumer.load(ordering: .relaxed)
        let broker = pipeline.counters.brokerCounters
        self.broker = [
            ("sessions", broker.sessions), ("retained", broker.retained),
            ("retainedBytes", broker.retainedBytes), ("queued", broker.queued),
            ("droppedTooSlow", slow), ("droppedQueueFull", broker.droppedQueueFull),
            ("droppedTooLarge", broker.droppedTooLarge), ("droppedExpired", broker.droppedExpired),
            ("publisherHolds", pipeline.counters.subscriberHolds.load(ordering: .relaxed)),
            ("subscribersAwaited", broker.subscribersAwaited),
            ("subscribersGivenUp", broker.subscribersGivenUp),
            ("keptMessages", broker.keptMessages), ("keptBytes", broker.keptBytes),
            ("droppedUnreadable", broker.droppedUnreadable),
            ("journalBytes", Int(clamping: pipeline.journal.byteCount)),
            ("retainedRefused", broker.retainedRefused), ("replaysRefused", broker.replaysRefused),
            ("connectsRefused", broker.connectsRefused), ("protocolErrors", broker.protocolErrors),
        ]
        denied =
            [
                ("publish", pipeline.counters.publishesDenied.load(ordering: .relaxed)),
                ("subscribe", broker.subscribesDenied), ("deliver", broker.droppedDenied),
                ("will", broker.willsDenied),
            ] + pipeline.counters.connectRefusals.map { ($0.reason, $0.count) }
        limited = [
            ("connectRate", pipeline.counters.connectFloods.load(ordering: .relaxed)),
            ("pendingConnections", pipeline.counters.pendingCut.load(ordering: .relaxed)),
            ("connectTimeout", pipeline.counters.connectTimeouts.load(ordering: .relaxed)),
            ("clientRate", pipeline.counters.rateWaits.load(ordering: .relaxed)),
        ]
        droppedForSubscribers =
            slow + broker.droppedQueueFull + broker.droppedTooLarge + broker.droppedUnreadable
    }

    private static func byReason(_ counts: [UInt64]) -> [(reason: String, count: Int)] {
        QuarantineReason.allCases.compactMap { reason in
            let count = Int(counts[Int(reason.rawValue)])
            return count == 0 ? nil : (reason.description, count)
        }
    }

    var value: Value {
        .record([
            Column("received", .bigint(Int64(received))),
            Column("stored", .bigint(Int64(stored))),
            Column("duplicate", .bigint(Int64(duplicate))),
            Column("rejected", Self.value(of: rejected)),
            Column("quarantined", Self.value(of: quarantined)),
            Column("quarantineRemoved", .bigint(Int64(quarantineRemoved))),
            Column(
                "replayed",
                .record([
                    Column("stored", .bigint(Int64(replayedStored))),
                    Column("duplicate", .bigint(Int64(replayedDuplicate))),
                ])),
            Column("devices", .bigint(Int64(devices))),
            Column("connections", .bigint(Int64(connections))),
            Column("uptimeSeconds", .bigint(Int64(uptimeSeconds))),
            Column("windowsClosed", .bigint(Int64(windowsClosed))),
            Column("late", .bigint(Int64(late))),
            Column("openWindows", .bigint(Int64(openWindows))),
            Column("log", Self.value(of: log)),
            Column("rememberedIds", .bigint(Int64(rememberedIDs))),
            Column("forgottenEarly", .bigint(Int64(forgottenEarly))),
            Column("decidedByHash", .bigint(Int64(decidedByHash))),
            Column("subscriptions", .bigint(Int64(subscriptions))),
            Column("storage", .text(storageState)),
            Column("warnings", .array(upkeepFailures.map { .text($0) })),
            Column("commits", .bigint(Int64(commits))),
            Column("durableBytes", .bigint(Int64(durableBytes))),
            Column("protocolErrors", Self.value(of: refusals)),
            Column("connectionsTurnedAway", .bigint(Int64(connectionsTurnedAway))),
            Column(
                "handshakesFailed",
                .record(handshakes.map { Column($0.reason, .bigint(Int64($0.count))) })),
            Column("acceptPauses", .bigint(Int64(acceptPauses))),
            Column("keepAliveTimeouts", .bigint(Int64(keepAliveTimeouts))),
            Column("denied", Self.value(of: denied.map { ($0.name, $0.count) })),
            Column("limited", Self.value(of: limited.map { ($0.name, $0.count) })),
            Column("droppedForSubscribers", .bigint(Int64(droppedForSubscribers))),
            Column("readsHeld", .bigint(Int64(readsHeld))),
            Column("pauses", .bigint(Int64(pauses))),
            Column("stagedBytes", .bigint(Int64(stagedBytes))),
            Column("partialBytes", .bigint(Int64(partialBytes))),
            Column("partialsRefused", .bigint(Int64(partialsRefused))),
            Column("qos2Clients", .bigint(Int64(qos2Clients))),
            Column("unloggedQoS2", .bigint(Int64(unloggedQoS2))),
            Column("broker", Self.value(of: broker.map { ($0.name, $0.count) })),
            Column("sinks", .array(sinks.map(Self.value(of:)))),
            Column("upstreams", .array(upstreams.map(\.value))),
        ])
    }

    private static func value(of log: RetentionStatus) -> Value {
        .record([
            Column("bytes", .bigint(Int64(log.logBytes))),
            Column("segments", .bigint(Int64(log.segments))),
            Column("firstOffset", .bigint(Int64(log.firstOffset.bytes))),
            Column("firstTime", log.firstArrivalTime.map { .time($0) } ?? .null),
            Column("removedRecords", .bigint(Int64(log.removedRecords))),
            Column("removedQuarantined", .bigint(Int64(log.removedQuarantined))),
            Column("removedSegments", .bigint(Int64(log.removedSegments))),
            Column("removedBytes", .bigint(Int64(log.removedBytes))),
            Column("heldBytes", .bigint(Int64(log.heldBytes))),
            Column(
                "holds",
                .array(
                    log.holds.map {
                        .record([
                            Column("name", .text($0.name)), Column("from", .bigint(Int64($0.from.bytes))),
                        ])
                    })),
        ])
    }

    private static func value(of counts: [(reason: String, count: Int)]) -> Value {
        .record(counts.map { Column($0.reason, .bigint(Int64($0.count))) })
    }

    static func value(of sink: SinkStatus) -> Value {
        .record([
            Column("name", .text(sink.name)),
            Column("offered", .bigint(Int64(sink.offered))),
            Column("delivered", .bigint(Int64(sink.delivered))),
            Column("outbox", .bigint(Int64(sink.outbox))),
            Column("diverted", .bigint(Int64(sink.diverted))),
            Column("failure", sink.failure.map { .text($0) } ?? .null),
        ])
    }

    /// A device with its part of the identity `received = records + duplicate + quarantined + quarantineRemoved`.
    static func value(
        of device: DeviceSummary, _ tallies: (duplicates: UInt64, quarantined: UInt64, removed: UInt64)
    ) -> Value {
        guard case .record(let columns) = value(of: device) else { return value(of: device) }
        let received = device.lastSequence + tallies.duplicates + tallies.quarantined + tallies.removed
        return .record(
            columns + [
                Column("received", .bigint(Int64(received))),
                Column("duplicate", .bigint(Int64(tallies.duplicates))),
                Column("quarantined", .bigint(Int64(tallies.quarantined))),
                Column("quarantineRemoved", .bigint(Int64(tallies.removed))),
            ])
    }

    static func value(of device: DeviceSummary) -> Value {
        .record([
            Column("id", .text(device.id.text)),
            Column("records", .bigint(Int64(device.lastSequence))),
            Column("firstSequence", .bigint(Int64(device.firstSequence))),
            Column("lastArrivalTime", device.lastArrivalTime.map { .time($0) } ?? .null),
        ])
    }
}
