package import MQTTBroker

/// The limits of the hub around the broker's and the queue's own. Exceeding one is counted and answered.
package struct HubLimits: Sendable {
    package var broker = BrokerLimits()
    /// Sockets; above it a connection is closed at once. Twice the design's 50,000 idle connections.
    package var connections = 100_000
    /// Bytes of a telemetry payload that is parsed; larger ones are quarantined as `oversize`.
    package var ingestPayloadBytesMax = 1 << 20
    /// Bytes of one staging buffer: some 4,000 readings, a few milliseconds of the fastest load.
    package var stagingBatchBytes = 1 << 20
    /// Staging buffers kept for reuse.
    package var spareBatches = 8
    /// Bytes staged and not yet durable before sockets are read no more: seconds of a stalled disk.
    /// Publishers of telemetry are held first; at twice this, which needs thousands of new ones, everybody is.
    package var stagedBytesMax = 64 << 20
    /// Connections that are read again in one turn of the loop after a stall: the first of a thundering herd
    /// are served before the last is heard.
    package var resumedConnections = 64
    /// Connections with messages to send that are flushed in one go: half a millisecond to a millisecond in which
    /// nobody else is heard.
    package var flushedSubscribers = 128
    /// Bytes written for subscribers before all of them were flushed; beyond it messages at QoS 0 are dropped, and
    /// counted. A message of 25 KB to each of 10,000.
    package var crowdBytesMax = 256 << 20
    /// Bytes of packets that have begun and not ended, all connections together. 256 MiB: sixteen of the
    /// largest. Who goes above it is closed with 0x97.
    package var partialBytesMax = 256 << 20
    /// Packets at QoS 0 that wait with others of their connection until the journal is durable; more are dropped.
    package var heldPacketsMax = 10_000
    /// Bytes by which the journal of sessions grows before it is cleaned, and bytes written again at a time. 64 MiB:
    /// read in a tenth of a second at a start.
    package var journalBytesMin: UInt64 = 64 << 20
    package var journalCleaningBytes = 256 << 10
    /// Sockets that have not sent a whole CONNECT yet; above it the oldest of them is closed. 10,000: half a second
    /// of the fastest reconnect; never more than half of `connections`.
    package var pendingConnections = 10_000
    /// Of each listener that does not say otherwise.
    package var listener = ListenerLimits()
    /// A peer that does not take the last bytes of a connection is cut off by then.
    package var closeTimeoutNanoseconds: UInt64 = 5_000_000_000
    /// Bytes waiting for a peer that does not read before it is not read either.
    package var outputBytesMax = 1 << 20
    /// Nanoseconds between two publications of `$SYS/broker/…`; 0 is never. A hub's configuration sets it.
    package var systemTopicsNanoseconds: UInt64 = 0

    /// Threads that own sockets.
    package static let loops = 1...64

    package init() {}
}
