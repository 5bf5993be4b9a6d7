package import MQTTWire

/// What a load run does. Every field has a value that a hub on this machine can stand.
package struct LoadPlan: Sendable {
    /// A name or a numeric address of the broker.
    package var host = "127.0.0.1"
    package var port: UInt16 = 1883
    package var userName: String?
    package var password: String?
    package var version = ProtocolVersion.v311
    /// Connections, one device each.
    package var connections = 100
    /// What the names of devices and clients begin with: `PREFIX-00000`, `PREFIX-00001`, … nil for one that no
    /// other run has, so that a run never meets what an earlier one left: devices, sessions, open exchanges.
    package var namePrefix: String?
    package var qos = QoS.atLeastOnce
    /// Messages a connection may have on the way, QoS 1 and 2. A broker's Receive Maximum (5.0) lowers it.
    package var window = 100
    /// Messages a second over all connections, spread evenly (open loop); nil sends as fast as
    /// acknowledgements come back (closed loop).
    package var rate: Double?
    /// Nanoseconds of sending.
    package var sendNanoseconds: UInt64 = 10_000_000_000
    /// Messages after which sending ends, if that is earlier; nil for no such end.
    package var messagesMax: UInt64?
    /// Bytes of a payload, a JSON object with a unique `id`.
    package var payloadBytes = 150
    /// Nanoseconds that outstanding acknowledgements may take once sending is over.
    package var drainNanoseconds: UInt64 = 20_000_000_000
    /// A process whose CPU time is reported too, the broker's for example.
    package var observedProcess: Int32?

    package init() {}

    /// What is wrong with the plan, in a sentence that says what to write; nil when it can be run.
    package var problem: String? {
        if !(1...LoadLimits.connectionsMax).contains(connections) {
            return "devices must be 1 to \(LoadLimits.connectionsMax)"
        }
        if !(1...LoadLimits.windowMax).contains(window) {
            return "window must be 1 to \(LoadLimits.windowMax)"
        }
        if !(PublishTemplate.payloadBytesMin...LoadLimits.payloadBytesMax).contains(payloadBytes) {
            return
                "payload must be \(PublishTemplate.payloadBytesMin) to \(LoadLimits.payloadBytesMax) bytes: "
                + "it holds a unique id, a time and a value"
        }
        if let rate, !(rate > 0 && rate <= LoadLimits.rateMax) {
            return "rate must be above 0 and at most \(Int(LoadLimits.rateMax)) messages a second"
        }
        if let namePrefix, let problem = Self.problem(of: namePrefix) { return problem }
        if messagesMax == 0 { return "count must be at least 1" }
        if !(1...LoadLimits.sendNanosecondsMax).contains(sendNanoseconds) {
            return "the run must end within a day"
        }
        return nil
    }

    /// A prefix becomes a level of a topic, and with its number a client identifier.
    private static func problem(of prefix: String) -> String? {
        if !(1...LoadLimits.namePrefixBytesMax).contains(prefix.utf8.count) {
            return "prefix must have 1 to \(LoadLimits.namePrefixBytesMax) bytes"
        }
        guard
            let bad = prefix.unicodeScalars.first(where: {
                "/+#$".unicodeScalars.contains($0) || $0.value < 0x20
            })
        else { return nil }
        return bad.value < 0x20
            ? "prefix must not hold control characters"
            : "prefix must not hold \"\(bad)\": it is a level of the topic"
    }
}

/// The limits of the generator. Unit and reason stand with each; a plan beyond one is refused.
package enum LoadLimits {
    /// Connections: one source address has some 28,000 ports for one destination.
    package static let connectionsMax = 20_000
    /// Messages on the way on a connection: packet identifiers are 16 bits. MQTT 5.0 §2.2.1.
    package static let windowMax = 65_535
    /// Bytes of a payload: beyond, the network is measured and not the broker.
    package static let payloadBytesMax = 262_144
    /// Bytes of the prefix of names: a hub may take no more than 128 for a device, and many only 65 for a client.
    static let namePrefixBytesMax = 56
    /// Messages a second: a schedule in nanoseconds stays exact enough.
    package static let rateMax = 50_000_000.0
    /// Nanoseconds of sending: a day.
    package static let sendNanosecondsMax: UInt64 = 86_400_000_000_000
    /// Connections being opened at once: a listener's usual backlog.
    static let openingMax = 256
    /// Nanoseconds without a connection made before opening is given up.
    static let openingStallNanoseconds: UInt64 = 15_000_000_000
    /// Bytes composed for one write: enough for a window of 300 readings, small beside a socket's buffer.
    static let writeBytes = 65_536
    /// Bytes of a read: 16,000 acknowledgements.
    static let readBytes = 65_536
    /// Bytes of the largest packet a broker may send here; a CONNACK with properties is a few hundred.
    static let packetBytesMax = 16_384
    /// Events taken from the kernel at once.
    static let eventsMax = 512
}
