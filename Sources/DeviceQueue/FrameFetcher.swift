import Platform

/// Reads single frames from the segment files by their offset, through a buffer of its own. A raw pointer
/// that it gives is good until its next call.
struct FrameFetcher: ~Copyable {
    private let catalog: SegmentCatalog
    private var buffer: UnsafeMutableRawPointer
    private var capacity = 4_096

    init(catalog: SegmentCatalog) {
        self.catalog = catalog
        buffer = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The frame that begins at an offset, checked.
    ///
    /// - Throws: `.corrupt` when there is none, `.removed`, `.offsetOutOfRange`, `.file`.
    mutating func frame(at offset: UInt64) throws(QueueError) -> UnsafeRawPointer {
        guard let segment = catalog.segment(containing: offset), offset & 7 == 0 else {
            throw catalog.outside(offset)
        }
        let file = try catalog.file(segment)
        let position = Int(offset - segment.base)
        let rest = Int(segment.byteCount) - position
        var got = try read(file, at: position, min(capacity, rest))
        let byteCount = got >= 8 ? UnsafeRawPointer(buffer).frameBytes : 0
        if byteCount > got, byteCount <= rest {
            if byteCount > capacity {
                buffer.deallocate()
                capacity = byteCount
                buffer = .allocate(byteCount: capacity, alignment: 16)
            }
            got = try read(file, at: position, byteCount)
        }
        let frame = UnsafeRawPointer(buffer)
        guard byteCount >= FrameLayout.releaseBytes, byteCount & 7 == 0, byteCount <= got,
            frame.frameChecksum == LogFormat.checksum(frame, byteCount: byteCount, salt: segment.salt),
            LogFormat.isWellFormed(frame, byteCount: byteCount)
        else {
            throw .corrupt(
                path: segment.path, offset: UInt64(position),
                explanation:
                    "a stored frame does not read back; check the disk, and restore the file from a backup")
        }
        return frame
    }

    private func read(_ file: any StoredFile, at position: Int, _ byteCount: Int) throws(QueueError) -> Int {
        do throws(FileError) {
            return try file.read(
                into: UnsafeMutableRawBufferPointer(start: buffer, count: byteCount), at: UInt64(position))
        } catch {
            throw .file(error)
        }
    }
}
