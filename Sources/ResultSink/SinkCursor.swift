package import Platform

/// How far a sink is in the result log, in a small file of its own that is replaced atomically.
///
/// The cursor may be behind what was delivered, never ahead: the sink repeats rows after a crash, with the
/// same ids.
package struct SinkCursor: Sendable {
    private let file: SealedFile

    /// - Parameter path: its directory exists.
    package init(path: String, files: any FileStore) {
        file = SealedFile(
            path: path, files: files, magic: "HEDCURSR", version: 1,
            advice:
                "delete it: the sink begins again at the start of the result log, with the same result ids")
    }

    /// - Returns: the position of the next entry to deliver; nil when none was saved.
    package func load() throws(SealedFileError) -> UInt64? {
        guard let body = try file.load() else { return nil }
        guard body.count == 8 else { throw .damaged(path: file.path, advice: file.advice) }
        return body.withUnsafeBytes { number($0, 0, UInt64.self) }
    }

    /// Saves the position durably.
    package func save(_ position: UInt64) throws(SealedFileError) {
        var body: [UInt8] = []
        put(position, to: &body)
        try file.save(body)
    }
}
