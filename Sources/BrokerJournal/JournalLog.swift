package import Platform
import Synchronization

/// The journal's files: groups of records in, one sync a commit; records out by position; the whole of it in order
/// once, at the start. The format is a page of the documentation, `JournalFormat`.
///
/// One thread appends and commits; any thread reads a record that is committed; one thread cleans.
package final class JournalLog: Sendable {
    /// The position of the first record there ever is.
    package static let firstPosition: UInt64 = 64

    private let directory: String
    private let files: any FileStore
    private let limits: JournalLimits
    private let writer: Mutex<Writer>
    /// In the order of their positions; never empty. Held for moments only.
    private let segments: Mutex<[JournalSegment]>

    /// The appending side; its lock is held during disk writes, and readers never take it.
    private struct Writer {
        var segment: JournalSegment
        /// Groups that are appended but not written.
        var buffer: [UInt8] = []
        /// Position of the first byte of `buffer`.
        var written: UInt64
        /// Bytes the file has, those written ahead included.
        var fileBytes: UInt64
        /// Written and not synced.
        var isDirty = false
        var poison: String?

        var end: UInt64 { written + UInt64(buffer.count) }
    }

    /// Opens the journal of a directory, or makes one, and gives what counts of it.
    ///
    /// - Parameter each: gets kind, body and position of each record that counts, in order; the body's bytes are
    ///   valid during the call only.
    /// - Throws: when a file is damaged, missing or newer than this program, or the disk refuses.
    package static func open(
        directory: String, files: any FileStore, limits: JournalLimits = JournalLimits(),
        each: (UInt8, UnsafeRawBufferPointer, UInt64) -> Void
    ) throws(JournalError) -> JournalLog {
        let names: [String]
        do throws(FileError) {
            try files.createDirectory(directory)
            try files.synchronizeDirectory(type(of: files).directory(of: directory))
            names = try files.list(directory)
        } catch { throw .file(error) }
        let cut = try JournalCut(path: directory + "/cut", files: files).load()
        let bases = names.compactMap { JournalSegment.base(of: $0) }
        var segments: [JournalSegment] = []
        for (index, base) in bases.enumerated() {
            if let segment = try JournalSegment.open(directory, base: base, files: files) {
                segments.append(segment)
                continue
            }
            let path = directory + "/" + JournalSegment.name(base: base)
            guard index == bases.count - 1 else { throw .damaged(path: path, offset: 0) }
            try onDisk { () throws(FileError) in
                try files.remove(path)
                try files.synchronizeDirectory(directory)
            }
        }
        let reader = JournalRecovery(files: files, limits: limits, cut: cut)
        try reader.read(&segments, each: each)
        if segments.isEmpty {
            let base = max(cut, bases.last ?? firstPosition)
            segments = [
                try onDisk { () throws(FileError) in
                    try JournalSegment.create(directory, base: base, files: files)
                }
            ]
        }
        return try JournalLog(directory, files, limits, segments)
    }

    private init(
        _ directory: String, _ files: any FileStore, _ limits: JournalLimits, _ segments: [JournalSegment]
    ) throws(JournalError) {
        self.directory = directory
        self.files = files
        self.limits = limits
        let last = segments[segments.count - 1]
        let fileBytes = try Self.onDisk { () throws(FileError) in
            // What a killed process wrote or named and did not sync counts from now on, so it has to be durable.
            if try last.file.byteCount() > last.offset(of: last.end) {
                try last.file.truncate(to: last.offset(of: last.end))
            }
            try last.file.synchronize()
            try files.synchronizeDirectory(directory)
            return try last.file.byteCount()
        }
        writer = Mutex(Writer(segment: last, written: last.end, fileBytes: fileBytes))
        self.segments = Mutex(segments)
    }

    /// Where the committed records end.
    package var endPosition: UInt64 { segments.withLock { $0[$0.count - 1].end } }

    /// Bytes of records on disk, those included that are kept for a body among them.
    package var byteCount: UInt64 { segments.withLock { $0.reduce(0) { $0 + $1.end - $1.base } } }

    /// Why nothing is written any more; nil while it is.
    package var failure: String? { writer.withLock { $0.poison } }

    /// Adds a group of records; it is there after `commit()`.
    ///
    /// - Parameters:
    ///   - group: records with their lengths, the last one a commit record; checksums are filled in here.
    ///   - position: where the group stands, right behind the one before.
    ///   - startsSegment: the group begins a segment of its own, because cleaning will cut there.
    package func append(
        _ group: [UInt8], at position: UInt64, startsSegment: Bool = false
    ) throws(JournalError) {
        try writer.withLock { (writer) throws(JournalError) in
            if let cause = writer.poison { throw .poisoned(cause: cause) }
            precondition(position == writer.end, "groups stand one behind the other")
            let used = writer.end - writer.segment.base
            if used > 0, startsSegment || used + UInt64(group.count) > UInt64(limits.segmentBytes) {
                try flush(&writer)
                try synchronize(&writer)
                let fresh = try Self.onDisk { () throws(FileError) in
                    try JournalSegment.create(directory, base: position, files: files)
                }
                segments.withLock { $0.append(fresh) }
                writer.segment = fresh
                writer.fileBytes = UInt64(JournalSegment.headerBytes)
            }
            var sealed = group
            JournalFrame.seal(&sealed, at: position)
            if writer.buffer.isEmpty {
                writer.buffer = sealed
            } else {
                writer.buffer.append(contentsOf: sealed)
            }
        }
    }

    /// Makes all that was appended durable: one write and one sync.
    ///
    /// - Throws: `.file` with `.full`: nothing is lost, calling again goes on. Any other failure is final.
    package func commit() throws(JournalError) {
        try writer.withLock { (writer) throws(JournalError) in
            if let cause = writer.poison { throw .poisoned(cause: cause) }
            try flush(&writer)
            try synchronize(&writer)
        }
    }

    private func flush(_ writer: inout Writer) throws(JournalError) {
        guard !writer.buffer.isEmpty else { return }
        let offset = writer.segment.offset(of: writer.written)
        let end = offset + UInt64(writer.buffer.count)
        do throws(FileError) {
            if end > writer.fileBytes {
                // The records themselves are written over the zeros, so that a sync leaves the length alone.
                let ahead = end - writer.fileBytes + UInt64(limits.aheadBytes)
                try writer.segment.file.write([UInt8](repeating: 0, count: Int(ahead)), at: writer.fileBytes)
                writer.fileBytes += ahead
            }
            try writer.segment.file.write(writer.buffer, at: offset)
        } catch {
            if error.kind != .full { writer.poison = error.description }
            throw .file(error)
        }
        writer.written += UInt64(writer.buffer.count)
        writer.buffer = []
        writer.isDirty = true
    }

    private func synchronize(_ writer: inout Writer) throws(JournalError) {
        guard writer.isDirty else { return }
        do throws(FileError) { try writer.segment.file.synchronize() } catch {
            // Whatever a sync reports, even "no room": the kernel may have dropped the pages.
            writer.poison = error.description
            throw .poisoned(cause: error.description)
        }
        writer.isDirty = false
        let end = writer.written
        segments.withLock { $0[$0.count - 1].end = end }
    }

    /// The record at a position that is committed: its kind and body.
    ///
    /// - Throws: `.noRecord` when cleaning has removed it, `.damaged` with the place, `.file`.
    package func record(at position: UInt64) throws(JournalError) -> (kind: UInt8, body: [UInt8]) {
        let segment = segments.withLock { segments in
            segments.last { $0.base <= position }.flatMap { position < $0.end ? $0 : nil }
        }
        guard let segment else { throw .noRecord(position: position) }
        var bytes = [UInt8](repeating: 0, count: 512)
        for _ in 0..<2 {
            let result = bytes.withUnsafeMutableBytes { buffer in
                Result { () throws(FileError) in
                    try segment.file.read(into: buffer, at: segment.offset(of: position))
                }
            }
            let got: Int
            do throws(FileError) { got = try result.get() } catch { throw .file(error) }
            let (found, wanted) = bytes.withUnsafeBytes { buffer -> ((UInt8, [UInt8])?, Int) in
                let whole = UnsafeRawBufferPointer(rebasing: buffer[..<got])
                if let found = JournalFrame.find(whole, at: position, bytesMax: limits.recordBytesMax) {
                    return ((found.kind, Array(found.body)), 0)
                }
                guard got > JournalFrame.headBytes else { return (nil, 0) }
                return (nil, JournalFrame.headBytes + Int(number(whole, 0, UInt32.self)))
            }
            if let found { return found }
            guard wanted > bytes.count, wanted <= limits.recordBytesMax else { break }
            bytes = [UInt8](repeating: 0, count: wanted)
        }
        throw .damaged(path: segment.path, offset: segment.offset(of: position))
    }

    /// Forgets the records before a position but for the segments that hold something still named.
    ///
    /// - Parameters:
    ///   - cut: the position of a segment, which is committed.
    ///   - blocks: positions divided by `blockBytes`, where bodies stand that are still named.
    package func clean(before cut: UInt64, keeping blocks: Set<UInt64>) throws(JournalError) {
        try JournalCut(path: directory + "/cut", files: files).save(cut)
        let old = segments.withLock { segments in
            let old = segments.filter { $0.base < cut && !Self.holds($0, blocks) }
            segments.removeAll { segment in old.contains { $0.base == segment.base } }
            return old
        }
        guard !old.isEmpty else { return }
        try Self.onDisk { () throws(FileError) in
            for segment in old { try files.remove(segment.path) }
            try files.synchronizeDirectory(directory)
        }
    }

    /// Bytes of a block as `clean` counts them.
    package static let blockBytes: UInt64 = 1 << 16

    private static func holds(_ segment: JournalSegment, _ blocks: Set<UInt64>) -> Bool {
        guard segment.end > segment.base else { return false }
        return (segment.base / blockBytes...(segment.end - 1) / blockBytes).contains { blocks.contains($0) }
    }

    /// Gives the disk's errors this type's own.
    static func onDisk<Success>(_ body: () throws(FileError) -> Success) throws(JournalError) -> Success {
        do throws(FileError) { return try body() } catch { throw .file(error) }
    }
}
