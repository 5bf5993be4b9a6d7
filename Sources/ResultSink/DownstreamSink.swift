package import MosquittoClient
package import Platform

/// One entry of the outbox: a result row and where it goes, or a mark between rows.
package struct OutboxEntry: Sendable {
    /// Where the entry begins, and where the next one does.
    package var position: UInt64
    package var nextPosition: UInt64
    /// False for marks, which are not sent.
    package var isRow: Bool
    /// The row's topic, without the downstream prefix.
    package var topic: String
    /// The row's result id in text.
    package var rid: String
    /// The row, as it is sent.
    package var json: [UInt8]

    package init(
        position: UInt64, nextPosition: UInt64, isRow: Bool, topic: String, rid: String, json: [UInt8]
    ) {
        self.position = position
        self.nextPosition = nextPosition
        self.isRow = isRow
        self.topic = topic
        self.rid = rid
        self.json = json
    }
}

/// The rows a sink delivers, in order and durable: read by the sink's thread, appended to by another.
package protocol OutboxReader: Sendable {
    /// At most `limit` entries from a position on; none when there are no more yet.
    func read(from position: UInt64, limit: Int) throws -> [OutboxEntry]
    /// How many rows some entries from a position on are, and where those entries end; none when there are no more
    /// yet.
    func countRows(from position: UInt64) throws -> (rows: Int, end: UInt64)
    /// Where the next entry will begin.
    var endPosition: UInt64 { get }
}

/// Forwards result rows to another MQTT broker: QoS 1, in the outbox's order, each with its result id as the
/// MQTT 5 user property `rid` (and `_rid` in the row). A row is removed only when the broker has acknowledged
/// it, so it arrives at least once and always under the same id, whatever crashes between.
///
/// A broker that is down, or cannot be found, costs nothing but the rows' delay: they wait in the outbox and
/// the sink tries again for ever. Disk work happens on a thread of the sink's own, network work on the client
/// loop.
///
/// `@unchecked Sendable`: `state` is shared and guarded by its monitor; the fields of the worker's own
/// (`Reader`) are local to its thread; the sender is confined to the loop.
package final class DownstreamSink: @unchecked Sendable {
    package struct Limits: Sendable {
        /// Rows sent and not acknowledged; keeps a slow line busy without a long resend after a reconnect.
        package var inflightMax = 500
        /// Entries in memory, those in flight included: the next are ready when the window moves.
        package var bufferedMax = 1_000
        /// Least time between two saves of the cursor; a crash sends at most what was acknowledged since
        /// again.
        package var savePeriod = Duration.milliseconds(200)
        /// Wait after the outbox could not be read, the cursor not saved or a row was refused.
        package var retryPeriod = Duration.seconds(1)
        /// Between attempts to connect.
        package var backoff = MosquittoBackoff()

        package init() {}
    }

    /// What the sink has done since it was made. `offered = delivered + outbox`.
    package struct Counters: Sendable, Equatable {
        /// Rows after the cursor's place at start.
        package var offered = 0
        /// Rows acknowledged by the broker.
        package var delivered = 0
        /// Every entry before this place is delivered; retention may delete up to here once it is saved.
        package var position: UInt64 = 0
        /// The place that is on disk: where a restart begins.
        package var savedPosition: UInt64 = 0
        /// What keeps rows waiting, in words; nil while they flow.
        package var failure: String?
        /// `connecting`, `connected (MQTT 5)`, `down: …`, `stopped`.
        package var state = "not started"

        /// Rows that wait for their acknowledgement.
        package var outbox: Int { offered - delivered }

        package init() {}
    }

    struct State {
        var counters = Counters()
        /// There may be new entries, or room for some.
        var hasWork = false
        /// The worker is looking for entries; `hasWork` does not tell of those any more.
        var isReading = false
        /// Entries handed to the sender and not retired yet.
        var bufferedCount = 0
        var isConnected = false
        var isStopping = false
        /// End as a crash would.
        var isAbandoned = false
    }

    private let outbox: any OutboxReader
    private let cursor: SinkCursor
    private let loop: MosquittoLoop
    private let limits: Limits
    private let clock: any HubClock
    private let log: @Sendable (String) -> Void
    private let name: String
    private let sender: DownstreamSender
    private let state: Monitor<State>
    private let worker = Monitor<NamedThread?>(nil)

    /// - Parameters:
    ///   - clientIdentifier: at the other broker; two hubs must not share one.
    ///   - cursorPath: the file that remembers what is delivered; its directory exists.
    ///   - loop: drives the connection; may be shared.
    ///   - log: gets one line when delivery stops and one when it goes on.
    ///   - retain: whether the other broker keeps the last row of each topic.
    ///   - authorityFile: PEM with the authorities to trust for `mqtts`; nil trusts the system's.
    ///   - label: whose rows they are, for the log; nil when that is clear.
    /// - Throws: `SealedFileError` when the cursor cannot be read.
    package init(
        url: MosquittoURL, clientIdentifier: String, outbox: any OutboxReader, cursorPath: String,
        files: any FileStore, loop: MosquittoLoop, log: @escaping @Sendable (String) -> Void,
        retain: Bool = false,
        authorityFile: String? = nil, label: String? = nil, limits: Limits = Limits(),
        clock: any HubClock = SystemClock()
    ) throws {
        self.outbox = outbox
        self.loop = loop
        self.limits = limits
        self.clock = clock
        self.log = log
        name = "downstream \(url)" + (label.map { " (\($0))" } ?? "")
        cursor = SinkCursor(path: cursorPath, files: files)
        var first = State()
        first.counters.position = try cursor.load() ?? 0
        first.counters.savedPosition = first.counters.position
        first.hasWork = true
        let state = Monitor(first)
        self.state = state
        sender = DownstreamSender(
            url: url, clientIdentifier: clientIdentifier, retain: retain, authorityFile: authorityFile,
            loop: loop,
            limits: limits, state: state, name: name, log: log)
    }

    package var counters: Counters { state.withLock { $0.counters } }

    /// Starts to connect and to send. Once.
    package func start() {
        let isFirst = worker.withLock { thread in
            guard thread == nil else { return false }
            thread = NamedThread("downstream") { self.run() }
            return true
        }
        precondition(isFirst, "a downstream sink starts once")
        loop.perform { [sender] in sender.start() }
    }

    /// There are new entries. From any thread; never waits.
    package func wake() { state.update { $0.hasWork = true } }

    /// Waits a moment for rows that are on their way while the broker is there, ends the connection, saves
    /// the cursor and ends the thread. Not from the loop's thread.
    ///
    /// - Parameter drain: how long to wait at most; rows that did not make it are sent after the next start.
    package func stop(drain: Duration = .seconds(2)) {
        state.update { $0.hasWork = true }
        state.wait(
            timeoutNanoseconds: drain.nanoseconds,
            until: { state in
                let isIdle = !state.hasWork && !state.isReading
                let isDrained = isIdle && state.counters.outbox == 0 && state.bufferedCount == 0
                return isDrained || !state.isConnected || state.isStopping
            }, then: { _ in })
        end { $0.stop() }
    }

    /// Ends as a crash would: nothing is saved, no DISCONNECT is sent. For tests.
    package func abandon() {
        state.update { $0.isAbandoned = true }
        end { $0.abandon() }
    }

    private func end(_ body: @escaping @Sendable (DownstreamSender) -> Void) {
        let finished = Monitor(false)
        let sender = sender
        let isAccepted = loop.perform {
            body(sender)
            finished.update { $0 = true }
        }
        if isAccepted { finished.wait(until: { $0 }, then: { _ in }) }
        state.update { $0.isStopping = true }
        let thread = worker.withLock { stored in
            defer { stored = nil }
            return stored
        }
        thread?.join()
        state.update { $0.counters.state = "stopped" }
    }
}

// The sink's thread: reads the outbox, saves the cursor.
extension DownstreamSink {
    private struct Reader {
        /// The next entry to hand to the sender.
        var readPosition: UInt64
        /// Rows before this place are counted in `offered`.
        var countedPosition: UInt64
        var savedAt: UInt64 = 0
        /// After a failure: no disk work before this moment.
        var retryAt: UInt64 = 0
        var hasToldFailure = false
    }

    private func run() {
        let start = state.withLock { $0.counters.position }
        var reader = Reader(readPosition: start, countedPosition: start)
        reader.savedAt = clock.monotonicNanoseconds()
        var isStopping = false
        while !isStopping {
            let timeout = nextDeadline(of: reader)
            let isRetrying = reader.retryAt > clock.monotonicNanoseconds()
            isStopping = state.wait(
                timeoutNanoseconds: timeout, until: { ($0.hasWork && !isRetrying) || $0.isStopping },
                then: { $0.isStopping })
            if isStopping { break }
            guard reader.retryAt <= clock.monotonicNanoseconds() else { continue }
            do {
                try saveCursor(&reader, isForced: false)
                defer { state.update { $0.isReading = false } }
                while try readOnce(&reader) {}
                if reader.hasToldFailure { recovered(&reader) }
            } catch {
                failed(error, &reader)
            }
        }
        guard !state.withLock({ $0.isAbandoned }) else { return }
        do { try saveCursor(&reader, isForced: true) } catch { failed(error, &reader) }
    }

    /// Nanoseconds to wait for work; nil: until somebody calls.
    private func nextDeadline(of reader: Reader) -> UInt64? {
        let now = clock.monotonicNanoseconds()
        if reader.retryAt > now { return reader.retryAt - now }
        let isSaved = state.withLock { $0.counters.position == $0.counters.savedPosition }
        if isSaved { return nil }
        let due = reader.savedAt &+ limits.savePeriod.nanoseconds
        return due > now ? due - now : 0
    }

    /// Reads what there is room for, or counts what waits behind.
    ///
    /// - Returns: whether there may be more to do at once.
    private func readOnce(_ reader: inout Reader) throws -> Bool {
        let room = state.withLock { state in
            state.hasWork = false
            state.isReading = true
            return limits.bufferedMax - state.bufferedCount
        }
        let end = outbox.endPosition
        if room > 0, reader.readPosition < end {
            let entries = try outbox.read(from: reader.readPosition, limit: room)
            guard let last = entries.last else { return false }
            reader.readPosition = last.nextPosition
            count(entries, &reader)
            loop.perform { [sender] in sender.offer(entries) }
            return true
        }
        // The window is full. What waits is counted all the same, so that the counters add up.
        if reader.countedPosition < end {
            let counted = try outbox.countRows(from: reader.countedPosition)
            guard counted.end > reader.countedPosition else { return false }
            reader.countedPosition = counted.end
            state.withLock { $0.counters.offered += counted.rows }
            return true
        }
        return false
    }

    /// Counts entries that are handed to the sender.
    private func count(_ entries: [OutboxEntry], _ reader: inout Reader) {
        var rows = 0
        for entry in entries where entry.isRow && entry.position >= reader.countedPosition { rows += 1 }
        if let last = entries.last { reader.countedPosition = max(reader.countedPosition, last.nextPosition) }
        state.withLock { state in
            state.counters.offered += rows
            state.bufferedCount += entries.count
        }
    }

    private func saveCursor(_ reader: inout Reader, isForced: Bool) throws {
        let (position, saved) = state.withLock { ($0.counters.position, $0.counters.savedPosition) }
        let now = clock.monotonicNanoseconds()
        guard position != saved, isForced || now >= reader.savedAt &+ limits.savePeriod.nanoseconds else {
            return
        }
        reader.savedAt = now
        try cursor.save(position)
        state.update { $0.counters.savedPosition = position }
    }

    private func failed(_ error: any Error, _ reader: inout Reader) {
        reader.retryAt = clock.monotonicNanoseconds() &+ limits.retryPeriod.nanoseconds
        state.update { state in
            state.hasWork = true
            state.counters.failure = "\(error)"
        }
        if !reader.hasToldFailure { log("\(name): \(error); trying again until it works") }
        reader.hasToldFailure = true
    }

    private func recovered(_ reader: inout Reader) {
        reader.hasToldFailure = false
        state.update { $0.counters.failure = nil }
        log("\(name): reading and saving work again")
    }
}

extension Duration {
    /// Whole nanoseconds; 0 when negative, capped at about 292 years.
    fileprivate var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        guard seconds < 9_000_000_000 else { return 9_000_000_000_000_000_000 }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
