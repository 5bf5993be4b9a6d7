package import BrokerJournal
package import DeviceQueue
import MQTTBroker
import Platform
import Telemetry

/// What an event loop and a query ask of the storage: a thread (`StorageThread`), or a simulated one.
package protocol StorageInbox: AnyObject, Sendable {
    /// Hands a batch over; it comes back through `BrokerLoop.complete` when it is durable.
    func submit(_ batch: IngestBatch)
    /// Asks for a tick record: the query's clock moves on although no device speaks.
    func requestTick()
}

/// The storage thread's work without the thread: appends what has gathered, syncs once, and can go on where a
/// full disk stopped it.
package struct StorageWriter {
    /// Bytes of one group commit at most, unless a single batch is larger.
    private static let commitBytesMax = 64 << 20

    private let queue: DeviceQueue
    private let journal: JournalLog?
    private var batches: [IngestBatch] = []
    /// Batches of `batches` that the queue has already.
    private var appendedCount = 0
    /// Batches whose changes of the broker's state the journal has already.
    private var journaledCount = 0
    private var isTickWanted = false

    /// - Parameter journal: nil for a broker whose state is not kept.
    package init(queue: DeviceQueue, journal: JournalLog? = nil) {
        self.queue = queue
        self.journal = journal
    }

    /// Takes what the next `write` makes durable; the write before must have returned its batches.
    package mutating func take(_ batches: [IngestBatch], isTickWanted: Bool) {
        precondition(self.batches.isEmpty, "the batches before are not durable yet")
        self.batches = batches
        appendedCount = 0
        journaledCount = 0
        self.isTickWanted = isTickWanted
    }

    /// Makes everything taken durable; blocks.
    ///
    /// - Parameter nowTicks: the wall clock: the arrival time of what is appended.
    /// - Returns: the batches, in order: what they owe may leave now.
    /// - Throws: `.full`: nothing is lost, and calling again goes on. Anything else is final.
    package mutating func write(nowTicks: Int64) throws(QueueError) -> [IngestBatch] {
        while appendedCount < batches.count {
            let staging = batches[appendedCount].staging
            if staging.frameCount > 0 {
                // After a stall more can wait than one commit should hold.
                if queue.pendingBytes + staging.byteCount > Self.commitBytesMax { try queue.commit() }
                try queue.append(staging, arrivalTicks: nowTicks)
            }
            appendedCount += 1
        }
        if isTickWanted {
            try queue.appendTick(arrivalTicks: nowTicks)
            isTickWanted = false
        }
        try queue.commit()
        batches.last?.logEnd = queue.durableEnd.bytes
        // Behind the log: what the broker says of a session must not know more than the log does.
        try writeJournal()
        defer { batches = [] }
        return batches
    }

    private mutating func writeJournal() throws(QueueError) {
        guard let journal else { return }
        do throws(JournalError) {
            while journaledCount < batches.count {
                if let group = batches[journaledCount].journal {
                    try journal.append(group.bytes, at: group.start, startsSegment: group.startsSegment)
                }
                journaledCount += 1
            }
            try journal.commit()
        } catch {
            if case .file(let cause) = error { throw cause.kind == .full ? .full(cause) : .file(cause) }
            throw .poisoned(cause: error.description)
        }
    }
}
