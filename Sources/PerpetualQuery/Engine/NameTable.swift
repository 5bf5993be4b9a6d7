import CPrefetch

/// Names of events by their low word, in groups of eight places. Of each place a byte is kept apart: 0 when it is free,
/// else seven bits of the name. That a name is new is mostly seen from one word of these, which are a seventeenth of
/// the memory; the names themselves are looked at when a byte says that it may be there.
///
/// Raw pointers: whoever has the table frees it once with `deallocate`.
struct NameTable {
    private var tags: UnsafeMutablePointer<UInt64>
    private var names: UnsafeMutablePointer<DuplicateFilter.Name>
    /// A power of two.
    private(set) var groupCount: Int
    private(set) var count = 0

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    init(groupCount: Int) {
        self.groupCount = groupCount
        tags = TableMemory.allocate(groupCount, of: UInt64.self)
        tags.initialize(repeating: 0, count: groupCount)
        names = TableMemory.allocate(groupCount * 8, of: DuplicateFilter.Name.self)
    }

    func deallocate() {
        tags.deallocate()
        names.deallocate()
    }

    @inline(__always)
    private func group(of name: DuplicateFilter.Name) -> Int {
        // The lowest bit is always set.
        Int(truncatingIfNeeded: name.low >> 1) & (groupCount - 1)
    }

    @inline(__always)
    private static func tag(of name: DuplicateFilter.Name) -> UInt64 { name.high >> 57 | 0x80 }

    /// A bit for each byte that is the tag. It may also be set for one that differs in its lowest bit: a place that is
    /// not free either.
    @inline(__always)
    private static func places(with tag: UInt64, in word: UInt64) -> UInt64 {
        let other = word ^ (tag &* ones)
        return (other &- ones) & ~other & tops
    }

    /// Where a name stands, or nil and the free place where it would.
    @inline(__always)
    private func find(_ name: DuplicateFilter.Name) -> (place: Int?, free: Int) {
        let tag = Self.tag(of: name)
        var group = group(of: name)
        while true {
            let word = tags[group]
            var hits = Self.places(with: tag, in: word)
            while hits != 0 {
                let place = group << 3 + hits.trailingZeroBitCount >> 3
                if names[place] == name { return (place, 0) }
                hits &= hits &- 1
            }
            let free = ~word & Self.tops
            if free != 0 { return (nil, group << 3 + free.trailingZeroBitCount >> 3) }
            group = (group + 1) & (groupCount - 1)
        }
    }

    @inline(__always)
    func contains(_ name: DuplicateFilter.Name) -> Bool { find(name).place != nil }

    /// The free place of a name that is not there; nil when it is.
    @inline(__always)
    func freePlace(for name: DuplicateFilter.Name) -> Int? {
        let found = find(name)
        return found.place == nil ? found.free : nil
    }

    /// Puts a name at the free place that was found for it.
    @inline(__always)
    mutating func put(_ name: DuplicateFilter.Name, at place: Int) {
        tags[place >> 3] |= Self.tag(of: name) << (UInt64(place & 7) << 3)
        names[place] = name
        count += 1
        if count * 8 > groupCount * 56 { grow() }
    }

    /// Fetches what a look for the name will read, and where it would be put.
    @inline(__always)
    func prefetch(_ name: DuplicateFilter.Name, mayPut: Bool) {
        let group = group(of: name)
        let word = tags[group]
        let hits = Self.places(with: Self.tag(of: name), in: word)
        let places = hits != 0 ? hits : mayPut ? ~word & Self.tops : 0
        if places != 0 { headend_prefetch(names + (group << 3 + places.trailingZeroBitCount >> 3)) }
    }

    @inline(never)
    private mutating func grow() {
        var larger = NameTable(groupCount: groupCount * 2)
        forEach { name in
            if let place = larger.freePlace(for: name) { larger.put(name, at: place) }
        }
        deallocate()
        self = larger
    }

    /// Forgets every name.
    ///
    /// - Parameter groupCount: for as many as this there is room afterwards.
    mutating func removeAll(groupCount: Int) {
        if groupCount != self.groupCount {
            deallocate()
            self = NameTable(groupCount: groupCount)
        }
        tags.update(repeating: 0, count: groupCount)
        count = 0
    }

    func forEach(_ body: (DuplicateFilter.Name) -> Void) {
        for group in 0..<groupCount {
            var used = tags[group] & Self.tops
            while used != 0 {
                body(names[group << 3 + used.trailingZeroBitCount >> 3])
                used &= used &- 1
            }
        }
    }
}
