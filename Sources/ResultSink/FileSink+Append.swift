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
            state.appendFiles[index].isDirty = false
        }
        do throws(SealedFileError) { try cursorFile.save(cursor.encoded()) } catch { throw .cursor(error) }
        state.saved = cursor
        visible.withLock { $0.position = cursor.position }
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
    static func openAppendFile(
        _ output: String, committed: UInt64, root: String, files: any FileStore
    ) throws(FileSinkError) -> AppendFile {
        let name = pathComponent(output)
        let directory = root + "/" + name
        let path = directory + "/" + name + ".jsonl"
        return try onDisk { () throws(FileError) -> Result<AppendFile, FileSinkError> in
            try makeDurable([root, name], files: files)
            let file = try files.open(path, writable: true)
            let byteCount = try file.byteCount()
            guard byteCount >= committed else {
                return .failure(
                    .appendFileShort(path: path, committed: committed, byteCount: byteCount))
            }
            try file.truncate(to: committed)
            try files.synchronizeDirectory(directory)
            return .success(AppendFile(output: output, file: file, byteCount: committed))
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
