import Telemetry

/// The fleet's own time: where it began, and how fast it runs against the monotonic clock.
struct FleetClock: Sendable {
    let start: EventTime
    /// Monotonic nanoseconds at the start.
    let origin: UInt64
    let speed: FleetSpeed
    /// The fleet's time at which nothing new is made; nil: never.
    let end: EventTime?

    /// The moment up to which devices act now: never past the end. Unpaced: the end, or the far future.
    func now(_ monotonic: UInt64) -> EventTime {
        let limit = end ?? EventTime(ticks: .max / 2)
        guard case .times(let factor) = speed else { return limit }
        let elapsed = Double(monotonic &- origin) / 100 * factor
        return min(limit, start.adding(ticks: Int64(min(elapsed, 4e18))))
    }

    /// The monotonic moment of a time of the fleet; at once when unpaced.
    func monotonic(_ time: EventTime) -> UInt64 {
        guard case .times(let factor) = speed else { return 0 }
        let ticks = Double(max(0, time.ticks - start.ticks))
        return origin &+ UInt64(min(ticks * 100 / factor, 9e18))
    }
}
