import Synchronization

/// Uncompressed blocks of compressed segments that were read in part lately, and the contexts to make more; one
/// for all segments of a log. Thread-safe: the lock is held for bookkeeping only, never while a block is
/// read or uncompressed.
final class BlockCache: Sendable {
    /// Memory of one block, and the tools to fill it.
    ///
    /// `@unchecked Sendable`: one thread at a time, the one that took it out of the cache, touches it.
    final class Worker: @unchecked Sendable {
        let decompressor: ZstandardDecompressor
        /// Room for a block as it is stored.
        let stored = UnsafeMutableRawBufferPointer.allocate(
            byteCount: CompressedHeader.blockBytes, alignment: 16)

        init?() {
            guard let decompressor = ZstandardDecompressor() else { return nil }
            self.decompressor = decompressor
        }

        deinit { stored.deallocate() }
    }

    /// A block's bytes; never changed once it is in the cache.
    ///
    /// `@unchecked Sendable`: filled by the thread that made it before any other can see it.
    final class Block: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer

        init(byteCount: Int) { bytes = .allocate(byteCount: byteCount, alignment: 16) }

        deinit { bytes.deallocate() }
    }

    private struct State {
        /// The latest used last.
        var blocks: [(base: UInt64, number: Int, block: Block)] = []
        var idle: [Worker] = []
    }

    private let state = Mutex(State())
    private let countMax: Int
    /// Contexts kept for reuse, some 160 KB each: as many as threads usually read at once.
    private static let idleMax = 4

    /// - Parameter byteCountMax: bytes of the blocks kept; one block at least.
    init(byteCountMax: Int) { countMax = max(1, byteCountMax / CompressedHeader.blockBytes) }

    /// A block of the segment with this base, if it is here.
    func block(base: UInt64, number: Int) -> Block? {
        state.withLock { state in
            guard let at = state.blocks.lastIndex(where: { $0.base == base && $0.number == number }) else {
                return nil
            }
            let entry = state.blocks.remove(at: at)
            state.blocks.append(entry)
            return entry.block
        }
    }

    func keep(_ block: Block, base: UInt64, number: Int) {
        state.withLock { state in
            if state.blocks.count >= countMax { state.blocks.removeFirst() }
            state.blocks.append((base, number, block))
        }
    }

    /// Lends a context for the time of `body`; nil when the system has no memory.
    func withWorker<Success>(_ body: (Worker) -> Success) -> Success? {
        guard let worker = state.withLock({ $0.idle.popLast() }) ?? Worker() else { return nil }
        defer { state.withLock { if $0.idle.count < Self.idleMax { $0.idle.append(worker) } } }
        return body(worker)
    }
}
