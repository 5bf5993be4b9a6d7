import Platform

/// The hub's clocks in a simulated world: the wall clock drifts and steps, the monotonic one only runs.
///
/// `@unchecked Sendable`: confined to the thread that runs the world.
package final class SimulatedClock: HubClock, @unchecked Sendable {
    /// Simulated nanoseconds since the world began; the world sets it.
    package internal(set) var now: UInt64 = 0
    /// How much faster than the world the wall clock runs, in parts per million.
    package var driftPartsPerMillion: Int64 = 0
    /// What operators and NTP did to the wall clock, in ticks of 100 ns.
    package var steppedTicks: Int64 = 0

    package init() {}

    /// 2026-03-01T11:58:30Z in ticks of 100 ns: half a minute before a window ends.
    package static let startTicks: Int64 = 1_772_366_310 * 10_000_000

    /// The world's true time in ticks; what devices go by.
    package var trueTicks: Int64 { Self.startTicks + Int64(now / 100) }

    package func wallTicks() -> Int64 {
        let elapsed = Int64(now / 100)
        return Self.startTicks + elapsed + elapsed / 1_000_000 * driftPartsPerMillion + steppedTicks
    }

    /// Begins far from 0, as a machine's does.
    package func monotonicNanoseconds() -> UInt64 { 1_000_000_000_000 + now }
}
