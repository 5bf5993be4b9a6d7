import Platform
import Synchronization

/// Writes the groups' files, one thing after the other, on a thread of its own: a slow disk delays the answers to
/// commits, not reading and not status.
final class GroupSaver: Sendable {
    private struct Mailbox {
        var jobs: [@Sendable () -> Void] = []
        var isStopping = false
    }

    private let mailbox = Monitor(Mailbox())
    private let thread = Mutex<NamedThread?>(nil)

    /// Starts the thread. Once.
    func start() {
        let started = NamedThread("headend-grpsave") { [mailbox] in
            while true {
                let jobs = mailbox.wait {
                    !$0.jobs.isEmpty || $0.isStopping
                } then: { mailbox in
                    defer { mailbox.jobs.removeAll(keepingCapacity: true) }
                    return mailbox.jobs
                }
                if jobs.isEmpty { return }
                for job in jobs { job() }
            }
        }
        thread.withLock { $0 = started }
    }

    /// Does something with files after all that was submitted before; from any thread.
    func submit(_ job: @escaping @Sendable () -> Void) { mailbox.update { $0.jobs.append(job) } }

    /// Returns when everything submitted is done.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }
}
