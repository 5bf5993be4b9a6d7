import DeviceQueue
import MosquittoClient
import PerpetualQuery
import Platform
import ReferenceFiles
import ResultSink
import Synchronization
import Telemetry

/// The queries of a hub on a thread of their own. They read what is durable and nothing else, so a slow query or
/// sink delays only results.
final class QueryService: Sendable {
    /// Does something, and returns what tells whoever asked for it: afterwards, when status shows it.
    typealias Command = @Sendable (QueryFleet) -> @Sendable () -> Void

    private struct Mailbox {
        var hasNews = true
        var isStopping = false
        var hasEnded = false
        var commands: [Command] = []
    }

    private let mailbox = Monitor(Mailbox())
    private let published: Mutex<[QueryStatus]>
    private let downstream: DownstreamDelivery?
    let place: QueryOpener.Place
    private let fleet: QueryFleet
    private let thread = Mutex<NamedThread?>(nil)

    /// Opens the queries where their last checkpoints stand: the default one, those of the configuration, and those
    /// that were added at run time.
    ///
    /// - Parameters:
    ///   - runsMinute: whether the default query is among them.
    ///   - downstream: another broker that gets the rows of the default query too.
    /// - Throws: what is damaged or wrong, and how to go on.
    init(
        _ place: QueryOpener.Place, storage: any StorageInbox, runsMinute: Bool, queries: [QueryDefinition],
        downstream url: MosquittoURL?
    ) throws {
        guard runsMinute || url == nil else {
            throw QueryRequestError(
                .invalid,
                "a downstream gets the rows of the minute query, which is off: leave one of the two out")
        }
        self.place = place
        let minute = place.folder(of: DefaultQuery.name)
        downstream = try url.map {
            try DownstreamDelivery(
                url: $0, clientIdentifier: "headend-" + String(place.queue.identity, radix: 36),
                directory: minute.path, files: place.files, log: place.log)
        }
        fleet = QueryFleet(queue: place.queue, storage: storage, clock: place.clock, threads: Self.threads)
        published = Mutex(runsMinute ? [QueryStatus()] : [])
        do {
            if runsMinute {
                try fleet.add(
                    try QueryOpener(.minute, at: place, downstream: downstream), mustOpen: true)
            }
            let definitions = try QueryCatalog(place: place).definitions(
                configured: queries, threads: Self.threads)
            for made in Self.open(definitions, at: place) {
                let (opener, job) = try made.get()
                try fleet.add(opener, opened: job, mustOpen: false)
            }
        } catch {
            downstream?.stop()
            throw error
        }
    }

    /// Opens many at once: each waits for some syncs.
    private static func open(
        _ definitions: [QueryDefinition], at place: QueryOpener.Place
    ) -> [Result<(QueryOpener, Result<QueryJob, any Error>), any Error>] {
        let made = Mutex<[Int: Result<(QueryOpener, Result<QueryJob, any Error>), any Error>]>([:])
        SideBySide.run(definitions.count, threads: threads) { number in
            let result = Result {
                let opener = try QueryOpener(definitions[number], at: place, downstream: nil)
                return (opener, Result { try opener.open() })
            }
            made.withLock { $0[number] = result }
        }
        return made.withLock { made in definitions.indices.compactMap { made[$0] } }
    }

    /// The default query's; empty when it is off.
    var status: QueryStatus {
        published.withLock { $0.first { $0.definition.isDefault } ?? QueryStatus() }
    }
    var statuses: [QueryStatus] { published.withLock { $0 } }

    /// Starts the thread. Once.
    func start() {
        let started = NamedThread("headend-query") { [self] in run() }
        thread.withLock { $0 = started }
    }

    /// The durable end has moved.
    func wake() { mailbox.update { $0.hasNews = true } }

    /// Returns when everything durable is consumed and checkpointed and the sinks have had their chance.
    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
        downstream?.stop()
    }

    /// Does something on the thread of the queries.
    func perform<Success: Sendable>(
        _ body: @escaping @Sendable (QueryFleet) throws -> Success
    ) async throws -> Success {
        try await withCheckedThrowingContinuation { continuation in
            let isTaken = mailbox.update { mailbox in
                if !mailbox.hasEnded {
                    mailbox.commands.append { fleet in
                        let result = Result { try body(fleet) }
                        return { continuation.resume(with: result) }
                    }
                }
                return !mailbox.hasEnded
            }
            if !isTaken { continuation.resume(throwing: QueryRequestError(.unavailable, "the hub stops")) }
        }
    }

    /// Puts rows to join with in force, and waits for that: for another thread than the cooperative pool's.
    ///
    /// - Throws: why the old ones stay.
    func adopt(_ contents: ReferenceContents, _ history: ReferenceHistory) throws {
        let outcome = Monitor<Result<Void, any Error>?>(nil)
        let isTaken = mailbox.update { mailbox in
            if !mailbox.hasEnded {
                mailbox.commands.append { fleet in
                    let result = Result { try fleet.adopt(contents, as: history) }
                    return { outcome.update { $0 = result } }
                }
            }
            return !mailbox.hasEnded
        }
        guard isTaken else { throw QueryRequestError(.unavailable, "the hub stops") }
        try outcome.wait(until: { $0 != nil }, then: { $0 })?.get()
    }

    /// As `adopt`, before `start`.
    func adoptBeforeStart(_ contents: ReferenceContents, _ history: ReferenceHistory) throws {
        precondition(thread.withLock { $0 == nil }, "the fleet belongs to its thread")
        try fleet.adopt(contents, as: history)
    }

    /// The thread's body.
    private func run() {
        var isStopping = false
        var publishedAt: UInt64 = 0
        while !isStopping {
            let hasMore = fleet.hasMore
            let commands = mailbox.wait(timeoutNanoseconds: Self.pauseNanoseconds) {
                hasMore || $0.hasNews || $0.isStopping || !$0.commands.isEmpty
            } then: { mailbox in
                defer {
                    mailbox.commands = []
                    mailbox.hasNews = false
                }
                isStopping = mailbox.isStopping
                return mailbox.commands
            }
            carryOut(commands)
            fleet.turn(isStopping: isStopping)
            let now = place.clock.monotonicNanoseconds()
            // Of hundreds of queries it takes longer than their turn.
            let isTime = fleet.slots.count <= 8 || now &- publishedAt >= Self.publishNanoseconds
            guard isTime || isStopping || !commands.isEmpty else { continue }
            publishedAt = now
            let statuses = fleet.statuses()
            published.withLock { $0 = statuses }
        }
        // What comes in until then still has an answer.
        let rest = mailbox.withLock { mailbox in
            mailbox.hasEnded = true
            return mailbox.commands
        }
        carryOut(rest)
    }

    private func carryOut(_ commands: [Command]) {
        if commands.isEmpty { return }
        let answers = commands.map { $0(fleet) }
        let statuses = fleet.statuses()
        published.withLock { $0 = statuses }
        for answer in answers { answer() }
    }

    /// How long the thread sleeps when nothing arrives: bounds how late a tick or a delivery can be.
    private static let pauseNanoseconds: UInt64 = 200_000_000
    private static let publishNanoseconds: UInt64 = 100_000_000
    /// Queries that are opened or saved at once.
    private static let threads = 16
}
