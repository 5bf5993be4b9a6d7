/// Bytes on their way to a peer: grown when needed, small again when empty, no memory before the first.
///
/// Confined to its event loop. A hot-path struct with raw memory: every length is checked against `capacity`;
/// the owner releases it once.
struct OutputBuffer: ~Copyable {
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    private var head = 0
    private var tail = 0

    deinit { memory?.deallocate() }

    var count: Int { tail - head }

    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory.map { $0 + head }, count: count)
    }

    /// Room for `byteCount` more bytes, already counted as written.
    @inline(__always)
    mutating func extend(by byteCount: Int) -> UnsafeMutableRawPointer {
        if let memory, tail + byteCount <= capacity {
            defer { tail += byteCount }
            return memory + tail
        }
        return grow(by: byteCount)
    }

    mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            extend(by: source.count).copyMemory(from: start, byteCount: source.count)
        }
    }

    /// Forgets the first bytes: they have left.
    mutating func removeFirst(_ byteCount: Int) {
        head += byteCount
        if head < tail { return }
        head = 0
        tail = 0
        // What a burst needed must not stay with an idle connection.
        if capacity > Self.idleBytesMax {
            memory?.deallocate()
            memory = nil
            capacity = 0
        }
    }

    private static let firstBytes = 128
    private static let idleBytesMax = 1_024

    private mutating func grow(by byteCount: Int) -> UnsafeMutableRawPointer {
        let needed = count + byteCount
        let larger = needed <= capacity / 2 ? capacity : max(needed, capacity * 2, Self.firstBytes)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
        if let memory, count > 0 { moved.copyMemory(from: memory + head, byteCount: count) }
        memory?.deallocate()
        memory = moved
        capacity = larger
        tail = needed
        head = 0
        return moved + (needed - byteCount)
    }
}
