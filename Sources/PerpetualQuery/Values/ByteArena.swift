/// Memory for the texts that one call makes: handed out in order, given back all at once or down to a mark.
///
/// Raw pointers: the arena owns its chunks, keeps them between calls, and frees them in deinit. What it
/// hands out is valid until the next `release` to an earlier mark.
final class ByteArena {
    struct Mark {
        var chunk: Int
        var used: Int
    }

    private static let chunkBytes = 1 << 16
    @exclusivity(unchecked) private var chunks: [UnsafeMutableRawBufferPointer] = []
    @exclusivity(unchecked) private var chunk = 0
    @exclusivity(unchecked) private var used = 0

    init() { chunks.append(.allocate(byteCount: Self.chunkBytes, alignment: 16)) }

    deinit {
        for chunk in chunks { chunk.deallocate() }
    }

    var mark: Mark { Mark(chunk: chunk, used: used) }

    /// Gives back what was handed out since the mark. Chunks of an unusual size are freed.
    @inline(__always)
    func release(to mark: Mark) {
        if chunk == mark.chunk {
            used = mark.used
        } else {
            releaseChunks(to: mark)
        }
    }

    private func releaseChunks(to mark: Mark) {
        while chunks.count > mark.chunk + 1,
            chunks.count > 2 || chunks[chunks.count - 1].count > Self.chunkBytes
        {
            chunks.removeLast().deallocate()
        }
        chunk = mark.chunk
        used = mark.used
    }

    func allocate(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if chunks[chunk].count - used < count { nextChunk(count) }
        let base = chunks[chunk].baseAddress.map { $0 + used }
        used += (count + 7) & ~7
        used = min(used, chunks[chunk].count)
        return UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    private func nextChunk(_ count: Int) {
        chunk += 1
        if chunk < chunks.count, chunks[chunk].count < count {
            while chunks.count > chunk { chunks.removeLast().deallocate() }
        }
        if chunk == chunks.count {
            chunks.append(.allocate(byteCount: max(Self.chunkBytes, count), alignment: 16))
        }
        used = 0
    }

    func copy(_ bytes: some Collection<UInt8>) -> UnsafeRawBufferPointer {
        let memory = allocate(bytes.count)
        memory.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(memory)
    }

    func text(_ bytes: some Collection<UInt8>) -> Datum { Datum(.text, copy(bytes)) }
}
