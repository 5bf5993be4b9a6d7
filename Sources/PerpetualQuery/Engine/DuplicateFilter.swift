/// Names of events that came: 128 bits of each, so that two names out of a billion share theirs with a
/// chance of one in 10²⁰. The names are kept as long as the engine lives, or for a horizon: until time has gone on by
/// more than that, and about twice as much at most. Names are then of two ages; at the first event after the horizon
/// has passed, the older ones are forgotten and the younger ones become the older.
///
/// Raw pointer: the filter owns its table and frees it in deinit.
final class DuplicateFilter {
    enum Answer { case new, known, full }

    /// Keeps reads that nobody uses from being left out.
    @exclusivity(unchecked) private(set) var touched: UInt64 = 0

    struct Name: Equatable {
        var high: UInt64
        var low: UInt64

        static let none = Name(high: 0, low: 0)
    }

    @exclusivity(unchecked) private var table: UnsafeMutablePointer<Name>
    @exclusivity(unchecked) private var capacity = 1 << 12
    @exclusivity(unchecked) private(set) var count = 0
    /// Ticks; nil: for ever.
    private let horizon: Int64?
    /// With a horizon, the names of the horizon before.
    private let older: DuplicateFilter?
    /// The time after which names that stand here become the older ones; the greatest before the first event.
    @exclusivity(unchecked) private var turnsAt = Int64.max

    /// - Parameter horizon: ticks that a name is remembered for at least; nil: as long as the engine lives.
    init(horizon: Int64? = nil) {
        self.horizon = horizon
        older = horizon.map { _ in DuplicateFilter() }
        table = .allocate(capacity: capacity)
        table.initialize(repeating: Name(high: 0, low: 0), count: capacity)
    }

    deinit { table.deallocate() }

    /// Reads the place where a name would stand, so that it is near when `insert` needs it.
    @inline(__always)
    func touch(_ name: Name) {
        touched &+= table[Int(truncatingIfNeeded: name.low) & (capacity - 1)].low
        if let older { touched &+= older.table[Int(truncatingIfNeeded: name.low) & (older.capacity - 1)].low }
    }

    /// An event of this time was accepted; a time before the greatest so far changes nothing.
    func advance(to time: Int64) {
        guard let horizon, let older else { return }
        let next = time.addingReportingOverflow(horizon)
        if turnsAt == Int64.max {
            turnsAt = next.overflow ? Int64.max - 1 : next.partialValue
        } else if time > turnsAt {
            swap(&table, &older.table)
            swap(&capacity, &older.capacity)
            swap(&count, &older.count)
            removeAll()
            turnsAt = next.overflow ? Int64.max - 1 : next.partialValue
        }
    }

    /// Forgets every name, and takes a table that fits as many as the older one holds.
    private func removeAll() {
        if let older, capacity != older.capacity {
            table.deallocate()
            capacity = older.capacity
            table = .allocate(capacity: capacity)
        }
        table.initialize(repeating: Name(high: 0, low: 0), count: capacity)
        count = 0
    }

    private func contains(_ name: Name) -> Bool {
        var slot = Int(truncatingIfNeeded: name.low) & (capacity - 1)
        while table[slot].low != 0 {
            if table[slot] == name { return true }
            slot = (slot + 1) & (capacity - 1)
        }
        return false
    }

    func insert(_ name: Name, limit: Int) -> Answer {
        var slot = Int(truncatingIfNeeded: name.low) & (capacity - 1)
        while table[slot].low != 0 {
            if table[slot] == name { return .known }
            slot = (slot + 1) & (capacity - 1)
        }
        if let older {
            if older.contains(name) { return .known }
            guard count + older.count < limit else { return .full }
        }
        guard count < limit else { return .full }
        table[slot] = name
        count += 1
        if count * 3 > capacity * 2 { grow() }
        return .new
    }

    /// Two hashes that share no step; the low one is never 0, which marks a free place.
    static func name(_ key: UnsafeRawBufferPointer) -> Name {
        var a = UInt64(truncatingIfNeeded: key.count) &* 0x9E37_79B9_7F4A_7C15 ^ 0x243F_6A88_85A3_08D3
        var b = UInt64(truncatingIfNeeded: key.count) ^ 0x1319_8A2E_0370_7344
        var at = 0
        while at < key.count {
            var word: UInt64 = 0
            if at + 8 <= key.count {
                word = key.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            } else {
                for index in at..<key.count { word = word << 8 | UInt64(key[index]) }
            }
            let first = (a ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
            a = first.high ^ first.low
            let second = (b &+ word ^ 0xA409_3822_299F_31D0).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
            b = second.high &+ second.low ^ b << 23
            at += 8
        }
        let last = (a ^ b).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return Name(high: b ^ last.high, low: (a ^ last.low) | 1)
    }

    private func grow() {
        let old = table
        let oldCapacity = capacity
        capacity *= 2
        table = .allocate(capacity: capacity)
        table.initialize(repeating: Name(high: 0, low: 0), count: capacity)
        for index in 0..<oldCapacity where old[index].low != 0 {
            var slot = Int(truncatingIfNeeded: old[index].low) & (capacity - 1)
            while table[slot].low != 0 { slot = (slot + 1) & (capacity - 1) }
            table[slot] = old[index]
        }
        old.deallocate()
    }

    func write(to writer: inout StateWriter) {
        if let older {
            writer.put(turnsAt)
            older.write(to: &writer)
        }
        writer.put(UInt64(count))
        for index in 0..<capacity where table[index].low != 0 {
            writer.put(table[index].high)
            writer.put(table[index].low)
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        if let older {
            turnsAt = try reader.take(Int64.self)
            try older.read(&reader)
        }
        for _ in 0..<(try reader.take(UInt64.self)) {
            let name = Name(high: try reader.take(UInt64.self), low: try reader.take(UInt64.self))
            guard name.low != 0 else { throw .damaged(at: reader.at) }
            var slot = Int(truncatingIfNeeded: name.low) & (capacity - 1)
            while table[slot].low != 0 { slot = (slot + 1) & (capacity - 1) }
            table[slot] = name
            count += 1
            if count * 3 > capacity * 2 { grow() }
        }
    }
}
