/// Names of events that came: 128 bits of each, so that two names out of a billion share theirs with a
/// chance of one in 10²⁰. The names are kept as long as the engine lives, or for a horizon: until time has gone on by
/// more than that, and about twice as much at most. Names are then of two ages; at the first event after the horizon
/// has passed, the older ones are forgotten and the younger ones become the older.
///
/// Raw pointers: the filter owns its tables and frees them in deinit.
final class DuplicateFilter {
    enum Answer { case new, known, full }

    struct Name: Equatable {
        var high: UInt64
        var low: UInt64

        static let none = Name(high: 0, low: 0)
    }

    @exclusivity(unchecked) private var table = NameTable(groupCount: DuplicateFilter.groupCountMin)
    /// With a horizon, the names of the horizon before.
    @exclusivity(unchecked) private var older = NameTable(groupCount: DuplicateFilter.groupCountMin)
    /// Ticks; `Int64.max`: for ever.
    private let horizon: Int64
    /// The time after which names that stand here become the older ones; the greatest before the first event.
    @exclusivity(unchecked) private var turnsAt = Int64.max
    private static let groupCountMin = 1 << 9

    /// - Parameter horizon: ticks that a name is remembered for at least; nil: as long as the engine lives.
    init(horizon: Int64? = nil) { self.horizon = horizon ?? Int64.max }

    deinit {
        table.deallocate()
        older.deallocate()
    }

    @inline(__always) private var isForgetful: Bool { horizon != Int64.max }

    /// Fetches the places that `insert` will look at.
    @inline(__always)
    func prefetch(_ name: Name) {
        table.prefetch(name, mayPut: true)
        if isForgetful { older.prefetch(name, mayPut: false) }
    }

    /// An event of this time was accepted; a time before the greatest so far changes nothing.
    @inline(__always)
    func advance(to time: Int64) {
        if time > turnsAt || turnsAt == Int64.max { turn(time) }
    }

    private func turn(_ time: Int64) {
        guard isForgetful else { return }
        if turnsAt != Int64.max {
            swap(&table, &older)
            table.removeAll(groupCount: older.groupCount)
        }
        let next = time.addingReportingOverflow(horizon)
        turnsAt = next.overflow ? Int64.max - 1 : next.partialValue
    }

    func insert(_ name: Name, limit: Int) -> Answer {
        guard let place = table.freePlace(for: name) else { return .known }
        if isForgetful, older.contains(name) { return .known }
        guard table.count + older.count < limit else { return .full }
        table.put(name, at: place)
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

    func write(to writer: inout StateWriter) {
        if isForgetful {
            writer.put(turnsAt)
            Self.write(older, to: &writer)
        }
        Self.write(table, to: &writer)
    }

    private static func write(_ table: NameTable, to writer: inout StateWriter) {
        writer.put(UInt64(table.count))
        table.forEach { name in
            writer.put(name.high)
            writer.put(name.low)
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        if isForgetful {
            turnsAt = try reader.take(Int64.self)
            try Self.read(&reader, into: &older)
        }
        try Self.read(&reader, into: &table)
    }

    private static func read(
        _ reader: inout StateReader, into table: inout NameTable
    ) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt64.self)) {
            let name = Name(high: try reader.take(UInt64.self), low: try reader.take(UInt64.self))
            guard name.low != 0 else { throw .damaged(at: reader.at) }
            if let place = table.freePlace(for: name) { table.put(name, at: place) }
        }
    }
}
