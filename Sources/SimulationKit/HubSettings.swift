import DeviceQueue
import Hub
import ResultSink

/// What every life of a world's hub is started with: small, so that segments roll, tables grow and memory of
/// recent frames is left within a few hundred messages.
struct HubSettings: Sendable {
    var hub = HubLimits()
    var queue = QueueLimits()
    var outbox = ResultLogLimits()
    var checkpoints = CheckpointLimits()
    var canary: Canary?

    init() {
        hub.stagingBatchBytes = 4_096
        hub.stagedBytesMax = 2_048
        hub.spareBatches = 2
        queue.segmentBytes = 12 << 10
        queue.recordBytesMax = 6_144
        queue.devices = 64
        queue.clients = 64
        queue.clientNameBytesMax = 64
        queue.pendingBytesMax = 1 << 20
        queue.recentBytes = 8_192
        queue.chunkBytes = 4_096
        queue.dedupSlots = 64
        queue.dedupBytesMax = 1 << 20
        queue.openSegments = 2
        queue.cachedBytes = 36 << 10
        queue.readBytes = 4_096
        outbox.segmentBytesMax = 2_048
        checkpoints.logBytesMin = 4_096
        checkpoints.partBytes = 256
    }
}

/// A deliberate bug, for the proof that the torture finds such bugs.
package enum Canary: String, Sendable, CaseIterable {
    /// Answers leave when the records are appended, before they are synced.
    case acksBeforeSync
    /// Duplicates are not recognised.
    case forgetsMessageIDs
    /// The disk says that it synced a file, and did not.
    case skipsFileSync
    /// The disk says that it synced a directory, and did not.
    case skipsDirectorySync
    /// As `skipsFileSync`, of the outbox alone: checkpoints are then ahead of it.
    case skipsOutboxSync
    /// QoS 2 packet identifiers are in memory only.
    case forgetsPacketIdentifiers
    /// Recovery takes for safe what it can read after a failed sync.
    case trustsPageCache
}
