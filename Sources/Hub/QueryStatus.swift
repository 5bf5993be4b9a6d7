package import PerpetualQuery
package import Telemetry

/// What others may know of a running query.
package struct QueryStatus: Sendable {
    package var counters = StreamCounters()
    /// Open groups of all windows.
    package var openGroups = 0
    package var consumed = QueueOffset(0)
    /// Windows that end at or before it have all their rows.
    package var completeThrough: EventTime?
    package var sinks: [SinkStatus] = []
    /// Why the last turn failed, when it did.
    package var failure: String?
    package var recentRows: [String] = []

    package init() {}
}
