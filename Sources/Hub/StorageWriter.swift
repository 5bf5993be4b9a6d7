package import DeviceQueue

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
    private var batches: [IngestBatch] = []
    /// Batches of `batches` that the queue has already.
    private var appendedCount = 0
    private var isTickWanted = false

    package init(queue: DeviceQueue) { self.queue = queue }

    /// Takes what the next `write` makes durable; the write before must have returned its batches.
    package mutating func take(_ batches: [IngestBatch], isTickWanted: Bool) {
        precondition(self.batches.isEmpty, "the batches before are not durable yet")
        self.batches = batches
        appendedCount = 0
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
        defer { batches = [] }
        return batches
    }
}
