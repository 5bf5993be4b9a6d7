package import Platform

/// What can go wrong in the queue. Each message names the place and says what to do.
package enum QueueError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No room for the next segment. Nothing is lost: `commit()` again later writes the same batch. (Retry.)
    case full(FileError)
    /// More is waiting for a commit than `QueueLimits.pendingBytesMax`. (Commit, then append again.)
    case pendingFull(pendingBytes: Int)
    /// A write or sync failed before; what is on disk is unknown until the log is opened again. (Operator.)
    case poisoned(cause: String)
    /// The disk refused something else. (Operator.)
    case file(FileError)
    /// The log is damaged. `offset` is the position in the file. (Operator.)
    case corrupt(path: String, offset: UInt64, explanation: String)
    /// Made by a newer headend. (Operator.)
    case newerFormat(path: String, found: Int, known: Int)
    /// Another hub has the data directory. (Operator.)
    case locked(path: String)
    /// The data directory cannot be written. (Operator.)
    case unwritable(path: String, reason: String)
    /// There is no data directory. (Operator.)
    case missing(path: String)
    /// The limits contradict each other. (Operator.)
    case invalidLimits(String)
    /// The log was opened for reading only. (Programmer.)
    case readOnly(path: String)
    /// Nothing begins at this offset: it is past the end, or before the first segment. (Caller.)
    case offsetOutOfRange(offset: UInt64, first: UInt64, end: UInt64)

    /// Retention removed what began at this offset; the log begins at `first` now. (Caller.)
    case removed(offset: UInt64, first: UInt64)

    package var description: String {
        switch self {
        case .full(let error):
            "\(error); the queue waits and goes on by itself when there is room: free some"
        case .pendingFull(let bytes):
            "\(bytes) bytes wait for a commit, which is the limit: commit before appending more"
        case .poisoned(let cause):
            "the queue stopped writing after a failure (\(cause)): check the disk, then start the hub again"
        case .file(let error): "\(error); check the disk and the rights of the data directory"
        case .corrupt(let path, let offset, let explanation):
            "\(path): damaged at byte \(offset): \(explanation)"
        case .newerFormat(let path, let found, let known):
            "\(path): made by a newer headend (format \(found)); this one reads \(known): use the newer one"
        case .locked(let path):
            "\(path): another hub is using this data directory: stop it, or give --data another directory"
        case .unwritable(let path, let reason):
            "\(path): cannot be written (\(reason)): change its rights, or give --data another directory"
        case .missing(let path): "\(path): no such data directory: check --data"
        case .invalidLimits(let what): "queue limits: \(what)"
        case .readOnly(let path): "\(path): opened for reading only"
        case .offsetOutOfRange(let offset, let first, let end):
            "queue offset \(offset) is not in the log, which has \(first) to \(end)"
        case .removed(let offset, let first):
            "what stood at queue offset \(offset) was removed by retention; the log begins at \(first) now"
        }
    }
}
