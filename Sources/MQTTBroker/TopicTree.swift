import MQTTWire

/// One client's subscription to one filter. MQTT 5.0 §3.8.3.1.
struct Subscription {
    let session: Session
    let qos: QoS
    let noLocal: Bool
    let retainAsPublished: Bool
    /// That of the SUBSCRIBE, if it had one; a list, since each delivery has one.
    let identifiers: [UInt32]
}

/// The clients that share a subscription. MQTT 5.0 §4.8.2.
final class SharedGroup {
    var members = IndexedList<UInt64, Subscription>()
    /// Where the round robin goes on.
    var turn = 0
    /// The text of the filter, with its `$share`.
    var filter: String?
    /// What waits while no member is there; see `Broker+Share.swift`.
    var backlog: Session?
    /// How far members have looked through it, by the number of their session.
    var looks: [UInt64: ShareLook] = [:]
}

/// All subscriptions by filter: a tree with one step a level. Matching visits, a level, the child of that
/// name and the child `+`, so its cost grows with the depth of the topic and not with the number of filters.
final class TopicTree {
    /// Those subscribed to one filter.
    final class Bucket {
        var direct = IndexedList<UInt64, Subscription>()
        var shared = IndexedList<ByteString, SharedGroup>()

        var isEmpty: Bool { direct.isEmpty && shared.isEmpty }
    }

    final class Node {
        var children = IndexedList<ByteString, Node>()
        var plus: Node?
        /// Filters that end here.
        var here: Bucket?
        /// Filters that end here with `/#`.
        var below: Bucket?

        var isEmpty: Bool { children.isEmpty && plus == nil && here == nil && below == nil }
    }

    private let root = Node()
    /// Nodes that `collect` has visited: what a match costs.
    private(set) var visits = 0

    /// Not even an empty branch is left.
    var isEmpty: Bool { root.isEmpty }

    /// Adds the subscription, or puts it in the place of the session's former one to the same filter.
    /// - Returns: true when it is new.
    func insert(_ subscription: Subscription, filter: TopicFilter) -> Bool {
        var node = root
        for level in filter.levels { node = child(of: node, level: level) }
        let bucket = (filter.endsWithHash ? node.below : node.here) ?? Bucket()
        if filter.endsWithHash { node.below = bucket } else { node.here = bucket }

        let number = subscription.session.number
        guard let name = filter.shareGroup else { return bucket.direct.set(number, subscription) }
        let group = bucket.shared[name] ?? SharedGroup()
        bucket.shared.set(name, group)
        return group.members.set(number, subscription)
    }

    /// - Returns: false when there was none.
    @discardableResult func remove(session number: UInt64, filter: TopicFilter) -> Bool {
        var path: [Node] = [root]
        for level in filter.levels {
            guard let node = existingChild(of: path[path.count - 1], level: level) else { return false }
            path.append(node)
        }
        let node = path[path.count - 1]
        guard let bucket = filter.endsWithHash ? node.below : node.here else { return false }
        guard remove(number, from: bucket, group: filter.shareGroup) else { return false }
        if bucket.isEmpty {
            if filter.endsWithHash { node.below = nil } else { node.here = nil }
        }
        prune(path, filter: filter)
        return true
    }

    /// The clients that share a filter.
    func sharedGroup(_ filter: TopicFilter) -> SharedGroup? {
        guard let name = filter.shareGroup else { return nil }
        return bucket(of: filter)?.shared[name]
    }

    private func bucket(of filter: TopicFilter) -> Bucket? {
        var node = root
        for level in filter.levels {
            guard let child = existingChild(of: node, level: level) else { return nil }
            node = child
        }
        return filter.endsWithHash ? node.below : node.here
    }

    /// A session's subscription to a filter.
    func subscription(of number: UInt64, to filter: TopicFilter) -> Subscription? {
        guard let bucket = bucket(of: filter) else { return nil }
        guard let name = filter.shareGroup else { return bucket.direct[number] }
        return bucket.shared[name]?.members[number]
    }

    /// Appends every bucket whose filter matches.
    /// - Parameter levels: of a valid topic name, at most `BrokerLimits.topicLevels` (the walk recurses).
    func collect(_ levels: [ByteString], into buckets: inout [Bucket]) {
        collect(
            levels, at: 0, node: root, wildcards: !TopicName.isReserved(levels), into: &buckets)
    }

    /// - Parameter topic: a valid topic name.
    func collect(_ topic: UnsafeRawBufferPointer, into buckets: inout [Bucket]) {
        collect(TopicName.levels(topic), into: &buckets)
    }

    /// True when any filter matches. Stops at the first, and takes no more levels off the topic than filters have.
    /// - Parameter topic: a valid topic name.
    func hasMatch(_ topic: UnsafeRawBufferPointer) -> Bool {
        hasMatch(topic, from: 0, node: root, wildcards: topic.first != UInt8(ascii: "$"))
    }

    private func collect(
        _ levels: [ByteString], at depth: Int, node: Node, wildcards: Bool, into buckets: inout [Bucket]
    ) {
        visits += 1
        if wildcards, let below = node.below { buckets.append(below) }
        guard depth < levels.count else {
            if let here = node.here { buckets.append(here) }
            return
        }
        if let child = node.children[levels[depth]] {
            collect(levels, at: depth + 1, node: child, wildcards: true, into: &buckets)
        }
        if wildcards, let plus = node.plus {
            collect(levels, at: depth + 1, node: plus, wildcards: true, into: &buckets)
        }
    }

    /// - Parameter start: of the next level; behind the last one it is beyond the end.
    private func hasMatch(
        _ topic: UnsafeRawBufferPointer, from start: Int, node: Node, wildcards: Bool
    ) -> Bool {
        if wildcards, node.below != nil { return true }
        guard start <= topic.count else { return node.here != nil }
        let end = topic[start...].firstIndex(of: UInt8(ascii: "/")) ?? topic.count
        if !node.children.isEmpty {
            let level = UnsafeRawBufferPointer(rebasing: topic[start..<end])
            if let child = node.children[ByteString(String(decoding: level, as: UTF8.self))],
                hasMatch(topic, from: end + 1, node: child, wildcards: true)
            {
                return true
            }
        }
        guard wildcards, let plus = node.plus else { return false }
        return hasMatch(topic, from: end + 1, node: plus, wildcards: true)
    }

    private func existingChild(of node: Node, level: TopicFilter.Level) -> Node? {
        switch level {
        case .plus: node.plus
        case .text(let text): node.children[text]
        }
    }

    private func child(of node: Node, level: TopicFilter.Level) -> Node {
        if let existing = existingChild(of: node, level: level) { return existing }
        let fresh = Node()
        switch level {
        case .plus: node.plus = fresh
        case .text(let text): node.children.set(text, fresh)
        }
        return fresh
    }

    private func remove(_ number: UInt64, from bucket: Bucket, group name: ByteString?) -> Bool {
        guard let name else { return bucket.direct.remove(number) != nil }
        guard let group = bucket.shared[name] else { return false }
        guard group.members.remove(number) != nil else { return false }
        if group.members.isEmpty { bucket.shared.remove(name) }
        return true
    }

    /// Takes away the nodes that hold nothing any more, from the end of the path upwards.
    private func prune(_ path: [Node], filter: TopicFilter) {
        for index in stride(from: path.count - 1, to: 0, by: -1) {
            guard path[index].isEmpty else { return }
            switch filter.levels[index - 1] {
            case .plus: path[index - 1].plus = nil
            case .text(let text): path[index - 1].children.remove(text)
            }
        }
    }
}
