#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The only door to time. Wall time is in 100 ns ticks since the epoch (see `Telemetry.EventTime`).
package protocol HubClock: Sendable {
    /// Wall-clock time in 100 ns ticks since 1970-01-01T00:00:00Z; may step.
    func wallTicks() -> Int64
    /// Monotonic nanoseconds since an arbitrary moment.
    func monotonicNanoseconds() -> UInt64
}

/// The machine's clocks.
package struct SystemClock: HubClock {
    package init() {}

    package func wallTicks() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 10_000_000 + Int64(now.tv_nsec) / 100
    }

    package func monotonicNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
