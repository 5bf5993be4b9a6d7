import PerpetualQuery
import Telemetry

extension QueryStatus {
    /// The queries in Prometheus' text format 0.0.4: a series a query of each, so at most
    /// `QueryFleet.queriesMax`. Names of queries need no escapes.
    ///
    /// - Parameters:
    ///   - durableEnd: where the log ends, in bytes.
    ///   - now: of the hub's clock.
    static func prometheusText(_ queries: [QueryStatus], durableEnd: UInt64, now: EventTime) -> String {
        if queries.isEmpty { return "" }
        var text = ""
        func metric(
            _ name: String, _ kind: String, _ help: String, _ samples: [(labels: String, value: String)]
        ) {
            if samples.isEmpty { return }
            text += "# HELP headend_query_\(name) \(help)\n# TYPE headend_query_\(name) \(kind)\n"
            for sample in samples { text += "headend_query_\(name){\(sample.labels)} \(sample.value)\n" }
        }
        func each(_ name: String, _ kind: String, _ help: String, _ value: (QueryStatus) -> String?) {
            metric(
                name, kind, help,
                queries.compactMap { query in
                    value(query).map { ("query=\"\(query.definition.name)\"", $0) }
                })
        }
        for (name, help, value) in counters { each(name, "counter", help) { String(value($0)) } }
        for (name, help, value) in gauges { each(name, "gauge", help) { String(value($0)) } }
        each("backlog_bytes", "gauge", "Bytes of the durable log that it has not read.") {
            String($0.backlogBytes(durableEnd))
        }
        each("watermark_delay_seconds", "gauge", "How far its time is behind the hub's clock.") {
            $0.watermarkDelaySeconds(now).map { String($0) }
        }
        metric(
            "state", "gauge", "1 for the state that it is in.",
            queries.map {
                let state = $0.state.rawValue.replacing(" ", with: "_")
                return ("query=\"\($0.definition.name)\",state=\"\(state)\"", "1")
            })
        metric(
            "sink_outbox_rows", "gauge", "Rows that wait for a sink.",
            queries.flatMap { query in
                query.sinks.map {
                    ("query=\"\(query.definition.name)\",sink=\"\($0.name)\"", String($0.outbox))
                }
            })
        return text
    }

    private static var counters: [(String, String, (QueryStatus) -> UInt64)] {
        [
            ("events_total", "Events that it was given.", { $0.counters.events }),
            ("accepted_events_total", "Events that count.", { $0.counters.accepted }),
            ("late_events_total", "Events above the late tolerance.", { $0.counters.late }),
            ("early_events_total", "Events above the early tolerance.", { $0.counters.early }),
            ("out_of_order_events_total", "Events behind the watermark.", { $0.counters.outOfOrder }),
            ("timeless_events_total", "Events without a time in TIMESTAMP BY.", { $0.counters.withoutTime }),
            ("rows_total", "Result rows.", { $0.counters.rows }),
            ("errors_total", "Rows that could not be computed.", { $0.counters.errors }),
        ]
    }

    private static var gauges: [(String, String, (QueryStatus) -> Int)] {
        [
            ("open_windows", "Groups of windows that are open.", { $0.openGroups }),
            ("waiting_rows", "Rows that wait for their turn.", { $0.waitingRows }),
            ("joined_rows", "Rows that joins keep.", { $0.joinedRows }),
            ("state_bytes", "Bytes of its state in memory, about.", { $0.stateBytes }),
        ]
    }
}
