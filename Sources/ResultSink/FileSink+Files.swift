import Platform
import Synchronization
import Telemetry

// The files of windowed outputs.
extension FileSink {
    /// Puts a row where it waits: its window, or the lines of this call.
    func take(_ entry: ResultLogEntry, _ state: inout State) throws(FileSinkError) {
        if Self.isAppended(entry.output, appended) {
            if entry.position >= state.appendPosition {
                state.lines.append((entry.output, entry.json + [UInt8(ascii: "\n")]))
            }
            return
        }
        guard entry.time > state.completedThrough else {
            visible.withLock { $0.diverted += 1 }
            return
        }
        let key = WindowKey(output: entry.output, end: entry.time)
        if let waiting = state.pending[key] {
            state.pending[key] = (waiting.position, waiting.rows + 1)
        } else {
            guard state.pending.count < limits.openWindowsMax else {
                throw .openWindowsMax(state.pending.count)
            }
            state.pending[key] = (entry.position, 1)
        }
    }

    /// Writes the files of all windows that a marker completes.
    func complete(through marker: ResultLogEntry, _ state: inout State) throws(FileSinkError) {
        let keys = state.pending.keys.filter { $0.end <= marker.time }
            .sorted { ($0.end, $0.output) < ($1.end, $1.output) }
        for key in keys {
            guard let waiting = state.pending[key] else { continue }
            try write(key, from: waiting.position, until: marker.position, &state)
            state.pending[key] = nil
        }
        state.completedThrough = max(state.completedThrough, marker.time)
    }

    /// After an error: back to what the saved cursor says, as a restart would. What is delivered again is the
    /// same bytes in the same places; also a sync that failed is made good by writing again.
    func rewind(_ state: inout State) {
        state.readPosition = state.saved.position
        state.appendPosition = state.saved.appendPosition
        state.pending = [:]
        state.lines = []
        state.lastDirectory = ""
        state.completedThrough = EventTime(ticks: Int64.min)
        for index in state.appendFiles.indices {
            let output = state.appendFiles[index].output
            state.appendFiles[index].byteCount =
                state.saved.committed.first { $0.output == output }?.byteCount ?? 0
        }
    }

    static func restartPosition(_ state: State) -> UInt64 {
        state.pending.values.reduce(state.readPosition) { min($0, $1.position) }
    }

    /// Whether an output's rows are passed through to one growing file.
    static func isAppended(_ output: String, _ appended: Set<String>) -> Bool {
        output.hasPrefix("_") || appended.contains(output)
    }

    /// `20260301T001200Z`, with a fraction when there is one; date and hour for the directories.
    static func names(of end: EventTime) -> (stamp: String, date: String, hour: String) {
        let text = end.description
        let stamp = text.filter { $0 != "-" && $0 != ":" }
        return (stamp, String(text.prefix(10)), String(text.dropFirst(11).prefix(2)))
    }

    private func write(
        _ key: WindowKey, from start: UInt64, until end: UInt64, _ state: inout State
    ) throws(FileSinkError) {
        let names = Self.names(of: key.end)
        let output = Self.pathComponent(key.output)
        let parents = [root, output, "date=" + names.date, "hour=" + names.hour]
        let directory = parents.joined(separator: "/")
        let path = directory + "/" + output + "-" + names.stamp + ".jsonl"
        if state.lastDirectory != directory {
            try Self.onDisk { () throws(FileError) in try Self.makeDurable(parents, files: files) }
            state.lastDirectory = directory
        }
        let part = path + ".part"
        if files.exists(path) {
            // Whole, but perhaps renamed just before an error: its name has to be durable before the cursor
            // goes on.
            return try Self.onDisk { () throws(FileError) in
                if files.exists(part) { try files.remove(part) }
                try files.synchronizeDirectory(directory)
            }
        }
        let file = try Self.onDisk { () throws(FileError) in
            let file = try files.open(part, writable: true)
            try file.truncate(to: 0)
            return file
        }
        defer { file.close() }
        try writeRows(of: key, from: start, until: end, to: file)
        try Self.onDisk { () throws(FileError) in
            try file.synchronize()
            try files.rename(part, to: path)
            try files.synchronizeDirectory(directory)
        }
    }

    /// Reads the window's rows from the log again and writes them in sorted runs.
    private func writeRows(
        of key: WindowKey, from start: UInt64, until end: UInt64, to file: any StoredFile
    ) throws(FileSinkError) {
        var at = start
        var offset: UInt64 = 0
        var lines: [[UInt8]] = []
        var byteCount = 0
        func writeRun() throws(FileSinkError) {
            lines.sort { $0.lexicographicallyPrecedes($1) }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(byteCount)
            for line in lines { bytes.append(contentsOf: line) }
            let (run, place) = (bytes, offset)
            try Self.onDisk { () throws(FileError) in try file.write(run, at: place) }
            offset += UInt64(run.count)
            lines = []
            byteCount = 0
        }
        reading: while at < end {
            let entries: [ResultLogEntry]
            do throws(ResultLogError) {
                entries = try log.read(from: at, limit: limits.entriesPerDelivery)
            } catch { throw .log(error) }
            if entries.isEmpty { break }
            for entry in entries {
                if entry.position >= end { break reading }
                at = entry.nextPosition
                guard entry.kind == .row, entry.time == key.end, entry.output == key.output else { continue }
                if byteCount + entry.json.count + 1 > limits.runBytesMax, !lines.isEmpty { try writeRun() }
                lines.append(entry.json + [UInt8(ascii: "\n")])
                byteCount += entry.json.count + 1
            }
        }
        try writeRun()
    }

    /// Makes a chain of directories so that each survives a crash: every name is synced in its parent, also
    /// that of one that is there, for the sync may be what failed the last time.
    static func makeDurable(_ parents: [String], files: any FileStore) throws(FileError) {
        var path = ""
        for parent in parents {
            let above = path.isEmpty ? type(of: files).directory(of: parent) : path
            path = path.isEmpty ? parent : path + "/" + parent
            try files.createDirectory(path)
            try files.synchronizeDirectory(above)
        }
    }

    /// An output's name as a file name: `/` and NUL are percent-encoded.
    static func pathComponent(_ output: String) -> String {
        guard output.utf8.contains(UInt8(ascii: "/")) || output.utf8.contains(0) else { return output }
        var text: [UInt8] = []
        for byte in output.utf8 {
            switch byte {
            case UInt8(ascii: "/"): text.append(contentsOf: "%2F".utf8)
            case 0: text.append(contentsOf: "%00".utf8)
            default: text.append(byte)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Gives the disk's errors this type's own.
    static func onDisk<Success>(
        _ body: () throws(FileError) -> Success
    ) throws(FileSinkError) -> Success {
        do throws(FileError) { return try body() } catch { throw .file(error) }
    }
}
