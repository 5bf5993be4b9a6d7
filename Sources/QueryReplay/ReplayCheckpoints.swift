package import Platform
import ResultSink

/// Where a replay keeps how far it has come, and how often it says so.
package struct CheckpointOptions: Sendable {
    /// Most of the time that the computing thread may spend on it: one in so many parts.
    static let timeShare: UInt64 = 20

    package var path: String
    /// The least time from one checkpoint to the next.
    package var everyNanoseconds: UInt64
    package var clock: any HubClock

    package init(path: String, everyNanoseconds: UInt64, clock: any HubClock) {
        self.path = path
        self.everyNanoseconds = everyNanoseconds
        self.clock = clock
    }
}

/// The state of a replay at a moment, in memory.
struct ReplaySnapshot: Sendable {
    var inputs: [InputPlace]
    var engineState: [[UInt8]]
    /// What it took to make it.
    var nanoseconds: UInt64
}

/// The checkpoints of one run: the computing thread asks whether one is due, and makes it; the thread with the rows
/// says where the outputs end with the rows before it; a thread of its own writes it, while the others go on. One
/// is on the way at most, which bounds the memory.
///
/// The files it is given are safe to be read and synced by another thread.
final class ReplayCheckpoints: Sendable {
    struct NamedFile: Sendable {
        var path: String
        var file: any StoredFile
    }

    private struct Work {
        var snapshot: ReplaySnapshot
        var ends: [RowOutput.End]
    }

    private struct State {
        /// One is being made, is on its way, or is being written.
        var isBusy = false
        var dueAt: UInt64
        var work: Work?
        var isEnded = false
        var error: ReplayError?
    }

    private let options: CheckpointOptions
    private let settings: [ReplayCheckpoint.Setting]
    private let inputs: [NamedFile]
    private let outputs: [NamedFile]
    private let files: any FileStore
    private let state: Monitor<State>

    /// - Parameters:
    ///   - inputs: in the order of the places in a snapshot.
    ///   - outputs: in the order of their ends.
    init(
        _ options: CheckpointOptions, settings: [ReplayCheckpoint.Setting], inputs: [NamedFile],
        outputs: [NamedFile], files: any FileStore
    ) {
        self.options = options
        self.settings = settings
        self.inputs = inputs
        self.outputs = outputs
        self.files = files
        let now = options.clock.monotonicNanoseconds()
        state = Monitor(State(dueAt: now &+ options.everyNanoseconds))
    }

    static func sealed(_ path: String, _ files: any FileStore) -> SealedFile {
        SealedFile(
            path: path, files: files, magic: ReplayCheckpoint.magic, version: ReplayCheckpoint.version,
            advice: "delete it to begin anew")
    }

    // MARK: The computing thread

    /// Makes a snapshot when one is due; called where all rows of the events before are in hand.
    ///
    /// - Throws: what kept an earlier one from being written.
    func snapshotIfDue(
        _ make: () -> (inputs: [InputPlace], engineState: [[UInt8]])
    ) throws(ReplayError) -> ReplaySnapshot? {
        let now = options.clock.monotonicNanoseconds()
        let (isDue, error) = state.withLock { state in
            guard !state.isBusy, state.error == nil, now >= state.dueAt else { return (false, state.error) }
            state.isBusy = true
            return (true, nil)
        }
        if let error { throw error }
        guard isDue else { return nil }
        let made = make()
        return ReplaySnapshot(
            inputs: made.inputs, engineState: made.engineState,
            nanoseconds: options.clock.monotonicNanoseconds() &- now)
    }

    // MARK: The thread with the rows

    /// Hands a snapshot on to be written.
    ///
    /// - Parameter ends: of the outputs, with the rows of the events before it and no others.
    func save(_ snapshot: ReplaySnapshot, ends: [RowOutput.End]) {
        state.update { $0.work = Work(snapshot: snapshot, ends: ends) }
    }

    // MARK: The thread that writes

    /// Writes what it is given, until `end()`.
    func run() {
        var isNamed = false
        while var work = next() {
            let start = options.clock.monotonicNanoseconds()
            var cost = work.snapshot.nanoseconds
            var failure: ReplayError?
            do throws(ReplayError) {
                if !isNamed { try nameOutputs() }
                isNamed = true
                cost += try write(&work)
            } catch {
                failure = error
            }
            let due = max(start &+ options.everyNanoseconds, start &+ cost &* CheckpointOptions.timeShare)
            state.update { state in
                state.isBusy = false
                state.dueAt = due
                if state.error == nil { state.error = failure }
            }
        }
    }

    private func next() -> Work? {
        state.wait(
            until: { $0.work != nil || $0.isEnded },
            then: { state in
                defer { state.work = nil }
                return state.work
            })
    }

    /// Makes the names of the outputs durable.
    private func nameOutputs() throws(ReplayError) {
        try Self.onDisk { () throws(FileError) in
            for named in outputs { try files.synchronizeDirectory(Self.directory(of: named.path, files)) }
        }
    }

    /// Syncs the outputs, then replaces the checkpoint.
    ///
    /// - Parameter work: its pieces are freed as they are written.
    /// - Returns: the time that it took of a processor, in nanoseconds: without waiting for the disk.
    private func write(_ work: inout Work) throws(ReplayError) -> UInt64 {
        var checkpoint = ReplayCheckpoint(settings: settings, inputs: [], outputs: [])
        for (named, end) in zip(outputs, work.ends) {
            try Self.onDisk { () throws(FileError) in try named.file.synchronize() }
            checkpoint.outputs.append(
                ReplayCheckpoint.Output(mark: try mark(named, end.byteCount), columns: end.columns))
        }
        for (named, place) in zip(inputs, work.snapshot.inputs) {
            checkpoint.inputs.append(
                ReplayCheckpoint.Input(place: place, mark: try mark(named, place.position.offset)))
        }
        let start = options.clock.monotonicNanoseconds()
        var pieces = [checkpoint.head] + work.snapshot.engineState
        work.snapshot.engineState = []
        let save = CheckpointSave(Self.sealed(options.path, files), pieces)
        // The pieces are the writer's alone now, and go as they are written.
        pieces = []
        do throws(SealedFileError) {
            try save.writeRest()
            let cost = options.clock.monotonicNanoseconds() &- start
            _ = try save.goOn(byteCount: 0)
            return cost
        } catch {
            // What is written of it takes room that is wanted elsewhere.
            try? files.remove(options.path + ".tmp")
            throw ReplayError(.environment, error.description)
        }
    }

    private func mark(_ named: NamedFile, _ byteCount: UInt64) throws(ReplayError) -> FileMark {
        let mark = try Self.onDisk { () throws(FileError) in
            try FileMark(of: named.file, upTo: byteCount)
        }
        guard let mark else {
            throw ReplayError(
                .environment,
                "\(named.path): what stood in it is gone: with --checkpoint it must be a file that nobody else writes"
            )
        }
        return mark
    }

    static func onDisk<Success>(_ body: () throws(FileError) -> Success) throws(ReplayError) -> Success {
        do throws(FileError) { return try body() } catch {
            throw ReplayError(.environment, error.description)
        }
    }

    private static func directory(of path: String, _ files: any FileStore) -> String {
        type(of: files).directory(of: path)
    }

    // MARK: The end

    /// What is on its way is still written.
    func end() { state.update { $0.isEnded = true } }

    /// What kept one from being written. The thread that writes has ended.
    var error: ReplayError? { state.withLock { $0.error } }

    /// The run has ended well: makes the outputs durable, then takes the checkpoint away.
    func remove() throws(ReplayError) {
        try Self.onDisk { () throws(FileError) in
            for named in outputs { try named.file.synchronize() }
            // A save that a crash cut off leaves the other name.
            for path in [options.path + ".tmp", options.path] where files.exists(path) {
                try files.remove(path)
            }
            try files.synchronizeDirectory(Self.directory(of: options.path, files))
        }
    }
}
