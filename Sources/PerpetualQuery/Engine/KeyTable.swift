/// Keys as small numbers: bytes in, number out. Numbers of removed keys are used again.
///
/// Raw pointers: this class owns the bytes of its keys and frees them when they are removed and in deinit.
final class KeyTable {
    private struct Entry {
        /// nil: the number is free.
        var bytes: UnsafeMutableRawPointer?
        var count: Int
        var hash: UInt64
    }

    @exclusivity(unchecked) private var entries: [Entry] = []
    @exclusivity(unchecked) private var free: [Int32] = []
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<Int32>
    @exclusivity(unchecked) private var slotCount = 64
    @exclusivity(unchecked) private(set) var count = 0

    private let hashKey: UInt64

    /// - Parameter hashKey: as in `StreamLimits`.
    init(hashKey: UInt64) {
        self.hashKey = hashKey
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: -1, count: slotCount)
    }

    deinit {
        for entry in entries { entry.bytes?.deallocate() }
        slots.deallocate()
    }

    /// Bytes of the table and its keys, about.
    var byteCount: Int { entries.capacity * MemoryLayout<Entry>.stride + slotCount * 4 + count * 32 }

    /// One more than the greatest number in use or used before.
    var numberLimit: Int { entries.count }

    @inline(__always)
    func hash(_ key: UnsafeRawBufferPointer) -> UInt64 { GroupKey.hash(key, hashKey) }

    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64) -> Int? {
        var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
        while slots[slot] >= 0 {
            let number = Int(slots[slot])
            if entries[number].hash == hash, matches(number, key) { return number }
            slot = (slot + 1) & (slotCount - 1)
        }
        return nil
    }

    @inline(__always)
    private func matches(_ number: Int, _ key: UnsafeRawBufferPointer) -> Bool {
        GroupKey.areEqual(bytes(of: number), key)
    }

    /// The number of a key, and whether it is new.
    func number(of key: UnsafeRawBufferPointer) -> (number: Int, isNew: Bool) {
        let hash = self.hash(key)
        if let number = find(key, hash: hash) { return (number, false) }
        if (count + 1) * 2 > slotCount { grow() }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(key.count, 1), alignment: 8)
        if let base = key.baseAddress { copy.copyMemory(from: base, byteCount: key.count) }
        let entry = Entry(bytes: copy, count: key.count, hash: hash)
        let number: Int
        if let unused = free.popLast() {
            number = Int(unused)
            entries[number] = entry
        } else {
            number = entries.count
            entries.append(entry)
        }
        place(number)
        count += 1
        return (number, true)
    }

    /// Empty for a number that is not in use.
    func bytes(of number: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: entries[number].bytes, count: entries[number].count)
    }

    func isUsed(_ number: Int) -> Bool { entries[number].bytes != nil }

    func remove(_ number: Int) {
        var slot = Int(truncatingIfNeeded: entries[number].hash) & (slotCount - 1)
        while slots[slot] != Int32(number) { slot = (slot + 1) & (slotCount - 1) }
        // What stands behind moves up, so that no probe ends too early.
        var next = (slot + 1) & (slotCount - 1)
        while slots[next] >= 0 {
            let home = Int(truncatingIfNeeded: entries[Int(slots[next])].hash) & (slotCount - 1)
            if (next - home) & (slotCount - 1) >= (next - slot) & (slotCount - 1) {
                slots[slot] = slots[next]
                slot = next
            }
            next = (next + 1) & (slotCount - 1)
        }
        slots[slot] = -1
        entries[number].bytes?.deallocate()
        entries[number] = Entry(bytes: nil, count: 0, hash: 0)
        free.append(Int32(number))
        count -= 1
    }

    private func place(_ number: Int) {
        var slot = Int(truncatingIfNeeded: entries[number].hash) & (slotCount - 1)
        while slots[slot] >= 0 { slot = (slot + 1) & (slotCount - 1) }
        slots[slot] = Int32(number)
    }

    private func grow() {
        slots.deallocate()
        slotCount *= 2
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: -1, count: slotCount)
        for number in entries.indices where entries[number].bytes != nil { place(number) }
    }
}
