import Platform
import Synchronization

// The files of pass-through outputs, and the cursor that says how much of them counts.
extension FileSink {
    /// Writes the lines of this call behind each file's end. The ends move together, after all writes: an
    /// error in between leaves bytes that the next try writes over.
    ///
    /// - Parameter isIdle: no more will come soon, so that no memory is kept for it.
    func writeLines(_ state: inout State, isIdle: Bool) throws(FileSinkError) {
        for output in state.outputs where !output.lines.isEmpty {
            if state.appendFiles.contains(where: { $0.output == output.name }) { continue }
            let file = try Self.openAppendFile(output.name, committed: 0, root: root, files: files)
            let index = state.appendFiles.firstIndex { $0.output > output.name } ?? state.appendFiles.count
            state.appendFiles.insert(file, at: index)
        }
        var written: [(file: Int, byteCount: Int)] = []
        for (index, file) in state.appendFiles.enumerated() {
            guard let output = state.outputs.first(where: { $0.name == file.output }), !output.lines.isEmpty
            else { continue }
            try Self.onDisk { () throws(FileError) in
                try file.file.write(output.lines, at: file.byteCount)
            }
            written.append((index, output.lines.count))
        }
        for (index, byteCount) in written {
            state.appendFiles[index].byteCount += UInt64(byteCount)
            state.appendFiles[index].isDirty = true
        }
        for index in state.outputs.indices {
            state.outputs[index].lines.removeAll(keepingCapacity: !isIdle)
        }
        state.appendPosition = max(state.appendPosition, state.readPosition)
    }

    /// Saves the cursor when it moved, the append files' bytes first.
    func saveCursor(_ state: inout State) throws(FileSinkError) {
        let cursor = FileSinkCursor(
            position: Self.restartPosition(state), appendPosition: state.appendPosition,
            committed: state.appendFiles.map { ($0.output, $0.byteCount) })
        if cursor == state.saved { return }
        for index in state.appendFiles.indices where state.appendFiles[index].isDirty {
            let file = state.appendFiles[index].file
            try Self.onDisk { () throws(FileError) in try file.synchronize() }
            // Rows count when their file was seen at its place with them in it.
            if try isStray(state.appendFiles[index]) { return }
            state.appendFiles[index].isDirty = false
        }
        do throws(SealedFileError) { try cursorFile.save(cursor.encoded()) } catch { throw .cursor(error) }
        state.saved = cursor
        visible.withLock { $0.position = cursor.position }
    }

    /// Begins the files anew that somebody has removed, renamed or emptied.
    ///
    /// Rows that went to a renamed file stay there. Those that went to a removed one and that no cursor counts are
    /// written again, to the new one: whether they were in it before or after it was removed is not known.
    func replaceStrays(_ state: inout State) throws(FileSinkError) {
        var strays: [Int] = []
        var isRemoved = false
        for (index, file) in state.appendFiles.enumerated() where try isStray(file) {
            strays.append(index)
            let isGone = try Self.onDisk { () throws(FileError) in try file.file.isRemoved() }
            if isGone { isRemoved = true }
        }
        if strays.isEmpty { return }
        if isRemoved { rewind(&state) }
        for index in strays {
            let old = state.appendFiles[index]
            try Self.onDisk { () throws(FileError) in try old.file.synchronize() }
            let new = try Self.openAppendFile(old.output, committed: nil, root: root, files: files)
            old.file.close()
            state.appendFiles[index] = new
            visible.withLock { $0.notices.append(Self.notice(new.path)) }
        }
        // Before the first row: what the cursor says of the old file is not true of the new one.
        try saveCursor(&state)
    }

    static func notice(_ path: String) -> String {
        "\(path) was removed, renamed or emptied: the rows that follow go to a new file"
    }

    /// Whether the file is not what has its name, or has not what was written to it.
    private func isStray(_ file: AppendFile) throws(FileSinkError) -> Bool {
        guard let identity = file.identity else { return false }
        let found: FileFingerprint?
        do throws(FileError) {
            found = try files.fingerprint(file.path)
        } catch {
            if error.kind == .missing { return true }
            throw .file(error)
        }
        guard let found else { return false }
        if found.file != identity || found.byteCount == 0 && file.byteCount > 0 { return true }
        if found.byteCount < file.byteCount {
            throw .appendFileShort(
                path: file.path, committed: file.byteCount, byteCount: found.byteCount)
        }
        return false
    }

    /// The cursor of the last run, or a new one that is on disk before the first row is written.
    static func loadCursor(
        _ file: SealedFile, root: String, files: any FileStore, log: ResultLog, appended: Set<String>
    ) throws(FileSinkError) -> FileSinkCursor {
        do throws(SealedFileError) {
            if let body = try file.load() {
                guard let cursor = FileSinkCursor.decode(body) else {
                    throw SealedFileError.damaged(path: file.path, advice: file.advice)
                }
                return cursor
            }
        } catch { throw .cursor(error) }
        let start = log.startPosition
        if start > 0, let appendFile = try firstAppendFile(root: root, files: files, appended) {
            throw .cursorMissing(path: file.path, appendFile: appendFile)
        }
        let cursor = FileSinkCursor(position: start, appendPosition: start, committed: [])
        try onDisk { () throws(FileError) in
            try files.createDirectory(root)
            try files.synchronizeDirectory(type(of: files).directory(of: root))
        }
        do throws(SealedFileError) { try file.save(cursor.encoded()) } catch { throw .cursor(error) }
        return cursor
    }

    /// Opens an append file and cuts what was never committed.
    ///
    /// - Parameter committed: the bytes that count; nil for all that are there. A file that is missing or empty has
    ///   none: somebody took it away.
    static func openAppendFile(
        _ output: String, committed: UInt64?, root: String, files: any FileStore
    ) throws(FileSinkError) -> AppendFile {
        let name = pathComponent(output)
        let directory = root + "/" + name
        let path = directory + "/" + name + ".jsonl"
        return try onDisk { () throws(FileError) -> Result<AppendFile, FileSinkError> in
            try makeDurable([root, name], files: files)
            let file = try files.open(path, writable: true)
            let byteCount = try file.byteCount()
            let kept = byteCount == 0 ? 0 : committed ?? byteCount
            guard byteCount >= kept else {
                return .failure(.appendFileShort(path: path, committed: kept, byteCount: byteCount))
            }
            try file.truncate(to: kept)
            try files.synchronizeDirectory(directory)
            let identity = try files.fingerprint(path)?.file
            return .success(
                AppendFile(output: output, path: path, file: file, identity: identity, byteCount: kept))
        }.get()
    }

    private static func firstAppendFile(
        root: String, files: any FileStore, _ appended: Set<String>
    ) throws(FileSinkError) -> String? {
        try onDisk { () throws(FileError) in
            for name in try files.list(root) where isAppended(name, appended) {
                let path = root + "/" + name + "/" + name + ".jsonl"
                guard files.exists(path) else { continue }
                let file = try files.open(path, writable: false)
                defer { file.close() }
                if try file.byteCount() > 0 { return path }
            }
            return nil
        }
    }
}
