/// The subscriptions that match one topic name, as they were when it was made.
///
/// Confined to the broker's thread.
package final class TopicMatch {
    /// The topic name, which is valid.
    fileprivate let topic: [UInt8]
    fileprivate let hash: UInt64
    fileprivate let version: UInt64
    let buckets: [TopicTree.Bucket]

    /// Whether there is no subscription, of a client connected or away.
    package var isEmpty: Bool { buckets.isEmpty }

    fileprivate init(topic: [UInt8], hash: UInt64, version: UInt64, buckets: [TopicTree.Bucket]) {
        self.topic = topic
        self.hash = hash
        self.version = version
        self.buckets = buckets
    }
}

/// The matches of the topics that were published to lately: a device repeats its topic, and walking the tree for it
/// again would cost more than all else that is done with its message.
///
/// A match is void once any subscription came or went. Two topics share a place by their hash: a third that comes
/// there takes the place of the older one, so colliding topics cost a walk of the tree each and nothing else.
struct MatchCache {
    /// 128 KiB of places, of which each has a match of 100 to 700 bytes at most: see the next two.
    private static let places = 1 << 14
    /// Longer topics, and those with more filters, are matched anew each time.
    private static let topicBytesMax = 256
    private static let bucketsMax = 32

    private var matches: [TopicMatch?] = []
    /// Walks of the tree.
    private(set) var misses = 0

    /// - Parameters:
    ///   - version: of the subscriptions.
    ///   - walk: finds what matches; nil for a topic name that is not valid.
    mutating func find(
        _ topic: UnsafeRawBufferPointer, version: UInt64, tree: TopicTree, levelsMax: Int
    ) -> TopicMatch? {
        let hash = Self.hash(topic)
        let place = Int(truncatingIfNeeded: hash) & (Self.places - 2)
        if !matches.isEmpty {
            if let match = matches[place], Self.isMeant(match, hash, version, topic) { return match }
            if let match = matches[place + 1], Self.isMeant(match, hash, version, topic) { return match }
        }
        misses += 1
        guard TopicName.isValid(topic, levelsMax: levelsMax) else { return nil }
        var buckets: [TopicTree.Bucket] = []
        tree.collect(topic, into: &buckets)
        let match = TopicMatch(topic: Array(topic), hash: hash, version: version, buckets: buckets)
        keep(match, place)
        return match
    }

    private mutating func keep(_ match: TopicMatch, _ place: Int) {
        guard match.topic.count <= Self.topicBytesMax, match.buckets.count <= Self.bucketsMax else { return }
        if matches.isEmpty { matches = Array(repeating: nil, count: Self.places) }
        // The younger of a pair stands first.
        matches[place + 1] = matches[place]
        matches[place] = match
    }

    @inline(__always)
    private static func isMeant(
        _ match: TopicMatch, _ hash: UInt64, _ version: UInt64, _ topic: UnsafeRawBufferPointer
    ) -> Bool {
        guard match.hash == hash, match.version == version, match.topic.count == topic.count else {
            return false
        }
        return match.topic.withUnsafeBytes { isEqual($0, topic) }
    }

    /// Multiply and fold, eight bytes a step. It need not withstand anybody: see the type.
    private static func hash(_ topic: UnsafeRawBufferPointer) -> UInt64 {
        var state = UInt64(topic.count) &* 0x9E37_79B9_7F4A_7C15
        var at = 0
        while at + 8 <= topic.count {
            state = fold(state ^ topic.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        var tail: UInt64 = 0
        while at < topic.count {
            tail = tail << 8 | UInt64(topic[at])
            at += 1
        }
        return fold(state ^ tail)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }
}

/// Eight bytes at a time.
func isEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    var at = 0
    while at + 8 <= left.count {
        if left.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            != right.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        {
            return false
        }
        at += 8
    }
    while at < left.count {
        if left[at] != right[at] { return false }
        at += 1
    }
    return true
}
