/// The topic aliases towards one client, on one connection: a topic that comes again is said in two bytes.
/// MQTT 5.0 §3.3.2.3.4.
///
/// A topic gets an alias when it comes for the second time within a short memory, so that a client with ten
/// thousand topics does not pay three bytes more for each of them. When all aliases are taken, one that was not
/// used for a while changes hands. Everything is bounded by the alias maximum, whatever is published.
struct OutboundTopicAliases {
    /// How a PUBLISH says its topic.
    enum Use: Equatable {
        /// By its name.
        case name
        /// By name and alias: from here on the client knows the alias.
        case set(UInt16)
        /// By the alias alone.
        case alias(UInt16)
    }

    private struct Entry {
        var topic: String
        /// Used since the hand of the clock passed.
        var isRecent: Bool
    }

    /// Aliases used at most, whatever the client allows: 256 topics of some 60 bytes are 16 KB a connection.
    static let countMax = 256
    /// Topics seen once that are remembered, by hash; a collision costs at most three bytes on the wire.
    private static let memoryCount = 256

    private let maximum: Int
    /// Alias n is at n − 1.
    private var entries: [Entry] = []
    private var aliases: [String: UInt16] = [:]
    private var memory: [UInt32] = []
    private var hand = 0

    /// - Parameter maximum: the client's Topic Alias Maximum.
    init(maximum: UInt16) { self.maximum = min(Int(maximum), Self.countMax) }

    /// How to say this topic, which is going to be sent so.
    mutating func use(for topic: String) -> Use {
        guard maximum > 0 else { return .name }
        if let alias = aliases[topic] {
            // Canonically equal texts are different topics. [MQTT-4.7.3-4]
            guard entries[Int(alias) - 1].topic.utf8.elementsEqual(topic.utf8) else { return .name }
            entries[Int(alias) - 1].isRecent = true
            return .alias(alias)
        }
        guard isSeenBefore(topic) else { return .name }
        return .set(assign(topic))
    }

    /// The PUBLISH that was to set the alias was not sent so.
    mutating func withdraw(_ alias: UInt16) {
        guard Int(alias) <= entries.count else { return }
        aliases[entries[Int(alias) - 1].topic] = nil
        if Int(alias) == entries.count {
            entries.removeLast()
        } else {
            entries[Int(alias) - 1] = Entry(topic: "", isRecent: false)
        }
    }

    private mutating func isSeenBefore(_ topic: String) -> Bool {
        if memory.isEmpty { memory = [UInt32](repeating: 0, count: Self.memoryCount) }
        // FNV-1a: only ever compared with itself on this connection.
        var hash: UInt32 = 2_166_136_261
        for byte in topic.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        let slot = Int(hash % UInt32(Self.memoryCount))
        if memory[slot] == hash { return true }
        memory[slot] = hash
        return false
    }

    private mutating func assign(_ topic: String) -> UInt16 {
        if entries.count < maximum {
            entries.append(Entry(topic: topic, isRecent: true))
            aliases[topic] = UInt16(entries.count)
            return UInt16(entries.count)
        }
        // At most once around: each step makes one entry old.
        while entries[hand].isRecent {
            entries[hand].isRecent = false
            hand = (hand + 1) % entries.count
        }
        aliases[entries[hand].topic] = nil
        entries[hand] = Entry(topic: topic, isRecent: true)
        aliases[topic] = UInt16(hand + 1)
        let alias = UInt16(hand + 1)
        hand = (hand + 1) % entries.count
        return alias
    }
}
