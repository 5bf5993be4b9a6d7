import Synchronization

/// Reads a result log for sinks that mostly stand at the same place: what one has read the next gets without the
/// disk.
package final class ResultReader: Sendable {
    package let log: ResultLog
    private let latest = Mutex<ResultBatch?>(nil)

    package init(_ log: ResultLog) { self.log = log }

    /// The committed entries from a position on, some of them; the batch may begin before. Any thread.
    ///
    /// - Returns: nil when there are no more yet.
    /// - Throws: see `ResultLog.read(into:from:)`.
    package func batch(from position: UInt64) throws(ResultLogError) -> ResultBatch? {
        try latest.withLock { (latest) throws(ResultLogError) in
            if let batch = latest, batch.hasEntry(at: position) { return batch }
            // Read into again when no sink has it any more.
            let isOwn = isKnownUniquelyReferenced(&latest)
            let batch = isOwn ? latest ?? ResultBatch() : ResultBatch()
            latest = nil
            try log.read(into: batch, from: position)
            if batch.isEmpty { return nil }
            latest = batch
            return batch
        }
    }

    /// Gives the memory back: a hub may have hundreds of queries that have nothing to deliver.
    package func letGo() { latest.withLock { $0 = nil } }
}
