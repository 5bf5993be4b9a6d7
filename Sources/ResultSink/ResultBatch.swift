package import Telemetry

/// Committed entries of a result log as they stand on disk, read together and checked; nothing is made for one of
/// them. See `ResultLog.read(into:from:)`.
///
/// `@unchecked Sendable`: filled before anybody else has it, and again only when nobody else has it any more, which
/// `ResultReader` guards; nothing changes it in between.
package final class ResultBatch: @unchecked Sendable {
    /// Where its first entry begins in the log.
    package private(set) var position: UInt64 = 0
    /// Rows among its entries that have a topic.
    package private(set) var topicRowCount = 0
    /// Bytes of its entries.
    private(set) var byteCount = 0
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    package init() {}

    deinit { buffer.deallocate() }

    package var isEmpty: Bool { byteCount == 0 }

    /// Where its last entry ends in the log.
    package var endPosition: UInt64 { position + UInt64(byteCount) }

    /// Its entries from one on. What is seen of an entry is valid as long as the batch is there.
    ///
    /// - Parameter position: where an entry begins, or the end.
    package func entries(from position: UInt64) -> ResultEntries {
        ResultEntries(self, from: Int(position - self.position))
    }

    /// Its entries.
    package var entries: ResultEntries { ResultEntries(self, from: 0) }

    /// Whether one of its entries begins there.
    func hasEntry(at wanted: UInt64) -> Bool {
        guard wanted >= position, wanted < endPosition else { return false }
        let end = Int(wanted - position)
        let bytes = bytes
        var at = 0
        while at < end { at += ResultLogFrame.byteCount(at: at, in: bytes) }
        return at == end
    }

    fileprivate var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount])
    }

    // MARK: Filling

    /// Room for a read from a position on; what was there is gone.
    func begin(at position: UInt64, byteCount wanted: Int) -> UnsafeMutableRawBufferPointer {
        self.position = position
        byteCount = 0
        topicRowCount = 0
        if buffer.count < wanted {
            buffer.deallocate()
            buffer = .allocate(byteCount: wanted, alignment: 16)
        }
        return UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
    }

    /// Takes the whole entries of what was read.
    ///
    /// - Returns: when there is not one, the bytes that the first needs; 0 when it is damaged.
    func take(_ readCount: Int, rowBytesMax: Int) -> Int {
        let read = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<readCount])
        while byteCount < readCount {
            let rest = UnsafeRawBufferPointer(rebasing: read[byteCount...])
            switch ResultLogFrame.check(rest, position: endPosition, byteCountMax: rowBytesMax) {
            case .frame(let frameBytes):
                if ResultLogFrame.hasTopic(rest) { topicRowCount += 1 }
                byteCount += frameBytes
            case .short(let needed): return needed
            case .damaged: return 0
            }
        }
        return readCount == 0 ? ResultLogFrame.fixedByteCount : 0
    }
}

/// One entry of a batch, in place.
package struct ResultEntryView {
    /// Where the entry begins, and where the next one does.
    package let position: UInt64
    package let nextPosition: UInt64
    /// False for a marker: no more rows of windows that end at or before `time` follow.
    package let isRow: Bool
    /// Rows in the log before this entry, since the log began.
    package let rowsBefore: UInt64
    /// The row's id; zero in a marker.
    package let rid: ResultID
    /// The row's time, or what the marker completes.
    package let time: EventTime
    /// The output's name; empty in a marker.
    package let output: UnsafeRawBufferPointer
    /// The topic the row is published to; empty when it has none.
    package let topic: UnsafeRawBufferPointer
    /// The row as one JSON object with `_rid`, no newline; empty in a marker.
    package let json: UnsafeRawBufferPointer
}

/// The entries of a batch in the order of the log.
package struct ResultEntries: Sequence, IteratorProtocol {
    private let batch: ResultBatch
    private let bytes: UnsafeRawBufferPointer
    private var at: Int

    fileprivate init(_ batch: ResultBatch, from start: Int) {
        self.batch = batch
        bytes = batch.bytes
        at = start
    }

    package mutating func next() -> ResultEntryView? {
        guard at < bytes.count else { return nil }
        let byteCount = ResultLogFrame.byteCount(at: at, in: bytes)
        let frame = UnsafeRawBufferPointer(rebasing: bytes[at..<(at + byteCount)])
        let position = batch.position + UInt64(at)
        at += byteCount
        return ResultLogFrame.view(frame, position: position)
    }
}
