package import Telemetry

/// An event that the time policy refused or gave another time, as status shows it.
struct MisplacedEvent {
    var device: UInt32
    /// Its own time, when it arrived, and its timeline's watermark then, in ticks.
    var time: Int64
    var arrival: Int64
    var watermark: Int64
}

extension LiveQuery {
    /// The last event of a kind that was refused or given another time, since the query was opened.
    package struct Misplaced: Sendable {
        /// `early`, `late` or `out_of_order`.
        package var reason: String
        package var device: String
        package var eventTime: EventTime
        package var arrivalTime: EventTime
        /// nil: the timeline had none.
        package var watermark: EventTime?
    }

    /// At most one for each reason.
    package var lastMisplaced: [Misplaced] {
        [TimePolicy.Refusal.early, .late, .outOfOrder].compactMap { reason in
            guard let event = engine.lastMisplaced[Int(reason.rawValue)] else { return nil }
            return Misplaced(
                reason: reason.text, device: deviceName(event.device).text,
                eventTime: EventTime(ticks: event.time), arrivalTime: EventTime(ticks: event.arrival),
                watermark: TimeRange.ticks.contains(event.watermark) ? EventTime(ticks: event.watermark) : nil
            )
        }
    }

    /// The last row that was left out because it could not be computed, with the error policy `drop`.
    package var lastDropped: QueryFailure? { engine.lastDropped }

    /// What keeps rows of joins and sorting, by side; for status.
    package var joinSides: (left: Int, right: Int) {
        engine.joins.reduce((0, 0)) { ($0.0 + $1.sideCounts.left, $0.1 + $1.sideCounts.right) }
    }

    /// What the query is made of, as status has to know it.
    package struct Shape: Sendable {
        package var hasSessions = false
        /// Whether every device, or other key of OVER, has a time of its own.
        package var hasTimelines = false
        /// Whether TIMESTAMP BY says what time it is; else it is the arrival.
        package var takesPayloadTime = false
        /// Whether the time is that of the device that is furthest behind.
        package var waitsForDevices = false

        package init() {}
    }

    package var shape: Shape {
        var shape = Shape()
        shape.hasSessions = engine.groups.contains { $0.windows.contains { $0.kind == .session } }
        shape.hasTimelines = engine.sources.contains(where: \.isPartitioned)
        shape.takesPayloadTime = engine.sources.contains { $0.plan.timeSlot != nil }
        shape.waitsForDevices = engine.sources.contains { $0.minimum != nil }
        return shape
    }

    /// The device for which time waits with `MinimumWatermark`.
    package struct LastDevice: Sendable {
        /// The values of its fields, as JSON.
        package var device: String
        /// The greatest time of its events; time is that less the out-of-order tolerance, or later.
        package var time: EventTime
        /// When the hub's clock is past it, it is not waited for any more; nil: never.
        package var idleAt: EventTime?
        /// All devices that are waited for.
        package var deviceCount: Int
    }

    /// Of several inputs the one of the input that is furthest behind; nil when no device is waited for.
    package var lastDevice: LastDevice? {
        var found: LastDevice?
        for source in engine.sources {
            guard let minimum = source.minimum, let last = minimum.last,
                last.time < found?.time.ticks ?? Int64.max
            else { continue }
            found = LastDevice(
                device: engine.text(ofKey: last.key), time: EventTime(ticks: last.time),
                idleAt: TimeRange.ticks.contains(last.idleAt) ? EventTime(ticks: last.idleAt) : nil,
                deviceCount: minimum.count)
        }
        return found
    }
}
