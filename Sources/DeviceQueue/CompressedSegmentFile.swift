import CChecksum
import Platform

/// A compressed segment, read as if it were not: the bytes and offsets of the plain file. It cannot be
/// written.
///
/// A block that is damaged reads as 0xFF bytes, which no frame is made of: every reader meets them where it
/// would meet the damage in a plain segment, gives what is before, and names that place.
final class CompressedSegmentFile: StoredFile {
    let header: CompressedHeader
    private let file: any StoredFile
    private let path: String
    private let cache: BlockCache
    /// By block: where it is in the file.
    private let starts: [UInt64]

    /// - Throws: `.corrupt` when header, index or size of the file are wrong, `.newerFormat`, `.file`.
    init(_ file: any StoredFile, path: String, cache: BlockCache) throws(QueueError) {
        let header = try CompressedHeader.read(file, path: path)
        var starts: [UInt64] = []
        starts.reserveCapacity(header.blocks.count)
        var at = header.bodyStart
        for block in header.blocks {
            starts.append(at)
            at += UInt64(block.byteCount)
        }
        let size = try Recovery.attempt { () throws(FileError) in try file.byteCount() }
        guard size == at else {
            throw CompressedHeader.damaged(
                path, Int(min(size, at)), "the file has \(size) bytes and should have \(at)")
        }
        self.header = header
        self.file = file
        self.path = path
        self.cache = cache
        self.starts = starts
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int {
        guard offset < header.byteCount else { return 0 }
        let wanted = min(buffer.count, Int(header.byteCount - offset))
        let content = Int(header.contentBytes)
        var done = 0
        while done < wanted {
            let position = Int(offset) + done
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<wanted])
            guard position < content else {
                rest.initializeMemory(as: UInt8.self, repeating: 0)
                break
            }
            let number = position / CompressedHeader.blockBytes
            let start = number * CompressedHeader.blockBytes
            let size = min(CompressedHeader.blockBytes, content - start)
            let count = min(rest.count, start + size - position)
            let target = UnsafeMutableRawBufferPointer(rebasing: rest[..<count])
            if let known = cache.block(base: header.base, number: number) {
                Self.copy(known, from: position - start, to: target)
            } else if count == size {
                _ = try load(number, into: target)
            } else {
                let block = BlockCache.Block(byteCount: size)
                if try load(number, into: block.bytes) {
                    cache.keep(block, base: header.base, number: number)
                }
                Self.copy(block, from: position - start, to: target)
            }
            done += count
        }
        return wanted
    }

    private static func copy(
        _ block: BlockCache.Block, from start: Int, to target: UnsafeMutableRawBufferPointer
    ) {
        target.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: block.bytes[start..<start + target.count]))
    }

    /// Fills `target` with a whole block.
    ///
    /// - Returns: false when the block is damaged: then it is filled with 0xFF.
    private func load(_ number: Int, into target: UnsafeMutableRawBufferPointer) throws(FileError) -> Bool {
        let result = cache.withWorker { worker in
            Result { () throws(FileError) in try load(number, into: target, with: worker) }
        }
        guard let result else {
            throw FileError(
                kind: .full, operation: "read", path: path, code: 12, message: "no memory to uncompress")
        }
        return try result.get()
    }

    private func load(
        _ number: Int, into target: UnsafeMutableRawBufferPointer, with worker: BlockCache.Worker
    ) throws(FileError) -> Bool {
        let entry = header.blocks[number]
        let stored = UnsafeMutableRawBufferPointer(rebasing: worker.stored[..<Int(entry.byteCount)])
        let got = try file.read(into: stored, at: starts[number])
        var isGood = got == stored.count && headend_crc32c(0, stored.baseAddress, got) == entry.checksum
        if isGood {
            if stored.count == target.count {
                // It did not become smaller and is stored as it is.
                target.copyMemory(from: UnsafeRawBufferPointer(stored))
            } else {
                isGood = worker.decompressor.decompress(UnsafeRawBufferPointer(stored), into: target)
            }
        }
        if !isGood { target.initializeMemory(as: UInt8.self, repeating: 0xFF) }
        return isGood
    }

    /// Whether every block is whole.
    ///
    /// - Returns: nil, or the position in the plain segment of the first block that is damaged.
    func firstDamage() throws(FileError) -> UInt64? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: CompressedHeader.blockBytes, alignment: 16)
        defer { buffer.deallocate() }
        for number in header.blocks.indices {
            let start = number * CompressedHeader.blockBytes
            let size = min(CompressedHeader.blockBytes, Int(header.contentBytes) - start)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
            if try !load(number, into: target) { return UInt64(start) }
        }
        return nil
    }

    func byteCount() throws(FileError) -> UInt64 { header.byteCount }
    func dropCache() { file.dropCache() }
    func close() { file.close() }
    func synchronize() throws(FileError) {}

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        throw refusal("write")
    }

    func truncate(to byteCount: UInt64) throws(FileError) { throw refusal("truncate") }

    private func refusal(_ operation: String) -> FileError {
        FileError(
            kind: .denied, operation: operation, path: path, code: 1,
            message: "a compressed segment never changes")
    }
}
