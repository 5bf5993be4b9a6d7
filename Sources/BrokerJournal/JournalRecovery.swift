import Platform

/// Reads the segments of a journal in order and finds where it ends.
struct JournalRecovery {
    let files: any FileStore
    let limits: JournalLimits
    /// Records before it do not count.
    let cut: UInt64

    /// Sets the end of each segment, and gives the records that count.
    func read(
        _ segments: inout [JournalSegment], each: (UInt8, UnsafeRawBufferPointer, UInt64) -> Void
    ) throws(JournalError) {
        for index in segments.indices {
            let segment = segments[index]
            let isLast = index == segments.count - 1
            let counts = segment.base >= cut
            if counts, index > 0, segments[index - 1].base >= cut, segments[index - 1].end != segment.base {
                throw .gap(path: segment.path, expected: segments[index - 1].end)
            }
            if !counts, !isLast {
                // Kept for its bodies; a record is checked when it is read.
                segments[index].end = min(segments[index + 1].base, try fileEnd(segment))
                continue
            }
            let bytes: [UInt8]
            do throws(FileError) { bytes = try files.contents(of: segment.path) } catch { throw .file(error) }
            let end = bytes.withUnsafeBytes { committedEnd($0) }
            if !isLast, segment.base + UInt64(end.committed) != segments[index + 1].base {
                throw .damaged(path: segment.path, offset: UInt64(JournalSegment.headerBytes + end.walked))
            }
            segments[index].end = segment.base + UInt64(end.committed)
            if counts { bytes.withUnsafeBytes { deliver($0, end.committed, segment.base, each) } }
        }
        // The first segment that counts has to be there.
        if cut > 0, let first = segments.first(where: { $0.base >= cut }), first.base != cut {
            throw .gap(path: first.path, expected: cut)
        }
    }

    /// Where the last whole group ends, and where the last whole record does.
    private func committedEnd(_ file: UnsafeRawBufferPointer) -> (committed: Int, walked: Int) {
        let base = number(file, 16, UInt64.self)
        let records = UnsafeRawBufferPointer(rebasing: file[JournalSegment.headerBytes...])
        var at = 0
        var committed = 0
        while let found = JournalFrame.find(
            UnsafeRawBufferPointer(rebasing: records[at...]), at: base + UInt64(at),
            bytesMax: limits.recordBytesMax)
        {
            at += found.byteCount
            if found.kind == JournalFrame.commitKind { committed = at }
        }
        return (committed, at)
    }

    private func fileEnd(_ segment: JournalSegment) throws(JournalError) -> UInt64 {
        do throws(FileError) {
            let bytes = try segment.file.byteCount()
            return segment.base + bytes - min(bytes, UInt64(JournalSegment.headerBytes))
        } catch { throw .file(error) }
    }

    private func deliver(
        _ file: UnsafeRawBufferPointer, _ end: Int, _ base: UInt64,
        _ each: (UInt8, UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        let records = UnsafeRawBufferPointer(rebasing: file[JournalSegment.headerBytes...])
        var at = 0
        while at < end {
            let position = base + UInt64(at)
            guard
                let found = JournalFrame.find(
                    UnsafeRawBufferPointer(rebasing: records[at...]), at: position,
                    bytesMax: limits.recordBytesMax)
            else { preconditionFailure("walked over before") }
            if found.kind != JournalFrame.commitKind { each(found.kind, found.body, position) }
            at += found.byteCount
        }
    }
}
