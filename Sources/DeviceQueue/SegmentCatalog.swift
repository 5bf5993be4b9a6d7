import Platform
import Synchronization

/// The segment files of one log: which there are, a bounded number of them open, and the one made ahead of
/// use. Thread-safe.
final class SegmentCatalog: Sendable {
    private struct Files {
        var segments: [Segment] = []
        /// Base of the first segment whose page cache was not given back yet.
        var cachedFrom: UInt64 = 0
        /// Open files, the latest used last.
        var open: [(base: UInt64, file: any StoredFile)] = []
        /// Sidecars in memory, the latest used last.
        var indexes: [SegmentIndex] = []
        /// Base of the first segment that compression has not looked at.
        var packedTo: UInt64 = 0
    }

    let directory: String
    let files: any FileStore
    let limits: QueueLimits
    let logID: UInt64
    let hashKey: UInt64
    /// Blocks of compressed segments.
    let blocks: BlockCache
    /// What is left of the ids of segments that were removed.
    let marks: RemovedMarks
    let mayWrite: Bool
    private let state: Mutex<Files>
    /// What an operator should know, until somebody takes it.
    private let notices = Mutex<[String]>([])
    private static let noticesMax = 100
    /// Held while a segment file is made; holds the base of the one that is ready.
    private let prepared = Mutex<UInt64?>(nil)

    init(
        directory: String, files: any FileStore, limits: QueueLimits, logID: UInt64, hashKey: UInt64,
        segments: [Segment], mayWrite: Bool = false
    ) {
        self.directory = directory
        self.files = files
        self.limits = limits
        self.logID = logID
        self.hashKey = hashKey
        self.mayWrite = mayWrite
        blocks = BlockCache(byteCountMax: limits.blockCacheBytes)
        marks = RemovedMarks(directory: directory, files: files)
        state = Mutex(Files(segments: segments))
    }

    var segments: [Segment] { state.withLock { $0.segments } }

    /// Where the log begins, nil when there is no segment.
    var firstOffset: UInt64? { state.withLock { $0.segments.first?.base } }

    /// Forgets the segments before an offset; their files are the caller's. Readers that have one open go on.
    func forget(before offset: UInt64) {
        state.withLock { files in
            files.segments.removeAll { $0.base < offset }
            files.open.removeAll { $0.base < offset }
            files.indexes.removeAll { $0.base < offset }
        }
    }

    /// The error for an offset that no segment contains.
    func outside(_ offset: UInt64) -> QueueError {
        let segments = segments
        let first = segments.first?.base ?? 0
        if offset < first { return .removed(offset: offset, first: first) }
        return .offsetOutOfRange(offset: offset, first: first, end: segments.last?.end ?? 0)
    }

    /// Keeps a line for the operator; when there are too many, the newest is dropped.
    func note(_ notice: String) {
        notices.withLock { if $0.count < Self.noticesMax { $0.append(notice) } }
    }

    /// The lines since the last call.
    func takeNotices() -> [String] {
        notices.withLock { lines in
            defer { lines = [] }
            return lines
        }
    }

    /// Replaces a file as one step, durable when this returns.
    func replace(_ path: String, with bytes: UnsafeRawBufferPointer) throws(QueueError) {
        do throws(FileError) { try files.replace(path, with: bytes) } catch {
            throw error.kind == .full ? .full(error) : .file(error)
        }
    }

    /// The segment that an offset lies in, nil when it is before the first or behind the last.
    func segment(containing offset: UInt64) -> Segment? {
        state.withLock { files in
            var low = 0
            var high = files.segments.count
            while low < high {
                let middle = (low + high) / 2
                if files.segments[middle].end <= offset { low = middle + 1 } else { high = middle }
            }
            guard low < files.segments.count, files.segments[low].base <= offset else { return nil }
            return files.segments[low]
        }
    }

    /// The open file of a segment.
    func file(_ segment: Segment) throws(QueueError) -> any StoredFile {
        let known: (any StoredFile)? = state.withLock { files in
            guard let at = files.open.lastIndex(where: { $0.base == segment.base }) else { return nil }
            let entry = files.open.remove(at: at)
            files.open.append(entry)
            return entry.file
        }
        if let known { return known }
        let file: any StoredFile
        do throws(QueueError) { file = try Self.open(segment, files: files, blocks: blocks) } catch {
            // It may have been removed since the caller found it.
            if let first = firstOffset, segment.base < first {
                throw .removed(offset: segment.base, first: first)
            }
            throw error
        }
        state.withLock { files in
            // What was compressed meanwhile is opened again by the next reader; this one has the plain file.
            guard files.segments.contains(where: { $0 == segment }) else { return }
            // An evicted file is closed by its deinit, when the last thread that reads it lets go.
            if files.open.count >= limits.openSegments { files.open.removeFirst() }
            files.open.append((segment.base, file))
        }
        return file
    }

    /// Opens the plain file of a segment or, when it has none, the compressed one.
    static func open(
        _ segment: Segment, files: any FileStore, blocks: BlockCache
    ) throws(QueueError) -> any StoredFile {
        do throws(FileError) {
            if !segment.isCompressed { return try files.open(segment.plainPath, writable: false) }
        } catch {
            guard error.kind == .missing, files.exists(segment.compressedPath) else { throw .file(error) }
        }
        let stored = try Recovery.attempt { () throws(FileError) in
            try files.open(segment.compressedPath, writable: false)
        }
        return try CompressedSegmentFile(stored, path: segment.compressedPath, cache: blocks)
    }

    /// The sidecar of a sealed segment: from memory, from disk, or rebuilt (and written, if it may be).
    func index(_ segment: Segment, mayWrite: Bool) throws(QueueError) -> SegmentIndex {
        let known = state.withLock { files in files.indexes.first { $0.base == segment.base } }
        let stored = known == nil ? SegmentIndex.load(segment, files: files) : nil
        let index =
            if let kept = known ?? stored {
                kept
            } else {
                try SegmentIndex.build(segment, file: file(segment), bufferBytes: limits.readBytes)
            }
        // Only a cache: when the disk is full it is rebuilt in memory each time.
        if mayWrite, stored == nil { try? files.replace(segment.indexPath, with: index.encoded()) }
        if known != nil { return index }
        state.withLock { files in
            files.indexes.append(index)
            var bytes = files.indexes.reduce(0) { $0 + $1.byteCount }
            while files.indexes.count > 1, bytes > limits.indexCacheBytes {
                bytes -= files.indexes.removeFirst().byteCount
            }
        }
        return index
    }

    /// Makes the file of the segment that follows the last one, if that is not done yet. May run on any
    /// thread.
    func prepareNext() throws(QueueError) {
        let base = state.withLock { $0.segments.last?.end ?? 0 }
        try prepared.withLock { (ready) throws(QueueError) in
            guard ready != base else { return }
            // The writer may have taken the next segment into use while this call waited.
            guard base == state.withLock({ $0.segments.last?.end ?? 0 }) else { return }
            try make(base: base)
            ready = base
        }
    }

    /// Gives back the page cache of sealed segments that are older than the newest `cachedBytes`, each once.
    func dropOldCaches() throws(QueueError) {
        let old = state.withLock { files in
            let keep = max(2, limits.cachedBytes / limits.segmentBytes)
            let due = files.segments.dropLast(keep).filter { $0.base >= files.cachedFrom }
            if let last = due.last { files.cachedFrom = last.end }
            return due
        }
        for segment in old { try file(segment).dropCache() }
    }

    /// The first plain segment with enough of the log behind it that was not passed over.
    func nextToCompress() -> Segment? {
        state.withLock { files in
            guard let plainBytes = limits.plainBytes, let last = files.segments.last else { return nil }
            return files.segments.dropLast().first {
                $0.base >= files.packedTo && !$0.isCompressed && last.base - $0.end >= UInt64(plainBytes)
            }
        }
    }

    /// A segment does not become smaller: it stays as it is.
    func passCompression(_ segment: Segment) { state.withLock { $0.packedTo = segment.end } }

    /// From now on the segment is read from its compressed file.
    ///
    /// - Returns: false when the segment is no longer in the log.
    func replaceWithCompressed(_ segment: Segment, storedBytes: UInt64) -> Bool {
        state.withLock { files in
            guard let at = files.segments.firstIndex(of: segment) else { return false }
            files.segments[at].isCompressed = true
            files.segments[at].storedBytes = storedBytes
            files.open.removeAll { $0.base == segment.base }
            files.packedTo = segment.end
            return true
        }
    }

    /// Takes the next segment into use, making it now if that was not done ahead, and opens it for writing.
    ///
    /// - Throws: `.full` when there is no room; a later call tries again.
    func takeNext(base: UInt64) throws(QueueError) -> (Segment, any StoredFile) {
        try prepared.withLock { (ready) throws(QueueError) in
            if ready != base { try make(base: base) }
            ready = base
            let segment = Segment(directory: directory, header: header(base: base))
            do throws(FileError) {
                if !files.exists(segment.path) {
                    try files.rename(preparedPath(base: base), to: segment.path)
                }
                try files.synchronizeDirectory(directory)
                let file = try files.open(segment.path, writable: true)
                ready = nil
                state.withLock { $0.segments.append(segment) }
                return (segment, file)
            } catch {
                throw error.kind == .full ? .full(error) : .file(error)
            }
        }
    }

    private func header(base: UInt64) -> SegmentHeader {
        SegmentHeader(base: base, byteCount: UInt64(limits.segmentBytes), logID: logID, hashKey: hashKey)
    }

    private func preparedPath(base: UInt64) -> String { directory + "/" + Segment.stem(base) + ".next" }

    /// Writes zeros to the full length (never a growing file, never reserved blocks: both cost two to three
    /// times as much at each sync later), then the header, and syncs.
    private func make(base: UInt64) throws(QueueError) {
        let zeros = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(1 << 20, limits.segmentBytes), alignment: 4_096)
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        defer { zeros.deallocate() }
        do throws(FileError) {
            let file = try files.open(preparedPath(base: base), writable: true)
            defer { file.close() }
            try file.truncate(to: 0)
            var at = 0
            while at < limits.segmentBytes {
                let count = min(zeros.count, limits.segmentBytes - at)
                try file.write(UnsafeRawBufferPointer(rebasing: zeros[..<count]), at: UInt64(at))
                at += count
                // In pieces, so that a sync of the log beside it never waits for all of it.
                if at % (8 << 20) == 0 { try file.synchronize() }
            }
            try file.write(header(base: base).encoded(), at: 0)
            try file.synchronize()
        } catch {
            throw error.kind == .full ? .full(error) : .file(error)
        }
    }
}
