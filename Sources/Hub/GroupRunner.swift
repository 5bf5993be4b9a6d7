import ConsumerGroups
import DeviceQueue
import Telemetry

/// What a consumer asks for.
struct GroupFetch: Sendable {
    var member: String
    /// Of an earlier answer; nil begins again with what is not committed.
    var session: UInt64?
    var recordsMax: Int
    var bytesMax: Int
    /// Nanoseconds to wait for a first record.
    var wait: UInt64
    /// Nanoseconds the member may be silent.
    var lease: UInt64
}

/// What it gets.
struct GroupFetched: Sendable {
    var delivery: Delivery
    /// In the order of `delivery.records`.
    var records: [TelemetryRecord]
}

typealias GroupReply<Success> = @Sendable (Result<Success, any Error>) -> Void

/// One group with its place in the log, its file, and the requests that wait. Confined to the thread of
/// `GroupService`.
final class GroupRunner {
    private struct Waiting {
        var fetch: GroupFetch
        /// Monotonic nanoseconds.
        var deadline: UInt64
        var reply: GroupReply<GroupFetched>
    }

    var core: ConsumerGroup
    private let file: GroupFile
    private let saver: GroupSaver
    /// Comes back to the groups' thread.
    private let later: GroupWorker.Later
    private let queue: DeviceQueue
    let limits: GroupLimits
    var reader: LogReader?
    /// Whether a device is the group's, by number: 0 not known yet, 1 no, 2 yes.
    private var matching: [UInt8] = []
    private var waiting: [Waiting] = []
    var subscribers: [Subscriber] = []
    /// The subscriber that was served first in the last turn, so that all have their turn.
    var firstServed = 0
    /// Commits that are done and wait for the file.
    private var unsaved: [GroupReply<Void>] = []
    private var savedRevision: UInt64
    private var savedCursor: QueueOffset
    /// When something that nobody waits for was first left unsaved; monotonic nanoseconds.
    private var unsavedSince: UInt64?
    private var isSaving = false
    /// Not before then is saving tried again.
    private var retryAt: UInt64 = 0
    private(set) var savingFailure: String?
    /// Why MQTT clients get nothing, when that is so.
    var readingFailure: String?
    /// Blocks of the log that this turn may still read.
    var blocksLeft = 0

    init(
        file: GroupFile, state: GroupState, queue: DeviceQueue, limits: GroupLimits,
        saver: GroupSaver, firstSession: UInt64,
        later: @escaping GroupWorker.Later
    ) {
        self.file = file
        self.saver = saver
        self.later = later
        self.queue = queue
        self.limits = limits
        core = ConsumerGroup(file.definition, state: state, limits: limits, firstSession: firstSession)
        savedRevision = core.revision
        savedCursor = state.cursor
        hold()
    }

    var definition: GroupDefinition { file.definition }
    var isWaiting: Bool { !waiting.isEmpty || subscribers.contains { hasRoom($0) } }

    // MARK: Requests

    func fetch(_ fetch: GroupFetch, now: UInt64, reply: @escaping GroupReply<GroupFetched>) {
        if let index = waiting.firstIndex(where: { $0.fetch.member == fetch.member }) {
            waiting.remove(at: index).reply(.failure(GroupError.superseded(member: fetch.member)))
        }
        // Enters the group now, so that the member keeps its place while it waits.
        waiting.append(Waiting(fetch: fetch, deadline: now + fetch.wait, reply: reply))
    }

    func commit(
        member: String, token: CommitToken, lease: UInt64, now: UInt64, nowTicks: Int64,
        reply: @escaping GroupReply<Void>
    ) {
        do {
            try core.commit(member: member, upTo: token, lease: lease, now: now, nowTicks: nowTicks)
            if core.revision == savedRevision { return reply(.success(())) }
            unsaved.append(reply)
        } catch {
            reply(.failure(error))
        }
    }

    func giveBack(member: String) throws { try core.giveBack(member: member) }

    func leave(member: String) throws {
        interrupt(GroupError.superseded(member: member)) { $0.member == member }
        guard core.leave(member: member) else {
            throw GroupError.unknownMember(group: definition.name, member: member)
        }
        if core.nextDeadline == nil { reader = nil }
    }

    func seek(to place: GroupPlace, reply: @escaping GroupReply<Void>) {
        interrupt(GroupError.interrupted(group: definition.name, cause: "was moved"))
        core.seek(to: place.offset, recordsBefore: place.recordsBefore)
        for index in subscribers.indices {
            subscribers[index].session =
                core.session(of: subscribers[index].join.member) ?? subscribers[index].session
            subscribers[index].join.void()
        }
        reader = nil
        hold()
        unsaved.append(reply)
    }

    /// The group goes; whoever waits is told.
    func remove(reply: @escaping GroupReply<Void>) {
        interrupt(GroupError.interrupted(group: definition.name, cause: "was deleted"))
        for subscriber in subscribers { subscriber.join.void() }
        queue.releaseHold(name: holdName)
        // Behind a save that is under way.
        saver.submit { [file, unsaved] in
            let result = Result { () throws(GroupFileError) in try file.remove() }
            reply(result.mapError { GroupError.storage($0.description) })
            for waiting in unsaved {
                waiting(.failure(GroupError.interrupted(group: file.definition.name, cause: "was deleted")))
            }
        }
        unsaved = []
    }

    /// Answers what waits for records.
    func interrupt(_ error: GroupError, where isMeant: (GroupFetch) -> Bool = { _ in true }) {
        for entry in waiting where isMeant(entry.fetch) { entry.reply(.failure(error)) }
        waiting.removeAll { isMeant($0.fetch) }
    }

    // MARK: Turns

    /// Reads on and answers what can be answered.
    func serve(now: UInt64) {
        blocksLeft = Self.blocksPerTurn
        push(now: now)
        guard !waiting.isEmpty else { return }
        var rest: [Waiting] = []
        for var entry in waiting {
            do {
                if let fetched = try attempt(&entry, now: now) {
                    entry.reply(.success(fetched))
                } else {
                    rest.append(entry)
                }
            } catch {
                entry.reply(.failure(error))
            }
        }
        waiting = rest
    }

    /// - Returns: nil when the request goes on waiting.
    private func attempt(_ entry: inout Waiting, now: UInt64) throws -> GroupFetched? {
        while true {
            let fetch = entry.fetch
            let delivery = try core.fetch(
                member: fetch.member, session: fetch.session, recordsMax: fetch.recordsMax,
                bytesMax: fetch.bytesMax, lease: fetch.lease, now: now)
            // Asked again it goes on with its session, and the member lives while it waits.
            entry.fetch.session = delivery.session
            if !delivery.records.isEmpty {
                if let fetched = try contents(delivery, fetch.member) { return fetched }
                entry.fetch.session = nil
            } else if blocksLeft == 0 {
                return nil
            } else if try !readOn() {
                if now >= entry.deadline { return GroupFetched(delivery: delivery, records: []) }
                core.keep(
                    member: fetch.member, session: delivery.session, until: entry.deadline + fetch.lease)
                return nil
            }
        }
    }

    /// - Returns: nil when retention has removed some of them meanwhile.
    func contents(_ delivery: Delivery, _ member: String) throws -> GroupFetched? {
        do throws(QueueError) {
            return GroupFetched(
                delivery: delivery, records: try queue.records(at: delivery.records.map(\.offset)))
        } catch {
            // Nobody gets them; they are handed out again to whoever asks next.
            try core.giveBack(member: member)
            guard case .removed = error, core.cursor < queue.firstOffset else {
                throw failed(error)
            }
            try fallBack()
            return nil
        }
    }

    /// Reads a block of the log into the window.
    ///
    /// - Returns: false when there is nothing new, or no room for it.
    func readOn() throws -> Bool {
        guard core.hasRoom else { return false }
        blocksLeft -= 1
        if core.readOffset < queue.firstOffset { try fallBack() }
        do throws(QueueError) {
            let log = reader ?? queue.makeReader(from: core.readOffset)
            reader = log
            let isMore = try log.next { frame in
                guard frame.kind == .record, isMatching(frame.device) else { return }
                core.take(
                    GroupRecord(
                        offset: frame.offset, next: frame.nextOffset, device: frame.device,
                        sequence: frame.sequence, arrivalTicks: frame.arrivalTime.ticks))
            }
            if isMore { core.skip(to: log.position) }
            return isMore
        } catch {
            reader = nil
            guard case .removed = error, core.readOffset < queue.firstOffset else {
                throw failed(error)
            }
            try fallBack()
            return true
        }
    }

    private func failed(_ error: QueueError) -> GroupError {
        .failed(group: definition.name, cause: error.description)
    }

    /// Goes on at the first record that is left.
    private func fallBack() throws {
        reader = nil
        do throws(QueueError) {
            let place = try GroupPlace.place(queue.firstOffset, definition.devices, in: queue)
            core.overtaken(first: place.offset, recordsBefore: place.recordsBefore)
        } catch {
            throw failed(error)
        }
    }

    private func isMatching(_ device: UInt32) -> Bool {
        let index = Int(device)
        if index >= matching.count {
            matching.append(contentsOf: repeatElement(0, count: max(1_024, index + 1 - matching.count)))
        }
        if matching[index] == 0 {
            // A device whose name is not known now (it never is in the log before its name) is asked for again.
            guard let id = queue.deviceID(device) else { return false }
            matching[index] = definition.devices.matches(id.text) ? 2 : 1
        }
        return matching[index] == 2
    }

    /// Has what is committed saved, if somebody waits for it or it has waited long enough. What comes while the disk
    /// works waits for the next turn, and shares the next sync.
    ///
    /// - Parameter isForced: at the end, also behind a save that is under way.
    func saveIfDue(now: UInt64, isForced: Bool = false) {
        let isDirty =
            core.revision != savedRevision
            || core.cursor.bytes - min(core.cursor.bytes, savedCursor.bytes) > limits.unsavedBytes
        guard isDirty, !isSaving || isForced else { return }
        let since = unsavedSince ?? now
        unsavedSince = since
        let isDue = !unsaved.isEmpty || now >= since + Self.patienceNanoseconds
        guard isForced || (isDue && now >= retryAt) else { return }
        isSaving = true
        unsavedSince = nil
        let state = core.state
        let revision = core.revision
        let replies = unsaved
        unsaved = []
        saver.submit { [file, later] in
            let result = Result { () throws(GroupFileError) in try file.save(state) }
                .mapError { GroupError.storage($0.description) }
            for reply in replies { reply(result.mapError { $0 }) }
            _ = later { worker in worker.saved(file, result, revision: revision, cursor: state.cursor) }
        }
    }

    /// Whether the file is this group's: another of the same name may have come since.
    func owns(_ other: GroupFile) -> Bool { other === file }

    func saved(_ result: Result<Void, GroupError>, revision: UInt64, cursor: QueueOffset, now: UInt64) {
        isSaving = false
        switch result {
        case .success:
            savingFailure = nil
            savedRevision = revision
            savedCursor = cursor
            hold()
            guard core.revision == savedRevision else { return }
            // Repeated while the disk worked: nothing is left to save for them.
            let replies = unsaved
            unsaved = []
            for reply in replies { reply(.success(())) }
        case .failure(let error):
            savingFailure = error.description
            retryAt = now + Self.retryNanoseconds
        }
    }

    /// At the end.
    func close() { saver.submit { [file] in file.close() } }

    /// Members that were silent for too long go.
    func expire(now: UInt64) {
        if core.expire(now: now), core.nextDeadline == nil { reader = nil }
    }

    /// When there is something to do although nothing happens; monotonic nanoseconds.
    var nextDeadline: UInt64? {
        // A long stretch of other devices: the other groups have had their turn.
        if isWaiting, blocksLeft <= 0 { return 0 }
        var next = core.nextDeadline
        for entry in waiting { next = min(next ?? .max, entry.deadline) }
        if let unsavedSince {
            next = min(next ?? .max, max(unsavedSince + Self.patienceNanoseconds, retryAt))
        }
        return next
    }

    private var holdName: String { "group:" + definition.name }

    /// From what is saved, for after a crash the group goes on from there, and from where it goes on now: it may have
    /// been moved back.
    private func hold() {
        if definition.mustNotMiss { queue.hold(name: holdName, from: min(savedCursor, core.cursor)) }
    }

    /// Takes note of what retention removed before the group committed it, also when nobody fetches or commits.
    func noticeRemoval() {
        if core.cursor < queue.firstOffset { try? fallBack() }
    }

    /// Records of the group's devices that are stored and not committed.
    func lag(_ snapshot: GroupSnapshot) -> UInt64 {
        let total = queue.recordTotal { isMatching($0) }
        return total > snapshot.recordsDone ? total - snapshot.recordsDone : 0
    }

    /// Reads until the first record that is not committed is known, at most some blocks.
    func lookAhead() {
        guard core.snapshot(now: 0).oldestArrivalTicks == nil else { return }
        let hadReader = reader != nil
        for _ in 0..<Self.blocksPerTurn {
            guard let isMore = try? readOn(), isMore, core.snapshot(now: 0).oldestArrivalTicks == nil else {
                break
            }
        }
        if !hadReader { reader = nil }
    }

    /// How long something that nobody waits for may be unsaved: ten syncs a second at most for MQTT members.
    private static let patienceNanoseconds: UInt64 = 100_000_000
    private static let retryNanoseconds: UInt64 = 1_000_000_000
    /// 16 MiB with the default block: some 10 ms, after which others have their turn.
    private static let blocksPerTurn = 16
}
