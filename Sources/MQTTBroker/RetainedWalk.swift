/// A walk through what a filter's topics retain, that may pause: the store goes on changing meanwhile.
///
/// It finds every message that was there when it began and still is. One that took its place since is left out: the
/// subscriber has got it, or will get it, as it was published.
final class RetainedWalk {
    /// A place on the way down. Nodes are visited in the order of a node's children.
    struct Frame {
        let node: RetainedStore.Node
        /// Of the node's children.
        let depth: Int
        /// Everything below is wanted.
        let isBelowHash: Bool
        /// The next child to visit.
        var next = 0
        /// Children not visited that were moved in front of `next`.
        var moved: [(level: ByteString, node: RetainedStore.Node)] = []
    }

    private let filter: TopicFilter
    /// Of the latest message when it began.
    private let lastNumber: UInt64
    private var frames: [Frame] = []
    private var found: Message?

    var isDone: Bool { frames.isEmpty && found == nil }

    init(_ filter: TopicFilter, from root: RetainedStore.Node, lastNumber: UInt64) {
        self.filter = filter
        self.lastNumber = lastNumber
        enter(root, depth: 0, isBelowHash: false)
    }

    /// - Parameter steps: topics and branches that may still be looked at in this go; counted down.
    /// - Returns: nil when it is done, or has no steps left.
    func next(steps: inout Int) -> Message? {
        while true {
            if let message = found {
                found = nil
                return message
            }
            guard steps > 0, let last = frames.indices.last else { return nil }
            steps -= 1
            guard let (level, node) = nextChild(last) else {
                frames.removeLast()
                continue
            }
            let (depth, isBelowHash) = (frames[last].depth, frames[last].isBelowHash)
            // `$` topics are not for wildcards in the first level. MQTT 5.0 §4.7.2.
            if depth == 0, level.text.utf8.first == UInt8(ascii: "$") { continue }
            enter(node, depth: depth + 1, isBelowHash: isBelowHash)
        }
    }

    private func nextChild(_ place: Int) -> (ByteString, RetainedStore.Node)? {
        let next = frames[place].next
        let node = frames[place].node
        if next < node.children.count {
            frames[place].next += 1
            return (node.children.keys[next], node.children.values[next])
        }
        return frames[place].moved.popLast()
    }

    private func enter(_ start: RetainedStore.Node, depth: Int, isBelowHash: Bool) {
        var node = start
        var depth = depth
        while !isBelowHash, depth < filter.levels.count {
            guard case .text(let text) = filter.levels[depth] else {
                frames.append(Frame(node: node, depth: depth, isBelowHash: false))
                return
            }
            guard let child = node.children[text] else { return }
            node = child
            depth += 1
        }
        if let entry = node.entry, entry.number <= lastNumber { found = entry.message }
        guard isBelowHash || filter.endsWithHash, !node.children.isEmpty else { return }
        frames.append(Frame(node: node, depth: depth, isBelowHash: true))
    }

    /// A child is about to be taken out of a node, and the last one to get its place.
    func willRemove(childAt position: Int, of node: RetainedStore.Node) {
        let last = node.children.count - 1
        for place in frames.indices where frames[place].node === node {
            let next = frames[place].next
            guard position < next, last >= next else { continue }
            frames[place].moved.append((node.children.keys[last], node.children.values[last]))
        }
    }
}
