package import Platform
import Synchronization
package import Telemetry

/// The outbox of one query: its result rows in the order they came, on disk, with a cursor per sink into it.
///
/// One thread appends and commits; any thread reads what is committed. After a crash the log ends at a whole
/// entry at or past the last commit; `truncate(to:)` the checkpoint's position makes log and engine state
/// fit, and what the engine then appends again stands at the same positions. The format is documented in
/// `ResultLogFormat`.
package final class ResultLog: Sendable {
    private let directory: String
    private let files: any FileStore
    let limits: ResultLogLimits
    private let writer: Mutex<Writer>
    let shared: Mutex<Shared>

    /// The appending side; its lock is held during disk writes, and readers never take it.
    private struct Writer {
        var segment: ResultLogSegment
        /// Entries that are appended but not written.
        var buffer: [UInt8] = []
        /// Position of the first byte of `buffer`.
        var written: UInt64
        /// Rows in the log, the buffered ones included.
        var rows: UInt64
        var poisoned = false

        var end: UInt64 { written + UInt64(buffer.count) }
    }

    /// What readers see; its lock is held for moments only.
    struct Shared {
        /// In the order of their bases; never empty.
        var segments: [ResultLogSegment]
        var end: UInt64
        var rows: UInt64
    }

    /// Opens the log in a directory, or makes one. A torn tail is cut.
    ///
    /// - Throws: when a file is damaged, missing, newer than this program, or the disk refuses.
    package static func open(
        directory: String, files: any FileStore, limits: ResultLogLimits = ResultLogLimits()
    ) throws(ResultLogError) -> ResultLog {
        var segments: [ResultLogSegment] = []
        do throws(FileError) {
            try files.createDirectory(directory)
            try files.synchronizeDirectory(type(of: files).directory(of: directory))
        } catch { throw .file(error) }
        let bases = try onDisk { () throws(FileError) in try files.list(directory) }
            .compactMap { ResultLogSegment.base(of: $0) }
        for (index, base) in bases.enumerated() {
            if let segment = try ResultLogSegment.open(directory, base: base, files: files) {
                segments.append(segment)
            } else {
                let path = directory + "/" + ResultLogSegment.name(base: base)
                guard index == bases.count - 1 else { throw .damaged(path: path, offset: 0) }
                if segments.isEmpty { continue }
                try onDisk { () throws(FileError) in
                    try files.remove(path)
                    try files.synchronizeDirectory(directory)
                }
            }
        }
        for (segment, next) in zip(segments, segments.dropFirst()) {
            let expected = segment.offset(of: next.base)
            guard try onDisk({ () throws(FileError) in try segment.file.byteCount() }) == expected else {
                throw .gap(path: segment.path, expected: next.base)
            }
        }
        guard let last = segments.last else {
            let first = try onDisk { () throws(FileError) in
                try ResultLogSegment.create(directory, base: bases.last ?? 0, rowsBefore: 0, files: files)
            }
            return ResultLog(directory, files, limits, [first], end: first.base, rows: 0)
        }
        let (end, rows) = try walk(last, to: nil, limits: limits)
        try onDisk { () throws(FileError) in
            if try last.file.byteCount() != last.offset(of: end) {
                try last.file.truncate(to: last.offset(of: end))
            }
            // What a killed process wrote or named and did not sync is served from now on, so it has to be durable.
            try last.file.synchronize()
            try files.synchronizeDirectory(directory)
        }
        return ResultLog(directory, files, limits, segments, end: end, rows: rows)
    }

    private init(
        _ directory: String, _ files: any FileStore, _ limits: ResultLogLimits,
        _ segments: [ResultLogSegment], end: UInt64, rows: UInt64
    ) {
        self.directory = directory
        self.files = files
        self.limits = limits
        writer = Mutex(Writer(segment: segments[segments.count - 1], written: end, rows: rows))
        shared = Mutex(Shared(segments: segments, end: end, rows: rows))
    }

    /// Where the committed entries end.
    package var endPosition: UInt64 { shared.withLock { $0.end } }

    /// Where the oldest entry still kept begins.
    package var startPosition: UInt64 { shared.withLock { $0.segments[0].base } }

    /// Committed rows since the log began, released ones included.
    package var rowCount: UInt64 { shared.withLock { $0.rows } }

    /// Adds a row; readers see it after `commit()`.
    ///
    /// - Parameter topic: where the row is published; empty when nowhere. At most 65,535 bytes.
    package func append(_ row: ResultRow, topic: String) throws(ResultLogError) {
        try append(
            output: Array(row.output.utf8), rid: row.id, time: row.time, topic: Array(topic.utf8),
            json: row.json())
    }

    /// As `append(_:topic:)`, of a row that is bytes already.
    ///
    /// - Parameter json: the row as one JSON object with `_rid` last, no newline.
    package func append(
        output: [UInt8], rid: ResultID, time: EventTime, topic: [UInt8], json: [UInt8]
    ) throws(ResultLogError) {
        try append(kind: .row, output: output, rid: rid, time: time, topic: topic, json: json)
    }

    /// Adds the marker that no more rows of windows that end at or before `through` follow.
    package func appendComplete(through: EventTime) throws(ResultLogError) {
        try append(
            kind: .complete, output: [], rid: ResultID(high: 0, low: 0), time: through, topic: [], json: [])
    }

    /// Makes all that was appended durable and visible to readers: one write and one sync. After a `.full`
    /// error the same call can be made again.
    package func commit() throws(ResultLogError) {
        try writer.withLock { (writer) throws(ResultLogError) in
            let isNew = writer.end != self.endPosition
            guard isNew else { return }
            try flush(&writer)
            try synchronize(&writer)
            let (end, rows) = (writer.end, writer.rows)
            shared.withLock {
                $0.end = end
                $0.rows = rows
            }
        }
    }

    /// Cuts the log back to the position of a checkpoint; what is not committed is dropped too. For the start
    /// only, before sinks read.
    ///
    /// - Throws: `.behindCheckpoint` when the log ends before the position, `.notAnEntry` when it is inside
    ///   an entry.
    package func truncate(to position: UInt64) throws(ResultLogError) {
        try writer.withLock { (writer) throws(ResultLogError) in
            var (segments, end) = shared.withLock { ($0.segments, $0.end) }
            writer.rows = rowCount
            writer.buffer = []
            writer.written = end
            guard position <= end else {
                let path = segments[segments.count - 1].path
                throw .behindCheckpoint(path: path, end: end, position: position)
            }
            if position == end, segments[segments.count - 1].base <= end { return }
            try Self.onDisk { () throws(FileError) in
                while segments.count > 1, segments[segments.count - 1].base > position {
                    try files.remove(segments.removeLast().path)
                    try files.synchronizeDirectory(directory)
                }
                if segments[0].base > position {
                    try files.remove(segments.removeLast().path)
                    segments = [
                        try ResultLogSegment.create(directory, base: position, rowsBefore: 0, files: files)
                    ]
                }
            }
            let last = segments[segments.count - 1]
            let (reached, rows) = try Self.walk(last, to: position, limits: limits)
            guard reached == position else { throw .notAnEntry(position: position) }
            try Self.onDisk { () throws(FileError) in
                try last.file.truncate(to: last.offset(of: position))
                try last.file.synchronize()
            }
            end = position
            writer.segment = last
            writer.written = end
            writer.rows = rows
            shared.withLock { [segments, end] in
                $0 = Shared(segments: segments, end: end, rows: rows)
            }
        }
    }

    /// Deletes whole segments of which every entry is before the position; the last one is always kept. The
    /// caller gives the least of all sinks' cursors and the checkpoint.
    package func release(before position: UInt64) throws(ResultLogError) {
        try writer.withLock { (writer) throws(ResultLogError) in
            while true {
                let path: String? = shared.withLock {
                    guard $0.segments.count > 1, $0.segments[1].base <= position else { return nil }
                    return $0.segments.removeFirst().path
                }
                guard let path else { return }
                try Self.onDisk { () throws(FileError) in
                    try files.remove(path)
                    // One at a time, oldest first: after a crash the files left have no hole.
                    try files.synchronizeDirectory(directory)
                }
            }
        }
    }
}

// Writing bytes, and walking over them.
extension ResultLog {
    private func append(
        kind: ResultLogEntry.Kind, output: [UInt8], rid: ResultID, time: EventTime, topic: [UInt8],
        json: [UInt8]
    ) throws(ResultLogError) {
        let byteCount = ResultLogFrame.fixedByteCount + output.count + topic.count + json.count
        guard byteCount <= limits.rowBytesMax, topic.count <= Int(UInt16.max) else {
            throw .rowTooLarge(byteCount: byteCount)
        }
        try writer.withLock { (writer) throws(ResultLogError) in
            if writer.buffer.count + byteCount > limits.bufferBytesMax, !writer.buffer.isEmpty {
                try flush(&writer)
            }
            ResultLogFrame.append(
                position: writer.end, kind: kind, rowsBefore: writer.rows, output: output, rid: rid,
                time: time, topic: topic, json: json, to: &writer.buffer)
            if kind == .row { writer.rows += 1 }
        }
    }

    /// Writes the buffer; a retry after an error writes the same bytes to the same place.
    private func flush(_ writer: inout Writer) throws(ResultLogError) {
        if writer.poisoned { throw .poisoned }
        if writer.buffer.isEmpty { return }
        if writer.written - writer.segment.base >= limits.segmentBytesMax { try roll(&writer) }
        let (segment, buffer, offset) = (
            writer.segment, writer.buffer, writer.segment.offset(of: writer.written)
        )
        try Self.onDisk { () throws(FileError) in try segment.file.write(buffer, at: offset) }
        writer.written += UInt64(buffer.count)
        writer.buffer.removeAll(keepingCapacity: true)
    }

    private func synchronize(_ writer: inout Writer) throws(ResultLogError) {
        do throws(FileError) {
            try writer.segment.file.synchronize()
        } catch {
            // The kernel may have dropped what it could not write: a second sync would lie.
            writer.poisoned = true
            throw .file(error)
        }
    }

    /// Begins the next segment; the old one is durable first, so that only the last can have a torn tail.
    private func roll(_ writer: inout Writer) throws(ResultLogError) {
        try synchronize(&writer)
        let base = writer.written
        // Rows before the buffer: the first buffered frame says it.
        let rowsBefore = writer.buffer.withUnsafeBytes { number($0, 16, UInt64.self) }
        let segment = try Self.onDisk { () throws(FileError) in
            try ResultLogSegment.create(directory, base: base, rowsBefore: rowsBefore, files: files)
        }
        writer.segment = segment
        shared.withLock { $0.segments.append(segment) }
    }

    /// Walks the frames of a segment from its start up to `limit`, or to the last whole one.
    ///
    /// - Returns: where it stopped and the rows in the log before that.
    static func walk(
        _ segment: ResultLogSegment, to position: UInt64?, limits: ResultLogLimits
    ) throws(ResultLogError) -> (end: UInt64, rows: UInt64) {
        var at = segment.base
        var rows = segment.rowsBefore
        var chunkBytes = 1 << 18
        while position.map({ at < $0 }) ?? true {
            let (offset, size) = (segment.offset(of: at), chunkBytes)
            let bytes = try onDisk { () throws(FileError) in
                try ResultLogSegment.read(segment.file, at: offset, byteCount: size)
            }
            let before = at
            var needed = 0
            bytes.withUnsafeBytes { buffer in
                var offset = 0
                while position.map({ at < $0 }) ?? true {
                    let rest = UnsafeRawBufferPointer(rebasing: buffer[offset...])
                    let parsed = ResultLogFrame.check(rest, position: at, byteCountMax: limits.rowBytesMax)
                    if case .short(let byteCount) = parsed { needed = byteCount }
                    guard case .frame(let byteCount) = parsed else { return }
                    rows = ResultLogFrame.rowsAfter(rest)
                    offset += byteCount
                    at += UInt64(byteCount)
                }
            }
            if at == before {
                // Nothing whole in the bytes: the end, unless the frame is larger than the chunk was.
                guard needed > chunkBytes, bytes.count == chunkBytes else { break }
                chunkBytes = needed
            }
        }
        return (at, rows)
    }

    /// Gives the disk's errors this type's own.
    static func onDisk<Success>(
        _ body: () throws(FileError) -> Success
    ) throws(ResultLogError) -> Success {
        do throws(FileError) { return try body() } catch { throw .file(error) }
    }
}
