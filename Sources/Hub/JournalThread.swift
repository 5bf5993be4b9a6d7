package import BrokerJournal
package import MQTTBroker
import Platform
import Synchronization

/// The thread that reads what waits on disk for clients that are back, and removes what the journal needs no more.
final class JournalThread: JournalInbox {
    private enum Job: Sendable {
        case read(BacklogRequest, @Sendable (sending [Message?]) -> Void)
        case clean(JournalCleaned)
    }

    private struct Mailbox {
        /// Bounded: a connection has one read at a time, and the broker one cleaning.
        var jobs: [Job] = []
        var isStopping = false
    }

    private let journal: JournalLog
    private let wallOffset: Int64
    private let log: @Sendable (String) -> Void
    private let mailbox = Monitor(Mailbox())
    private let thread = Mutex<NamedThread?>(nil)

    /// - Parameter wallOffset: see `BrokerRestore`.
    init(journal: JournalLog, wallOffset: Int64, log: @escaping @Sendable (String) -> Void) {
        self.journal = journal
        self.wallOffset = wallOffset
        self.log = log
    }

    func read(_ request: BacklogRequest, _ completion: @escaping @Sendable (sending [Message?]) -> Void) {
        mailbox.update { $0.jobs.append(.read(request, completion)) }
    }

    func clean(_ cleaned: JournalCleaned) { mailbox.update { $0.jobs.append(.clean(cleaned)) } }

    func start() {
        let started = NamedThread("headend-journal") { self.run() }
        thread.withLock { $0 = started }
    }

    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    private func run() {
        while true {
            let (jobs, isStopping) = mailbox.wait {
                !$0.jobs.isEmpty || $0.isStopping
            } then: { mailbox in
                defer { mailbox.jobs.removeAll(keepingCapacity: true) }
                return (mailbox.jobs, mailbox.isStopping)
            }
            if isStopping { return }
            for job in jobs {
                switch job {
                case .read(let request, let completion): completion(bodies(request))
                case .clean(let cleaned): remove(cleaned)
                }
            }
        }
    }

    private func bodies(_ request: BacklogRequest) -> [Message?] {
        JournalBodies.read(request, from: journal, wallOffset: wallOffset) { error in
            log("sessions: a waiting message is lost: \(error)")
        }
    }

    private func remove(_ cleaned: JournalCleaned) {
        do throws(JournalError) {
            try journal.clean(before: cleaned.cut, keeping: cleaned.blocks)
        } catch {
            // The next cleaning tries again; what stays is room on the disk and nothing else.
            log("sessions: the journal could not be cleaned: \(error)")
        }
    }
}

/// Messages from the records of the journal.
package enum JournalBodies {
    /// - Parameter report: gets what does not read back.
    /// - Returns: as many as there are positions, in their order.
    package static func read(
        _ request: BacklogRequest, from journal: JournalLog, wallOffset: Int64,
        report: (JournalError) -> Void
    ) -> [Message?] {
        var bodies: [Message?] = []
        bodies.reserveCapacity(request.positions.count)
        var last: (position: UInt64, body: Message?)?
        for position in request.positions {
            if let last, last.position == position {
                bodies.append(last.body)
                continue
            }
            var message: Message?
            do throws(JournalError) {
                let record = try journal.record(at: position)
                message = record.body.withUnsafeBytes {
                    Message(journalled: $0, at: position, wallOffset: wallOffset)
                }
            } catch { report(error) }
            bodies.append(message)
            last = (position, message)
        }
        return bodies
    }
}
