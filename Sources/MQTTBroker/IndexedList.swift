/// Values by key in an order that depends only on what was done to the list, unlike a Dictionary's: it may be
/// walked into output. Few keys are searched one by one; more get an index. Removal moves the last one up.
struct IndexedList<Key: Hashable, Value> {
    private(set) var keys: [Key] = []
    private(set) var values: [Value] = []
    /// Positions by key; nil while searching is cheaper.
    private var positions: [Key: Int]?

    private static var searchedMax: Int { 8 }

    var count: Int { keys.count }
    var isEmpty: Bool { keys.isEmpty }

    subscript(key: Key) -> Value? {
        guard let position = position(of: key) else { return nil }
        return values[position]
    }

    /// - Returns: true when the key is new.
    @discardableResult mutating func set(_ key: Key, _ value: Value) -> Bool {
        if let position = position(of: key) {
            values[position] = value
            return false
        }
        keys.append(key)
        values.append(value)
        if positions != nil {
            positions?[key] = keys.count - 1
        } else if keys.count > Self.searchedMax {
            var fresh: [Key: Int] = [:]
            for (position, key) in keys.enumerated() { fresh[key] = position }
            positions = fresh
        }
        return true
    }

    @discardableResult mutating func remove(_ key: Key) -> Value? {
        guard let position = position(of: key) else { return nil }
        let value = values[position]
        let last = keys.count - 1
        positions?[key] = nil
        if position != last {
            keys[position] = keys[last]
            values[position] = values[last]
            positions?[keys[position]] = position
        }
        keys.removeLast()
        values.removeLast()
        if keys.isEmpty {
            self = IndexedList()
        }
        return value
    }

    func index(of key: Key) -> Int? { position(of: key) }

    private func position(of key: Key) -> Int? {
        if let positions { return positions[key] }
        return keys.firstIndex(of: key)
    }
}
