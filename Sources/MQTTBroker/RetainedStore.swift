/// The last retained message of each topic, in a tree by level so that a filter finds its topics without
/// looking at the others. Children keep the order they came in: it is the order subscribers get them.
final class RetainedStore {
    /// What one topic retains.
    final class Entry {
        var message: Message
        /// Counts the messages that were ever retained.
        fileprivate(set) var number: UInt64
        /// In the broker's timers while the message can expire.
        let timer: Timer
        /// Its place in `kept`, below 0 when it is not there.
        var place = -1

        init(_ message: Message, number: UInt64) {
            self.message = message
            self.number = number
            timer = Timer(.retained(topic: message.topic))
        }
    }

    final class Node {
        var children = IndexedList<ByteString, Node>()
        var entry: Entry?
    }

    private let root = Node()
    /// What the journal keeps, in no order that matters.
    var kept: [Entry] = []
    private var lastNumber: UInt64 = 0
    /// Those that are under way.
    private var walks: [RetainedWalk] = []
    private(set) var count = 0
    /// Topic, payload and properties of all of them.
    private(set) var byteCount = 0

    /// What each client has in it; what the hub itself retains is not counted.
    private var owners: [String: (count: Int, byteCount: Int)] = [:]

    /// Not even an empty branch is left.
    var isEmpty: Bool { root.children.isEmpty && root.entry == nil && owners.isEmpty }

    /// Whether the message, in place of the one its topic has, stays within the limits.
    func hasRoom(for message: Message, inPlaceOf former: Entry?, limits: BrokerLimits) -> Bool {
        let count = count + (former == nil ? 1 : 0)
        let byteCount = byteCount - (former?.message.byteCount ?? 0) + message.byteCount
        guard count <= limits.retainedMessages, byteCount <= limits.retainedBytes else { return false }
        guard let owner = message.publisher else { return true }
        let owned = owners[owner] ?? (0, 0)
        let isOwn = former?.message.publisher == owner
        let ownedBytes = owned.byteCount - (isOwn ? former?.message.byteCount ?? 0 : 0) + message.byteCount
        return owned.count + (isOwn ? 0 : 1) <= limits.retainedPerClient
            && ownedBytes <= limits.retainedBytesPerClient
    }

    private func own(_ message: Message, _ sign: Int) {
        guard let owner = message.publisher else { return }
        var owned = owners[owner] ?? (0, 0)
        owned.count += sign
        owned.byteCount += sign * message.byteCount
        owners[owner] = owned.count == 0 ? nil : owned
    }

    func set(_ message: Message, levels: [ByteString]) -> Entry {
        var node = root
        for level in levels {
            if let child = node.children[level] {
                node = child
            } else {
                let child = Node()
                node.children.set(level, child)
                node = child
            }
        }
        if let entry = node.entry {
            replace(entry, with: message)
            return entry
        }
        byteCount += message.byteCount
        own(message, 1)
        lastNumber += 1
        let entry = Entry(message, number: lastNumber)
        node.entry = entry
        count += 1
        return entry
    }

    /// Puts a message in the place of another of its topic.
    func replace(_ entry: Entry, with message: Message) {
        byteCount += message.byteCount - entry.message.byteCount
        own(message, 1)
        own(entry.message, -1)
        lastNumber += 1
        entry.message = message
        entry.number = lastNumber
    }

    /// - Returns: what was there.
    func remove(_ levels: [ByteString]) -> Entry? {
        var path: [Node] = [root]
        for level in levels {
            guard let child = path[path.count - 1].children[level] else { return nil }
            path.append(child)
        }
        guard let entry = path[path.count - 1].entry else { return nil }
        path[path.count - 1].entry = nil
        count -= 1
        byteCount -= entry.message.byteCount
        own(entry.message, -1)
        for index in stride(from: path.count - 1, to: 0, by: -1) {
            guard path[index].entry == nil, path[index].children.isEmpty else { break }
            let parent = path[index - 1]
            if !walks.isEmpty, let position = parent.children.index(of: levels[index - 1]) {
                for walk in walks { walk.willRemove(childAt: position, of: parent) }
            }
            parent.children.remove(levels[index - 1])
        }
        return entry
    }

    func message(_ levels: [ByteString]) -> Entry? { find(levels)?.entry }

    /// As `message(_:)` for a topic that is not taken apart.
    func message(topic: UnsafeRawBufferPointer) -> Entry? {
        var node = root
        var start = 0
        while start <= topic.count {
            if node.children.isEmpty { return nil }
            let end = topic[start...].firstIndex(of: UInt8(ascii: "/")) ?? topic.count
            let level = UnsafeRawBufferPointer(rebasing: topic[start..<end])
            guard let child = node.children[ByteString(String(decoding: level, as: UTF8.self))] else {
                return nil
            }
            node = child
            start = end + 1
        }
        return node.entry
    }

    /// Begins a walk through the messages whose topics the filter matches; `end` it when it is done or given up.
    func walk(_ filter: TopicFilter) -> RetainedWalk {
        let walk = RetainedWalk(filter, from: root, lastNumber: lastNumber)
        walks.append(walk)
        return walk
    }

    func end(_ walk: RetainedWalk) {
        // The one that began last is mostly the first that ends: nearly all are done in one go.
        if let place = walks.lastIndex(where: { $0 === walk }) { walks.remove(at: place) }
    }

    private func find(_ levels: [ByteString]) -> Node? {
        var node = root
        for level in levels {
            guard let child = node.children[level] else { return nil }
            node = child
        }
        return node
    }
}
