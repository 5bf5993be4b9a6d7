import ConsumerGroups
import DeviceQueue
import Platform
import Telemetry

/// All groups.
///
/// `@unchecked Sendable`: confined to the thread of `GroupService` from its start on.
final class GroupWorker: @unchecked Sendable {
    /// Does something on the groups' thread when its other work is done; false when that has ended.
    typealias Later = @Sendable (@escaping GroupService.Command) -> Bool

    private let queue: DeviceQueue
    private let directory: String
    private let files: any FileStore
    private let log: @Sendable (String) -> Void
    let clock: any HubClock
    let limits: GroupLimits
    private var runners: [String: GroupRunner] = [:]
    /// The same in the order of their names.
    private(set) var groups: [GroupRunner] = []
    /// Groups that cannot be used, and why.
    private var failures: [String: String] = [:]
    /// Groups whose file is being written for the first time.
    private var coming: Set<String> = []
    private var isStopped = false
    private let saver: GroupSaver
    private let later: Later

    init(
        queue: DeviceQueue, directory: String, files: any FileStore, clock: any HubClock,
        limits: GroupLimits, saver: GroupSaver,
        log: @escaping @Sendable (String) -> Void, later: @escaping Later
    ) throws {
        self.saver = saver
        self.later = later
        self.queue = queue
        self.directory = directory
        self.files = files
        self.clock = clock
        self.limits = limits
        self.log = log
        try files.createDirectory(directory)
        for file in try files.list(directory) where file.hasSuffix(GroupFile.suffix) { open(file) }
    }

    private func open(_ fileName: String) {
        let name = String(fileName.dropLast(GroupFile.suffix.count))
        do throws(GroupFileError) {
            let (file, state) = try GroupFile.load(
                path: directory + "/" + fileName, files: files)
            if file.definition.logID != queue.identity {
                fail(name, "\(file.path): it belongs to another log; delete the group and make it again")
            } else if state.cursor > queue.durableEnd {
                fail(
                    name,
                    "\(file.path): it stands at \(state.cursor) and the log ends at \(queue.durableEnd), as "
                        + "after a backup came back; delete the group and make it again")
            } else {
                add(file, state)
            }
        } catch {
            fail(name, error.description)
        }
    }

    private func fail(_ name: String, _ cause: String) {
        failures[name] = cause
        log("group \"\(name)\" cannot be used: \(cause)")
    }

    private func add(_ file: GroupFile, _ state: GroupState) {
        runners[file.definition.name] = GroupRunner(
            file: file, state: state, queue: queue, limits: limits, saver: saver,
            firstSession: UInt64(max(1, clock.wallTicks())), later: later)
        sort()
    }

    private func sort() {
        groups = runners.values.sorted { $0.definition.name < $1.definition.name }
    }

    // MARK: Groups

    /// In the order of their names.
    var names: [String] { (Array(runners.keys) + Array(failures.keys)).sorted() }

    /// - Throws: `.unknownGroup`, `.failed`, `.stopping`.
    func group(_ name: String) throws -> GroupRunner {
        if isStopped { throw GroupError.stopping }
        if let runner = runners[name] { return runner }
        if let cause = failures[name] { throw GroupError.failed(group: name, cause: cause) }
        throw GroupError.unknownGroup(name)
    }

    func exists(_ name: String) -> Bool { runners[name] != nil }
    func failure(_ name: String) -> String? { failures[name] }

    /// Makes a group, or finds that it is there and the same.
    ///
    /// - Parameter reply: true when it is new; `.differs` when it exists and is another, `.limit`, `.storage`.
    func create(
        _ definition: GroupDefinition, at place: GroupPlace, reply: @escaping GroupReply<Bool>
    ) {
        do {
            if runners[definition.name] != nil || failures[definition.name] != nil {
                try requireSame(definition)
                return reply(.success(false))
            }
            if isStopped { throw GroupError.stopping }
            guard runners.count + failures.count + coming.count < limits.groups else {
                throw GroupError.limit("there are \(limits.groups) groups, which is the limit: delete some")
            }
            guard coming.insert(definition.name).inserted else {
                throw GroupError.interrupted(group: definition.name, cause: "is being made")
            }
        } catch {
            return reply(.failure(error))
        }
        let state = GroupState(cursor: place.offset, recordsBefore: place.recordsBefore)
        saver.submit { [directory, files, later] in
            let result = Result { () throws(GroupFileError) in
                try GroupFile.create(definition, state: state, directory: directory, files: files)
            }
            let isTaken = later { worker in worker.created(definition.name, result, state, reply) }
            if !isTaken { reply(.failure(GroupError.stopping)) }
        }
    }

    private func created(
        _ name: String, _ result: Result<GroupFile, GroupFileError>, _ state: GroupState,
        _ reply: GroupReply<Bool>
    ) {
        coming.remove(name)
        switch result {
        case .success(let file):
            add(file, state)
            reply(.success(true))
        case .failure(let error): reply(.failure(GroupError.storage(error.description)))
        }
    }

    func saved(
        _ file: GroupFile, _ result: Result<Void, GroupError>, revision: UInt64, cursor: QueueOffset
    ) {
        guard let runner = runners[file.definition.name], runner.owns(file) else { return }
        runner.saved(result, revision: revision, cursor: cursor, now: clock.monotonicNanoseconds())
    }

    /// - Throws: `.differs` with the first field that differs; `.unknownGroup`, `.failed`.
    func requireSame(_ asked: GroupDefinition) throws {
        let existing = try group(asked.name).definition
        func differs(_ field: String, _ explanation: String) -> GroupError {
            .differs(group: asked.name, field: field, explanation: explanation)
        }
        if existing.devices != asked.devices {
            throw differs("devices", "is over \(existing.devices); delete it, or choose another name")
        }
        if existing.start != asked.start {
            throw differs("from", "began at \(existing.start); to move it use seek")
        }
        if existing.mustNotMiss != asked.mustNotMiss {
            throw differs(
                "mustNotMiss", "has mustNotMiss \(existing.mustNotMiss); delete it, or choose another name")
        }
    }

    /// - Parameter reply: `.unknownGroup`, `.storage`.
    func delete(_ name: String, reply: @escaping GroupReply<Void>) {
        if failures.removeValue(forKey: name) != nil {
            let path = directory + "/" + name + GroupFile.suffix
            saver.submit { [directory, files] in
                let result = Result { () throws(FileError) in
                    try files.remove(path)
                    try files.synchronizeDirectory(directory)
                }
                reply(result.mapError { GroupError.storage($0.description) })
            }
            return
        }
        do {
            try group(name).remove(reply: reply)
            runners[name] = nil
            sort()
        } catch {
            reply(.failure(error))
        }
    }

    // MARK: Turns

    var isWaiting: Bool { groups.contains { $0.isWaiting } }

    /// Reads, answers, saves.
    func turn() {
        let now = clock.monotonicNanoseconds()
        for runner in groups {
            runner.saveIfDue(now: now)
            runner.expire(now: now)
            runner.serve(now: now)
        }
    }

    var nextDeadline: UInt64? { groups.compactMap(\.nextDeadline).min() }

    /// What waits is answered, and nothing waits any more.
    func interrupt() {
        isStopped = true
        for runner in groups { runner.interrupt(.stopping) }
    }

    /// What waits is answered, and what is not saved is handed to the saver.
    func stop() {
        interrupt()
        let now = clock.monotonicNanoseconds()
        for runner in groups {
            runner.saveIfDue(now: now, isForced: true)
            runner.close()
        }
    }
}
