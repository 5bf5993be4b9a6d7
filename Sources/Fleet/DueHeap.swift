import Telemetry

/// Devices by the time of their next action, the earliest first; a binary heap.
struct DueHeap {
    struct Item {
        var time: EventTime
        var device: Int
    }
    private var items: [Item] = []

    var first: Item? { items.first }

    mutating func push(_ item: Item) {
        items.append(item)
        var index = items.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            if Self.isBefore(items[parent], items[index]) { return }
            items.swapAt(parent, index)
            index = parent
        }
    }

    mutating func pop() -> Item? {
        guard let top = items.first else { return nil }
        let last = items.removeLast()
        guard !items.isEmpty else { return top }
        items[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < items.count {
                if Self.isBefore(items[child], items[least]) { least = child }
            }
            if least == index { return top }
            items.swapAt(index, least)
            index = least
        }
    }

    private static func isBefore(_ left: Item, _ right: Item) -> Bool {
        (left.time, left.device) < (right.time, right.device)
    }
}
