/// The beginning of a packet whose rest has not come; memory only while there is one.
struct KeptBytes: ~Copyable {
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private(set) var count = 0

    deinit { memory.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    mutating func append(_ source: UnsafeRawBufferPointer) {
        guard source.count > 0 else { return }
        if memory.count - count < source.count {
            // Exactly at first, as most beginnings end with the next read; doubled for a long packet.
            let capacity = max(count + source.count, count > 0 ? memory.count * 2 : 0)
            replace(with: UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8), from: 0)
        }
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: source)
        count += source.count
    }

    /// Forgets the first bytes: they are used. What a read needed does not stay.
    mutating func removeFirst(_ byteCount: Int) {
        guard byteCount > 0 else { return }
        let rest = count - byteCount
        replace(
            with: rest > 0
                ? UnsafeMutableRawBufferPointer.allocate(byteCount: rest, alignment: 8)
                : UnsafeMutableRawBufferPointer(start: nil, count: 0), from: byteCount)
    }

    private mutating func replace(with other: UnsafeMutableRawBufferPointer, from start: Int) {
        if count > start {
            other.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<count]))
        }
        count -= start
        memory.deallocate()
        memory = other
    }
}
