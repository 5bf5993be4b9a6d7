import DeviceQueue
import Platform
import Synchronization

/// Compresses sealed segments in the background, at a pace that ingest does not feel: below everybody else's
/// priority, and resting nine times as long as it worked. That is about 300 MB of log a second on one
/// processor; what comes faster is compressed when it is quieter.
final class CompressionThread: Sendable {
    private final class Problem: Sendable {
        let text = Mutex<String?>(nil)
    }

    private struct Mailbox {
        var hasNews = true
        var isStopping = false
    }

    private let mailbox: Monitor<Mailbox>
    private let thread: NamedThread
    private let problem: Problem
    private static let restFactor: UInt64 = 9
    private static let retryNanoseconds: UInt64 = 60_000_000_000

    /// - Parameter log: gets a line when a segment cannot be compressed.
    init(queue: DeviceQueue, clock: any HubClock, log: @escaping @Sendable (String) -> Void) {
        let mailbox = Monitor(Mailbox())
        self.mailbox = mailbox
        let problem = Problem()
        self.problem = problem
        let isStopping: @Sendable () -> Bool = { mailbox.withLock { $0.isStopping } }
        thread = NamedThread("headend-compress", isBackground: true) {
            while !isStopping() {
                let started = clock.monotonicNanoseconds()
                var pause: UInt64?
                do throws(QueueError) {
                    if try queue.compressNextSegment(shouldStop: isStopping) {
                        pause = (clock.monotonicNanoseconds() - started) * Self.restFactor
                    }
                    problem.text.withLock { $0 = nil }
                } catch {
                    log("cannot compress the log: \(error); it goes on uncompressed")
                    problem.text.withLock { $0 = error.description }
                    pause = Self.retryNanoseconds
                }
                let isWaitingForNews = pause == nil
                mailbox.wait(timeoutNanoseconds: pause) {
                    $0.isStopping || (isWaitingForNews && $0.hasNews)
                } then: {
                    $0.hasNews = false
                }
            }
        }
    }

    /// Why the last segment could not be compressed, nil when it was.
    var failure: String? { problem.text.withLock { $0 } }

    /// The log has a new segment.
    func wake() { mailbox.update { $0.hasNews = true } }

    /// Ends the work in hand without a trace.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.join()
    }
}
