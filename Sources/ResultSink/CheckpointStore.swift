package import Platform

/// What a query needs to go on after a restart, saved as one atomic step (`architecture`, commit order, step
/// 6).
package struct Checkpoint: Sendable, Equatable {
    /// Records before this offset of the queue are in `engineState`; reading goes on here.
    package var queueOffset: UInt64
    /// Rows of those records end here in the result log; what is behind it is computed again.
    package var resultPosition: UInt64
    /// The engine's own format; see `LiveQuery.snapshot()`.
    package var engineState: [UInt8]

    package init(queueOffset: UInt64, resultPosition: UInt64, engineState: [UInt8]) {
        self.queueOffset = queueOffset
        self.resultPosition = resultPosition
        self.engineState = engineState
    }
}

/// The file of a query's checkpoint; documented in `CheckpointFileFormat`.
package struct CheckpointStore: Sendable {
    private let file: SealedFile

    /// - Parameter path: its directory exists.
    package init(path: String, files: any FileStore) {
        file = SealedFile(
            path: path, files: files, magic: "HEDCHECK", version: 1,
            advice: "delete it: everything is computed again from the device queues, with the same result ids"
        )
    }

    /// - Returns: the last checkpoint saved; nil when there is none.
    /// - Throws: for a damaged one an error that says how to go on.
    package func load() throws(SealedFileError) -> Checkpoint? {
        guard var body = try file.load() else { return nil }
        guard body.count >= 16 else { throw .damaged(path: file.path, advice: file.advice) }
        let (offset, position) = body.withUnsafeBytes {
            (number($0, 0, UInt64.self), number($0, 8, UInt64.self))
        }
        body.removeFirst(16)
        return Checkpoint(queueOffset: offset, resultPosition: position, engineState: body)
    }

    /// As `load()`, with the first bytes of the state only, and without holding the whole file in memory.
    package func loadHead(stateByteCount: Int) throws(SealedFileError) -> Checkpoint? {
        guard let body = try file.loadHead(byteCount: 16 + stateByteCount) else { return nil }
        guard body.count >= 16 else { throw .damaged(path: file.path, advice: file.advice) }
        return body.withUnsafeBytes {
            Checkpoint(
                queueOffset: number($0, 0, UInt64.self), resultPosition: number($0, 8, UInt64.self),
                engineState: Array($0[16...]))
        }
    }

    /// Replaces the checkpoint durably. The result log is committed up to `resultPosition` before.
    package func save(_ checkpoint: Checkpoint) throws(SealedFileError) {
        try file.save(
            pieces: [
                Self.places(checkpoint.queueOffset, checkpoint.resultPosition), checkpoint.engineState,
            ])
    }

    /// Begins to replace the checkpoint, a part at a time; the old one stands until the last part is written.
    ///
    /// - Parameter engineState: in pieces that are not copied together.
    package func beginSave(
        queueOffset: UInt64, resultPosition: UInt64, engineState: [[UInt8]]
    ) -> CheckpointSave {
        CheckpointSave(file, [Self.places(queueOffset, resultPosition)] + engineState)
    }

    private static func places(_ queueOffset: UInt64, _ resultPosition: UInt64) -> [UInt8] {
        var places: [UInt8] = []
        put(queueOffset, to: &places)
        put(resultPosition, to: &places)
        return places
    }
}
