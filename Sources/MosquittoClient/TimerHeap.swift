/// Timers by deadline: a binary heap; equal deadlines run in the order they were set.
struct TimerHeap {
    private struct Entry {
        var deadline: UInt64
        var identifier: UInt64
        var body: (() -> Void)?

        func isBefore(_ other: Entry) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : identifier < other.identifier
        }
    }

    private var entries: [Entry] = []
    /// Set and not yet run or cancelled; a cancelled one stays in the heap until its time.
    private var live: Set<UInt64> = []
    private var lastIdentifier: UInt64 = 0

    var count: Int { entries.count }

    /// The earliest deadline, a cancelled timer's perhaps: the loop then wakes once for nothing.
    var nextDeadline: UInt64? { entries.first?.deadline }

    mutating func insert(deadline: UInt64, _ body: @escaping () -> Void) -> UInt64 {
        lastIdentifier += 1
        live.insert(lastIdentifier)
        entries.append(Entry(deadline: deadline, identifier: lastIdentifier, body: body))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].isBefore(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
        return lastIdentifier
    }

    mutating func cancel(_ identifier: UInt64) { live.remove(identifier) }

    /// Takes the earliest timer out if its time has come.
    mutating func pop(due now: UInt64) -> (() -> Void)? {
        while let first = entries.first, first.deadline <= now {
            removeFirst()
            if live.remove(first.identifier) != nil { return first.body }
        }
        return nil
    }

    private mutating func removeFirst() {
        let last = entries.removeLast()
        guard !entries.isEmpty else { return }
        entries[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].isBefore(entries[least]) {
                least = child
            }
            if least == parent { return }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
