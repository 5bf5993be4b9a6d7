import Atomics
import BrokerJournal
import DeviceQueue
import Platform
import Synchronization
import Telemetry

/// The one thread that writes the log: it takes all that arrived during the last sync, appends it, syncs once
/// and sends the answers on their way (natural group commit: no timer).
final class StorageThread: StorageInbox {
    /// Whether the log takes records.
    enum State: Sendable, Equatable {
        case running
        /// No room on the disk; tried again by itself, nothing acknowledged is lost.
        case full(String)
        /// The device failed a sync: nothing is acknowledged any more until the hub is started again.
        case failed(String)
    }

    private struct Mailbox {
        var batches: [IngestBatch] = []
        var isTickWanted = false
        var isStopping = false
        var state = State.running
    }

    private let queue: DeviceQueue
    private let journal: JournalLog
    private let clock: any HubClock
    private let mailbox = Monitor(Mailbox())
    private let commits = ManagedAtomic<Int>(0)
    private let thread = Mutex<NamedThread?>(nil)

    init(queue: DeviceQueue, journal: JournalLog, clock: any HubClock) {
        self.queue = queue
        self.journal = journal
        self.clock = clock
    }

    func submit(_ batch: IngestBatch) { mailbox.update { $0.batches.append(batch) } }

    /// Asks for a tick record: the query's clock moves on although no device speaks.
    func requestTick() { mailbox.update { $0.isTickWanted = true } }

    var state: State { mailbox.withLock { $0.state } }
    var commitCount: Int { commits.load(ordering: .relaxed) }

    /// Starts the thread. Once.
    ///
    /// - Parameters:
    ///   - onDurable: gets the batches of a commit, in order, on the storage thread.
    ///   - onAdvance: the durable end has moved.
    ///   - log: gets a line when the disk takes nothing, and when it takes records again.
    func start(
        onDurable: @escaping @Sendable ([IngestBatch]) -> Void, onAdvance: @escaping @Sendable () -> Void,
        log: @escaping @Sendable (String) -> Void
    ) {
        let started = NamedThread("headend-storage") {
            self.run(onDurable: onDurable, onAdvance: onAdvance, log: log)
        }
        thread.withLock { $0 = started }
    }

    /// Returns when everything submitted is durable and its answers are on their way.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    private func run(onDurable: ([IngestBatch]) -> Void, onAdvance: () -> Void, log: (String) -> Void) {
        var writer = StorageWriter(queue: queue, journal: journal)
        while true {
            let (batches, isTickWanted, isStopping) = mailbox.wait {
                !$0.batches.isEmpty || $0.isTickWanted || $0.isStopping
            } then: { mailbox in
                defer {
                    mailbox.batches.removeAll(keepingCapacity: true)
                    mailbox.isTickWanted = false
                }
                return (mailbox.batches, mailbox.isTickWanted, mailbox.isStopping)
            }
            if batches.isEmpty, !isTickWanted, isStopping { return }
            writer.take(batches, isTickWanted: isTickWanted)
            let durable: [IngestBatch]
            do throws(QueueError) {
                durable = try writeWhenThereIsRoom(&writer, log)
            } catch {
                change(to: .failed(error.description), log)
                waitForStop()
                return
            }
            commits.wrappingIncrement(ordering: .relaxed)
            if !durable.isEmpty { onDurable(durable) }
            onAdvance()
        }
    }

    /// A full disk is waited out: the batches stay in memory, sockets stop being read, nothing is lost.
    private func writeWhenThereIsRoom(
        _ writer: inout StorageWriter, _ log: (String) -> Void
    ) throws(QueueError) -> [IngestBatch] {
        while true {
            do throws(QueueError) {
                let durable = try writer.write(nowTicks: clock.wallTicks())
                change(to: .running, log)
                return durable
            } catch {
                guard case .full = error else { throw error }
                change(to: .full(error.description), log)
                if mailbox.withLock({ $0.isStopping }) { throw error }
                mailbox.wait(timeoutNanoseconds: 500_000_000) {
                    $0.isStopping
                } then: { _ in
                }
            }
        }
    }

    /// Says so once, however often a full disk is tried again.
    private func change(to state: State, _ log: (String) -> Void) {
        let former = mailbox.withLock { mailbox in
            defer { mailbox.state = state }
            return mailbox.state
        }
        guard former != state else { return }
        switch state {
        case .running: log("storage: there is room again, readings are stored and acknowledged")
        case .full(let text):
            if case .full = former { return }
            log("storage: nothing is acknowledged until there is room: \(text)")
        case .failed(let text): log("storage: nothing is acknowledged any more: \(text)")
        }
    }

    private func waitForStop() {
        mailbox.wait {
            $0.isStopping
        } then: { _ in
        }
    }
}
