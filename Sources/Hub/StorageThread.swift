import Atomics
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
    private let clock: any HubClock
    private let mailbox = Monitor(Mailbox())
    private let commits = ManagedAtomic<Int>(0)
    private let thread = Mutex<NamedThread?>(nil)

    init(queue: DeviceQueue, clock: any HubClock) {
        self.queue = queue
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
    func start(
        onDurable: @escaping @Sendable ([IngestBatch]) -> Void, onAdvance: @escaping @Sendable () -> Void
    ) {
        let started = NamedThread("headend-storage") { self.run(onDurable: onDurable, onAdvance: onAdvance) }
        thread.withLock { $0 = started }
    }

    /// Returns when everything submitted is durable and its answers are on their way.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    private func run(onDurable: ([IngestBatch]) -> Void, onAdvance: () -> Void) {
        var writer = StorageWriter(queue: queue)
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
                durable = try writeWhenThereIsRoom(&writer)
            } catch {
                mailbox.update { $0.state = .failed(error.description) }
                waitForStop()
                return
            }
            commits.wrappingIncrement(ordering: .relaxed)
            if !durable.isEmpty { onDurable(durable) }
            onAdvance()
        }
    }

    /// A full disk is waited out: the batches stay in memory, sockets stop being read, nothing is lost.
    private func writeWhenThereIsRoom(_ writer: inout StorageWriter) throws(QueueError) -> [IngestBatch] {
        while true {
            do throws(QueueError) {
                let durable = try writer.write(nowTicks: clock.wallTicks())
                mailbox.withLock { if $0.state != .running { $0.state = .running } }
                return durable
            } catch {
                guard case .full = error else { throw error }
                let isStopping = mailbox.withLock {
                    $0.state = .full(error.description)
                    return $0.isStopping
                }
                if isStopping { throw error }
                mailbox.wait(timeoutNanoseconds: 500_000_000) {
                    $0.isStopping
                } then: { _ in
                }
            }
        }
    }

    private func waitForStop() {
        mailbox.wait {
            $0.isStopping
        } then: { _ in
        }
    }
}
