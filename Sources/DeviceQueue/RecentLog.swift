/// The end of the log in memory: what waits for a commit, and the last few MiB before it. A hot-path file
/// with raw pointers.
///
/// Bytes stand in chunks; a frame never crosses into another chunk. Guard: only `RecentLog` makes and
/// releases chunks; a pointer that it gave is good until the bytes are durable and older than
/// `retainedBytes`.
struct RecentLog: ~Copyable {
    private struct Chunk {
        var memory: UnsafeMutableRawPointer
        var capacity: Int
        /// Offset of its first byte.
        var start: UInt64
        var used: Int
        var end: UInt64 { start + UInt64(used) }
    }

    /// Oldest first; the last one is being filled.
    private var chunks: [Chunk] = []
    private var capacity = 0
    private let chunkBytes: Int
    private let retainedBytes: Int
    /// Where the next byte goes, and the end of its chunk.
    private(set) var cursor: UnsafeMutableRawPointer
    private var cursorEnd: UnsafeMutableRawPointer
    /// The queue offset of the cursor.
    private(set) var offset: UInt64 = 0

    init(chunkBytes: Int, retainedBytes: Int) {
        self.chunkBytes = chunkBytes
        self.retainedBytes = retainedBytes
        let memory = UnsafeMutableRawPointer.allocate(byteCount: chunkBytes, alignment: 4_096)
        cursor = memory
        cursorEnd = memory + chunkBytes
        capacity = chunkBytes
        chunks.append(Chunk(memory: memory, capacity: chunkBytes, start: 0, used: 0))
    }

    deinit { for chunk in chunks { chunk.memory.deallocate() } }

    /// Bytes that fit without another chunk.
    @inline(__always) var room: Int { cursorEnd - cursor }

    @inline(__always)
    mutating func advance(_ byteCount: Int) {
        cursor += byteCount
        offset += UInt64(byteCount)
    }

    /// Begins a chunk at an offset with room for `byteCount` bytes, on the memory of a chunk that is past
    /// keeping if there is one.
    mutating func begin(at start: UInt64, room byteCount: Int, durableEnd: UInt64) {
        closeChunk()
        let needed = max(byteCount, chunkBytes)
        var memory: UnsafeMutableRawPointer?
        while capacity + needed > retainedBytes + chunkBytes, let oldest = chunks.first,
            oldest.end <= durableEnd
        {
            chunks.removeFirst()
            if memory == nil, oldest.capacity == needed {
                memory = oldest.memory
            } else {
                oldest.memory.deallocate()
            }
            capacity -= oldest.capacity
        }
        let base = memory ?? .allocate(byteCount: needed, alignment: 4_096)
        capacity += needed
        chunks.append(Chunk(memory: base, capacity: needed, start: start, used: 0))
        cursor = base
        cursorEnd = base + needed
        offset = start
    }

    /// The bytes at an offset if they are still here.
    @inline(__always)
    func pointer(at position: UInt64) -> UnsafeRawPointer? {
        var index = chunks.count - 1
        if position >= chunks[index].start {
            return position < offset
                ? UnsafeRawPointer(chunks[index].memory + Int(position - chunks[index].start)) : nil
        }
        while index > 0 {
            index -= 1
            let chunk = chunks[index]
            if position >= chunk.start {
                return position < chunk.end
                    ? UnsafeRawPointer(chunk.memory + Int(position - chunk.start)) : nil
            }
        }
        return nil
    }

    /// The contiguous pieces of an offset range, in order.
    mutating func pieces(from start: UInt64, to end: UInt64) -> [(
        bytes: UnsafeRawBufferPointer, offset: UInt64
    )] {
        closeChunk()
        var pieces: [(bytes: UnsafeRawBufferPointer, offset: UInt64)] = []
        for chunk in chunks where chunk.end > start && chunk.start < end {
            let first = max(start, chunk.start)
            let last = min(end, chunk.end)
            let bytes = UnsafeRawBufferPointer(
                start: chunk.memory + Int(first - chunk.start), count: Int(last - first))
            if !bytes.isEmpty { pieces.append((bytes, first)) }
        }
        return pieces
    }

    /// Notes how much of the last chunk is used; it may still be filled further.
    private mutating func closeChunk() {
        let index = chunks.count - 1
        chunks[index].used = cursor - chunks[index].memory
    }
}
