/// The messages on their way to the other broker, in the order of the buffer: the cursor may move over those at the
/// front that are acknowledged.
package struct SendWindow {
    private var entries: [(identifier: Int32, nextPosition: UInt64, isDone: Bool)] = []
    private var head = 0
    /// Everything before is acknowledged.
    package private(set) var position: UInt64

    package init(position: UInt64) { self.position = position }

    /// Sent and not moved over yet.
    package var count: Int { entries.count - head }

    /// - Parameter identifier: 0 when nothing will acknowledge it: it is done at once.
    package mutating func sent(identifier: Int32, nextPosition: UInt64) {
        entries.append((identifier, nextPosition, identifier == 0))
        if identifier == 0 { advance() }
    }

    /// - Returns: false when no message on its way has the identifier.
    @discardableResult package mutating func acknowledged(_ identifier: Int32) -> Bool {
        guard identifier != 0 else { return false }
        for index in head..<entries.count
        where entries[index].identifier == identifier && !entries[index].isDone {
            entries[index].isDone = true
            if index == head { advance() }
            return true
        }
        return false
    }

    private mutating func advance() {
        while head < entries.count, entries[head].isDone {
            position = entries[head].nextPosition
            head += 1
        }
        if head > 256, head * 2 > entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }
}
