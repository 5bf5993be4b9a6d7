package import Bridge
import Telemetry

/// One look at a bridge.
package struct BridgeStatus: Sendable {
    package var name: String
    package var url: String
    package var isConnected = false
    /// `connecting`, `connected (MQTT 5)`, `down`, `stopped`.
    package var state = "not started"
    /// The last thing that went wrong, in words; it stays when all is well again.
    package var lastError: String?
    package var counters = BridgeCounters()
    /// Bytes that wait on disk for the other broker.
    package var bufferedBytes = 0

    package init(name: String, url: String) {
        self.name = name
        self.url = url
    }

    var value: Value {
        func count(_ name: String, _ value: Int) -> Column { Column(name, .bigint(Int64(value))) }
        return .record([
            Column("name", .text(name)), Column("url", .text(url)),
            Column("connected", .boolean(isConnected)), Column("state", .text(state)),
            Column("lastError", lastError.map { .text($0) } ?? .null),
            count("received", counters.received), count("stored", counters.stored),
            count("refused", counters.refused), count("looped", counters.looped),
            count("unmapped", counters.unmapped), count("collected", counters.collected),
            count("forwarded", counters.forwarded), count("loopedOut", counters.loopedOut),
            count("refusedOut", counters.refusedOut),
            count("expired", counters.expired), count("dropped", counters.dropped),
            count("bufferedBytes", bufferedBytes),
        ])
    }

    /// Name, kind, help and value of what `/metrics` shows of a bridge.
    static var metrics: [(name: String, kind: String, help: String, value: (BridgeStatus) -> Int)] {
        [
            ("connected", "gauge", "1 while the other broker is there.", { $0.isConnected ? 1 : 0 }),
            ("received_total", "counter", "Messages of the other broker.", { $0.counters.received }),
            ("stored_total", "counter", "Of them those the hub has taken.", { $0.counters.stored }),
            ("refused_total", "counter", "Of them those the hub refused.", { $0.counters.refused }),
            (
                "looped_total", "counter", "Messages stopped because they had been here before.",
                { $0.counters.looped + $0.counters.loopedOut }
            ),
            ("collected_total", "counter", "Messages for the other broker.", { $0.counters.collected }),
            ("forwarded_total", "counter", "Of them those it has.", { $0.counters.forwarded }),
            (
                "lost_total", "counter",
                "Of them those it refused, that expired, or that the buffer had no room for.",
                { $0.counters.refusedOut + $0.counters.expired + $0.counters.dropped }
            ),
            ("buffered_bytes", "gauge", "Bytes that wait on disk for it.", { $0.bufferedBytes }),
        ]
    }
}
