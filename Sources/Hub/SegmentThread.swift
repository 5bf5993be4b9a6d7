import Atomics
import DeviceQueue
import Platform
import Synchronization
import Telemetry

/// The work on the log that must not hold up the storage thread: the next segment (writing zeros ahead makes every
/// later sync two to three times faster), sidecars and states for a fast restart, and retention.
final class SegmentThread: Sendable {
    private struct Mailbox {
        var hasNews = true
        var isStopping = false
    }

    private let queue: DeviceQueue
    private let clock: any HubClock
    private let log: @Sendable (String) -> Void
    private let mailbox = Monitor(Mailbox())
    private let segmentBytes: UInt64
    private let hasRetention: Bool
    private let lastSegment = ManagedAtomic<UInt64>(.max)
    private let thread = Mutex<NamedThread?>(nil)
    private let problem = Mutex<String?>(nil)

    /// - Parameter log: gets a line when the work fails, when it goes on, and for what the queue found.
    init(
        queue: DeviceQueue, limits: QueueLimits, clock: any HubClock,
        log: @escaping @Sendable (String) -> Void
    ) {
        self.queue = queue
        self.clock = clock
        self.log = log
        segmentBytes = UInt64(limits.segmentBytes)
        hasRetention = !limits.retention.keepsEverything
    }

    /// Starts the thread. Once, when everybody who must not miss anything holds his place in the log.
    func start() {
        let started = NamedThread("headend-segments") { self.run() }
        thread.withLock { $0 = started }
    }

    /// Why the last piece of work failed, nil when it did not.
    var failure: String? { problem.withLock { $0 } }

    private func run() {
        while true {
            let pause =
                failure == nil ? hasRetention ? Self.retentionNanoseconds : nil : Self.retryNanoseconds
            let isStopping = mailbox.wait(timeoutNanoseconds: pause) {
                $0.hasNews || $0.isStopping
            } then: { state in
                state.hasNews = false
                return state.isStopping
            }
            if isStopping { return }
            work()
        }
    }

    private func work() {
        var found: String?
        do throws(QueueError) { try queue.prepareNextSegment() } catch { found = error.description }
        // Also when that failed: on a full disk this is what makes room.
        do throws(QueueError) { try queue.applyRetention(nowTicks: clock.wallTicks()) } catch {
            found = found ?? error.description
        }
        for notice in queue.takeNotices() { log(notice) }
        let before = problem.withLock { problem in
            defer { problem = found }
            return problem
        }
        if let found, found != before { log("log segments: \(found); tried again every second") }
        if found == nil, before != nil { log("log segments: work goes on") }
    }

    /// The log has grown; only a new segment is news.
    ///
    /// - Returns: whether it was.
    @discardableResult
    func wake(durableEnd end: QueueOffset) -> Bool {
        let segment = end.bytes / segmentBytes
        guard lastSegment.exchange(segment, ordering: .relaxed) != segment else { return false }
        mailbox.update { $0.hasNews = true }
        return true
    }

    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    private static let retryNanoseconds: UInt64 = 1_000_000_000
    /// How late a limit by age can be applied.
    private static let retentionNanoseconds: UInt64 = 5_000_000_000
}
