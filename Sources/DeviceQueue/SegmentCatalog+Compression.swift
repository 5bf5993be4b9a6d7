import Platform

// Compressing sealed segments, the oldest first. One thread at a time, not the storage thread.
extension SegmentCatalog {
    /// Compresses the oldest segment that is due: sealed, with at least `limits.plainBytes` of the log behind
    /// it, and not known to stay large.
    ///
    /// The compressed file is whole and durable before the plain one is removed; readers that have that open
    /// read on in it.
    ///
    /// - Returns: false when none is due.
    /// - Throws: `.full`: the segment stays as it is, and a later call tries again. `.file`: it stays as it is
    ///   until the log is opened again.
    func compressNext(shouldStop: () -> Bool) throws(QueueError) -> Bool {
        guard let segment = nextToCompress() else { return false }
        guard let compressor = SegmentCompressor(files: files, cache: blocks) else { return false }
        let outcome: SegmentCompressor.Outcome
        do throws(QueueError) {
            outcome = try compressor.compress(segment, shouldStop: shouldStop)
        } catch {
            // One segment that cannot be read must not keep the others large.
            if case .full = error { throw error }
            passCompression(segment)
            throw error
        }
        switch outcome {
        case .stopped: return false
        case .incompressible: passCompression(segment)
        case .compressed(let storedBytes):
            guard replaceWithCompressed(segment, storedBytes: storedBytes) else {
                // Removed from the log meanwhile.
                try Recovery.attempt { () throws(FileError) in try files.remove(segment.compressedPath) }
                return true
            }
            try Recovery.attempt { () throws(FileError) in
                try files.remove(segment.plainPath)
                try files.synchronizeDirectory(directory)
            }
        }
        return true
    }
}
