import PerpetualQuery
import Telemetry

extension QueryStatus {
    /// What HTTP shows.
    ///
    /// - Parameters:
    ///   - durableEnd: where the log ends, in bytes.
    ///   - now: of the hub's clock.
    func value(durableEnd durable: UInt64, now: EventTime) -> Value {
        .record([
            Column("name", .text(definition.name)), Column("state", .text(state.rawValue)),
            Column("failure", failure.map { .text($0) } ?? .null),
            Column("why", .text(explanation(durableEnd: durable))),
            Self.number("consumedOffset", consumed.bytes), Self.number("durableOffset", durable),
            Self.number("backlogBytes", backlogBytes(durable)),
            Column("watermark", watermark.map { .time($0) } ?? .null),
            Column("watermarkDelaySeconds", watermarkDelaySeconds(now).map { .float($0) } ?? .null),
            Column("completeThrough", completeThrough.map { .time($0) } ?? .null),
            Column(
                "nextWindow",
                nextWindow.map { window in
                    .record([
                        Column("end", .time(window.end)),
                        Column("timeline", window.timeline.map { .text($0) } ?? .null),
                        Column("time", window.time.map { .time($0) } ?? .null),
                    ])
                } ?? .null),
            Column(
                "lastDevice",
                lastDevice.map { last in
                    .record([
                        Column("device", .text(last.device)), Column("time", .time(last.time)),
                        Column("idleAt", last.idleAt.map { .time($0) } ?? .null),
                        Self.number("devices", UInt64(last.deviceCount)),
                    ])
                } ?? .null),
            Column(
                "counters",
                .record([
                    Self.number("events", counters.events), Self.number("notJSON", counters.notJSON),
                    Self.number("accepted", counters.accepted), Self.number("late", counters.late),
                    Self.number("early", counters.early), Self.number("outOfOrder", counters.outOfOrder),
                    Self.number("withoutTime", counters.withoutTime),
                    Self.number("rowsEmitted", counters.rows),
                    Self.number("openWindows", UInt64(openGroups)),
                    Self.number("waitingRows", UInt64(waitingRows)),
                    Self.number("joinedRows", UInt64(joinedRows)), Self.number("errors", counters.errors),
                ])),
            Self.number("stateBytes", UInt64(stateBytes)),
            Column("recentErrors", .array(recentErrors.map { .text($0) })),
            Column("lastDropped", lastDropped.map { .text($0) } ?? .null),
            Column("misplaced", .array(misplaced.map(Self.value(of:)))),
            Column("missingFields", .array(missingFields.map(Self.value(of:)))),
            Column("sinks", .array(sinks.map { HubStatus.value(of: $0) })),
            Column("definition", definition.value),
        ])
    }

    func backlogBytes(_ durableEnd: UInt64) -> UInt64 { durableEnd - min(consumed.bytes, durableEnd) }

    func watermarkDelaySeconds(_ now: EventTime) -> Double? {
        watermark.map { Double(now.ticks - $0.ticks) / 1e7 }
    }

    private static func number(_ name: String, _ value: UInt64) -> Column {
        Column(name, .bigint(Int64(truncatingIfNeeded: value)))
    }

    private static func value(of event: LiveQuery.Misplaced) -> Value {
        .record([
            Column("reason", .text(event.reason)), Column("device", .text(event.device)),
            Column("eventTime", .time(event.eventTime)), Column("arrivalTime", .time(event.arrivalTime)),
            Column("watermark", event.watermark.map { .time($0) } ?? .null),
        ])
    }

    private static func value(of missing: FieldCensus.Missing) -> Value {
        .record([
            Column("field", .text(missing.field)),
            Column("suggestion", missing.suggestion.map { .text($0) } ?? .null),
            Column("events", .bigint(Int64(missing.events))),
        ])
    }
}
