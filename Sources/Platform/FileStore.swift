/// The only door to the disk. The real one is `PosixFileStore`; the simulator has its own, which crashes.
///
/// Paths are `/`-separated. All calls block and belong on named threads, never on the cooperative pool.
package protocol FileStore: Sendable {
    /// Creates the directory and its parents; nothing happens when it is there.
    func createDirectory(_ path: String) throws(FileError)
    /// The names in a directory, sorted by their bytes, without `.` and `..`; empty when there is no directory.
    func list(_ directory: String) throws(FileError) -> [String]
    /// Opens a file for reading, or for reading and writing (then it is created when it is missing).
    func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile
    func exists(_ path: String) -> Bool
    /// Atomically gives a file another name, in place of a file that has it already.
    func rename(_ path: String, to newPath: String) throws(FileError)
    func remove(_ path: String) throws(FileError)
    /// Makes the names in a directory durable (fsync of the directory).
    func synchronizeDirectory(_ path: String) throws(FileError)
    /// What tells a file apart from one that had its name before, or its contents from what they were; nil where
    /// that cannot be told.
    func fingerprint(_ path: String) throws(FileError) -> FileFingerprint?
    /// Takes an exclusive lock that ends with the process or with `close()` of the file returned.
    /// - Throws: `.locked` when another process holds it.
    func lock(_ path: String) throws(FileError) -> any StoredFile
}

/// An open file. Thread-safe for reads; one writer at a time.
package protocol StoredFile: AnyObject, Sendable {
    /// Writes all bytes at the offset, or throws.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError)
    /// Reads up to the buffer's size; fewer only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
    /// Returns when every byte written is on the device (fdatasync).
    func synchronize() throws(FileError)
    func truncate(to byteCount: UInt64) throws(FileError)
    /// Tells the system that the contents will not be read soon, so that their memory can serve other pages. A
    /// hint: what is written and not synced stays.
    func dropCache()
    func byteCount() throws(FileError) -> UInt64
    /// Whether no name leads to it any more: what is written to it is gone with the last who has it open.
    func isRemoved() throws(FileError) -> Bool
    func close()
}

/// Which file has a name, and since when its contents stand.
package struct FileFingerprint: Hashable, Sendable {
    package var file: UInt64
    package var byteCount: UInt64
    /// In ticks of 100 ns since 1970.
    package var modifiedTicks: Int64

    package init(file: UInt64, byteCount: UInt64, modifiedTicks: Int64) {
        self.file = file
        self.byteCount = byteCount
        self.modifiedTicks = modifiedTicks
    }
}

/// What a disk can refuse. `path` names the place; `code` is errno.
package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// No room, or none of another resource that comes back (ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM): tried
        /// again by itself.
        case full
        /// Not allowed (EACCES, EPERM, EROFS): an operator is needed.
        case denied
        /// No such file or directory.
        case missing
        /// Another process holds the lock.
        case locked
        /// The device failed (EIO and all else).
        case failed
    }
    package var kind: Kind
    package var operation: String
    package var path: String
    package var code: Int32
    package var message: String

    package init(kind: Kind, operation: String, path: String, code: Int32, message: String) {
        self.kind = kind
        self.operation = operation
        self.path = path
        self.code = code
        self.message = message
    }

    package var description: String { "\(path): cannot \(operation): \(message)" }
}

extension FileStore {
    package func fingerprint(_ path: String) throws(FileError) -> FileFingerprint? { nil }

    /// Reads a whole file.
    package func contents(of path: String) throws(FileError) -> [UInt8] {
        let file = try open(path, writable: false)
        defer { file.close() }
        let size = Int(try file.byteCount())
        var got = Result<Int, FileError>.success(0)
        // Read in place: a file may have hundreds of megabytes.
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            got = Result { () throws(FileError) in
                try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
            }
            count = (try? got.get()) ?? 0
        }
        _ = try got.get()
        return bytes
    }

    /// Replaces a file as one step: temporary file, sync, rename, sync of the directory. A crash leaves the
    /// old contents or the new, never a mixture.
    package func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
        try replace(path, withPieces: [bytes])
    }

    /// As `replace(_:with:)` for bytes in memory.
    package func replace(_ path: String, with bytes: UnsafeRawBufferPointer) throws(FileError) {
        try replace(path) { (file) throws(FileError) in try file.write(bytes, at: 0) }
    }

    /// As `replace(_:with:)`, with the contents in pieces that need not be copied together.
    package func replace(_ path: String, withPieces pieces: [[UInt8]]) throws(FileError) {
        try replace(path) { (file) throws(FileError) in
            var at: UInt64 = 0
            for piece in pieces {
                try file.write(piece, at: at)
                at += UInt64(piece.count)
            }
        }
    }

    private func replace(
        _ path: String, contents write: (any StoredFile) throws(FileError) -> Void
    ) throws(FileError) {
        let temporary = path + ".tmp"
        let file = try open(temporary, writable: true)
        do throws(FileError) {
            try file.truncate(to: 0)
            try write(file)
            try file.synchronize()
        } catch {
            file.close()
            throw error
        }
        file.close()
        try rename(temporary, to: path)
        try synchronizeDirectory(Self.directory(of: path))
    }

    /// Creates a directory and makes its name, and those of its parents, survive a crash.
    ///
    /// Names that are there already are synced too: the sync may be what a crash kept from happening.
    ///
    /// - Parameter root: a directory above, whose own name is durable.
    package func createDurableDirectory(_ path: String, below root: String) throws(FileError) {
        try createDirectory(path)
        var child = path
        while child != root {
            let parent = Self.directory(of: child)
            if parent == child { return }
            try synchronizeDirectory(parent)
            child = parent
        }
    }

    /// The part of a path before its last `/`, or `.`.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

extension StoredFile {
    package func dropCache() {}
    package func isRemoved() throws(FileError) -> Bool { false }

    /// Writes an array; see `write(_:at:)`.
    package func write(_ bytes: [UInt8], at offset: UInt64) throws(FileError) {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(FileError) in try write(buffer, at: offset) }
        }
        try result.get()
    }
}
