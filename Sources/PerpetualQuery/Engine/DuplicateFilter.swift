/// Names of events that came: 128 bits of each, so that two names out of a billion share theirs with a
/// chance of one in 10²⁰. The names are kept as long as the engine lives.
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

    init() {
        table = .allocate(capacity: capacity)
        table.initialize(repeating: Name(high: 0, low: 0), count: capacity)
    }

    deinit { table.deallocate() }

    /// Reads the place where a name would stand, so that it is near when `insert` needs it.
    @inline(__always)
    func touch(_ name: Name) {
        touched &+= table[Int(truncatingIfNeeded: name.low) & (capacity - 1)].low
    }

    func insert(_ name: Name, limit: Int) -> Answer {
        var slot = Int(truncatingIfNeeded: name.low) & (capacity - 1)
        while table[slot].low != 0 {
            if table[slot] == name { return .known }
            slot = (slot + 1) & (capacity - 1)
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
        writer.put(UInt64(count))
        for index in 0..<capacity where table[index].low != 0 {
            writer.put(table[index].high)
            writer.put(table[index].low)
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
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
