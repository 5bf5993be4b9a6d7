import Synchronization

/// Names and their numbers, dense from 1: devices, and clients that use QoS 2. Thread-safe; a look-up by
/// bytes allocates nothing.
final class NameTable: Sendable {
    private struct Entry {
        var start: Int
        var byteCount: Int
        var hash: UInt64
    }

    private struct Table {
        var bytes: [UInt8] = []
        /// By number; index 0 is not used, an entry with start −1 is a number without a name.
        var entries: [Entry] = [Entry(start: -1, byteCount: 0, hash: 0)]
        /// Numbers by hash, open addressing; 0 is empty.
        var slots: [UInt32] = [UInt32](repeating: 0, count: 1_024)
        var count = 0
        /// Numbers that a crash left without a name, and where the first of them is at the earliest: given first.
        var holeCount = 0
        var firstHole = 1
        /// Those that got one later.
        var filled: [UInt32] = []
    }

    private let table = Mutex(Table())
    let order = Mutex(NameOrder())
    private let key: UInt64
    private let countMax: Int
    private let nameBytesMax: Int
    private let totalBytesMax: Int

    init(key: UInt64, countMax: Int, nameBytesMax: Int, totalBytesMax: Int = .max) {
        self.key = key
        self.countMax = countMax
        self.nameBytesMax = nameBytesMax
        self.totalBytesMax = totalBytesMax
    }

    var count: Int { table.withLock { $0.count } }

    /// All numbers given are below it; some below it may have no name.
    var numberEnd: UInt32 { table.withLock { UInt32($0.entries.count) } }

    /// Bytes in memory, the names and what may still be filled included.
    var byteCount: Int {
        table.withLock { table in
            table.bytes.capacity + table.entries.capacity * MemoryLayout<Entry>.stride
                + (table.slots.capacity + table.filled.capacity) * 4
        }
    }

    /// The number of a name, a new one when it is seen first.
    ///
    /// - Returns: nil when the name is empty or too long, or when there are as many names, or bytes of names, as
    ///   allowed.
    func number(of name: UnsafeRawBufferPointer) -> UInt32? {
        guard let start = name.baseAddress, name.count > 0, name.count <= nameBytesMax else { return nil }
        let hash = KeyedHash.hash(start, name.count, device: 0, key: key)
        return table.withLock { table in
            if let found = Self.find(name, hash, in: table) { return found }
            guard table.count < countMax, table.bytes.count <= totalBytesMax - name.count else { return nil }
            let number = Self.takeHole(&table) ?? UInt32(table.entries.count)
            Self.add(name, hash, number, to: &table)
            return number
        }
    }

    /// The number of a name that is known already.
    func existingNumber(of name: String) -> UInt32? {
        var copy = name
        return copy.withUTF8 { existingNumber(of: UnsafeRawBufferPointer($0)) }
    }

    /// As `existingNumber(of:)` for the bytes of a name.
    func existingNumber(of name: UnsafeRawBufferPointer) -> UInt32? {
        guard let start = name.baseAddress, name.count > 0 else { return nil }
        let hash = KeyedHash.hash(start, name.count, device: 0, key: key)
        return table.withLock { Self.find(name, hash, in: $0) }
    }

    /// The name of a number.
    func name(_ number: UInt32) -> String? {
        table.withLock { table in
            guard Int(number) < table.entries.count, table.entries[Int(number)].start >= 0 else { return nil }
            let entry = table.entries[Int(number)]
            return String(decoding: table.bytes[entry.start..<entry.start + entry.byteCount], as: UTF8.self)
        }
    }

    /// Numbers that got their names since a list of all was made: those from `seen` on, and former holes below it.
    ///
    /// - Parameter filled: how many former holes the list has.
    /// - Returns: also how far the next list begins.
    func numbers(since seen: Int, filled: Int) -> (numbers: [UInt32], seen: Int, filled: Int) {
        table.withLock { table in
            var numbers = table.filled[filled...].filter { $0 < seen }
            for number in seen..<table.entries.count where table.entries[number].start >= 0 {
                numbers.append(UInt32(number))
            }
            return (numbers, table.entries.count, table.filled.count)
        }
    }

    /// The bytes of the name, 0 for none.
    func nameBytes(_ number: UInt32) -> Int {
        table.withLock { Int(number) < $0.entries.count ? $0.entries[Int(number)].byteCount : 0 }
    }

    /// Copies the name to memory with room for `nameBytes(number)` bytes.
    func copyName(_ number: UInt32, to memory: UnsafeMutableRawPointer) {
        table.withLock { table in
            guard Int(number) < table.entries.count, table.entries[Int(number)].start >= 0 else { return }
            let entry = table.entries[Int(number)]
            table.bytes.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress {
                    memory.copyMemory(from: base + entry.start, byteCount: entry.byteCount)
                }
            }
        }
    }

    /// Takes a name and its number from the log.
    ///
    /// - Returns: false when the log contradicts itself, or the number is over the limit.
    func restore(_ name: UnsafeRawBufferPointer, number: UInt32) -> Bool {
        guard let start = name.baseAddress, name.count > 0, number > 0, number < UInt32(countMax) * 2 else {
            return false
        }
        let hash = KeyedHash.hash(start, name.count, device: 0, key: key)
        return table.withLock { table in
            if let found = Self.find(name, hash, in: table) { return found == number }
            while table.entries.count < Int(number) {
                table.holeCount += 1
                table.entries.append(Entry(start: -1, byteCount: 0, hash: 0))
            }
            if Int(number) < table.entries.count {
                guard table.entries[Int(number)].start < 0 else { return false }
                table.holeCount -= 1
            }
            Self.add(name, hash, number, to: &table)
            return true
        }
    }

    /// A name is never taken away, so that one pass over the entries finds all holes.
    private static func takeHole(_ table: inout Table) -> UInt32? {
        guard table.holeCount > 0 else { return nil }
        while table.entries[table.firstHole].start >= 0 { table.firstHole += 1 }
        table.holeCount -= 1
        return UInt32(table.firstHole)
    }

    private static func find(_ name: UnsafeRawBufferPointer, _ hash: UInt64, in table: Table) -> UInt32? {
        let mask = table.slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while table.slots[slot] != 0 {
            let number = table.slots[slot]
            let entry = table.entries[Int(number)]
            if entry.hash == hash, entry.byteCount == name.count,
                table.bytes[entry.start..<entry.start + entry.byteCount].elementsEqual(name)
            {
                return number
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private static func add(
        _ name: UnsafeRawBufferPointer, _ hash: UInt64, _ number: UInt32, to table: inout Table
    ) {
        let entry = Entry(start: table.bytes.count, byteCount: name.count, hash: hash)
        table.bytes.append(contentsOf: name)
        if Int(number) == table.entries.count {
            table.entries.append(entry)
        } else {
            table.entries[Int(number)] = entry
            table.filled.append(number)
        }
        table.count += 1
        if table.count * 2 > table.slots.count {
            table.slots = [UInt32](repeating: 0, count: table.slots.count * 2)
            for index in 1..<table.entries.count where table.entries[index].start >= 0 {
                place(UInt32(index), table.entries[index].hash, in: &table.slots)
            }
        } else {
            place(number, hash, in: &table.slots)
        }
    }

    private static func place(_ number: UInt32, _ hash: UInt64, in slots: inout [UInt32]) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = number
    }
}
