import Platform

/// A checkpoint on its way to the disk, a part at a time, so that one of a hundred megabytes holds nobody up for long:
/// written beside the one that stands, and given its name at the end.
///
/// Dropped before its end it leaves a file with another name, which the next one overwrites. Not thread-safe: one
/// owner calls it.
package final class CheckpointSave {
    /// Bytes of the file.
    package let byteCount: Int
    private let path: String
    private let files: any FileStore
    /// What is not written yet, the next piece last.
    private var rest: [[UInt8]]
    private var written: UInt64 = 0
    private var file: (any StoredFile)?

    /// - Parameter body: in pieces, which are freed as they are written if nobody else has them.
    package init(_ sealed: SealedFile, _ body: [[UInt8]]) {
        path = sealed.path
        files = sealed.files
        rest = sealed.framed(body).reversed()
        byteCount = rest.reduce(0) { $0 + $1.count }
    }

    deinit { file?.close() }

    private var temporary: String { path + ".tmp" }

    /// Writes and syncs about so many bytes more, and with the last ones replaces the checkpoint.
    ///
    /// - Returns: whether the checkpoint stands.
    package func goOn(byteCount: Int) throws(SealedFileError) -> Bool {
        do throws(FileError) { return try synchronize(write(byteCount)) } catch { throw .file(error) }
    }

    /// Writes all that is left, without waiting for the disk: `goOn` is to follow.
    package func writeRest() throws(SealedFileError) {
        do throws(FileError) { _ = try write(Int.max) } catch { throw .file(error) }
    }

    private func write(_ byteCount: Int) throws(FileError) -> any StoredFile {
        let file: any StoredFile
        if let open = self.file {
            file = open
        } else {
            file = try files.open(temporary, writable: true)
            self.file = file
            try file.truncate(to: 0)
        }
        var left = byteCount
        while left > 0, let piece = rest.last {
            try file.write(piece, at: written)
            rest.removeLast()
            written += UInt64(piece.count)
            left -= piece.count
        }
        return file
    }

    private func synchronize(_ file: any StoredFile) throws(FileError) -> Bool {
        try file.synchronize()
        guard rest.isEmpty else { return false }
        self.file = nil
        file.close()
        try files.rename(temporary, to: path)
        try files.synchronizeDirectory(type(of: files).directory(of: path))
        return true
    }
}
