/// The message ids of the horizon, in memory: one table a slice of time, the oldest forgotten whole.
///
/// It answers with suspicions (log positions whose hash agrees); the stored record decides. Entries of a
/// table that falls out are carried over when their device has stored fewer than `minimum` records since.
/// Growing, carrying over and touching new memory are spread over the insertions: no call does more than a
/// few slots.
struct DedupIndex: ~Copyable {
    /// The ids first accepted in one slice of time.
    private struct Generation {
        var table: DedupTable
        var firstTicks: Int64
        var lastTicks: Int64
    }

    /// A walk over the tables for one hash.
    struct Cursor {
        let hash: UInt64
        fileprivate var table = 0
        fileprivate var slot = -1

        @inline(__always) init(_ hash: UInt64) { self.hash = hash }
    }

    /// The slice that is being filled.
    private var current: Generation
    /// The slices before it, newest first.
    private var older: [Generation] = []
    /// The table that `current` grew out of, until every entry is copied.
    private var growing: DedupTable?
    /// Tables whose time is over, oldest last, until the entries of quiet devices are carried over.
    private var draining: [DedupTable] = []
    /// The next slots to copy of `growing`, and to carry over of the last in `draining`.
    private var growAt = 0
    private var drainAt = 0
    /// Memory made ready for the next table, page by page.
    private var spare: DedupTable?
    private var spareTouched = 0
    /// All tables that a look-up must see, the fullest first: a flat copy of the handles above.
    private let probes: UnsafeMutablePointer<DedupTable>
    private var probeCount = 0
    private static let probeCountMax = 64

    private let horizonTicks: Int64
    private let minimum: UInt32
    private let byteCountMax: Int
    private let slotBitsMax: Int
    /// Keeps the loads of `touch` from being optimised away.
    private var sink: UInt64 = 0

    /// Bytes of all tables.
    private(set) var byteCount = 0
    /// Tables forgotten before their time because of the memory limit, and the ids in them.
    private(set) var shortenedTables: UInt64 = 0
    private(set) var shortenedIDs: UInt64 = 0

    /// - Returns: nil when the system has no memory for the first table.
    init?(limits: QueueLimits, nowTicks: Int64) {
        horizonTicks = limits.dedupHorizonTicks
        minimum = UInt32(limits.dedupMinimum)
        byteCountMax = limits.dedupBytesMax
        var bitsMax = 6
        while DedupTable.byteCount(slotBits: bitsMax + 1) <= limits.dedupBytesMax / 3, bitsMax < 40 {
            bitsMax += 1
        }
        slotBitsMax = bitsMax
        let bits = min(limits.dedupSlots.trailingZeroBitCount, bitsMax)
        guard let table = DedupTable(slotBits: bits) else { return nil }
        table.touch(from: 0, to: table.byteCount)
        byteCount = table.byteCount
        current = Generation(table: table, firstTicks: nowTicks, lastTicks: nowTicks)
        probes = .allocate(capacity: Self.probeCountMax)
        refreshProbes()
    }

    deinit {
        current.table.free()
        growing?.free()
        spare?.free()
        for generation in older { generation.table.free() }
        for table in draining { table.free() }
        probes.deallocate()
    }

    /// Ids remembered; those being copied count twice for a moment.
    var count: Int {
        var total = current.table.count + (growing?.count ?? 0)
        for generation in older { total += generation.table.count }
        for table in draining { total += table.count }
        return total
    }

    /// Loads the cache lines that look-ups and insertions of these hashes will need, all at once: the misses
    /// overlap.
    @inline(__always)
    mutating func touch(_ hashes: UnsafeMutablePointer<UInt64>, _ hashCount: Int) {
        var sum: UInt64 = 0
        for table in 0..<probeCount {
            let probe = probes[table]
            for index in 0..<hashCount { sum &+= probe.hashes[probe.home(hashes[index])] }
        }
        let table = probes[0]
        for index in 0..<hashCount { sum &+= table.places[table.home(hashes[index])].position }
        sink &+= sum
    }

    /// As `touch`, for ids that are inserted without a look-up.
    @inline(__always)
    mutating func touchForInsertion(_ hashes: UnsafeMutablePointer<UInt64>, _ hashCount: Int) {
        var sum: UInt64 = 0
        let table = current.table
        for index in 0..<hashCount {
            let home = table.home(hashes[index])
            sum &+= table.hashes[home] &+ table.places[home].position
        }
        sink &+= sum
    }

    /// Ids that the tables hold near the memory limit: all of the largest size, and room for a next one.
    var capacity: Int {
        let tables = byteCountMax / DedupTable.byteCount(slotBits: slotBitsMax)
        return max(1, tables - 1) * ((1 << slotBitsMax) / 4 * 3)
    }

    /// Takes a table that has room for so many ids, or the largest, while nothing is remembered yet: then a
    /// restart does not grow it step by step.
    mutating func prepare(for idCount: Int) {
        var bits = current.table.slotBits
        while bits < slotBitsMax, (1 << bits) / 4 * 3 <= idCount { bits += 1 }
        guard current.table.count == 0, growing == nil, bits > current.table.slotBits,
            byteCount + DedupTable.byteCount(slotBits: bits) <= byteCountMax,
            let table = DedupTable(slotBits: bits)
        else { return }
        byteCount += table.byteCount - current.table.byteCount
        current.table.free()
        current.table = table
        refreshProbes()
    }

    /// Counts ids that were left out because of the memory limit.
    mutating func note(shortened count: UInt64) { shortenedIDs += count }

    /// The next log position that may hold the id, or 0: no more.
    @inline(__always)
    func next(_ cursor: inout Cursor) -> UInt64 {
        while cursor.table < probeCount {
            let table = probes[cursor.table]
            let mask = table.slotCount - 1
            var slot = cursor.slot < 0 ? table.home(cursor.hash) : cursor.slot
            while true {
                let found = table.hashes[slot]
                if found == 0 { break }
                if found == cursor.hash {
                    cursor.slot = (slot + 1) & mask
                    return table.places[slot].position
                }
                slot = (slot + 1) & mask
            }
            cursor.table += 1
            cursor.slot = -1
        }
        return 0
    }

    /// Remembers an id; `devices` tells how far each device has come, for carrying over.
    @inline(__always)
    mutating func insert(_ hash: UInt64, _ place: DedupPlace, ticks: Int64, devices: borrowing DeviceStates) {
        if current.table.count >= current.table.countMax { makeRoom(ticks: ticks) }
        current.table.insert(hash, place)
        current.lastTicks = ticks
        if isBusy || current.table.count & 15 == 0 { step(devices: devices) }
    }

    private var isBusy: Bool { growing != nil || !draining.isEmpty }

    /// Moves time on: begins a new slice when the current one is full of time, and forgets what is past the
    /// horizon.
    mutating func advance(to ticks: Int64) {
        if current.table.count == 0 { current.firstTicks = ticks }
        if ticks - current.firstTicks >= horizonTicks / 4, growing == nil { rotate(ticks: ticks) }
        var changed = false
        while let oldest = older.last, ticks - oldest.lastTicks > horizonTicks {
            older.removeLast()
            if draining.isEmpty { drainAt = 0 }
            draining.insert(oldest.table, at: 0)
            changed = true
        }
        if changed { refreshProbes() }
    }

    /// Does a bounded piece of the waiting work.
    private mutating func step(devices: borrowing DeviceStates) {
        if let source = growing {
            let end = min(growAt + 8, source.slotCount)
            for slot in growAt..<end where source.hashes[slot] != 0 {
                current.table.insert(source.hashes[slot], source.places[slot])
            }
            growAt = end
            if end == source.slotCount {
                growing = nil
                release(source)
            }
        } else if let source = draining.last {
            // The more tables wait the larger the piece: a slow hub inserts little between two slices.
            let end = min(drainAt + (8 << min(draining.count, 14)), source.slotCount)
            for slot in drainAt..<end where source.hashes[slot] != 0 {
                let place = source.places[slot]
                let last = UInt32(truncatingIfNeeded: devices.lastSequence(place.device))
                guard last &- place.sequence < minimum else { continue }
                if current.table.count >= current.table.countMax {
                    // This may even forget `source`: leave, and go on here the next time.
                    drainAt = slot
                    makeRoom(ticks: current.lastTicks)
                    return
                }
                current.table.insert(source.hashes[slot], place)
            }
            drainAt = end
            if end == source.slotCount {
                draining.removeLast()
                drainAt = 0
                release(source)
            }
        }
        prepareSpare()
    }

    /// Makes the next table ready while there is time: from three eighths full on.
    private mutating func prepareSpare() {
        if let table = spare {
            if spareTouched < table.byteCount {
                table.touch(from: spareTouched, to: spareTouched + 8_192)
                spareTouched += 8_192
            }
        } else if growing == nil, current.table.count > current.table.slotCount / 8 * 3,
            current.table.slotBits < slotBitsMax,
            byteCount + DedupTable.byteCount(slotBits: current.table.slotBits + 1) <= byteCountMax,
            let table = DedupTable(slotBits: current.table.slotBits + 1)
        {
            spare = table
            spareTouched = 0
            byteCount += table.byteCount
        }
    }

    /// The current table is full: a larger one takes its place, or, at the limit, a new slice begins early.
    private mutating func makeRoom(ticks: Int64) {
        let bits = current.table.slotBits + 1
        if growing == nil, bits <= slotBitsMax, let table = takeTable(slotBits: bits) {
            growing = current.table
            growAt = 0
            current.table = table
            refreshProbes()
        } else {
            rotate(ticks: ticks)
        }
    }

    /// Begins a new slice.
    private mutating func rotate(ticks: Int64) {
        // A table that is still being copied is kept whole as a slice of its own.
        if let source = growing {
            older.insert(
                Generation(table: source, firstTicks: current.firstTicks, lastTicks: current.lastTicks), at: 0
            )
            growing = nil
        }
        // After a quiet slice a small table: its carrying over takes a step for every few slots, and slices of
        // a slow hub would otherwise pile up faster than they are emptied.
        var bits = current.table.slotBits
        while bits > 10, current.table.count < (1 << bits) / 16 { bits -= 1 }
        older.insert(current, at: 0)
        var table = takeTable(slotBits: bits)
        while table == nil, bits > 6 {
            bits -= 1
            table = takeTable(slotBits: bits)
        }
        guard let table else { preconditionFailure("no memory for 64 message ids") }
        current = Generation(table: table, firstTicks: ticks, lastTicks: ticks)
        refreshProbes()
    }

    /// A table of this size, the spare one if it fits; forgets the oldest slices when the limit demands it.
    private mutating func takeTable(slotBits: Int) -> DedupTable? {
        if let table = spare {
            spare = nil
            if table.slotBits >= slotBits { return table }
            release(table)
        }
        let needed = DedupTable.byteCount(slotBits: slotBits)
        while byteCount + needed > byteCountMax || 8 + older.count + draining.count > Self.probeCountMax {
            if let table = draining.popLast() {
                drainAt = 0
                forget(table)
            } else if let oldest = older.popLast() {
                forget(oldest.table)
            } else {
                return nil
            }
        }
        guard let table = DedupTable(slotBits: slotBits) else { return nil }
        byteCount += needed
        return table
    }

    private mutating func forget(_ table: DedupTable) {
        shortenedTables += 1
        shortenedIDs += UInt64(table.count)
        release(table)
    }

    private mutating func release(_ table: DedupTable) {
        byteCount -= table.byteCount
        table.free()
        refreshProbes()
    }

    private mutating func refreshProbes() {
        probes.initialize(to: current.table)
        var index = 1
        func add(_ table: DedupTable) {
            (probes + index).initialize(to: table)
            index += 1
        }
        if let growing { add(growing) }
        for generation in older where generation.table.count > 0 { add(generation.table) }
        for table in draining { add(table) }
        probeCount = index
    }
}
