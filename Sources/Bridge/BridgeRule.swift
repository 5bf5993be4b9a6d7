/// One rule of a bridge: which topics cross it, which way, and under which names, as a `topic` line of
/// mosquitto.conf(5) says it.
///
/// A topic is a prefix and a rest that `filter` matches; on the other side the rest follows the other prefix.
package struct BridgeRule: Sendable, Equatable {
    package enum Direction: String, Sendable, CaseIterable {
        /// From the other broker to this hub.
        case `in`
        /// From this hub to the other broker.
        case out
        case both
    }

    package var direction: Direction
    /// Of the rest of the topic. Empty: the two prefixes are two whole names for one topic.
    package var filter: String
    /// 0 or 1; a message keeps its own when that is lower.
    package var qos: UInt8
    package var localPrefix: String
    package var remotePrefix: String
    /// The group of a shared subscription at the other broker; only inwards.
    package var shareGroup: String?

    package init(
        direction: Direction, filter: String, qos: UInt8 = 1, localPrefix: String = "",
        remotePrefix: String = "", shareGroup: String? = nil
    ) {
        self.direction = direction
        self.filter = filter
        self.qos = qos
        self.localPrefix = localPrefix
        self.remotePrefix = remotePrefix
        self.shareGroup = shareGroup
    }

    /// What the hub is subscribed to for it.
    package var localFilter: String { localPrefix + filter }
    /// What messages of the other broker are compared with.
    package var remoteFilter: String { remotePrefix + filter }
    /// What the other broker is asked for.
    package var remoteSubscription: String { (shareGroup.map { "$share/\($0)/" } ?? "") + remoteFilter }

    package var isInward: Bool { direction != .out }
    package var isOutward: Bool { direction != .in }
}

/// Rules ready for use: the first that matches a topic gives it its name on the other side.
package struct TopicMap: Sendable {
    private struct Entry {
        var matcher: FilterMatcher
        var from: [UInt8]
        var to: [UInt8]
        var qos: UInt8
    }

    private let entries: [Entry]

    /// - Parameter isInward: maps remote topics to local ones, with the rules of that direction; else the other way.
    package init(_ rules: [BridgeRule], isInward: Bool) {
        entries = rules.filter { isInward ? $0.isInward : $0.isOutward }.map { rule in
            let from = isInward ? rule.remotePrefix : rule.localPrefix
            let to = isInward ? rule.localPrefix : rule.remotePrefix
            return Entry(
                matcher: FilterMatcher(from + rule.filter), from: Array(from.utf8), to: Array(to.utf8),
                qos: rule.qos)
        }
    }

    /// - Returns: the name on the other side and the rule's QoS; nil when no rule matches.
    package func map(_ topic: String) -> (topic: String, qos: UInt8)? {
        var topic = topic
        return topic.withUTF8 { bytes in
            for entry in entries where entry.matcher.matches(bytes) {
                if entry.from == entry.to { return (String(decoding: bytes, as: UTF8.self), entry.qos) }
                let rest = bytes[entry.from.count...]
                return (String(decoding: entry.to + rest, as: UTF8.self), entry.qos)
            }
            return nil
        }
    }

    /// Whether any rule matches.
    package func matches(_ topic: String) -> Bool {
        var topic = topic
        return topic.withUTF8 { bytes in entries.contains { $0.matcher.matches(bytes) } }
    }
}

/// A topic filter as levels to compare with. MQTT 5.0 §4.7.1.
struct FilterMatcher: Sendable {
    private enum Level {
        case text([UInt8])
        case plus
    }

    private var levels: [Level] = []
    private var endsWithHash = false
    /// Wildcards in the first level do not match topics that begin with `$`. [MQTT-4.7.2-1]
    private let isOpenToReserved: Bool

    init(_ filter: String) {
        isOpenToReserved = filter.utf8.first == UInt8(ascii: "$")
        for level in filter.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            switch Array(level) {
            case [UInt8(ascii: "#")]: endsWithHash = true
            case [UInt8(ascii: "+")]: levels.append(.plus)
            case let text: levels.append(.text(text))
            }
        }
    }

    func matches(_ topic: UnsafeBufferPointer<UInt8>) -> Bool {
        if topic.first == UInt8(ascii: "$"), !isOpenToReserved { return false }
        var at = 0
        for level in levels {
            // The level before ended with the topic.
            guard at <= topic.count else { return false }
            var end = at
            while end < topic.count, topic[end] != UInt8(ascii: "/") { end += 1 }
            if case .text(let text) = level, !topic[at..<end].elementsEqual(text) { return false }
            at = end + 1
        }
        return endsWithHash || at > topic.count
    }
}
