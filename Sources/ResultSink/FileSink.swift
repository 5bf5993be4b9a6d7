package import Platform
import Synchronization
import Telemetry

/// Writes result rows to files as JSON lines, each row in one file once, whatever crashes.
///
/// - A windowed output has one file per window end, named after the end in UTC:
///   `<root>/<output>/date=2026-03-01/hour=00/<output>-20260301T001200Z.jsonl`. It is written when the log
///   says that the window is complete: to a `.part` file, synced, renamed, the directory synced. A file that
///   is there is whole and is never written again; readers need no manifest. Its lines are sorted by their
///   bytes, that is by the row's first columns (above 64 MiB: in sorted runs), so the bytes do not depend on
///   crashes.
/// - A pass-through output (its name begins with `_`) has one file that grows: `<root>/_late/_late.jsonl`.
///   The cursor says how many of its bytes count; the rest is cut at the start and written again. Whoever
///   removes, renames or empties the file gets a new one.
///
/// One thread calls `deliver` and `stop`; `counters` and `position` are for any. Source: `semantics` §4.
package final class FileSink: Sendable {
    let root: String
    let files: any FileStore
    let log: ResultLog
    let reader: ResultReader
    let limits: FileSinkLimits
    let appended: Set<String>
    let excluded: Set<String>
    let cursorFile: SealedFile
    private let clock: any HubClock
    private let state: Mutex<State>
    let visible: Mutex<Visible>

    /// What becomes of an output's rows.
    struct Output {
        enum Kind { case excluded, appended, windowed }
        var name: String
        var kind: Kind
        /// Lines of this call that are not in the append file yet, in the order of the log.
        var lines: [UInt8] = []
    }

    struct WindowKey: Hashable {
        /// See `State.outputs`.
        var output: Int
        var end: EventTime
    }

    /// The rows of a window that is not complete.
    struct Waiting {
        /// Of the first.
        var position: UInt64
        var rows: UInt64 = 0
        /// Of their lines.
        var byteCount = 0
    }

    /// The delivering side; its lock is held during disk work.
    struct State {
        /// Next entry to read.
        var readPosition: UInt64
        /// Rows in the log before `readPosition`.
        var rowsRead: UInt64
        /// Rows of append outputs before this are in their files.
        var appendPosition: UInt64
        var completedThrough = EventTime(ticks: Int64.min)
        /// Outputs that rows came of, by number.
        var outputs: [Output] = []
        var numbers = OutputNumbers()
        /// Windows that are not complete, but for `latest`.
        var pending: [WindowKey: Waiting] = [:]
        /// The one that the last row was of: rows of a window mostly come together.
        var latest: (key: WindowKey, waiting: Waiting)?
        /// Rows of all of them.
        var pendingRows: UInt64 = 0
        /// By output name.
        var appendFiles: [AppendFile] = []
        /// The directory that the last window's file went to, known to be durable.
        var lastDirectory = ""
        var saved: FileSinkCursor
        var savedAt: UInt64
    }

    /// A pass-through output's file.
    struct AppendFile {
        var output: String
        var path: String
        var file: any StoredFile
        /// Which file it is, by `FileFingerprint.file`; nil where that cannot be told.
        var identity: UInt64?
        var byteCount: UInt64
        var isDirty = false
    }

    /// What `counters` and `position` show; its lock is held for moments only.
    struct Visible {
        var position: UInt64
        var rowsRead: UInt64
        var pendingRows: UInt64 = 0
        var diverted: UInt64 = 0
        var notices: [String] = []
    }

    /// - Parameters:
    ///   - root: the results directory; made when it is missing.
    ///   - cursorPath: the sink's own small file; its directory exists.
    ///   - appended: outputs whose rows go to one growing file each, beside those whose names begin with `_`.
    ///   - excluded: outputs that have no files.
    ///   - reader: of the log, shared with other sinks; nil for one of its own.
    ///   - clock: says when the cursor is due; nothing that is delivered depends on it.
    /// - Throws: when the cursor or an append file is damaged, or the disk refuses.
    package init(
        root: String, files: any FileStore, log: ResultLog, cursorPath: String,
        reader: ResultReader? = nil, appended: Set<String> = [], excluded: Set<String> = [],
        clock: any HubClock = SystemClock(), limits: FileSinkLimits = FileSinkLimits()
    ) throws(FileSinkError) {
        self.root = root
        self.files = files
        self.log = log
        self.reader = reader ?? ResultReader(log)
        self.clock = clock
        self.limits = limits
        self.appended = appended
        self.excluded = excluded
        cursorFile = FileSinkCursor.file(path: cursorPath, files: files)
        let cursor = try Self.loadCursor(
            cursorFile, root: root, files: files, log: log, appended: appended)
        let next: ResultLogEntry?
        do throws(ResultLogError) {
            next = try log.read(from: cursor.position, limit: 1).first
        } catch { throw .log(error) }
        let rowsRead = next?.rowsBefore ?? log.rowCount
        var state = State(
            readPosition: cursor.position, rowsRead: rowsRead, appendPosition: cursor.appendPosition,
            saved: cursor, savedAt: clock.monotonicNanoseconds())
        var notices: [String] = []
        for (output, byteCount) in cursor.committed {
            let file = try Self.openAppendFile(output, committed: byteCount, root: root, files: files)
            if file.byteCount < byteCount { notices.append(Self.notice(file.path)) }
            state.appendFiles.append(file)
        }
        self.state = Mutex(state)
        visible = Mutex(Visible(position: cursor.position, rowsRead: rowsRead, notices: notices))
        // Before the first row: what the cursor says of the old file is not true of the new one.
        if !notices.isEmpty { try stop() }
    }

    /// Where the sink would begin after a crash now; the log may release what is before it.
    package var position: UInt64 { visible.withLock { $0.position } }

    /// The sink's accounting; `offered = delivered + outbox + diverted`.
    package var counters: FileSinkCounters {
        let offered = log.rowCount
        let now = visible.withLock { $0 }
        let read = min(now.rowsRead, offered)
        let outbox = min(offered - read + now.pendingRows, offered)
        let diverted = min(now.diverted, offered - outbox)
        return FileSinkCounters(
            offered: offered, delivered: offered - outbox - diverted, diverted: diverted, outbox: outbox)
    }

    /// What the operator should know: an append file that was not there any more, and was begun anew. Each once.
    package func takeNotices() -> [String] {
        visible.withLock { visible in
            defer { visible.notices = [] }
            return visible.notices
        }
    }

    /// Delivers what is committed and complete, up to a bounded amount of work.
    ///
    /// - Returns: whether anything moved; false when there is nothing to do until the next commit. Call it
    ///   about once a second even when idle: it saves the cursor.
    /// - Throws: the call can be made again; nothing is lost or written twice by it.
    package func deliver() throws(FileSinkError) -> Bool {
        try state.withLock { (state) throws(FileSinkError) in
            do throws(FileSinkError) {
                return try deliver(&state)
            } catch {
                rewind(&state)
                throw error
            }
        }
    }

    /// Saves the cursor; for the end of the program, after `deliver` returned false.
    package func stop() throws(FileSinkError) {
        try state.withLock { (state) throws(FileSinkError) in
            do throws(FileSinkError) {
                try saveCursor(&state)
            } catch {
                rewind(&state)
                throw error
            }
        }
    }

    private func deliver(_ state: inout State) throws(FileSinkError) -> Bool {
        try replaceStrays(&state)
        let batch: ResultBatch?
        do throws(ResultLogError) {
            batch = try reader.batch(from: state.readPosition)
        } catch { throw .log(error) }
        if let batch {
            for entry in batch.entries(from: state.readPosition) {
                if entry.isRow { try take(entry, &state) } else { try complete(through: entry, &state) }
                state.readPosition = entry.nextPosition
                state.rowsRead = entry.rowsBefore + (entry.isRow ? 1 : 0)
            }
        }
        try writeLines(&state, isIdle: batch == nil)
        let (rowsRead, pendingRows) = (state.rowsRead, state.pendingRows)
        visible.withLock {
            $0.rowsRead = rowsRead
            $0.pendingRows = pendingRows
        }
        if clock.monotonicNanoseconds() &- state.savedAt >= limits.cursorIntervalNanoseconds {
            try saveCursor(&state)
            state.savedAt = clock.monotonicNanoseconds()
        }
        return batch != nil
    }
}
