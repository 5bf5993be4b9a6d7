#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where a remembered message id's record is.
struct DedupPlace {
    var position: UInt64
    var device: UInt32
    /// The low half of the record's sequence: enough to tell how many records its device stored since.
    var sequence: UInt32
}

/// One open-addressing table of message id hashes: 24 bytes a slot, hashes apart from places, so that a miss
/// touches one cache line. A hot-path file with raw pointers.
///
/// A handle: `DedupIndex` owns the memory and releases it once. Entries go by the hash's high bits, so
/// copying a table into a larger one in slot order writes in order too.
struct DedupTable {
    let hashes: UnsafeMutablePointer<UInt64>
    let places: UnsafeMutablePointer<DedupPlace>
    let slotBits: Int
    var count = 0

    var slotCount: Int { 1 << slotBits }
    var byteCount: Int { Self.byteCount(slotBits: slotBits) }
    /// Three quarters: beyond it clusters grow quickly.
    var countMax: Int { slotCount / 4 * 3 }

    static func byteCount(slotBits: Int) -> Int { 24 << slotBits }

    /// An empty table whose pages are not touched yet; nil when the system has no memory.
    init?(slotBits: Int) {
        // calloc gives fresh zero pages without writing them: zero is the empty slot.
        guard let memory = calloc(1 << slotBits, 24) else { return nil }
        self.slotBits = slotBits
        hashes = memory.bindMemory(to: UInt64.self, capacity: 1 << slotBits)
        places = (memory + (8 << slotBits)).bindMemory(to: DedupPlace.self, capacity: 1 << slotBits)
    }

    func free() {
        #if canImport(Glibc)
            Glibc.free(UnsafeMutableRawPointer(hashes))
        #else
            Darwin.free(UnsafeMutableRawPointer(hashes))
        #endif
    }

    @inline(__always)
    func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> UInt64(64 - slotBits)) }

    /// Adds an entry; the caller keeps `count` below `countMax`, so there is a free slot.
    @inline(__always)
    mutating func insert(_ hash: UInt64, _ place: DedupPlace) {
        let mask = slotCount - 1
        var slot = home(hash)
        while hashes[slot] != 0 { slot = (slot + 1) & mask }
        hashes[slot] = hash
        places[slot] = place
        count += 1
    }

    /// Makes the kernel give the memory of a byte range of this (empty, not yet used) table.
    func touch(from start: Int, to end: Int) {
        let memory = UnsafeMutableRawPointer(hashes)
        var at = start
        while at < min(end, byteCount) {
            memory.storeBytes(of: 0, toByteOffset: at, as: UInt8.self)
            at += 4_096
        }
    }
}
