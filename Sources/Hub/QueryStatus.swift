package import PerpetualQuery
package import Telemetry

/// What others may know of a query.
package struct QueryStatus: Sendable {
    package enum State: String, Sendable {
        case running
        /// It reads what came before, to join the queries that stand at the end of the log.
        case catchingUp = "catching up"
        case paused
        /// The last turn failed; tried again by itself.
        case failed
        /// A row could not be computed, and the policy is to stop; resume it.
        case stopped
        /// A row cannot be computed, and the policy is to try again.
        case blocked
    }

    /// The open window that ends first.
    package struct OpenWindow: Sendable {
        package var end: EventTime
        /// The values of OVER, as JSON; nil when there is one timeline.
        package var timeline: String?
        /// How far that timeline's time is.
        package var time: EventTime?
    }

    package var definition = QueryDefinition.minute
    package var state = State.running
    package var counters = StreamCounters()
    /// Open groups of all windows.
    package var openGroups = 0
    /// Rows that wait for their turn, and those that joins keep.
    package var waitingRows = 0
    package var joinedRows = 0
    package var stateBytes = 0
    package var watermark: EventTime?
    package var nextWindow: OpenWindow?
    package var consumed = QueueOffset(0)
    /// Windows that end at or before it have all their rows.
    package var completeThrough: EventTime?
    package var sinks: [SinkStatus] = []
    /// Why the last turn failed, when it did.
    package var failure: String?
    package var recentRows: [String] = []
    /// The last rows of `_errors`.
    package var recentErrors: [String] = []
    /// The last row that was left out because it could not be computed or put out.
    package var lastDropped: String?
    /// The last events that were early, late or out of order.
    package var misplaced: [LiveQuery.Misplaced] = []
    /// Rows that joins keep, by side.
    package var joinSides = (left: 0, right: 0)
    /// With `watermarkOver`, the device for which time waits.
    package var lastDevice: LiveQuery.LastDevice?
    package var shape = LiveQuery.Shape()
    /// Fields of the text that no event has.
    var missingFields: [FieldCensus.Missing] = []

    package init() {}
}
