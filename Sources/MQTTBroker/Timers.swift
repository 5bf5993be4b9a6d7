/// Something that comes due: the will or the end of a session, the expiry of a retained message.
final class Timer {
    enum Kind {
        case session(ByteString)
        case retained(topic: String)
    }

    let kind: Kind
    /// Monotonic nanoseconds, while in the heap.
    fileprivate(set) var due: UInt64 = 0
    /// In the heap; -1 outside.
    fileprivate var position = -1

    init(_ kind: Kind) { self.kind = kind }
}

/// A heap of timers, each in it at most once, so that clients which come and go leave nothing behind.
struct Timers {
    private var heap: [Timer] = []

    var first: Timer? { heap.first }

    /// Puts the timer in, or moves it.
    mutating func set(_ timer: Timer, due: UInt64) {
        timer.due = due
        if timer.position < 0 {
            timer.position = heap.count
            heap.append(timer)
        }
        siftUp(timer.position)
        siftDown(timer.position)
    }

    mutating func remove(_ timer: Timer) {
        let position = timer.position
        guard position >= 0 else { return }
        timer.position = -1
        let last = heap.removeLast()
        guard last !== timer else { return }
        heap[position] = last
        last.position = position
        siftUp(position)
        siftDown(last.position)
    }

    private mutating func siftUp(_ start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard heap[position].due < heap[parent].due else { return }
            swap(position, parent)
            position = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        while true {
            var least = position
            for child in [2 * position + 1, 2 * position + 2] where child < heap.count {
                if heap[child].due < heap[least].due { least = child }
            }
            guard least != position else { return }
            swap(position, least)
            position = least
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].position = left
        heap[right].position = right
    }
}
