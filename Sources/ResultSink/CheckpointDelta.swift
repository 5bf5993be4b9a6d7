import CChecksum
package import Platform

/// How far a query has come since its checkpoint: what changed is the log between the two places, which is durable
/// already, so that is all a delta says.
///
/// A query goes on from the checkpoint, takes the records up to `queueOffset` without putting out their rows, which
/// stand in the result log before `resultPosition`, and then is where it was.
package struct CheckpointDelta: Sendable, Equatable {
    /// Records before this offset of the queue are done.
    package var queueOffset: UInt64
    /// Their rows end here in the result log.
    package var resultPosition: UInt64

    package init(queueOffset: UInt64, resultPosition: UInt64) {
        self.queueOffset = queueOffset
        self.resultPosition = resultPosition
    }
}

/// The file of a query's deltas, beside its checkpoint; documented in `CheckpointFileFormat`.
///
/// Two entries that are written in turn: a crash tears the one that was being written, and the other is the delta
/// before it. Not thread-safe: one owner calls it.
package final class CheckpointDeltaFile {
    private let path: String
    private let files: any FileStore
    /// Of the entry written last.
    private var sequence: UInt64 = 0
    /// The file's name is durable.
    private var isNamed = false

    private static let magic: StaticString = "HEDDELTA"
    private static let version: UInt16 = 1
    private static let entryByteCount = 40
    /// Entries stand in blocks of their own, so that no write of one touches the other.
    private static let entryOffsets: [UInt64] = [0, 4_096]

    /// - Parameter path: of the checkpoint; its directory exists.
    package init(checkpoint path: String, files: any FileStore) {
        self.path = path + ".delta"
        self.files = files
    }

    /// - Returns: the newest whole delta; nil when there is none.
    /// - Throws: when both entries were written and neither is whole.
    package func load() throws(SealedFileError) -> CheckpointDelta? {
        guard files.exists(path) else { return nil }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch { throw .file(error) }
        var newest: (sequence: UInt64, delta: CheckpointDelta)?
        var damaged = 0
        for offset in Self.entryOffsets {
            let entry = Array(bytes.dropFirst(Int(offset)).prefix(Self.entryByteCount))
            // Never written: the file ends before, or has a hole there.
            if entry.allSatisfy({ $0 == 0 }) { continue }
            guard let found = try read(entry) else {
                damaged += 1
                continue
            }
            if found.sequence > newest?.sequence ?? 0 { newest = found }
        }
        if damaged == Self.entryOffsets.count { throw .damaged(path: path, advice: Self.advice) }
        sequence = newest?.sequence ?? 0
        return newest?.delta
    }

    private static let advice =
        "delete it: what came since the checkpoint beside it is computed again, with the same result ids"

    private func read(
        _ entry: [UInt8]
    ) throws(SealedFileError) -> (sequence: UInt64, delta: CheckpointDelta)? {
        guard entry.count == Self.entryByteCount, entry[..<8].elementsEqual(Self.magicBytes) else {
            return nil
        }
        let sum = entry.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, Self.entryByteCount - 4) }
        guard entry.withUnsafeBytes({ number($0, Self.entryByteCount - 4, UInt32.self) }) == sum else {
            return nil
        }
        let stored = entry.withUnsafeBytes { number($0, 8, UInt16.self) }
        if stored > Self.version { throw .newerFormat(path: path, version: stored) }
        return entry.withUnsafeBytes {
            (
                number($0, 12, UInt64.self),
                CheckpointDelta(
                    queueOffset: number($0, 20, UInt64.self), resultPosition: number($0, 28, UInt64.self))
            )
        }
    }

    private static var magicBytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount)
    }

    /// Writes a delta durably, in the place of the one before the last: 40 bytes and one sync. The result log is
    /// committed up to `resultPosition` before.
    package func save(_ delta: CheckpointDelta) throws(SealedFileError) {
        sequence += 1
        var entry = Array(Self.magicBytes)
        put(Self.version, to: &entry)
        put(UInt16(0), to: &entry)
        put(sequence, to: &entry)
        put(delta.queueOffset, to: &entry)
        put(delta.resultPosition, to: &entry)
        put(entry.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }, to: &entry)
        do throws(FileError) {
            let file = try files.open(path, writable: true)
            defer { file.close() }
            try file.write(entry, at: Self.entryOffsets[Int(sequence % 2)])
            try file.synchronize()
            if !isNamed { try files.synchronizeDirectory(type(of: files).directory(of: path)) }
            isNamed = true
        } catch {
            throw .file(error)
        }
    }

    /// Removes what deltas there are: those of a checkpoint that is gone.
    package func remove() throws(SealedFileError) {
        guard files.exists(path) else { return }
        do throws(FileError) {
            try files.remove(path)
            try files.synchronizeDirectory(type(of: files).directory(of: path))
        } catch {
            throw .file(error)
        }
        sequence = 0
        isNamed = false
    }
}
