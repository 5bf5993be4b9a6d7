import CZstd

/// Compresses blocks, each on its own (RFC 8878). One thread at a time; owns its context.
struct ZstandardCompressor: ~Copyable {
    private let context: OpaquePointer
    private let level: Int32

    /// - Returns: nil when the system has no memory.
    init?(level: Int32) {
        guard let context = ZSTD_createCCtx() else { return nil }
        self.context = context
        self.level = level
    }

    deinit { ZSTD_freeCCtx(context) }

    /// The most bytes that a compressed block can have.
    static func byteCountMax(of byteCount: Int) -> Int { ZSTD_compressBound(byteCount) }

    /// Compresses a block into memory with room for `byteCountMax`.
    ///
    /// - Returns: the bytes written; nil when the library refuses.
    borrowing func compress(
        _ block: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let written = ZSTD_compressCCtx(
            context, target.baseAddress, target.count, block.baseAddress, block.count, level)
        return ZSTD_isError(written) == 0 ? written : nil
    }
}

/// Undoes `ZstandardCompressor`. One thread at a time; owns its context.
struct ZstandardDecompressor: ~Copyable {
    private let context: OpaquePointer

    /// - Returns: nil when the system has no memory.
    init?() {
        guard let context = ZSTD_createDCtx() else { return nil }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// - Returns: whether the block gave exactly the bytes that fill `target`.
    borrowing func decompress(
        _ block: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let written = ZSTD_decompressDCtx(
            context, target.baseAddress, target.count, block.baseAddress, block.count)
        return ZSTD_isError(written) == 0 && written == target.count
    }
}
