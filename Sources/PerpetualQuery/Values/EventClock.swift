import Telemetry

/// What TIMESTAMP BY takes for a time.
enum EventClock {
    /// A time, ISO 8601 text, or an epoch number by its magnitude; nil when the value is none, or not in the years 1
    /// to 9998: windows end behind their events, and have times of four digits too.
    @inline(__always)
    static func ticks(_ value: Datum) -> Int64? {
        let ticks: Int64?
        switch value.kind {
        case .datetime: ticks = value.integer
        case .text: ticks = ISOTime.ticks(value.bytes) ?? EventTime.parse(iso8601: value.bytes)?.ticks
        case .bigint: ticks = EventTime.parse(epochInteger: value.integer)?.ticks
        case .float: ticks = EventTime.parse(epochNumber: value.double)?.ticks
        default: ticks = nil
        }
        return ticks.flatMap { TimeRange.events.contains($0) ? $0 : nil }
    }
}
