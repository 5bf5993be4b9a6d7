/// What groups keep outside their blocks: sets of distinct values and collections of values, by number.
final class MeasureObjects {
    private var sets: [KeyTable?] = []
    private var freeSets: [Int] = []
    private var collections: [ValueCollection?] = []
    private var freeCollections: [Int] = []
    /// Values in all sets, and in all collections.
    private(set) var distinctCount = 0
    private(set) var collectedCount = 0

    private let hashKey: UInt64

    init(hashKey: UInt64) { self.hashKey = hashKey }

    func newSet() -> Int {
        if let number = freeSets.popLast() {
            sets[number] = KeyTable(hashKey: hashKey)
            return number
        }
        sets.append(KeyTable(hashKey: hashKey))
        return sets.count - 1
    }

    func newCollection() -> Int {
        if let number = freeCollections.popLast() {
            collections[number] = ValueCollection()
            return number
        }
        collections.append(ValueCollection())
        return collections.count - 1
    }

    func set(_ number: Int) -> KeyTable? { sets.indices.contains(number) ? sets[number] : nil }

    func collection(_ number: Int) -> ValueCollection? {
        collections.indices.contains(number) ? collections[number] : nil
    }

    func insert(_ key: UnsafeRawBufferPointer, into number: Int) {
        if let set = sets[number], set.number(of: key).isNew { distinctCount += 1 }
    }

    func insert(_ row: StoredRow, into number: Int, _ measure: MeasurePlan) {
        guard let collection = collections[number] else { return row.free() }
        collectedCount += collection.insert(row, measure) ? 1 : 0
    }

    func freeSet(_ number: Int) {
        distinctCount -= sets[number]?.count ?? 0
        sets[number] = nil
        freeSets.append(number)
    }

    func freeCollection(_ number: Int) {
        collectedCount -= collections[number]?.rows.count ?? 0
        collections[number]?.freeRows()
        collections[number] = nil
        freeCollections.append(number)
    }
}

/// Values of a group in order: of ORDER BY, or of their coming. Of each row the values of the ordering
/// columns come first, then the value that is collected.
final class ValueCollection {
    private(set) var rows: [StoredRow] = []
    /// Rows taken over from another collection, which frees them.
    private var isBorrowed = false

    func freeRows() {
        if !isBorrowed { for row in rows { row.free() } }
        rows = []
    }

    /// - Returns: whether the collection grew. A row that is not kept is freed.
    func insert(_ row: StoredRow, _ measure: MeasurePlan) -> Bool {
        guard !measure.order.isEmpty else {
            rows.append(row)
            return true
        }
        var low = 0
        var high = rows.count
        // Behind those that rank the same: the one that came first stands first.
        while low < high {
            let middle = (low + high) / 2
            if Self.precedes(row, rows[middle], measure.order) { high = middle } else { low = middle + 1 }
        }
        if low >= measure.kept {
            if !isBorrowed { row.free() }
            return false
        }
        rows.insert(row, at: low)
        guard rows.count > measure.kept else { return true }
        let last = rows.removeLast()
        if !isBorrowed { last.free() }
        return false
    }

    func borrow(_ other: ValueCollection, _ measure: MeasurePlan) {
        isBorrowed = true
        for row in other.rows { _ = insert(row, measure) }
    }

    private static func precedes(_ left: StoredRow, _ right: StoredRow, _ order: [OrderSlot]) -> Bool {
        for (index, key) in order.enumerated() {
            let rank = Datum.rank(left.values[index], right.values[index])
            if rank != 0 { return key.isDescending ? rank > 0 : rank < 0 }
        }
        return false
    }
}
