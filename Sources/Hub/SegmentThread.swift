import Atomics
import DeviceQueue
import Platform
import Telemetry

/// Prepares the next log segment while the current one fills: writing zeros ahead makes every later sync two to
/// three times faster, and must not hold up the storage thread.
final class SegmentThread: Sendable {
    private struct Mailbox {
        var hasNews = true
        var isStopping = false
    }

    private let mailbox: Monitor<Mailbox>
    private let segmentBytes: UInt64
    private let lastSegment = ManagedAtomic<UInt64>(.max)
    private let thread: NamedThread

    init(queue: DeviceQueue, segmentBytes: Int) {
        self.segmentBytes = UInt64(segmentBytes)
        let mailbox = Monitor(Mailbox())
        self.mailbox = mailbox
        thread = NamedThread("headend-segments") {
            while true {
                let isStopping = mailbox.wait {
                    $0.hasNews || $0.isStopping
                } then: { state in
                    state.hasNews = false
                    return state.isStopping
                }
                if isStopping { return }
                // Without a prepared segment the storage thread makes its own and meets the same error there.
                try? queue.prepareNextSegment()
            }
        }
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
        thread.join()
    }
}
