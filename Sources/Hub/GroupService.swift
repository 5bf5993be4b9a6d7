import ConsumerGroups
import DeviceQueue
import Platform
import Synchronization
import Telemetry

/// The consumer groups of a hub, on a thread of their own: it reads the log for them, hands out records, and saves
/// their places. Requests that find nothing wait here for the next commit of the log, not in a loop.
final class GroupService: Sendable {
    typealias Command = @Sendable (GroupWorker) -> Void

    private struct Mailbox {
        var commands: [Command] = []
        /// The log has grown, and somebody waits for that.
        var hasNews = false
        var isListening = false
        var isStopping = false
        /// Nothing is done any more.
        var hasEnded = false
        /// Groups that were placed or moved.
        var placings: UInt64 = 0
    }

    let queue: DeviceQueue
    let limits: GroupLimits
    private let clock: any HubClock
    private let mailbox: Monitor<Mailbox>
    private let thread = Mutex<NamedThread?>(nil)
    private let worker: GroupWorker
    private let saver = GroupSaver()

    /// Reads the groups that there are.
    ///
    /// - Parameters:
    ///   - directory: `<data>/groups`; made when it is missing.
    ///   - log: gets a line for each group that cannot be used.
    /// - Throws: what the disk refuses.
    init(
        queue: DeviceQueue, directory: String, files: any FileStore, clock: any HubClock,
        limits: GroupLimits = GroupLimits(), log: @escaping @Sendable (String) -> Void
    ) throws {
        self.queue = queue
        self.limits = limits
        self.clock = clock
        let mailbox = Monitor(Mailbox())
        self.mailbox = mailbox
        // Here and not on the thread: retention hears of the groups before it removes anything.
        worker = try GroupWorker(
            queue: queue, directory: directory, files: files, clock: clock, limits: limits,
            saver: saver, log: log,
            later: { command in Self.submit(command, to: mailbox) })
    }

    /// Starts the thread. Once.
    func start() {
        saver.start()
        let started = NamedThread("headend-groups") { [self] in run() }
        thread.withLock { $0 = started }
    }

    func wallTicks() -> Int64 { clock.wallTicks() }

    /// The durable end has moved.
    func wake() {
        // Once a commit of the log: nobody is woken when nobody waits.
        let isListening = mailbox.withLock { $0.isListening && !$0.hasNews }
        if isListening { mailbox.update { $0.hasNews = true } }
    }

    /// Answers every request that waits; later ones are refused.
    func interrupt() {
        submit { $0.interrupt() }
    }

    /// Returns when everything is saved.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
        saver.stop()
    }

    /// A number that no other placing of a group has.
    func nextPlacing() -> UInt64 {
        mailbox.withLock {
            $0.placings += 1
            return $0.placings
        }
    }

    /// Does something on the thread of the groups.
    ///
    /// - Returns: false when that has ended.
    @discardableResult
    func submit(_ command: @escaping Command) -> Bool { Self.submit(command, to: mailbox) }

    @discardableResult
    private static func submit(_ command: @escaping Command, to mailbox: Monitor<Mailbox>) -> Bool {
        mailbox.update { mailbox in
            if !mailbox.hasEnded { mailbox.commands.append(command) }
            return !mailbox.hasEnded
        }
    }

    /// As `submit`, with a result.
    func perform<Success: Sendable>(
        _ body: @escaping @Sendable (GroupWorker) throws -> Success
    ) async throws -> Success {
        try await request { worker, reply in reply(Result { try body(worker) }) }
    }

    /// As `perform`, for what is answered later.
    func request<Success: Sendable>(
        _ body: @escaping @Sendable (GroupWorker, @escaping GroupReply<Success>) -> Void
    ) async throws -> Success {
        try await withCheckedThrowingContinuation { continuation in
            let isTaken = submit { worker in body(worker) { continuation.resume(with: $0) } }
            if !isTaken { continuation.resume(throwing: GroupError.stopping) }
        }
    }

    private func run() {
        var isStopping = false
        while !isStopping {
            // Before the log is looked at: what comes after that look is news.
            mailbox.withLock { $0.isListening = worker.isWaiting }
            worker.turn()
            let now = clock.monotonicNanoseconds()
            let timeout = worker.nextDeadline.map { $0 > now ? $0 - now : 0 }
            let commands = mailbox.wait(timeoutNanoseconds: timeout) {
                !$0.commands.isEmpty || $0.hasNews || $0.isStopping
            } then: { mailbox in
                defer {
                    mailbox.commands.removeAll(keepingCapacity: true)
                    mailbox.hasNews = false
                }
                isStopping = mailbox.isStopping
                return mailbox.commands
            }
            for command in commands { command(worker) }
        }
        // What comes in until then still has an answer.
        let rest = mailbox.withLock { mailbox in
            mailbox.hasEnded = true
            return mailbox.commands
        }
        for command in rest { command(worker) }
        worker.stop()
    }
}
