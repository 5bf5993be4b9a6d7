/// Bytes on their way to a peer: grown when needed, emptied by each flush, never shrunk below its first size.
///
/// Confined to its event loop.
final class OutputBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    init(byteCapacity: Int = 512) {
        capacity = byteCapacity
        base = .allocate(byteCount: byteCapacity, alignment: 8)
    }

    deinit { base.deallocate() }

    /// Room for `byteCount` more bytes, already counted as written.
    @inline(__always)
    func extend(by byteCount: Int) -> UnsafeMutableRawPointer {
        if count + byteCount > capacity { grow(to: count + byteCount) }
        defer { count += byteCount }
        return base + count
    }

    func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            extend(by: source.count).copyMemory(from: start, byteCount: source.count)
        }
    }

    func removeAll() {
        count = 0
        // A large answer (a retained megabyte) must not stay with an idle connection.
        if capacity > 65_536 {
            base.deallocate()
            capacity = 512
            base = .allocate(byteCount: capacity, alignment: 8)
        }
    }

    private func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }
}
