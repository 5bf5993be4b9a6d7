import Telemetry

/// Field names as small numbers: bytes of a payload in, number out, without a String on the way.
///
/// A name is known under every spelling it came in (`"a"`, `"\u0061"`); all have the number of the canonical
/// one. The table is open-addressed and its hash keyed; a probe chain longer than `probesMax` refuses the
/// name, which bounds what a peer can cost us by choosing names that collide.
///
/// Raw pointers: this class owns the entries and their bytes, only appends to them, and frees them in deinit.
final class FieldNames {
    static let probesMax = 64
    /// A longer name is refused: it is no name of a sensor.
    private static let nameBytesMax = 256

    struct Entry {
        var bytes: UnsafeRawPointer
        var byteCount: Int
        var hash: UInt64
        var number: UInt32
    }

    /// Spellings in the order they came.
    @exclusivity(unchecked) private var entries: UnsafeMutablePointer<Entry>
    @exclusivity(unchecked) private var entryCount = 0
    @exclusivity(unchecked) private var entryCapacity = 128
    /// Canonical names by number.
    @exclusivity(unchecked) private(set) var names: [String] = []
    private let limits: StreamLimits
    /// By place in the record, the entry that stood there last: records of one device have the same names in order.
    private let guesses: UnsafeMutablePointer<Int32>
    private static let guessesMax = 64
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<Int32>
    @exclusivity(unchecked) private var slotCount: Int

    init(limits: StreamLimits) {
        self.limits = limits
        entries = .allocate(capacity: entryCapacity)
        slotCount = 256
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: -1, count: slotCount)
        guesses = .allocate(capacity: Self.guessesMax)
        guesses.initialize(repeating: -1, count: Self.guessesMax)
    }

    deinit {
        for index in 0..<entryCount { entries[index].bytes.deallocate() }
        entries.deallocate()
        slots.deallocate()
        guesses.deallocate()
    }

    /// The number of a name, a new one when it was never seen; nil when a limit refuses it.
    @inline(__always)
    func number(of name: UnsafeRawBufferPointer, at place: Int) -> UInt32? {
        if place < Self.guessesMax, guesses[place] >= 0 {
            let entry = entries + Int(guesses[place])
            if entry.pointee.byteCount == name.count, Self.equal(entry.pointee.bytes, name) {
                return entry.pointee.number
            }
        }
        let hash = GroupKey.hash(name, limits.hashKey)
        if let index = find(name, hash: hash) {
            if place < Self.guessesMax { guesses[place] = index }
            return entries[Int(index)].number
        }
        return learn(name, hash: hash)
    }

    private func lookup(_ name: UnsafeRawBufferPointer, hash: UInt64) -> UInt32? {
        find(name, hash: hash).map { entries[Int($0)].number }
    }

    /// The entry of a spelling.
    private func find(_ name: UnsafeRawBufferPointer, hash: UInt64) -> Int32? {
        var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
        while true {
            let index = slots[slot]
            if index < 0 { return nil }
            let entry = entries + Int(index)
            if entry.pointee.hash == hash, entry.pointee.byteCount == name.count,
                Self.equal(entry.pointee.bytes, name)
            {
                return index
            }
            slot = (slot + 1) & (slotCount - 1)
        }
    }

    private func learn(_ name: UnsafeRawBufferPointer, hash: UInt64) -> UInt32? {
        guard name.count <= Self.nameBytesMax, entryCount < limits.fieldNamesMax else { return nil }
        guard name.contains(UInt8(ascii: "\\")) else { return insertNew(name, hash: hash) }
        // One text has many escaped spellings; the one with the fewest escapes has the number.
        let canonical = Self.fewestEscapes(name)
        return canonical.withUnsafeBytes { canonical -> UInt32? in
            if canonical.elementsEqual(name) { return insertNew(name, hash: hash) }
            let canonicalHash = GroupKey.hash(canonical, limits.hashKey)
            guard
                let number = lookup(canonical, hash: canonicalHash) ?? learn(canonical, hash: canonicalHash),
                entryCount < limits.fieldNamesMax, insert(name, hash: hash, number: number)
            else { return nil }
            return number
        }
    }

    private func insertNew(_ name: UnsafeRawBufferPointer, hash: UInt64) -> UInt32? {
        let number = UInt32(names.count)
        guard insert(name, hash: hash, number: number) else { return nil }
        names.append(Self.text(name))
        return number
    }

    private func insert(_ name: UnsafeRawBufferPointer, hash: UInt64, number: UInt32) -> Bool {
        if (entryCount + 1) * 2 > slotCount { grow() }
        if entryCount == entryCapacity { growEntries() }
        guard place(hash, index: Int32(entryCount), probes: Self.probesMax) else { return false }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(name.count, 1), alignment: 8)
        copy.copyMemory(from: name)
        guard let base = copy.baseAddress else { return false }
        (entries + entryCount).initialize(
            to: Entry(bytes: UnsafeRawPointer(base), byteCount: name.count, hash: hash, number: number))
        entryCount += 1
        return true
    }

    private func place(_ hash: UInt64, index: Int32, probes: Int) -> Bool {
        var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
        var left = probes
        while slots[slot] >= 0 {
            left -= 1
            if left <= 0 { return false }
            slot = (slot + 1) & (slotCount - 1)
        }
        slots[slot] = index
        return true
    }

    private func grow() {
        slots.deallocate()
        slotCount *= 2
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: -1, count: slotCount)
        for index in 0..<entryCount {
            _ = place(entries[index].hash, index: Int32(index), probes: slotCount)
        }
    }

    private func growEntries() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: entryCapacity * 2)
        larger.moveInitialize(from: entries, count: entryCount)
        entries.deallocate()
        entries = larger
        entryCapacity *= 2
    }

    /// The text of a spelling.
    private static func text(_ name: UnsafeRawBufferPointer) -> String {
        name.contains(UInt8(ascii: "\\"))
            ? String(decoding: JSONString.decode(name), as: UTF8.self) : String(decoding: name, as: UTF8.self)
    }

    /// The same text escaped only where JSON asks for it.
    private static func fewestEscapes(_ name: UnsafeRawBufferPointer) -> [UInt8] {
        var quoted: [UInt8] = []
        JSONText.append(text(name), to: &quoted)
        return Array(quoted.dropFirst().dropLast())
    }

    @inline(__always)
    private static func equal(_ left: UnsafeRawPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        GroupKey.areEqual(UnsafeRawBufferPointer(start: left, count: right.count), right)
    }
}
