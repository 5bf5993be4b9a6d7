package import Platform

/// What can go wrong with the result log.
package enum ResultLogError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused. `.full` is worth a retry of the same call; after any other the log is to be opened
    /// anew.
    case file(FileError)
    /// The bytes are not what was written.
    case damaged(path: String, offset: UInt64)
    /// Written by a newer program.
    case newerFormat(path: String, version: UInt16)
    /// A file of the log is missing: the next one begins past the end of this one.
    case gap(path: String, expected: UInt64)
    /// The checkpoint is ahead of the log: rows that were committed are gone.
    case behindCheckpoint(path: String, end: UInt64, position: UInt64)
    /// The position is inside an entry.
    case notAnEntry(position: UInt64)
    /// The position was released; the log begins later.
    case released(position: UInt64, start: UInt64)
    /// A row over `rowBytesMax`.
    case rowTooLarge(byteCount: Int)
    /// A sync failed before, so what is on disk is unknown until the log is opened anew.
    case poisoned

    private static let recompute =
        "delete the checkpoint, the result log and the sinks' cursors, and move the append files aside: all "
        + "is computed again from the device queues, with the same result ids"

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .damaged(let path, let offset): "\(path): damaged at byte \(offset); \(Self.recompute)"
        case .newerFormat(let path, let version):
            "\(path): format \(version) is newer than this program's \(ResultLogSegment.version); "
                + "use the newer program"
        case .gap(let path, let expected):
            "\(path): a file of the result log that holds position \(expected) is missing or too short; "
                + Self.recompute
        case .behindCheckpoint(let path, let end, let position):
            "\(path): the result log ends at \(end), the checkpoint is at result position \(position); "
                + Self.recompute
        case .notAnEntry(let position):
            "result position \(position) is not the start of an entry; the cursor or checkpoint that says so "
                + "belongs to another log: delete it"
        case .released(let position, let start):
            "result position \(position) was released, the result log begins at \(start); "
                + "delete the cursor that says so"
        case .rowTooLarge(let byteCount): "a result row of \(byteCount) bytes is over the limit"
        case .poisoned: "a sync of the result log failed; restart to recover what is on disk"
        }
    }
}

/// What a result log may hold and use.
package struct ResultLogLimits: Sendable, Equatable {
    /// Bytes of a segment after which the next begins. Default 16 MiB: the step in which space is given back.
    package var segmentBytesMax: UInt64 = 16 << 20
    /// Bytes of one entry. Default 8 MiB: far above any row, small enough to read in one piece.
    package var rowBytesMax = 8 << 20
    /// Appended bytes that are held before they are written. Default 1 MiB.
    package var bufferBytesMax = 1 << 20
    /// Bytes of entries that one read returns at most, but at least one entry. Default 256 KiB: what stays in the
    /// processor's cache while all sinks look at it.
    package var readBytesMax = 256 << 10

    package init() {}
}
