import Platform
import Synchronization

// The reading side.
extension ResultLog {
    /// Reads committed entries from a position on, in place of what the batch has: about `readBytesMax` bytes, but
    /// at least one entry; none at the end. Any thread.
    ///
    /// - Throws: `.released` for a position before `startPosition`; `.damaged` or `.notAnEntry` when the
    ///   bytes there are no entry.
    package func read(into batch: ResultBatch, from position: UInt64) throws(ResultLogError) {
        let (segments, end) = shared.withLock { ($0.segments, $0.end) }
        guard position >= segments[0].base else {
            throw .released(position: position, start: segments[0].base)
        }
        _ = batch.begin(at: position, byteCount: 0)
        guard position < end, let index = segments.lastIndex(where: { $0.base <= position }) else { return }
        let segment = segments[index]
        let segmentEnd = index + 1 < segments.count ? min(segments[index + 1].base, end) : end
        let available = Int(min(segmentEnd - position, UInt64(limits.rowBytesMax)))
        var wanted = min(limits.readBytesMax, available)
        while true {
            let room = batch.begin(at: position, byteCount: wanted)
            let readCount = try Self.onDisk { () throws(FileError) in
                try segment.file.read(into: room, at: segment.offset(of: position))
            }
            let needed = batch.take(readCount, rowBytesMax: limits.rowBytesMax)
            if !batch.isEmpty { return }
            guard needed > wanted, needed <= available else { break }
            wanted = needed
        }
        let boundary = try Self.walk(segment, to: position, limits: limits).end
        if boundary > position { throw .notAnEntry(position: position) }
        throw .damaged(path: segment.path, offset: segment.offset(of: position))
    }

    /// Committed entries from a position on as values, for those that need a few: up to `limit` of them and about
    /// `readBytesMax` bytes. Any thread.
    ///
    /// - Throws: as `read(into:from:)`.
    package func read(from position: UInt64, limit: Int) throws(ResultLogError) -> [ResultLogEntry] {
        let batch = ResultBatch()
        try read(into: batch, from: position)
        return batch.entries.prefix(limit).map(ResultLogEntry.init)
    }
}
