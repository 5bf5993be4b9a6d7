package import Access
package import Platform

/// The file behind `users:`.
package enum UserFile {
    /// What is wrong with the file, a line each with its place. Exit status 2.
    package struct Problems: Error, Sendable, CustomStringConvertible {
        package var lines: [String]
        package var description: String { lines.joined(separator: "\n") }
    }

    /// - Throws: `Problems`, or `FileError` when it cannot be read.
    package static func read(_ path: String, files: any FileStore = PosixFileStore()) throws -> UserTable {
        let text = String(decoding: try files.contents(of: path), as: UTF8.self)
        do throws(UserTable.Problems) {
            return try UserTable(text)
        } catch {
            throw Problems(lines: error.lines.map { "\(path):\($0.number): \($0.text)" })
        }
    }
}
