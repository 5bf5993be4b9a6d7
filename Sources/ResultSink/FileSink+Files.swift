import Platform
import Synchronization
import Telemetry

// The files of windowed outputs.
extension FileSink {
    /// Puts a row where it waits: its window, or the lines of this call.
    func take(_ entry: ResultEntryView, _ state: inout State) throws(FileSinkError) {
        let output = number(of: entry.output, &state)
        switch state.outputs[output].kind {
        case .excluded: return
        case .appended:
            if entry.position >= state.appendPosition { state.outputs[output].lines.appendLine(entry.json) }
            return
        case .windowed: break
        }
        guard entry.time > state.completedThrough else {
            visible.withLock { $0.diverted += 1 }
            return
        }
        let key = WindowKey(output: output, end: entry.time)
        if state.latest?.key != key {
            setLatestDown(&state)
            let waiting = state.pending.removeValue(forKey: key) ?? Waiting(position: entry.position)
            guard state.pending.count < limits.openWindowsMax else {
                throw .openWindowsMax(state.pending.count)
            }
            state.latest = (key, waiting)
        }
        state.latest?.waiting.rows += 1
        state.latest?.waiting.byteCount += entry.json.count + 1
        state.pendingRows += 1
    }

    /// Puts the window of the last row with the others.
    private func setLatestDown(_ state: inout State) {
        guard let latest = state.latest else { return }
        state.pending[latest.key] = latest.waiting
        state.latest = nil
    }

    private func number(of name: UnsafeRawBufferPointer, _ state: inout State) -> Int {
        let number = state.numbers.number(of: name)
        if number == state.outputs.count {
            let name = String(decoding: name, as: UTF8.self)
            state.outputs.append(
                Output(
                    name: name,
                    kind: excluded.contains(name)
                        ? .excluded : Self.isAppended(name, appended) ? .appended : .windowed))
        }
        return number
    }

    /// Writes the files of all windows that a marker completes.
    func complete(through marker: ResultEntryView, _ state: inout State) throws(FileSinkError) {
        setLatestDown(&state)
        let keys = state.pending.keys.filter { $0.end <= marker.time }
            .sorted { [outputs = state.outputs] in
                ($0.end, outputs[$0.output].name) < ($1.end, outputs[$1.output].name)
            }
        var rest = keys[...]
        while !rest.isEmpty {
            // As many as fit in memory are read together: windows that end alike have their rows between each other.
            var count = 0
            var byteCount = 0
            var start = UInt64.max
            for key in rest {
                guard let waiting = state.pending[key] else { break }
                guard count == 0 || byteCount + waiting.byteCount <= limits.runBytesMax else { break }
                count += 1
                byteCount += waiting.byteCount
                start = min(start, waiting.position)
            }
            try write(rest.prefix(count), byteCount, from: start, until: marker.position, &state)
            rest = rest.dropFirst(count)
        }
        state.completedThrough = max(state.completedThrough, marker.time)
    }

    /// After an error: back to what the saved cursor says, as a restart would. What is delivered again is the
    /// same bytes in the same places; also a sync that failed is made good by writing again.
    func rewind(_ state: inout State) {
        state.readPosition = state.saved.position
        state.appendPosition = state.saved.appendPosition
        state.pending = [:]
        state.latest = nil
        state.pendingRows = 0
        for index in state.outputs.indices { state.outputs[index].lines = [] }
        state.lastDirectory = ""
        state.completedThrough = EventTime(ticks: Int64.min)
        for index in state.appendFiles.indices {
            let output = state.appendFiles[index].output
            state.appendFiles[index].byteCount =
                state.saved.committed.first { $0.output == output }?.byteCount ?? 0
        }
    }

    static func restartPosition(_ state: State) -> UInt64 {
        let start = min(state.readPosition, state.latest?.waiting.position ?? .max)
        return state.pending.values.reduce(start) { min($0, $1.position) }
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

    /// Writes the files of windows whose rows stand in a part of the log.
    private func write(
        _ keys: ArraySlice<WindowKey>, _ byteCount: Int, from start: UInt64, until end: UInt64,
        _ state: inout State
    ) throws(FileSinkError) {
        var lines = WindowLines(windows: keys.count)
        let isLarge = byteCount > limits.runBytesMax
        if !isLarge {
            let places = Dictionary(uniqueKeysWithValues: zip(keys, 0...))
            var latest: (key: WindowKey, place: Int?)?
            try scan(from: start, until: end, &state) { (entry, key) throws(FileSinkError) in
                if latest?.key != key { latest = (key, places[key]) }
                if let place = latest?.place { lines.append(entry.json, window: place) }
            }
        }
        for (place, key) in keys.enumerated() {
            try write(key, &state) { (file, state) throws(FileSinkError) in
                if isLarge {
                    try writeRuns(of: key, from: start, until: end, to: file, &state)
                } else {
                    let bytes = lines.sorted(window: place)
                    try Self.onDisk { () throws(FileError) in try file.write(bytes, at: 0) }
                }
            }
            if let waiting = state.pending.removeValue(forKey: key) { state.pendingRows -= waiting.rows }
        }
    }

    /// Writes a window's file and gives it its name, unless it is there.
    private func write(
        _ key: WindowKey, _ state: inout State,
        _ writeLines: (any StoredFile, inout State) throws(FileSinkError) -> Void
    ) throws(FileSinkError) {
        let names = Self.names(of: key.end)
        let output = Self.pathComponent(state.outputs[key.output].name)
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
        try writeLines(file, &state)
        try Self.onDisk { () throws(FileError) in
            try file.synchronize()
            try files.rename(part, to: path)
            try files.synchronizeDirectory(directory)
        }
    }

    /// Writes the rows of a window that is larger than memory may be, in sorted runs.
    private func writeRuns(
        of key: WindowKey, from start: UInt64, until end: UInt64, to file: any StoredFile,
        _ state: inout State
    ) throws(FileSinkError) {
        var offset: UInt64 = 0
        var lines = WindowLines(windows: 1)
        func writeRun() throws(FileSinkError) {
            let (run, place) = (lines.sorted(window: 0), offset)
            try Self.onDisk { () throws(FileError) in try file.write(run, at: place) }
            offset += UInt64(run.count)
            lines.removeAll()
        }
        try scan(from: start, until: end, &state) { (entry, other) throws(FileSinkError) in
            guard other == key else { return }
            if lines.byteCount + entry.json.count + 1 > limits.runBytesMax, !lines.isEmpty { try writeRun() }
            lines.append(entry.json, window: 0)
        }
        try writeRun()
    }

    /// Goes over the rows of a part of the log once more, with what their windows are.
    private func scan(
        from start: UInt64, until end: UInt64, _ state: inout State,
        _ body: (ResultEntryView, WindowKey) throws(FileSinkError) -> Void
    ) throws(FileSinkError) {
        let batch = ResultBatch()
        var at = start
        while at < end {
            do throws(ResultLogError) { try log.read(into: batch, from: at) } catch { throw .log(error) }
            if batch.isEmpty { return }
            for entry in batch.entries {
                if entry.position >= end { return }
                guard entry.isRow else { continue }
                let output = number(of: entry.output, &state)
                try body(entry, WindowKey(output: output, end: entry.time))
            }
            at = batch.endPosition
        }
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
