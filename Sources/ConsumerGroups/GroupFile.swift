package import Platform

/// Why a group's file cannot be used.
package enum GroupFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused. (Operator, retry.)
    case file(FileError)
    /// The bytes are not what was written. (Operator.)
    case damaged(path: String)
    /// Made by a newer headend. (Operator.)
    case newerFormat(path: String, version: UInt32)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .damaged(let path):
            "\(path): damaged; restore it from a backup, or delete the group and make it again where its consumers "
                + "stand"
        case .newerFormat(let path, let version):
            "\(path): format \(version) is newer than this program's; use the newer program"
        }
    }
}

/// A group's file: what the group is, and the states it was in, the newest counts. A commit is one write and one
/// sync of a file that keeps its length; when it is full, a new one takes its place as one step. Format:
/// `ConsumerGroups.docc/GroupFileFormat.md`.
///
/// What a crash leaves: the state of the last `save` that returned, or that of one under way.
///
/// `@unchecked Sendable`: handed from thread to thread by its owner, who uses `path` and `definition` (constants)
/// anywhere and the rest on one thread at a time.
package final class GroupFile: @unchecked Sendable {
    package let path: String
    package let definition: GroupDefinition
    private let files: any FileStore
    private var file: (any StoredFile)?
    /// Where the next state goes, and the length of the file; 0 before the first save.
    private var position = 0
    private var byteCount = 0
    private var number: UInt64 = 0

    private init(path: String, definition: GroupDefinition, number: UInt64, files: any FileStore) {
        self.path = path
        self.definition = definition
        self.number = number
        self.files = files
    }

    /// Makes the file of a new group, durably.
    ///
    /// - Parameter directory: exists.
    package static func create(
        _ definition: GroupDefinition, state: GroupState, directory: String, files: any FileStore
    ) throws(GroupFileError) -> GroupFile {
        let file = GroupFile(
            path: directory + "/" + definition.name + Self.suffix, definition: definition, number: 0,
            files: files)
        try file.save(state)
        return file
    }

    /// Reads a group's file. Of what a crash has torn, only the state under way is lost.
    ///
    /// - Returns: the newest whole state.
    package static func load(
        path: String, files: any FileStore
    ) throws(GroupFileError) -> (file: GroupFile, state: GroupState) {
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch { throw .file(error) }
        typealias Codec = GroupFileCodec
        guard bytes.count >= Codec.headerBytes, bytes.starts(with: Codec.magic) else {
            throw .damaged(path: path)
        }
        let version = Codec.number(bytes[...], 8, UInt32.self)
        if version > Codec.version { throw .newerFormat(path: path, version: version) }
        guard version == Codec.version,
            Codec.number(bytes[...], 12, UInt32.self) == Codec.checksum(bytes[..<12]),
            let first = Codec.body(of: Codec.definitionKind, at: Codec.headerBytes, in: bytes),
            let definition = Codec.definition(first.body)
        else { throw .damaged(path: path) }
        var newest: (state: GroupState, number: UInt64)?
        var at = first.end
        // A whole frame behind a damaged one counts: the file was all zeros before, so it can only be a later state.
        while at < bytes.count {
            guard let found = Codec.body(of: Codec.stateKind, at: at, in: bytes),
                let state = Codec.state(found.body)
            else {
                at += 8
                continue
            }
            if state.number > newest?.number ?? 0 { newest = state }
            at = found.end
        }
        guard let newest else { throw .damaged(path: path) }
        // The next save makes a new file, so what is torn is never written over.
        let file = GroupFile(path: path, definition: definition, number: newest.number, files: files)
        return (file, newest.state)
    }

    /// Saves a state durably; blocks for one sync, now and then for a new file.
    ///
    /// - Throws: `.file`: the state may be saved or not; saving again is right.
    package func save(_ state: GroupState) throws(GroupFileError) {
        let frame = GroupFileCodec.frame(state, number: number + 1)
        do throws(FileError) {
            if let file, position + frame.count <= byteCount {
                try file.write(frame, at: UInt64(position))
                try file.synchronize()
                position += frame.count
            } else {
                try replace(frame)
            }
            number += 1
        } catch {
            // What the file holds now is unknown, after a failed sync for good: the next save makes a new one.
            close()
            throw .file(error)
        }
    }

    private func replace(_ frame: [UInt8]) throws(FileError) {
        close()
        var bytes = GroupFileCodec.header() + GroupFileCodec.frame(definition) + frame
        let used = bytes.count
        let wanted = max(Self.bytesMin, (used + 8 * frame.count + 4_095) & ~4_095)
        bytes.append(contentsOf: [UInt8](repeating: 0, count: wanted - used))
        try files.replace(path, with: bytes)
        file = try files.open(path, writable: true)
        position = used
        byteCount = wanted
    }

    /// Removes the file, durably.
    package func remove() throws(GroupFileError) {
        close()
        do throws(FileError) {
            try files.remove(path)
            try files.synchronizeDirectory(Self.directory(of: path))
        } catch {
            throw .file(error)
        }
    }

    package func close() {
        file?.close()
        file = nil
    }

    private static func directory(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    package static let suffix = ".group"
    /// Bytes of a file at least: some 600 commits between two new files.
    private static let bytesMin = 64 << 10
}
