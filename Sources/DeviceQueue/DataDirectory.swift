package import Platform

/// The data directory as a whole: its format version and its lock. The lock ends with this object or the
/// process.
package final class DataDirectory: Sendable {
    /// The version that this build makes and reads.
    package static let version = 1

    package let path: String
    /// Where the shard's log is.
    package var queuePath: String { path + "/queue/0" }
    private let lock: any StoredFile

    private init(path: String, lock: any StoredFile) {
        self.path = path
        self.lock = lock
    }

    deinit { lock.close() }

    /// Gives the lock up; what was open in the directory must be closed before.
    package func close() { lock.close() }

    /// Checks the directory's format and takes its lock.
    ///
    /// - Parameter createIfMissing: makes the directory and its `FORMAT` file when they are not there.
    /// - Throws: `.missing`, `.unwritable`, `.locked`, `.newerFormat`, `.corrupt` when `FORMAT` is not ours.
    package static func open(
        _ path: String, files: any FileStore, createIfMissing: Bool = true
    ) throws(QueueError) -> DataDirectory {
        let format = path + "/FORMAT"
        if !files.exists(path), !createIfMissing { throw .missing(path: path) }
        // Also when the directory is there: a process that was killed may have made it and not synced its name.
        if createIfMissing, !files.exists(format) {
            try refusing(path) { () throws(FileError) in try create(path, files: files) }
        }
        // Before anything is changed: a newer headend's directory is left alone, its lock file too.
        if files.exists(format) { try check(path, files: files) }
        let lock = try refusing(path) { () throws(FileError) in try files.lock(path + "/lock") }
        let directory = DataDirectory(path: path, lock: lock)
        if !files.exists(format) {
            guard createIfMissing else { throw .missing(path: path) }
            try refusing(path) { () throws(FileError) in
                try files.replace(format, with: Array("headend-data \(version)\n".utf8))
            }
        }
        return directory
    }

    /// Creates the directory, and makes its name and those of its parents survive a crash.
    private static func create(_ path: String, files: any FileStore) throws(FileError) {
        try files.createDirectory(path)
        var child = path
        while true {
            let parent = type(of: files).directory(of: child)
            if parent == child { return }
            do throws(FileError) {
                try files.synchronizeDirectory(parent)
            } catch {
                // What the hub may not even open it has not made.
                if error.kind != .denied { throw error }
            }
            child = parent
        }
    }

    /// Checks the format alone, changing and locking nothing: for commands that only read.
    ///
    /// - Throws: `.missing`, `.newerFormat`, `.corrupt`, `.file`.
    package static func check(_ path: String, files: any FileStore) throws(QueueError) {
        let format = path + "/FORMAT"
        guard files.exists(format) else { throw .missing(path: path) }
        let bytes = try refusing(path) { () throws(FileError) in try files.contents(of: format) }
        let words = String(decoding: bytes.prefix(64), as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard words.count == 2, words[0] == "headend-data", let found = Int(words[1]), found > 0 else {
            throw .corrupt(
                path: format, offset: 0,
                explanation: "not a headend data directory; give --data another directory")
        }
        if found > version { throw .newerFormat(path: path, found: found, known: version) }
    }

    private static func refusing<Success>(
        _ path: String, _ body: () throws(FileError) -> Success
    ) throws(QueueError) -> Success {
        do throws(FileError) {
            return try body()
        } catch {
            switch error.kind {
            case .locked: throw .locked(path: path)
            case .denied: throw .unwritable(path: path, reason: error.message)
            case .full: throw .full(error)
            case .missing, .failed: throw .file(error)
            }
        }
    }
}
