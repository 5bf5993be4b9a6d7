import CChecksum
package import Platform

/// The file that remembers how far the outbox is delivered: one line of text,
/// `headend downstream cursor 1 <position> <CRC-32C of all before it, hex>`, replaced as one step.
package struct DownstreamCursor: Sendable {
    /// The file is not what was written. Deleting it is safe: every row in the outbox is sent again, with the same id.
    package struct Damaged: Error, Sendable, Equatable, CustomStringConvertible {
        package var path: String

        package var description: String {
            "\(path): damaged; delete it and start again: all rows in the outbox are then sent once more, "
                + "with the same ids"
        }
    }

    private static let title = "headend downstream cursor 1 "
    private let path: String
    private let files: any FileStore

    package init(path: String, files: any FileStore) {
        self.path = path
        self.files = files
    }

    /// - Returns: nil when nothing was saved yet.
    package func load() throws -> UInt64? {
        guard files.exists(path) else { return nil }
        let text = String(decoding: try files.contents(of: path), as: UTF8.self)
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 6, let position = UInt64(parts[4]), text == Self.text(position) else {
            throw Damaged(path: path)
        }
        return position
    }

    /// Durable when it returns; a crash leaves the old position or the new.
    package func save(_ position: UInt64) throws(FileError) {
        try files.replace(path, with: Array(Self.text(position).utf8))
    }

    private static func text(_ position: UInt64) -> String {
        let body = Array("\(title)\(position) ".utf8)
        let checksum = body.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
        return String(decoding: body, as: UTF8.self) + String(checksum, radix: 16) + "\n"
    }
}
