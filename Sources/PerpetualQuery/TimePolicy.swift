import Telemetry

/// Which events a query takes, and how far it waits for them. All spans are in ticks of 100 ns.
///
/// The order of the checks is early → late → out of order (Azure Stream Analytics, "Understand time
/// handling"). Timelines are per device (`TIMESTAMP BY t OVER device`): a device with a fast clock makes
/// nobody else late.
package struct TimePolicy: Hashable, Sendable {
    /// What becomes of an event that is late or out of order.
    package enum Action: UInt8, Hashable, Sendable {
        /// Retimed: a late one to arrival − tolerance, one out of order to the watermark.
        case adjust = 0
        /// Counted, nothing else.
        case drop = 1
        /// Sent to the output `_late` with the reason, both times and the watermark.
        case divert = 2
    }

    /// A tolerance without end, for replay. Ticks then close no window: only devices' own events do.
    package static let unlimited = Int64.max

    /// An event later than its arrival by more than this is early. It is never retimed. Default 5 minutes.
    package var earlyToleranceTicks: Int64 = 5 * EventTime.ticksPerMinute
    /// An event older than its arrival by more than this is late. Default 60 s.
    package var lateToleranceTicks: Int64 = 60 * EventTime.ticksPerSecond
    /// A device's watermark is its greatest accepted event time less this. Default 60 s.
    package var outOfOrderToleranceTicks: Int64 = 60 * EventTime.ticksPerSecond
    /// Default: divert, never the wrong window. An early event is diverted with `.divert`, else dropped.
    package var lateAction = Action.divert

    package init() {}

    /// Why an event is not where its time says.
    package enum Refusal: UInt8, Hashable, Sendable {
        case early = 0
        case late = 1
        case outOfOrder = 2

        /// The reason in the output `_late`.
        var text: String {
            switch self {
            case .early: "early"
            case .late: "late"
            case .outOfOrder: "out_of_order"
            }
        }
    }

    enum Verdict {
        /// The event counts at this time; `retimed` says why it is not its own.
        case accepted(ticks: Int64, retimed: Refusal?)
        case refused(Refusal)
    }

    /// Judges one event against its arrival and its device's watermark, all in ticks.
    @inline(__always)
    func judge(event: Int64, arrival: Int64, watermark: Int64) -> Verdict {
        if event > Self.saturatingAdd(arrival, earlyToleranceTicks) { return .refused(.early) }
        var ticks = event
        var retimed: Refusal?
        let oldest = lateFloor(arrival: arrival)
        if ticks < oldest {
            guard lateAction == .adjust else { return .refused(.late) }
            ticks = oldest
            retimed = .late
        }
        if ticks < watermark {
            guard lateAction == .adjust else { return .refused(.outOfOrder) }
            ticks = watermark
            retimed = retimed ?? .outOfOrder
        }
        return .accepted(ticks: ticks, retimed: retimed)
    }

    /// The watermark of a device from its greatest accepted event time; `Int64.min` before the first.
    @inline(__always)
    func watermark(greatest: Int64, floor: Int64) -> Int64 {
        greatest == Int64.min
            ? floor : max(floor, Self.saturatingSubtract(greatest, outOfOrderToleranceTicks))
    }

    /// The oldest event time that is not late at an arrival time.
    @inline(__always)
    func lateFloor(arrival: Int64) -> Int64 {
        lateToleranceTicks == Self.unlimited
            ? Int64.min : Self.saturatingSubtract(arrival, lateToleranceTicks)
    }

    @inline(__always)
    static func saturatingAdd(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? (right > 0 ? Int64.max : Int64.min) : sum
    }

    @inline(__always)
    static func saturatingSubtract(_ left: Int64, _ right: Int64) -> Int64 {
        let (difference, overflow) = left.subtractingReportingOverflow(right)
        return overflow ? (right > 0 ? Int64.min : Int64.max) : difference
    }
}
