import DeviceQueue
import PerpetualQuery
import Platform
import ReferenceFiles
import Synchronization
import Telemetry

/// Looks after the files of reference data on a thread of its own: what has changed is read, and put in force when
/// it is right. What is not stays out, is shown, and is tried again.
final class ReferenceService: Sendable {
    /// Puts rows in force.
    typealias Adopt = @Sendable (ReferenceContents, ReferenceHistory) throws -> Void
    private typealias Answer = CheckedContinuation<ReferenceStatus, any Error>

    /// What is known of one file, by its place in the configuration. Confined to the thread, but for the status.
    private struct Watch {
        var fingerprints: [FileFingerprint] = []
        /// The last look did not settle the matter: the next one reads in any case.
        var isUnsettled = true
        var nextLook: UInt64 = 0
    }

    private struct Mailbox {
        var isStopping = false
        var asked: [(number: Int, answer: Answer)] = []
    }

    private let sources: [ReferenceSource]
    let shelf: ReferenceShelf
    private let reader: ReferenceReader
    private let files: any FileStore
    private let clock: any HubClock
    private let log: @Sendable (String) -> Void
    private let mailbox = Monitor(Mailbox())
    private let published: Mutex<[ReferenceStatus]>
    private let watches: Mutex<[Watch]>
    private let thread = Mutex<NamedThread?>(nil)

    /// Opens the histories; a reference without one is read here, and in force from the beginning of the log on.
    ///
    /// - Parameter mayLack: names, in small letters, of those that may be without rows until their file is right.
    /// - Throws: what is wrong with a file whose rows nobody knows yet, or what is damaged.
    init(
        _ sources: [ReferenceSource], queue: DeviceQueue, data: String, files: any FileStore,
        clock: any HubClock, mayLack: Set<String> = [],
        log: @escaping @Sendable (String) -> Void
    ) throws {
        self.sources = sources
        self.files = files
        self.clock = clock
        self.log = log
        reader = ReferenceReader(files: files)
        var histories: [ReferenceHistory] = []
        for source in sources {
            let history = try ReferenceHistory(
                name: source.name, data: data, files: files, logIdentity: queue.identity,
                durableEnd: queue.durableEnd.bytes, log: log)
            if history.newest == nil {
                do throws(ReferenceError) {
                    let contents = try reader.read(source)
                    try history.begin(with: contents, loadedTicks: clock.wallTicks())
                } catch {
                    // Else the first look tells of it.
                    guard mayLack.contains(source.name.lowercased()) else {
                        throw HubError("reference \(source.name): \(error)", isInput: error.kind == .input)
                    }
                }
            }
            histories.append(history)
        }
        shelf = ReferenceShelf(histories)
        watches = Mutex(sources.map { _ in Watch() })
        published = Mutex(zip(sources, histories).map { ReferenceStatus($0, $1) })
    }

    var statuses: [ReferenceStatus] {
        published.withLock { statuses in
            for index in statuses.indices { statuses[index].entries = shelf.histories[index].entries }
            return statuses
        }
    }

    /// Files that are of no use at the moment; the rows before them stay in force.
    var warnings: [String] {
        statuses.compactMap { status in
            status.failure.map { "reference \(status.source.name): \($0); \(status.consequence)" }
        }
    }

    // MARK: The thread

    /// Looks at every file once, before anything new is stored.
    func lookAtAll(_ adopt: Adopt) {
        for number in sources.indices { look(number, isAsked: false, adopt) }
    }

    func start(_ adopt: @escaping Adopt) {
        guard !sources.isEmpty else { return }
        let started = NamedThread("headend-refs", isBackground: true) { [self] in run(adopt) }
        thread.withLock { $0 = started }
    }

    func stop() {
        mailbox.update { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    /// Reads a file now, changed or not.
    ///
    /// - Throws: why its rows are not in force; `.unknown` for another name.
    func reload(_ name: String) async throws -> ReferenceStatus {
        guard let number = sources.firstIndex(where: { $0.name.lowercased() == name.lowercased() }) else {
            throw unknown(name)
        }
        return try await withCheckedThrowingContinuation { continuation in
            let isTaken = mailbox.update { mailbox in
                if !mailbox.isStopping { mailbox.asked.append((number, continuation)) }
                return !mailbox.isStopping
            }
            if !isTaken { continuation.resume(throwing: QueryRequestError(.unavailable, "the hub stops")) }
        }
    }

    func unknown(_ name: String) -> QueryRequestError {
        let names = sources.map(\.name)
        let hint = Suggestion.nearest(to: name, in: names).map { "; did you mean \($0)?" } ?? ""
        let list = names.isEmpty ? "none; name them in references:" : names.joined(separator: ", ")
        return QueryRequestError(.unknown, "no reference \"\(name)\"; there are: \(list)\(hint)")
    }

    private func run(_ adopt: Adopt) {
        while true {
            let now = clock.monotonicNanoseconds()
            let due = watches.withLock { watches in
                zip(sources, watches).compactMap { $0.refreshNanoseconds == nil ? nil : $1.nextLook }.min()
            }
            let (isStopping, asked) = mailbox.wait(
                timeoutNanoseconds: due.map { $0 > now ? $0 - now : 0 },
                until: { $0.isStopping || !$0.asked.isEmpty },
                then: { mailbox in
                    defer { mailbox.asked = [] }
                    return (mailbox.isStopping, mailbox.asked)
                })
            for (number, answer) in asked {
                if isStopping {
                    answer.resume(throwing: QueryRequestError(.unavailable, "the hub stops"))
                    continue
                }
                look(number, isAsked: true, adopt)
                let status = statuses[number]
                if let failure = status.failure {
                    answer.resume(throwing: QueryRequestError(.invalid, failure))
                } else {
                    answer.resume(returning: status)
                }
            }
            if isStopping { return }
            let time = clock.monotonicNanoseconds()
            for number in sources.indices where sources[number].refreshNanoseconds != nil {
                if watches.withLock({ $0[number].nextLook }) <= time { look(number, isAsked: false, adopt) }
            }
        }
    }

    // MARK: A look

    private func look(_ number: Int, isAsked: Bool, _ adopt: Adopt) {
        let source = sources[number]
        var watch = watches.withLock { $0[number] }
        defer {
            watch.nextLook = clock.monotonicNanoseconds() &+ (source.refreshNanoseconds ?? 0)
            watches.withLock { $0[number] = watch }
        }
        let before = fingerprints(of: source)
        let isSame = before != nil && before == watch.fingerprints
        if !isAsked, isSame, !watch.isUnsettled { return }
        var failure: String?
        do {
            let start = clock.monotonicNanoseconds()
            let limit = ReferenceLimits().queryNanoseconds
            let contents = try reader.read(source) { [mailbox, clock] in
                clock.monotonicNanoseconds() &- start > limit || mailbox.withLock { $0.isStopping }
            }
            // A database is read as one transaction; a file may be half of what it will be.
            guard source.format == .sqlite || fingerprints(of: source) == before else {
                throw ReferenceError(.busy, "\(source.path): is being written; it is read again")
            }
            let history = shelf.histories[number]
            if contents.hash != history.newest?.hash {
                try adopt(contents, history)
                log("reference \(source.name): \(contents.data.rowCount) rows of \(source.path) are in force")
                published.withLock { $0[number].loads += 1 }
            }
            watch.isUnsettled = !isSettled(before)
        } catch {
            let isWrong = (error as? ReferenceError)?.kind == .input
            watch.isUnsettled = !isWrong || !isSettled(before)
            failure = String(describing: error)
        }
        watch.fingerprints = before ?? []
        note(number, failure)
    }

    private func note(_ number: Int, _ failure: String?) {
        let now = EventTime(ticks: clock.wallTicks())
        let isNews = published.withLock { statuses in
            let isNews = failure != nil && failure != statuses[number].failure
            statuses[number].failure = failure
            if failure != nil { statuses[number].failures += 1 }
            statuses[number].lookedAt = now
            return isNews
        }
        if isNews, let failure {
            log("reference \(sources[number].name): \(failure); \(statuses[number].consequence)")
        }
    }

    /// Nil when it cannot be told.
    private func fingerprints(of source: ReferenceSource) -> [FileFingerprint]? {
        guard let own = try? files.fingerprint(source.path) else { return nil }
        // What a database has not moved into its file yet.
        let waiting = source.format == .sqlite ? try? files.fingerprint(source.path + "-wal") : nil
        return waiting.map { [own, $0] } ?? [own]
    }

    /// A file that was written a moment ago may be written again within the same tick of its clock.
    private func isSettled(_ fingerprints: [FileFingerprint]?) -> Bool {
        guard let fingerprints else { return false }
        let now = clock.wallTicks()
        return fingerprints.allSatisfy { $0.modifiedTicks < now - 2 * EventTime.ticksPerSecond }
    }
}

extension ReferenceHistory {
    /// The first rows: in force for everything.
    fileprivate func begin(with contents: ReferenceContents, loadedTicks: Int64) throws(ReferenceError) {
        do {
            try adopt(contents, at: 0, loadedTicks: loadedTicks, needed: 0, first: 0)
        } catch {
            throw ReferenceError(.environment, String(describing: error))
        }
    }
}
