package import PerpetualQuery
package import Platform

/// A version of reference data on disk, named by its hash; documented in `ReferenceFileFormat`.
package enum ReferenceFile {
    private static let magic = Array("HEDREFER".utf8)
    private static let version: UInt8 = 1
    private static let headBytes = 12

    static func head(of data: ReferenceData) -> [UInt8] { magic + [version, 0, data.isText ? 1 : 0, 0] }

    package static func path(of hash: ReferenceHash, in directory: String) -> String {
        "\(directory)/\(hash).rows"
    }

    /// Writes a version durably; nothing happens when it is there. A crash leaves it whole or not at all.
    package static func save(
        _ contents: ReferenceContents, in directory: String, files: any FileStore
    ) throws(FileError) {
        let path = path(of: contents.hash, in: directory)
        // What was renamed before a crash may lack its name on disk: the directory is synced in any case.
        if files.exists(path), (try? load(contents.hash, name: "", in: directory, files: files)) != nil {
            return try files.synchronizeDirectory(directory)
        }
        try files.replace(path, withPieces: [head(of: contents.data), Array(contents.data.bytes)])
    }

    /// - Throws: when it is missing, or its bytes are not those that its name says.
    package static func load(
        _ hash: ReferenceHash, name: String, in directory: String, files: any FileStore
    ) throws(ReferenceError) -> ReferenceData {
        let path = path(of: hash, in: directory)
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch {
            throw ReferenceError(.environment, error.description)
        }
        let isWhole =
            bytes.count >= headBytes && bytes.starts(with: magic)
            && bytes.withUnsafeBytes {
                ReferenceHash(
                    head: Array($0[..<headBytes]), rows: UnsafeRawBufferPointer(rebasing: $0[headBytes...]))
                    == hash
            }
        guard isWhole else {
            throw ReferenceError(
                .environment,
                "\(path): damaged: its bytes are not those that its name says; bring it back from a copy, or remove "
                    + "\(directory): what is not computed yet is then joined with the file as it is now")
        }
        guard bytes[8] == version else {
            throw ReferenceError(
                .environment,
                "\(path): format \(bytes[8]) is newer than this program's; use the newer program")
        }
        let rows = Array(bytes[headBytes...])
        // A row is a line: JSON as it is written here holds no line break.
        let ends = rows.indices.filter { rows[$0] == 0x0A }.map { $0 + 1 }
        return ReferenceData(
            name: name, place: path, isText: bytes[10] & 1 == 1, bytes: rows, ends: ends)
    }
}
