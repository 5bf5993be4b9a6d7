/// Small numbers by the time at which something is due for them, the earliest first; of equal times the
/// least number.
struct DueHeap {
    private var heap: [(due: Int64, number: Int32)] = []
    /// By number, its place in the heap, or −1.
    private var places: [Int32] = []

    var isEmpty: Bool { heap.isEmpty }
    var count: Int { heap.count }
    var byteCount: Int { heap.capacity * 16 + places.capacity * 4 }
    /// `Int64.max` when nothing is due.
    var earliest: Int64 { heap.first?.due ?? Int64.max }
    var earliestNumber: Int? { heap.first.map { Int($0.number) } }

    func due(_ number: Int) -> Int64 {
        guard number < places.count, places[number] >= 0 else { return Int64.max }
        return heap[Int(places[number])].due
    }

    /// Sets when a number is due; `Int64.max` takes it out.
    mutating func set(_ number: Int, due: Int64) {
        while places.count <= number { places.append(-1) }
        let place = Int(places[number])
        if place < 0 {
            if due == Int64.max { return }
            heap.append((due, Int32(number)))
            places[number] = Int32(heap.count - 1)
            siftUp(heap.count - 1)
        } else if due == Int64.max {
            remove(at: place)
        } else {
            heap[place].due = due
            siftUp(place)
            siftDown(Int(places[number]))
        }
    }

    private mutating func remove(at place: Int) {
        places[Int(heap[place].number)] = -1
        let last = heap.removeLast()
        guard place < heap.count else { return }
        heap[place] = last
        places[Int(last.number)] = Int32(place)
        siftUp(place)
        siftDown(Int(places[Int(last.number)]))
    }

    private func precedes(_ a: (due: Int64, number: Int32), _ b: (due: Int64, number: Int32)) -> Bool {
        a.due != b.due ? a.due < b.due : a.number < b.number
    }

    private mutating func siftUp(_ start: Int) {
        var at = start
        let item = heap[at]
        while at > 0 {
            let parent = (at - 1) / 2
            guard precedes(item, heap[parent]) else { break }
            heap[at] = heap[parent]
            places[Int(heap[at].number)] = Int32(at)
            at = parent
        }
        heap[at] = item
        places[Int(item.number)] = Int32(at)
    }

    private mutating func siftDown(_ start: Int) {
        var at = start
        let item = heap[at]
        while true {
            var child = 2 * at + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, precedes(heap[child + 1], heap[child]) { child += 1 }
            guard precedes(heap[child], item) else { break }
            heap[at] = heap[child]
            places[Int(heap[at].number)] = Int32(at)
            at = child
        }
        heap[at] = item
        places[Int(item.number)] = Int32(at)
    }
}
