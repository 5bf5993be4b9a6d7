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

    package init() {}

    /// In one sentence, what keeps a result from coming, or what comes next.
    func explanation(durableEnd: UInt64) -> String {
        switch state {
        case .paused: return "The query is paused: resume it."
        case .failed, .stopped: return "The query does not run: \(failure ?? "")"
        case .catchingUp: return "It reads what came before: \(durableEnd - consumed.bytes) bytes to go."
        case .running: break
        }
        let refused = counters.late + counters.early + counters.outOfOrder
        if let window = nextWindow {
            let owner = window.timeline.map { " of the timeline \($0)" } ?? ""
            let late = definition.timePolicy.lateToleranceTicks
            let clock =
                late == TimePolicy.unlimited
                ? "" : ", or the hub's clock past \(window.end.adding(ticks: late))"
            return "The window that ends at \(window.end) is open\(owner): its time is "
                + "\(window.time?.description ?? "not known yet"). "
                + "An event that moves it past the end closes it\(clock)."
        }
        if waitingRows > 0 { return "\(waitingRows) rows wait until their time is past the tolerance." }
        if joinedRows > 0 { return "\(joinedRows) rows wait for a partner on the other side of the join." }
        if counters.events == 0 { return "No event has come since the query began." }
        if counters.accepted == 0 {
            return "None of \(counters.events) events counts: \(refused) were early, late or out of order, "
                + "\(counters.withoutTime) had no time."
        }
        if counters.rows == 0 {
            return "\(counters.accepted) events came, and none passed the conditions (WHERE, HAVING, JOIN)."
        }
        return "Nothing is open: all that came has its result."
    }
}
