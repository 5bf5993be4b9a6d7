import DeviceQueue
import PerpetualQuery
import Platform
import Telemetry

/// All queries of a hub on one thread: log → engines → outboxes → checkpoints → sinks, a turn at a time.
///
/// The queries that stand at the same place of the log read it together, and a payload is decoded once for all of
/// them. One that is behind (new, resumed, opened again after a failure) reads for itself until it is there. What
/// fails, fails alone.
///
/// `@unchecked Sendable`: made before its thread starts, and touched by that thread only.
final class QueryFleet: @unchecked Sendable {
    /// One query.
    final class Slot {
        var opener: QueryOpener
        var job: QueryJob?
        var isPaused: Bool
        /// A row failed and the policy is to stop.
        var isStopped = false
        var failure: (any Error)?
        var retryAt: UInt64 = 0
        /// Attempts that ended at a row that cannot be computed or put out, with the policy to try again.
        var blockedAttempts = 0
        /// When its fields were last compared with those that events have.
        var lookedAt: UInt64 = 0
        /// Before this place of the log it need not go again.
        var savedOffset: UInt64 = 0
        /// What it was joined with when it failed, for its next attempt.
        var tables: [ReferenceTable?] = []
        /// Its own reader while it is behind.
        var reader: LogReader?
        var lastStatus = QueryStatus()
        /// Reads together with others.
        var isTogether = false

        init(_ opener: QueryOpener) {
            self.opener = opener
            isPaused = opener.definition.isPaused
            lastStatus.definition = opener.definition
        }

        var name: String { opener.definition.name }
    }

    let queue: DeviceQueue
    private let storage: any StorageInbox
    let clock: any HubClock
    private(set) var slots: [Slot] = []
    /// Those that read together, where they stand, and what reads for them.
    var together: [Slot] = [] {
        didSet {
            for slot in oldValue { slot.isTogether = false }
            for slot in together { slot.isTogether = true }
        }
    }
    var position = QueueOffset(0)
    private var reader: LogReader?
    private(set) var bundle = QueryBundle([])
    /// One that is far behind, and what reads the log for it: it is not among those that read together.
    var ahead: (slot: Slot, log: LogAhead)?
    let aheadBytesMin: UInt64
    /// Which fields events have.
    var census = FieldCensus()
    /// Events before it were looked at: of what a query reads again none counts twice.
    var censusEnd = QueueOffset(0)
    /// The last turn left something to read.
    var hasMore = false
    /// Any of those that read together may have rows, not only those that the bundle tells of.
    private var mayAllHaveRows = false
    /// Threads that save and deliver at once.
    let threads: Int
    /// How long the thread may still wait for checkpoints: a tenth of its time, saved up to a moment.
    private var checkpointNanoseconds = QueryFleet.checkpointNanosecondsMax
    private var turnedAt: UInt64 = 0
    /// Where the checkpoints of this turn begin, so that all have theirs.
    private var firstToFinish = 0

    /// When a tick was asked for last.
    private var tickedAt: UInt64 = 0

    private static let checkpointNanosecondsMax: Int64 = 100_000_000
    /// The least time between two ticks: as long as the thread sleeps when nothing arrives.
    private static let tickNanoseconds: UInt64 = 200_000_000
    private static let retryNanoseconds: UInt64 = 1_000_000_000
    /// Blocks of the log a turn, so that a long replay still checkpoints and delivers now and then.
    private static let blocksPerTurn = 64
    private static let blocksBehindPerTurn = 16

    /// - Parameters:
    ///   - threads: how many queries are saved at once; with one, everything happens on the caller's thread.
    ///   - aheadBytesMin: a query that is further behind has the log read and decoded for it.
    init(
        queue: DeviceQueue, storage: any StorageInbox, clock: any HubClock, threads: Int = 1,
        aheadBytesMin: UInt64 = QueryFleet.aheadBytesMin
    ) {
        self.threads = threads
        self.aheadBytesMin = aheadBytesMin
        self.queue = queue
        self.storage = storage
        self.clock = clock
    }

    /// - Parameter mustOpen: a query that cannot be opened keeps the hub from starting; else it is shown as failed.
    /// - Parameter opened: the query when it has been opened already.
    func add(_ opener: QueryOpener, opened: Result<QueryJob, any Error>? = nil, mustOpen: Bool) throws {
        let slot = Slot(opener)
        if opener.plan == nil {
            // What it has not read stays until it can be opened.
            queue.hold(name: QueryJob.holdName(of: slot.name), from: opener.savedOffset)
        }
        do {
            slot.job = try opened?.get() ?? opener.open()
        } catch {
            if mustOpen { throw error }
            fail(slot, error)
        }
        slots.append(slot)
        // The default query first, the others by name.
        slots.sort {
            ($0.opener.definition.isDefault ? "" : $0.name) < ($1.opener.definition.isDefault ? "" : $1.name)
        }
    }

    func slot(_ name: String) -> Slot? { slots.first { $0.name == name } }

    /// Takes a query out; what it has done so far is checkpointed and delivered as far as that goes.
    ///
    /// - Parameter isLast: its outbox is not opened again.
    func close(_ slot: Slot, isLast: Bool) throws {
        regroup()
        bundle.settle()
        if let job = slot.job {
            try job.moveRows()
            try job.checkpointIfDue(now: clock.monotonicNanoseconds, force: true)
            _ = job.deliver(isStopping: true)
        }
        drop(slot, isLast: isLast)
    }

    func remove(_ slot: Slot) {
        drop(slot)
        slots.removeAll { $0 === slot }
    }

    private func drop(_ slot: Slot, isLast: Bool = false) {
        if ahead?.slot === slot { ahead = nil }
        slot.job?.close(isLast: isLast)
        slot.job = nil
        slot.reader = nil
        together.removeAll { $0 === slot }
        bundle.settle()
        bundle = QueryBundle(together.compactMap { $0.job?.query })
    }

    func fail(_ slot: Slot, _ error: any Error) {
        if ahead?.slot === slot { ahead = nil }
        slot.failure = error
        slot.lastStatus.failure = String(describing: error)
        if let job = slot.job {
            slot.tables = job.references.current
            job.close(isLast: false)
        }
        slot.job = nil
        slot.reader = nil
        slot.lastStatus.lastDropped = nil
        let isOfRow = error is QueryFailure || error is RowTooLarge
        let isRetried = slot.opener.definition.onError == .retry
        slot.isStopped = isOfRow && !isRetried
        slot.blockedAttempts = isOfRow && isRetried ? slot.blockedAttempts + 1 : 0
        // What is read again each time is what came since the last checkpoint.
        let pause = Self.retryNanoseconds << UInt64(min(max(slot.blockedAttempts - 1, 0), 5))
        slot.retryAt = clock.monotonicNanoseconds() &+ pause
    }

    // MARK: A turn

    /// Consumes what is durable, checkpoints what is due, and lets the sinks deliver.
    ///
    /// - Parameter isStopping: everything durable is consumed and checkpointed, whatever is due; a query that was
    ///   added and is behind is checkpointed where it stands.
    func turn(isStopping: Bool) {
        hasMore = false
        for slot in slots where slot.job == nil { open(slot) }
        regroup()
        if !isStopping { readAhead() }
        for slot in slots { catchUp(slot, isStopping: isStopping) }
        readTogether(isStopping: isStopping)
        bundle.settle()
        let now = EventTime(ticks: clock.wallTicks())
        // A tick wakes this thread again: joins that keep rows want one at every moment, and the log would fill with
        // them.
        let moment = clock.monotonicNanoseconds()
        let isTickAllowed = tickedAt == 0 || moment &- tickedAt >= Self.tickNanoseconds
        if !isStopping, isTickAllowed,
            together.contains(where: { $0.job?.query.needsTick(now: now) ?? false })
        {
            tickedAt = moment
            storage.requestTick()
        }
        finish(isStopping: isStopping)
        // Saved where it stands: it goes on from there at the next start.
        if isStopping { ahead = nil }
    }

    private func open(_ slot: Slot) {
        guard !slot.isPaused, !slot.isStopped,
            clock.monotonicNanoseconds() >= slot.retryAt || slot.failure == nil
        else { return }
        do {
            if slot.opener.plan == nil {
                slot.opener = try QueryOpener(slot.opener.definition, at: slot.opener.place)
            }
            slot.job = try slot.opener.open()
            slot.failure = nil
            slot.tables = []
        } catch {
            fail(slot, error)
        }
    }

    /// Who reads together: all that stand where the foremost one does.
    func regroup() {
        let running = slots.filter { $0.job != nil && !$0.isPaused && $0 !== ahead?.slot }
        if !running.contains(where: \.isTogether) {
            // Nobody is left of those that did, or nobody did yet.
            reader = nil
            position = QueueOffset(
                running.compactMap { $0.job.map { max($0.position, $0.resumeOffset).bytes } }.max() ?? 0)
        }
        let members = running.filter { $0.job.map { $0.position == position && !$0.isResuming } ?? false }
        guard members.count != together.count || !zip(members, together).allSatisfy({ $0 === $1 }) else {
            return
        }
        bundle.settle()
        together = members
        for slot in members { slot.reader = nil }
        bundle = QueryBundle(members.compactMap { $0.job?.query })
        if reader == nil, !members.isEmpty { reader = queue.makeReader(from: position) }
    }

    private func catchUp(_ slot: Slot, isStopping: Bool) {
        guard let job = slot.job, !slot.isPaused, !slot.isTogether, slot !== ahead?.slot else { return }
        let last = position
        do {
            var blocks = 0
            while job.position < last {
                // What it has done before it does again without rows, and not a record further.
                let end = job.isResuming ? min(job.resumeOffset, last) : last
                let reader = slot.reader ?? queue.makeReader(from: job.position)
                slot.reader = reader
                guard isStopping ? slot.opener.definition.isDefault : blocks < Self.blocksBehindPerTurn else {
                    hasMore = true
                    return
                }
                blocks += 1
                var failure: (any Error)?
                var samples = census.eventsPerBlock
                let hadBlock = try reader.next { frame in
                    guard failure == nil, frame.offset < end else { return }
                    do {
                        switch frame.kind {
                        case .record:
                            if samples > 0, frame.offset >= censusEnd {
                                samples -= 1
                                censusEnd = frame.nextOffset
                                census.take(frame.record.payload)
                            }
                            try job.switchReferences(at: frame.offset.bytes)
                            try job.query.process(frame.record, messageID: frame.messageID)
                        case .tick: try job.tick(arrival: frame.arrivalTime)
                        default: break
                        }
                    } catch {
                        failure = error
                    }
                }
                if let failure { throw failure }
                guard hadBlock else { return }
                try job.moveRows()
                job.position = min(reader.position, end)
                if reader.position > end { slot.reader = nil }
            }
            hasMore = true
        } catch {
            fail(slot, error)
        }
    }

    private func readTogether(isStopping: Bool) {
        regroup()
        guard let reader, !together.isEmpty else { return }
        var blocks = 0
        defer { for slot in together { slot.job?.position = position } }
        while !together.isEmpty {
            var failures: [(slot: Slot, error: any Error)] = []
            // What `self.bundle` is, without counting a reference a record; `drop` makes another one.
            var bundle = Unmanaged.passUnretained(self.bundle)
            var nextSwitch = nextSwitch
            var samples = census.eventsPerBlock
            do {
                let hadBlock = try reader.next { frame in
                    switch frame.kind {
                    case .record:
                        if samples > 0, frame.offset >= censusEnd {
                            samples -= 1
                            censusEnd = frame.nextOffset
                            census.take(frame.record.payload)
                        }
                        if frame.offset.bytes >= nextSwitch {
                            nextSwitch = switchReferences(at: frame.offset.bytes) {
                                failures.append(($0, $1))
                            }
                            if !failures.isEmpty {
                                drop(failed: &failures)
                                bundle = Unmanaged.passUnretained(self.bundle)
                                nextSwitch = self.nextSwitch
                            }
                        }
                        bundle._withUnsafeGuaranteedRef {
                            $0.process(frame.record, messageID: frame.messageID) { number, failure in
                                failures.append((together[number], failure))
                            }
                        }
                    case .tick:
                        self.bundle.settle()
                        mayAllHaveRows = true
                        for slot in together {
                            do { try slot.job?.tick(arrival: frame.arrivalTime) } catch {
                                failures.append((slot, error))
                            }
                        }
                    default: break
                    }
                    if !failures.isEmpty {
                        drop(failed: &failures)
                        bundle = Unmanaged.passUnretained(self.bundle)
                    }
                }
                guard hadBlock else { return }
            } catch {
                for slot in together { fail(slot, error) }
                together = []
                self.bundle = QueryBundle([])
                self.reader = nil
                return
            }
            position = reader.position
            moveRows(&failures)
            if !failures.isEmpty { drop(failed: &failures) }
            blocks += 1
            if blocks >= Self.blocksPerTurn, !isStopping {
                hasMore = true
                return
            }
        }
    }

    private func moveRows(_ failures: inout [(slot: Slot, error: any Error)]) {
        func move(_ slot: Slot) {
            do { try slot.job?.moveRows() } catch { failures.append((slot, error)) }
        }
        if mayAllHaveRows {
            for slot in together { move(slot) }
            bundle.takeRan { _ in }
        } else {
            bundle.takeRan { move(together[$0]) }
        }
        mayAllHaveRows = false
    }

    /// Takes those that failed out of those that read together. The rest keep their place in the block: nothing is
    /// given to them twice.
    private func drop(failed failures: inout [(slot: Slot, error: any Error)]) {
        bundle.settle()
        // The new bundle does not know who has got records of this block.
        mayAllHaveRows = true
        for failure in failures { fail(failure.slot, failure.error) }
        together.removeAll { slot in failures.contains { $0.slot === slot } }
        bundle = QueryBundle(together.compactMap { $0.job?.query })
        failures = []
    }

    /// Saves what is due, some queries at once, and lets the sinks deliver.
    private func finish(isStopping: Bool) {
        let now = clock.monotonicNanoseconds()
        let earned = Int64(clamping: (turnedAt == 0 ? 0 : now &- turnedAt) / 10)
        checkpointNanoseconds = min(
            checkpointNanoseconds + min(earned, Self.checkpointNanosecondsMax), Self.checkpointNanosecondsMax)
        turnedAt = now
        let first = firstToFinish % max(slots.count, 1)
        let due = (slots[first...] + slots[..<first]).filter {
            isStopping || $0.job?.needsFinish(now: now) ?? false
        }
        var at = 0
        var hasStopped = false
        while at < due.count {
            let some = due[at..<min(at + max(threads, 1), due.count)]
            let jobs = some.compactMap(\.job)
            let maySave = checkpointNanoseconds > 0 || isStopping
            if !maySave, !hasStopped, jobs.contains(where: { $0.isDue(now: now) }) {
                hasStopped = true
                firstToFinish = slots.firstIndex { $0 === some.first } ?? 0
            }
            let begun = clock.monotonicNanoseconds()
            let mayWait = isStopping || maySave && jobs.contains { $0.isDue(now: now) }
            SideBySide.run(jobs.count, threads: mayWait ? threads : 1) { [clock] in
                jobs[$0].finish(now: clock.monotonicNanoseconds, maySave: maySave, isStopping: isStopping)
            }
            if mayWait { checkpointNanoseconds -= Int64(clamping: clock.monotonicNanoseconds() &- begun) }
            at += some.count
        }
        for slot in due { if let job = slot.job { slot.savedOffset = job.baseOffset.bytes } }
        let failed = due.filter { $0.job?.failure != nil }
        if failed.isEmpty { return }
        for slot in failed { if let error = slot.job?.failure { fail(slot, error) } }
        bundle.settle()
        together.removeAll { slot in failed.contains { $0 === slot } }
        bundle = QueryBundle(together.compactMap { $0.job?.query })
    }
}
