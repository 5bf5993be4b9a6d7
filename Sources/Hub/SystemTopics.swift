import Atomics
import MQTTBroker
import MQTTWire

/// The bytes and packets that passed through an event loop since it started, for `$SYS/broker/…`.
struct LoopTraffic: Sendable {
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    var packetsReceived: UInt64 = 0
    var publishesReceived: UInt64 = 0
    var publishBytesReceived: UInt64 = 0
    /// Packets sent but for forwarded messages, which the broker counts.
    var controlPacketsSent: UInt64 = 0

    @inline(__always)
    mutating func note(packets: Int, byteCount: Int) {
        packetsReceived &+= UInt64(packets)
        bytesReceived &+= UInt64(byteCount)
    }

    @inline(__always)
    mutating func note(publishBytes: Int) {
        publishesReceived &+= 1
        publishBytesReceived &+= UInt64(publishBytes)
    }
}

/// `$SYS/broker/…`: what the hub counts, as retained messages under the names that mosquitto uses, so that the
/// monitoring people have for it goes on working. Published on a timer, and only what has changed.
///
/// Rates are averages over 1, 5 and 15 minutes that fade exponentially, a minute's worth. Source: mosquitto(8),
/// "Broker status".
struct SystemTopics {
    private struct Load {
        let name: String
        /// The total at the last publication.
        var total: UInt64 = 0
        /// For 1, 5 and 15 minutes.
        var averages = [0.0, 0.0, 0.0]
    }

    /// Nanoseconds between two publications; 0 is never.
    let interval: UInt64
    private let started: UInt64
    private var due: UInt64
    private var last: UInt64
    private var published: [String: String] = [:]
    private var clientsMaximum = 0
    private var loads = [
        "messages/received", "messages/sent", "publish/dropped", "publish/received", "publish/sent",
        "bytes/received", "bytes/sent", "sockets", "connections",
    ].map { Load(name: $0) }

    init(interval: UInt64, now: UInt64) {
        self.interval = interval
        started = now
        due = now
        last = now
    }

    /// Whether it is time for `messages`.
    func isDue(now: UInt64) -> Bool { interval > 0 && now >= due }

    /// The messages for what has changed since the last time, in a fixed order.
    mutating func messages(
        _ broker: BrokerCounters, _ traffic: LoopTraffic, dropped: Int, now: UInt64
    ) -> [Message] {
        due = now + interval
        clientsMaximum = max(clientsMaximum, broker.connected)
        var values = totals(broker, traffic, dropped: dropped)
        values.append(("uptime", "\((now - started) / 1_000_000_000) seconds"))
        if now > last { values += advance(broker, traffic, dropped: dropped, elapsed: now - last) }
        last = now
        return values.compactMap { name, value in
            guard published[name] != value else { return nil }
            published[name] = value
            return Message(
                topic: "$SYS/broker/" + name, payload: Array(value.utf8), qos: .atMostOnce, retain: true,
                isRestoredByHub: true)
        }
    }

    private func totals(
        _ broker: BrokerCounters, _ traffic: LoopTraffic, dropped: Int
    ) -> [(String, String)] {
        let away = broker.sessions - broker.connected
        return [
            ("version", HubVersion.text),
            ("clients/total", "\(broker.sessions)"), ("clients/connected", "\(broker.connected)"),
            ("clients/active", "\(broker.connected)"), ("clients/disconnected", "\(away)"),
            ("clients/inactive", "\(away)"), ("clients/maximum", "\(clientsMaximum)"),
            ("clients/expired", "\(broker.sessionsExpired)"),
            ("subscriptions/count", "\(broker.subscriptions)"),
            ("shared_subscriptions/count", "\(broker.sharedSubscriptions)"),
            ("retained messages/count", "\(broker.retained)"),
            ("messages/stored", "\(broker.retained + broker.queued)"),
            ("store/messages/count", "\(broker.retained + broker.queued)"),
            ("store/messages/bytes", "\(broker.retainedBytes)"),
            ("messages/received", "\(traffic.packetsReceived)"),
            ("messages/sent", "\(sent(broker, traffic))"),
            ("bytes/received", "\(traffic.bytesReceived)"), ("bytes/sent", "\(traffic.bytesSent)"),
            ("publish/messages/received", "\(traffic.publishesReceived)"),
            ("publish/messages/sent", "\(broker.messagesOut)"),
            ("publish/messages/dropped", "\(dropped)"),
            ("publish/bytes/received", "\(traffic.publishBytesReceived)"),
        ]
    }

    private func sent(_ broker: BrokerCounters, _ traffic: LoopTraffic) -> UInt64 {
        traffic.controlPacketsSent + UInt64(broker.messagesOut)
    }

    /// Moves the averages on by the time that has passed.
    private mutating func advance(
        _ broker: BrokerCounters, _ traffic: LoopTraffic, dropped: Int, elapsed: UInt64
    ) -> [(String, String)] {
        let accepted = UInt64(broker.connectsAccepted)
        let totals = [
            traffic.packetsReceived, sent(broker, traffic), UInt64(dropped), traffic.publishesReceived,
            UInt64(broker.messagesOut), traffic.bytesReceived, traffic.bytesSent,
            accepted + UInt64(broker.connectsRefused), accepted,
        ]
        let minutes = Double(elapsed) / 60_000_000_000
        var values: [(String, String)] = []
        for index in loads.indices {
            let rate = Double(totals[index] &- loads[index].total) / minutes
            loads[index].total = totals[index]
            for (place, span) in [1, 5, 15].enumerated() {
                // A step of the exponential average, to first order and never beyond the rate itself.
                let weight = min(1, minutes / Double(span))
                loads[index].averages[place] += weight * (rate - loads[index].averages[place])
                let hundredths = Int((loads[index].averages[place] * 100).rounded())
                let cents = hundredths % 100
                values.append(
                    (
                        "load/\(loads[index].name)/\(span)min",
                        "\(hundredths / 100).\(cents < 10 ? "0" : "")\(cents)"
                    ))
            }
        }
        return values
    }
}

extension BrokerLoop {
    /// Publishes `$SYS/broker/…` when it is time.
    func publishSystemTopics(now: UInt64) {
        guard systemTopics.isDue(now: now) else { return }
        let slow = counters.droppedSlowConsumer.load(ordering: .relaxed)
        let broker = self.broker.counters
        let dropped = slow + broker.droppedQueueFull + broker.droppedTooLarge + broker.droppedExpired
        for message in systemTopics.messages(broker, traffic, dropped: dropped, now: now) {
            self.broker.publish(message, now: now, actions: &actions)
        }
        perform()
    }
}
