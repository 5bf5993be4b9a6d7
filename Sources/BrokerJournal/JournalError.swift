package import Platform

/// Why the journal cannot be used.
package enum JournalError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused. `.full`: nothing is lost, and calling again goes on.
    case file(FileError)
    /// The bytes are not what was written; for an operator.
    case damaged(path: String, offset: UInt64)
    /// A segment between others is missing; for an operator.
    case gap(path: String, expected: UInt64)
    /// Written by a newer program.
    case newerFormat(path: String, version: UInt16)
    /// A write or sync failed before: nothing is written any more.
    case poisoned(cause: String)
    /// No record is at that position any more.
    case noRecord(position: UInt64)
    /// A record that only a newer program writes.
    case unknownRecord(position: UInt64)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .damaged(let path, let offset):
            "\(path): damaged at byte \(offset); check the disk, and restore the file from a backup, or move the "
                + "directory aside to begin without sessions and retained messages"
        case .gap(let path, let expected):
            "\(path): a segment that begins at \(expected) is missing before it; restore it from a backup"
        case .newerFormat(let path, let version):
            "\(path): format \(version) is newer than this program's; use the newer program"
        case .poisoned(let cause): "the journal of sessions takes nothing since: \(cause)"
        case .unknownRecord(let position):
            "the journal of sessions has a record at \(position) that this program does not know; use the newer "
                + "program"
        case .noRecord(let position): "the journal of sessions has no record at \(position)"
        }
    }
}
