import DeviceQueue
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
    let place: QueryOpener.Place
    /// Once the thread is started, only that touches it.
    let fleet: QueryFleet
    private let thread = Mutex<NamedThread?>(nil)

    /// Opens the queries where their last checkpoints stand: the default one, those of the configuration, and those
    /// that were added at run time.
    ///
    /// - Parameters:
    ///   - place: its downstream, if there is one, is stopped with the service.
    ///   - runsMinute: whether the default query is among them.
    /// - Throws: what is damaged or wrong, and how to go on.
    init(
        _ place: QueryOpener.Place, storage: any StorageInbox, runsMinute: Bool, queries: [QueryDefinition]
    ) throws {
        self.place = place
        fleet = QueryFleet(queue: place.queue, storage: storage, clock: place.clock, threads: Self.threads)
        published = Mutex(runsMinute ? [QueryStatus()] : [])
        do {
            if runsMinute {
                try fleet.add(try QueryOpener(.minute, at: place), mustOpen: true)
            }
            let definitions = try QueryCatalog(place: place).definitions(
                configured: queries, threads: Self.threads)
            for made in Self.open(definitions, at: place) {
                let (opener, job) = try made.get()
                try fleet.add(opener, opened: job, mustOpen: false)
            }
            // Who asks before the first turn is over is told of them too.
            let statuses = fleet.statuses()
            published.withLock { $0 = statuses }
        } catch {
            place.downstream?.stop()
            throw error
        }
    }

    /// Opens many at once: each waits for some syncs.
    private static func open(
        _ definitions: [QueryDefinition], at place: QueryOpener.Place
    ) -> [Result<(QueryOpener, Result<QueryJob, any Error>), any Error>] {
        let made = Mutex<[Int: Result<(QueryOpener, Result<QueryJob, any Error>), any Error>]>([:])
        SideBySide.run(definitions.count, threads: threads) { number in
            let result = Result { try opened(definitions[number], at: place) }
            made.withLock { $0[number] = result }
        }
        return made.withLock { made in definitions.indices.compactMap { made[$0] } }
    }

    /// - Throws: what is wrong with a configured query. One that was added while the hub ran is shown as failed, and
    ///   the hub runs without it.
    private static func opened(
        _ definition: QueryDefinition, at place: QueryOpener.Place
    ) throws -> (QueryOpener, Result<QueryJob, any Error>) {
        do {
            let opener = try QueryOpener(definition, at: place)
            return (opener, Result { try opener.open() })
        } catch  where !definition.isConfigured {
            place.log("the query \(definition.name) does not run: \(error)")
            return (QueryOpener(waiting: definition, at: place), .failure(error))
        }
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
        place.downstream?.stop()
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

    /// As `perform`, and waits for it: for another thread than the cooperative pool's.
    private func wait<Success: Sendable>(
        for body: @escaping @Sendable (QueryFleet) throws -> Success
    ) throws -> Success {
        let outcome = Monitor<Result<Success, any Error>?>(nil)
        let isTaken = mailbox.update { mailbox in
            if !mailbox.hasEnded {
                mailbox.commands.append { fleet in
                    let result = Result { try body(fleet) }
                    return { outcome.update { $0 = result } }
                }
            }
            return !mailbox.hasEnded
        }
        guard isTaken, let result = outcome.wait(until: { $0 != nil }, then: { $0 }) else {
            throw QueryRequestError(.unavailable, "the hub stops")
        }
        return try result.get()
    }

    /// Puts rows to join with in force, and waits for that: for another thread than the cooperative pool's, which
    /// does what takes long, so that no query waits for it.
    ///
    /// - Throws: why the old ones stay.
    func adopt(_ contents: ReferenceContents, _ history: ReferenceHistory) throws {
        let plans = try wait { $0.plans(of: history.name) }
        let tables = try plans.map {
            try QueryFleet.table($0.plan, of: contents, in: history, for: $0.query)
        }
        try history.stage(contents)
        try wait { try $0.adopt(contents, as: history) }
        withExtendedLifetime(tables) {}
    }

    /// Makes a query, or changes the one of that name; see `QueryFleet.put`. What it joins with is made ready on a
    /// thread that may wait.
    func put(
        _ definition: QueryDefinition, isReset: Bool, isTrial: Bool
    ) async throws -> (isNew: Bool, effect: String) {
        let tables = try await HTTPService.blocking { [place] in
            let plan = try definition.plan(references: place.references.names)
            var tables = try place.references.tables(plan)
            if definition.start != .now { tables += try place.references.tables(plan, at: 0) }
            return tables
        }
        defer { withExtendedLifetime(tables) {} }
        return try await perform { [place] in
            try $0.put(definition, isReset: isReset, isTrial: isTrial, at: place)
        }
    }

    /// Lets a query go on; see `QueryFleet.resume`.
    func resume(_ name: String) async throws {
        let definition = statuses.first { $0.definition.name == name }?.definition
        let tables = try await HTTPService.blocking { [place] in
            // What cannot be had is told of when it is opened.
            guard let plan = try? definition?.plan(references: place.references.names) else {
                return [] as [ReferenceTable]
            }
            let offset = (try? place.folder(of: name).savedOffset) ?? definition?.startOffset
            return (try? place.references.tables(plan, at: offset)) ?? []
        }
        defer { withExtendedLifetime(tables) {} }
        // It is opened in the turn that follows, which is over when the next command is carried out.
        try await perform { [place] in try $0.resume(name, at: place) }
        try await perform { _ in }
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
