import Bridge
import Platform
import Synchronization

/// The disk of one bridge on a thread of its own: messages for the other broker go into the buffer before the hub's
/// broker has them acknowledged, come out again in order, and the cursor follows what the other broker has.
///
/// `@unchecked Sendable`: the mailbox is guarded by its monitor; the buffer is touched on the thread only, and by
/// `init` before it starts.
final class BridgeStore: @unchecked Sendable {
    /// What happens on the disk, told on its thread.
    struct Events: Sendable {
        /// A batch is durable: how many of its messages were taken, and how many were too many.
        var stored: @Sendable (_ batch: Batch, _ taken: Int) -> Void
        /// The next to send.
        var read: @Sendable ([BridgeBuffer.Entry]) -> Void
        /// The disk refuses, nil: not any more.
        var failed: @Sendable (String?) -> Void
    }

    /// What came from the hub at once.
    struct Batch: Sendable {
        var messages: [BufferedMessage]
        /// Packet identifiers to acknowledge.
        var identifiers: [UInt16]
        /// Bytes to tell the link of.
        var byteCount: Int
    }

    private struct Mailbox {
        var batches: [Batch] = []
        /// Messages that may be read ahead.
        var room = 0
        var isWorkWanted = true
        var state: BridgeState
        var savedState: BridgeState
        var bufferedEnd: UInt64
        var isStopping = false
    }

    /// A crash sends again what was acknowledged since.
    private static let savePeriodNanoseconds: UInt64 = 200_000_000
    private static let retryNanoseconds: UInt64 = 500_000_000

    private let statePath: String
    private let files: any FileStore
    private let clock: any HubClock
    private let buffer: BridgeBuffer
    private let mailbox: Monitor<Mailbox>
    private let thread = Mutex<NamedThread?>(nil)
    private var readPosition: UInt64
    private var savedAt: UInt64 = 0
    private var hasFailed = false

    /// Opens what is on disk, in a folder of its own.
    init(
        directory: String, below root: String, bytesMax: UInt64, files: any FileStore, clock: any HubClock
    ) throws(BridgeBufferError) {
        do throws(FileError) {
            try files.createDurableDirectory(directory, below: root)
        } catch { throw .file(error) }
        statePath = directory + "/state"
        self.files = files
        self.clock = clock
        let state = try BridgeState.load(statePath, files: files) ?? BridgeState()
        var limits = BridgeBufferLimits()
        limits.bytesMax = bytesMax
        buffer = try BridgeBuffer(
            directory: directory, below: root, files: files, limits: limits, cursor: state.cursor)
        var first = state
        first.cursor = max(state.cursor, buffer.startPosition)
        readPosition = first.cursor
        mailbox = Monitor(Mailbox(state: first, savedState: state, bufferedEnd: buffer.endPosition))
    }

    /// As it is, or will be saved.
    var state: BridgeState { mailbox.withLock { $0.state } }
    /// Bytes that wait for the other broker.
    var bufferedBytes: Int { mailbox.withLock { Int($0.bufferedEnd - $0.state.cursor) } }

    /// Starts the thread. Once.
    func start(_ events: Events) {
        let started = NamedThread("headend-bridge") { self.run(events) }
        thread.withLock { $0 = started }
    }

    func submit(_ batch: Batch) { mailbox.update { $0.batches.append(batch) } }

    /// So many more messages may be read.
    func addRoom(_ count: Int) {
        mailbox.update { mailbox in
            mailbox.room += count
            mailbox.isWorkWanted = true
        }
    }

    /// Changes what is remembered; saved soon.
    func update(_ change: (inout BridgeState) -> Void) { mailbox.update { change(&$0.state) } }

    /// Saves what is remembered and ends the thread; batches that are not durable stay unacknowledged.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    // MARK: The thread

    private func run(_ events: Events) {
        while true {
            let now = clock.monotonicNanoseconds()
            let due = savedAt &+ Self.savePeriodNanoseconds
            let isDirty = mailbox.withLock { $0.state != $0.savedState }
            let batches: [Batch]
            let isStopping: Bool
            (batches, isStopping) = mailbox.wait(
                timeoutNanoseconds: isDirty ? (due > now ? due - now : 0) : nil,
                until: {
                    !$0.batches.isEmpty || $0.isWorkWanted || $0.isStopping
                        || (!isDirty && $0.state != $0.savedState)
                },
                then: { mailbox in
                    mailbox.isWorkWanted = false
                    defer { mailbox.batches = [] }
                    return (mailbox.batches, mailbox.isStopping)
                })
            do throws(BridgeBufferError) {
                if !batches.isEmpty { try store(batches, events) }
                try read(events)
                try save(isForced: isStopping)
                recovered(events)
            } catch {
                failed(error, events)
                if !error.isRetriable { return waitForStop() }
            }
            if isStopping { return }
        }
    }

    private func store(_ batches: [Batch], _ events: Events) throws(BridgeBufferError) {
        var taken: [Int] = []
        for batch in batches {
            var count = 0
            for message in batch.messages where buffer.append(message) { count += 1 }
            taken.append(count)
        }
        while true {
            do throws(BridgeBufferError) {
                try buffer.commit()
                break
            } catch {
                guard error.isRetriable else { throw error }
                failed(error, events)
                let isStopping = mailbox.wait(
                    timeoutNanoseconds: Self.retryNanoseconds, until: { $0.isStopping },
                    then: { $0.isStopping })
                if isStopping { throw error }
            }
        }
        let end = buffer.endPosition
        mailbox.withLock { $0.bufferedEnd = end }
        for (batch, count) in zip(batches, taken) { events.stored(batch, count) }
    }

    private func read(_ events: Events) throws(BridgeBufferError) {
        while readPosition < buffer.endPosition {
            let room = mailbox.withLock { $0.room }
            guard room > 0 else { return }
            let entries = try buffer.read(from: readPosition, limit: room)
            guard let last = entries.last else { return }
            readPosition = last.nextPosition
            mailbox.withLock { $0.room -= entries.count }
            events.read(entries)
        }
    }

    private func save(isForced: Bool) throws(BridgeBufferError) {
        let (state, saved) = mailbox.withLock { ($0.state, $0.savedState) }
        let now = clock.monotonicNanoseconds()
        guard state != saved, isForced || now >= savedAt &+ Self.savePeriodNanoseconds else { return }
        savedAt = now
        try state.save(statePath, files: files)
        mailbox.withLock { $0.savedState = state }
        try buffer.release(before: state.cursor)
    }

    private func failed(_ error: BridgeBufferError, _ events: Events) {
        if !hasFailed { events.failed(error.description) }
        hasFailed = true
    }

    private func recovered(_ events: Events) {
        if hasFailed { events.failed(nil) }
        hasFailed = false
    }

    private func waitForStop() {
        mailbox.wait(until: { $0.isStopping }, then: { _ in })
    }
}
