import ConsumerGroups
import DeviceQueue
import Platform
import Telemetry

/// All groups.
///
/// `@unchecked Sendable`: confined to the thread of `GroupService` from its start on.
final class GroupWorker: @unchecked Sendable {
    private let queue: DeviceQueue
    private let directory: String
    private let files: any FileStore
    private let retention: any GroupRetention
    private let log: @Sendable (String) -> Void
    let clock: any HubClock
    let limits: GroupLimits
    private var runners: [String: GroupRunner] = [:]
    /// The same in the order of their names.
    private(set) var groups: [GroupRunner] = []
    /// Groups that cannot be used, and why.
    private var failures: [String: String] = [:]
    private var isStopped = false

    init(
        queue: DeviceQueue, directory: String, files: any FileStore, clock: any HubClock,
        limits: GroupLimits, retention: any GroupRetention, log: @escaping @Sendable (String) -> Void
    ) throws {
        self.queue = queue
        self.directory = directory
        self.files = files
        self.clock = clock
        self.limits = limits
        self.retention = retention
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
            file: file, state: state, queue: queue, limits: limits, retention: retention,
            firstSession: UInt64(max(1, clock.wallTicks())))
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
    /// - Returns: true when it is new.
    /// - Throws: `.differs` when it exists and is another, `.limit`, `.storage`.
    func create(_ definition: GroupDefinition, at place: GroupPlace) throws -> Bool {
        if runners[definition.name] != nil || failures[definition.name] != nil {
            try requireSame(definition)
            return false
        }
        if isStopped { throw GroupError.stopping }
        guard runners.count + failures.count < limits.groups else {
            throw GroupError.limit("there are \(limits.groups) groups, which is the limit: delete some")
        }
        let state = GroupState(cursor: place.offset, recordsBefore: place.recordsBefore)
        let file: GroupFile
        do throws(GroupFileError) {
            file = try GroupFile.create(
                definition, state: state, directory: directory, files: files)
        } catch {
            throw GroupError.storage(error.description)
        }
        add(file, state)
        return true
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

    func delete(_ name: String) throws {
        if failures[name] != nil {
            try files.remove(directory + "/" + name + GroupFile.suffix)
            try files.synchronizeDirectory(directory)
            failures[name] = nil
            return
        }
        try group(name).remove()
        runners[name] = nil
        sort()
    }

    // MARK: Turns

    var isWaiting: Bool { groups.contains { $0.isWaiting } }

    /// Reads, answers, saves.
    func turn() {
        let now = clock.monotonicNanoseconds()
        let nowTicks = clock.wallTicks()
        for runner in groups {
            runner.saveIfDue(now: now, nowTicks: nowTicks)
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

    func stop() {
        interrupt()
        let now = clock.monotonicNanoseconds()
        for runner in groups {
            runner.saveIfDue(now: now, nowTicks: clock.wallTicks(), isForced: true)
            runner.file.close()
        }
    }
}
