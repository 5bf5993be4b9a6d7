/// A first-in-first-out buffer: both ends in constant time, amortized.
struct Fifo<Element> {
    private var storage: [Element?] = []
    private var head = 0

    var count: Int { storage.count - head }
    var isEmpty: Bool { head == storage.count }

    mutating func append(_ element: Element) {
        storage.append(element)
    }

    mutating func popFirst() -> Element? {
        guard head < storage.count else { return nil }
        let element = storage[head]
        storage[head] = nil
        head += 1
        if head == storage.count {
            storage.removeAll(keepingCapacity: storage.count <= 64)
            head = 0
        } else if head >= 64, head * 2 >= storage.count {
            storage.removeFirst(head)
            head = 0
        }
        return element
    }

    mutating func popLast() -> Element? {
        head < storage.count ? storage.removeLast() : nil
    }

    /// Puts an element in front of all others.
    mutating func prepend(_ element: Element) {
        if head > 0 {
            head -= 1
            storage[head] = element
        } else {
            storage.insert(element, at: 0)
        }
    }

    /// Applies a change to every element, from the first to the last.
    mutating func updateEach(_ change: (inout Element) -> Void) {
        for index in head..<storage.count {
            guard var element = storage[index] else { continue }
            change(&element)
            storage[index] = element
        }
    }
}

extension Fifo: Sendable where Element: Sendable {}
