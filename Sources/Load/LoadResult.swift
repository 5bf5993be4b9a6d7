import MQTTWire

/// What a load run measured.
package struct LoadResult: Sendable, Equatable {
    /// What the names of devices and clients began with.
    package var namePrefix = ""
    /// Messages that were acknowledged (QoS 1 PUBACK, QoS 2 PUBCOMP) or, at QoS 0, known to be read: the
    /// broker answered a PINGREQ sent behind them.
    package var messages: UInt64 = 0
    /// Messages given to the kernel.
    package var sent: UInt64 = 0
    /// Sent, but neither acknowledged nor refused at the end.
    package var unacknowledged: UInt64 = 0
    /// Due by the schedule, but never sent: the windows stayed full, or connections were lost.
    package var unsent: UInt64 = 0
    /// Answered with a reason code of 0x80 or above. MQTT 5.0 §2.4.
    package var refused: UInt64 = 0
    /// Acknowledgements that matched nothing on the way.
    package var mismatched: UInt64 = 0
    package var connectionsLost: UInt64 = 0
    /// The first thing that went wrong, in words.
    package var firstError: String?
    /// Seconds from the start of sending to the last acknowledgement.
    package var seconds = 0.0
    /// Seconds until all connections stood.
    package var connectSeconds = 0.0
    /// From the intended send time to the acknowledgement, in nanoseconds; nil at QoS 0.
    package var latency: Latency?
    /// How late the generator itself was with what was due (open loop), 99 % quantile in nanoseconds: what a
    /// busy machine adds to `latency` before the broker sees anything.
    package var lateNanosecondsP99: UInt64?
    /// The generator's own CPU time while sending.
    package var generatorSeconds = 0.0
    /// CPU time of the observed process while sending.
    package var observedSeconds: Double?

    package init() {}

    /// Quantiles in nanoseconds.
    package struct Latency: Sendable, Equatable {
        package var p50: UInt64
        package var p90: UInt64
        package var p99: UInt64
        package var p999: UInt64
        package var max: UInt64
    }

    /// Messages a second.
    package var rate: Double { seconds > 0 ? Double(messages) / seconds : 0 }
    /// Refusals, acknowledgements that matched nothing, and lost connections.
    package var errors: UInt64 { refused + mismatched + connectionsLost }
    /// True when every message that was due was acknowledged and nothing went wrong.
    package var isClean: Bool { unacknowledged == 0 && unsent == 0 && errors == 0 }

    /// One JSON object without a line feed. Times in microseconds; what was not measured is null.
    package func json(_ plan: LoadPlan) -> String {
        func microseconds(_ value: UInt64?) -> String {
            value.map { Self.fixed(Double($0) / 1_000, digits: 1) } ?? "null"
        }
        func perMessage(_ seconds: Double?) -> String {
            guard let seconds, messages > 0 else { return "null" }
            return Self.fixed(seconds * 1e6 / Double(messages), digits: 3)
        }
        let fields: [(String, String)] = [
            ("devices", "\(plan.connections)"), ("prefix", "\"" + Self.escaped(namePrefix) + "\""),
            ("qos", "\(plan.qos.rawValue)"),
            ("window", plan.qos == .atMostOnce ? "null" : "\(plan.window)"),
            ("payloadBytes", "\(plan.payloadBytes)"),
            ("version", plan.version == .v5 ? "5" : "\"3.1.1\""),
            ("targetRate", plan.rate.map { Self.fixed($0, digits: 1) } ?? "null"),
            ("messages", "\(messages)"), ("seconds", Self.fixed(seconds, digits: 3)),
            ("rate", Self.fixed(rate, digits: 1)),
            ("p50Us", microseconds(latency?.p50)), ("p90Us", microseconds(latency?.p90)),
            ("p99Us", microseconds(latency?.p99)), ("p999Us", microseconds(latency?.p999)),
            ("maxUs", microseconds(latency?.max)), ("lateP99Us", microseconds(lateNanosecondsP99)),
            ("sent", "\(sent)"), ("unacked", "\(unacknowledged)"), ("unsent", "\(unsent)"),
            ("errors", "\(errors)"), ("refused", "\(refused)"), ("mismatched", "\(mismatched)"),
            ("connectionsLost", "\(connectionsLost)"),
            ("connectSeconds", Self.fixed(connectSeconds, digits: 3)),
            ("generatorCpuUsPerMessage", perMessage(generatorSeconds)),
            ("observedCpuUsPerMessage", perMessage(observedSeconds)),
            ("firstError", firstError.map { "\"" + Self.escaped($0) + "\"" } ?? "null"),
        ]
        return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    /// A number of at least 0 with a fixed count of decimals.
    static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, value >= 0, value < 1e15 else { return "null" }
        var scale: UInt64 = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = UInt64((value * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars where scalar.value >= 0x20 {
            if scalar == "\"" || scalar == "\\" { result.unicodeScalars.append("\\") }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}
