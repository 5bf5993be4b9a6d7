/// A first-in first-out buffer that can be read and changed in the middle. It grows by doubling and gives its
/// memory back when it runs empty; whoever fills it has the limit.
struct RingBuffer<Element> {
    private var storage: [Element?] = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// - Parameter offset: from the oldest, below `count`.
    subscript(offset: Int) -> Element {
        get {
            guard let element = storage[slot(offset)] else { preconditionFailure("offset past the end") }
            return element
        }
        set { storage[slot(offset)] = newValue }
    }

    /// The same in place, without a copy; never nil below `count`.
    subscript(at offset: Int) -> Element? {
        _read { yield storage[slot(offset)] }
        _modify { yield &storage[slot(offset)] }
    }

    var first: Element? { count == 0 ? nil : storage[head] }

    mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        count += 1
        storage[slot(count - 1)] = element
    }

    @discardableResult mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = storage[head]
        storage[head] = nil
        head = (head + 1) & (storage.count - 1)
        count -= 1
        if count == 0, storage.count > 64 {
            storage = []
            head = 0
        }
        return element
    }

    private func slot(_ offset: Int) -> Int {
        precondition(offset >= 0)
        precondition(offset < count)
        return (head + offset) & (storage.count - 1)
    }

    /// The capacity is a power of two, so that a position wraps by a mask.
    private mutating func grow() {
        var fresh: [Element?] = []
        let capacity = Swift.max(4, storage.count * 2)
        fresh.reserveCapacity(capacity)
        for offset in 0..<count { fresh.append(storage[(head + offset) & (storage.count - 1)]) }
        for _ in count..<capacity { fresh.append(nil) }
        storage = fresh
        head = 0
    }
}
