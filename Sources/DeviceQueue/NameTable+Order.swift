import Synchronization
import Telemetry

/// The numbers of a table in the order of their names, for lists; made when a list is first asked for, and
/// kept: 4 bytes a name.
struct NameOrder {
    fileprivate var numbers: [UInt32] = []
    /// How much of the table it has seen.
    fileprivate var seen = 1
    fileprivate var filled = 0
}

extension NameTable {
    /// Names behind one, in the order of their bytes.
    ///
    /// What is new since the last call is sorted in: a page costs as many look-ups as it has names, not as many
    /// as there are devices. Callers wait for each other; whoever looks a name up or adds one does not.
    func sortedNames(after name: DeviceID, limit: Int) -> [DeviceID] {
        order.withLock { order in
            let news = numbers(since: order.seen, filled: order.filled)
            (order.seen, order.filled) = (news.seen, news.filled)
            if !news.numbers.isEmpty { merge(news.numbers, into: &order.numbers) }
            let start = place(of: name, in: order.numbers, count: order.numbers.count, isBehind: true)
            return order.numbers[start...].prefix(max(limit, 0)).map(deviceID)
        }
    }

    private func deviceID(_ number: UInt32) -> DeviceID { DeviceID(name(number) ?? "") }

    /// Sorts new names in, from behind, so that nothing moves twice.
    private func merge(_ fresh: [UInt32], into numbers: inout [UInt32]) {
        let sorted = fresh.map { (name: deviceID($0), number: $0) }.sorted { $0.name < $1.name }
        var old = numbers.count
        numbers.append(contentsOf: repeatElement(0, count: sorted.count))
        var end = numbers.count
        for entry in sorted.reversed() {
            // Found by halving: a few new names among a million cost little.
            let start = place(of: entry.name, in: numbers, count: old, isBehind: false)
            while old > start {
                old -= 1
                end -= 1
                numbers[end] = numbers[old]
            }
            end -= 1
            numbers[end] = entry.number
        }
    }

    /// The first place, of `count`, whose name does not stand before this one; of those equal to it, behind them if
    /// it is so wanted.
    private func place(of name: DeviceID, in numbers: [UInt32], count: Int, isBehind: Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            let other = deviceID(numbers[middle])
            if other < name || (isBehind && other == name) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
