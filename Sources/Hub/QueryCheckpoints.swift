import DeviceQueue
import Platform
import ResultSink
import Telemetry

/// The checkpoints of one query: its state whole now and then, and in between deltas, which say how far it has come.
///
/// The log is durable and is read again faster than a large state is written, so a delta has no state: a restart takes
/// the records between the state and the delta again, and leaves their rows out. The state is saved whole when the log
/// has grown by as much as the state has bytes: a save costs what came since the last one, and a restart takes no
/// more than that again.
///
/// Confined to its job.
final class QueryCheckpoints {
    private let store: CheckpointStore
    private let deltas: CheckpointDeltaFile
    private let limits: CheckpointLimits
    /// Records before this offset are in the state that stands on the disk: nobody needs them again.
    private(set) var baseOffset = QueueOffset(0)
    /// Records before this offset are done, whatever happens.
    private(set) var savedOffset = QueueOffset(0)
    private var hasBase = false
    private var baseBytes = 0
    private var basedAt: UInt64 = 0
    private var savedAt: UInt64 = 0
    /// How long the last whole state took, making and writing it.
    private var baseNanoseconds: UInt64 = 0
    /// The state that is being written, a part a turn.
    private var saving: Saving?

    private struct Saving {
        var save: CheckpointSave
        var offset: QueueOffset
        var nanoseconds: UInt64
    }

    init(path: String, files: any FileStore, limits: CheckpointLimits) {
        store = CheckpointStore(path: path, files: files)
        deltas = CheckpointDeltaFile(checkpoint: path, files: files)
        self.limits = limits
    }

    /// Reads what stands there.
    ///
    /// - Parameter resultEnd: where the result log ends.
    /// - Returns: the state, and how far the query had come since.
    /// - Throws: what is damaged and how to go on.
    func load(resultEnd: UInt64) throws -> (base: Checkpoint, delta: CheckpointDelta?)? {
        guard let base = try store.load() else { return nil }
        hasBase = true
        baseBytes = base.engineState.count
        baseOffset = QueueOffset(base.queueOffset)
        savedOffset = baseOffset
        // A delta before the state is from before it. One whose rows are not there is of no use: they are computed
        // again.
        guard let delta = try deltas.load(), delta.queueOffset >= base.queueOffset,
            delta.resultPosition >= base.resultPosition, delta.resultPosition <= resultEnd
        else { return (base, nil) }
        savedOffset = QueueOffset(delta.queueOffset)
        return (base, delta)
    }

    /// Where a query without a checkpoint begins.
    func begin(at offset: QueueOffset) {
        baseOffset = offset
        savedOffset = offset
    }

    /// A state is being written: `goOn` is to be called.
    var isSaving: Bool { saving != nil }

    /// Whether it is time to save.
    func isTime(now: UInt64, hasRows: Bool) -> Bool {
        now &- savedAt >= (hasRows ? limits.pauseNanoseconds : limits.idlePauseNanoseconds)
    }

    /// Saves one step: log offset, state and outbox length.
    ///
    /// - Parameters:
    ///   - resultPosition: the result log is committed up to here.
    ///   - isWhole: the state is saved whole, and at once.
    ///   - state: makes the pieces of the state.
    func save(
        at position: QueueOffset, resultPosition: UInt64, isWhole: Bool, clock: () -> UInt64,
        state: () -> [[UInt8]]
    ) throws {
        let now = clock()
        let mustBeWhole = isWhole || !hasBase
        var isSaved = false
        if mustBeWhole || saving == nil && isBaseDue(now: now, position) {
            // Of a checkpoint that somebody has removed.
            if !hasBase { try deltas.remove() }
            let save = store.beginSave(
                queueOffset: position.bytes, resultPosition: resultPosition, engineState: state())
            saving = Saving(save: save, offset: position, nanoseconds: clock() &- now)
            repeat { isSaved = try goOn(clock: clock) } while !isSaved && mustBeWhole
        } else if saving != nil {
            _ = try goOn(clock: clock)
        }
        if !isSaved {
            try deltas.save(
                CheckpointDelta(queueOffset: position.bytes, resultPosition: resultPosition))
        }
        savedOffset = position
        savedAt = clock()
    }

    /// Never for more than a twentieth of the time.
    private func isBaseDue(now: UInt64, _ position: QueueOffset) -> Bool {
        let grown = position.bytes &- baseOffset.bytes
        return now &- basedAt >= baseNanoseconds * 20
            && (grown >= max(limits.logBytesMin, UInt64(baseBytes)) || isOld(now: now, position))
    }

    /// Whether the state that stands is so old that it is saved again even if nothing comes any more: retention keeps
    /// the log from there on.
    func isOld(now: UInt64, _ position: QueueOffset) -> Bool {
        let ages = UInt64(baseBytes / limits.bytesPerAge + 1)
        let age = max(limits.ageNanoseconds * ages, baseNanoseconds * 20)
        return hasBase && saving == nil && position != baseOffset && now &- basedAt >= age
    }

    /// Writes the next part of a state.
    ///
    /// - Returns: whether it stands.
    func goOn(clock: () -> UInt64) throws -> Bool {
        guard var step = saving else { return false }
        // Given up when it fails.
        saving = nil
        let now = clock()
        let isDone = try step.save.goOn(byteCount: limits.partBytes)
        let end = clock()
        step.nanoseconds += end &- now
        guard isDone else {
            saving = step
            return false
        }
        hasBase = true
        baseBytes = step.save.byteCount
        baseOffset = step.offset
        baseNanoseconds = step.nanoseconds
        basedAt = end
        return true
    }
}
