import MQTTBroker
import Telemetry
import Yams

/// Reads `limits:` of the configuration file, at its top for the hub and in a listener's entry for that listener.
///
/// ```yaml
/// limits: { connections: 20000, message_rate: 100, byte_rate: 64KiB, packet_bytes: 1MiB, connect_timeout: 10s }
/// ```
struct LimitReader {
    /// How a limit is written.
    enum Unit {
        case count
        /// A second; 0 or `none` is no limit.
        case rate
        /// With KiB, MiB, GiB, KB, MB or GB.
        case bytes
        case byteRate
        /// With ms, s, m or h; in nanoseconds.
        case duration
        /// In seconds.
        case seconds
    }

    struct Setting {
        let name: String
        let unit: Unit
        let range: ClosedRange<Int>
        let set: @Sendable (inout HubLimits, Int) -> Void
    }

    private struct ListenerSetting {
        let name: String
        let unit: Unit
        let range: ClosedRange<Int>
        let set: @Sendable (inout ListenerLimits.Changes, Int) -> Void
    }

    private static let timeoutRange = 100_000_000...3_600_000_000_000
    private static let packetRange = 1_024...268_435_455

    /// What a listener may say for itself; the same names stand at the top for all listeners.
    private static let listenerSettings = [
        ListenerSetting(name: "connections", unit: .count, range: 1...10_000_000) { $0.connections = $1 },
        ListenerSetting(name: "connect_rate", unit: .rate, range: 1...1_000_000) {
            $0.connectsPerSecond = $1
        },
        ListenerSetting(name: "message_rate", unit: .rate, range: 1...100_000_000) {
            $0.messagesPerSecond = $1
        },
        ListenerSetting(name: "byte_rate", unit: .byteRate, range: 1...1 << 40) { $0.bytesPerSecond = $1 },
        ListenerSetting(name: "connect_timeout", unit: .duration, range: timeoutRange) {
            $0.connectTimeoutNanoseconds = UInt64($1)
        },
        ListenerSetting(name: "packet_bytes", unit: .bytes, range: packetRange) {
            $0.packetBytesMax = UInt32($1)
        },
        ListenerSetting(name: "receive_maximum", unit: .count, range: 1...65_535) {
            $0.receiveMaximum = UInt16($1)
        },
        ListenerSetting(name: "topic_levels", unit: .count, range: 1...128) { $0.topicLevels = $1 },
        ListenerSetting(name: "subscriptions", unit: .count, range: 1...10_000_000) { $0.subscriptions = $1 },
        ListenerSetting(name: "session_messages", unit: .count, range: 0...100_000_000) {
            $0.sessionMessages = $1
        },
        ListenerSetting(name: "session_bytes", unit: .bytes, range: 0...1 << 40) { $0.sessionBytes = $1 },
        ListenerSetting(name: "kept_messages", unit: .count, range: 0...100_000_000) { $0.keptMessages = $1 },
        ListenerSetting(name: "kept_bytes", unit: .bytes, range: 0...1 << 40) { $0.keptBytes = $1 },
    ]

    static let settings: [Setting] = [
        Setting(name: "connections", unit: .count, range: 1...10_000_000) { $0.connections = $1 },
        Setting(name: "pending_connections", unit: .count, range: 1...10_000_000) {
            $0.pendingConnections = $1
        },
        Setting(name: "connect_rate", unit: .rate, range: 1...1_000_000) {
            $0.listener.connectsPerSecond = $1
        },
        Setting(name: "connect_timeout", unit: .duration, range: timeoutRange) {
            $0.listener.connectTimeoutNanoseconds = UInt64($1)
        },
        Setting(name: "message_rate", unit: .rate, range: 1...100_000_000) {
            $0.listener.messagesPerSecond = $1
        },
        Setting(name: "byte_rate", unit: .byteRate, range: 1...1 << 40) { $0.listener.bytesPerSecond = $1 },
        Setting(name: "packet_bytes", unit: .bytes, range: packetRange) {
            $0.broker.packetBytesMax = UInt32($1)
        },
        Setting(name: "partial_bytes", unit: .bytes, range: 1 << 20...1 << 40) { $0.partialBytesMax = $1 },
        Setting(name: "output_bytes", unit: .bytes, range: 4_096...1 << 32) { $0.outputBytesMax = $1 },
        Setting(name: "topic_levels", unit: .count, range: 1...128) { $0.broker.topicLevels = $1 },
        Setting(name: "subscriptions", unit: .count, range: 1...10_000_000) {
            $0.broker.subscriptionsPerSession = $1
        },
        Setting(name: "sessions", unit: .count, range: 1...100_000_000) { $0.broker.sessions = $1 },
        Setting(name: "session_expiry", unit: .seconds, range: 0...4_294_967_294) {
            $0.broker.sessionExpiryMaxSeconds = UInt32($1)
        },
        Setting(name: "session_messages", unit: .count, range: 0...100_000_000) {
            $0.broker.sessionQueueMessages = $1
        },
        Setting(name: "session_bytes", unit: .bytes, range: 0...1 << 40) { $0.broker.sessionQueueBytes = $1 },
        Setting(name: "kept_messages", unit: .count, range: 0...100_000_000) {
            $0.broker.keptQueueMessages = $1
        },
        Setting(name: "kept_bytes", unit: .bytes, range: 0...1 << 40) { $0.broker.keptQueueBytes = $1 },
        Setting(name: "kept_messages_all", unit: .count, range: 0...1_000_000_000) {
            $0.broker.keptQueueMessagesAll = $1
        },
        Setting(name: "kept_bytes_all", unit: .bytes, range: 0...1 << 40) {
            $0.broker.keptQueueBytesAll = $1
        },
        Setting(name: "inflight", unit: .count, range: 1...65_535) { $0.broker.inflightMax = $1 },
        Setting(name: "receive_maximum", unit: .count, range: 1...65_535) {
            $0.broker.receiveMaximum = UInt16($1)
        },
        Setting(name: "keep_alive", unit: .seconds, range: 1...65_535) {
            $0.broker.keepAliveSecondsMax = UInt16($1)
        },
        Setting(name: "retained_messages", unit: .count, range: 0...1_000_000_000) {
            $0.broker.retainedMessages = $1
        },
        Setting(name: "retained_bytes", unit: .bytes, range: 0...1 << 40) { $0.broker.retainedBytes = $1 },
        Setting(name: "retained_per_client", unit: .count, range: 0...1_000_000_000) {
            $0.broker.retainedPerClient = $1
        },
        Setting(name: "retained_bytes_per_client", unit: .bytes, range: 0...1 << 40) {
            $0.broker.retainedBytesPerClient = $1
        },
    ]

    let path: String
    /// What is wrong, each with its place.
    private(set) var problems: [String] = []

    init(path: String) { self.path = path }

    /// Reads the limits of the hub.
    mutating func read(_ node: Node, into limits: inout HubLimits) {
        for (name, value, key) in entries(node) {
            guard let setting = Self.settings.first(where: { $0.name == name }) else {
                unknown(key, name, among: Self.settings.map(\.name))
                continue
            }
            if let number = number(value, name, setting.unit, setting.range) { setting.set(&limits, number) }
        }
    }

    /// Reads those of a listener.
    mutating func readListener(_ node: Node) -> ListenerLimits.Changes {
        var changes = ListenerLimits.Changes()
        for (name, value, key) in entries(node) {
            guard let setting = Self.listenerSettings.first(where: { $0.name == name }) else {
                if Self.settings.contains(where: { $0.name == name }) {
                    problem(key, "\(name): is the same for all listeners: write it into limits: at the top")
                } else {
                    unknown(key, name, among: Self.listenerSettings.map(\.name))
                }
                continue
            }
            if let number = number(value, name, setting.unit, setting.range) { setting.set(&changes, number) }
        }
        return changes
    }

    private mutating func entries(_ node: Node) -> [(name: String, value: Node, key: Node)] {
        guard let mapping = node.mapping else {
            problem(node, "limits: is a map, for example { connections: 20000, message_rate: 100 }")
            return []
        }
        return mapping.map { ($0.key.string ?? "", $0.value, $0.key) }
    }

    private mutating func number(
        _ node: Node, _ name: String, _ unit: Unit, _ range: ClosedRange<Int>
    ) -> Int? {
        let text = node.scalar?.string ?? ""
        let isRate = unit == .rate || unit == .byteRate
        if isRate, text == "none" || text == "0" { return 0 }
        if let number = Self.parse(text, unit), range.contains(number) { return number }
        let none = isRate ? ", or none" : ""
        problem(
            node,
            "\(name): is \(Self.example(unit)) from \(Self.text(range.lowerBound, unit)) to "
                + "\(Self.text(range.upperBound, unit))\(none)")
        return nil
    }

    private static let byteUnits = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000),
        ("GB", 1_000_000_000), ("B", 1),
    ]
    private static let timeUnits = [
        ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ]

    private static func parse(_ text: String, _ unit: Unit) -> Int? {
        let units: [(String, Int)]
        switch unit {
        case .count, .rate: return Int(text)
        case .bytes, .byteRate: units = byteUnits + [("", 1)]
        case .duration: units = timeUnits
        case .seconds: units = timeUnits + [("", 1_000_000_000)]
        }
        guard let (suffix, scale) = units.first(where: { text.hasSuffix($0.0) }),
            let number = Int(text.dropLast(suffix.count)), number >= 0
        else { return nil }
        let (product, isOver) = number.multipliedReportingOverflow(by: scale)
        if isOver { return nil }
        return unit == .seconds ? product / 1_000_000_000 : product
    }

    private static func example(_ unit: Unit) -> String {
        switch unit {
        case .count: "a whole number"
        case .rate: "a whole number a second"
        case .bytes: "a number of bytes such as 64KiB"
        case .byteRate: "a number of bytes a second such as 64KiB"
        case .duration, .seconds: "a duration such as 10s"
        }
    }

    private static func text(_ number: Int, _ unit: Unit) -> String {
        switch unit {
        case .duration: number < 1_000_000_000 ? "\(number / 1_000_000)ms" : "\(number / 1_000_000_000)s"
        case .seconds: "\(number)s"
        default: "\(number)"
        }
    }

    private mutating func unknown(_ node: Node, _ name: String, among known: [String]) {
        let hint = Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
        problem(node, "unknown limit \"\(name)\"\(hint); there are: \(known.joined(separator: ", "))")
    }

    private mutating func problem(_ node: Node, _ text: String) {
        problems.append(path + (node.mark.map { ":\($0.line):\($0.column)" } ?? "") + ": " + text)
    }
}
