package import Platform
import Synchronization
package import Telemetry

/// The durable queue of every device of a shard: one segmented append-only log with gapless sequences per
/// device, duplicates found by (device, message id), group commit, and recovery after a crash at any byte.
///
/// What a crash leaves: everything that a returned `commit()` covered, once, and perhaps a prefix of what it
/// did not. The format is in `DeviceQueue.docc/LogFormat.md`.
///
/// Threads: `append`, `appendTick` and `commit` belong to one storage thread. Everything else may be called
/// on any thread.
///
/// `@unchecked Sendable`: `appender` is touched with `lock` held only; `failureCause` changes on the storage thread
/// while it holds `lock`, and other threads read it with `lock` held; `writeFile` and `writeBase` belong to the
/// storage thread alone.
package final class DeviceQueue: @unchecked Sendable {
    package enum Mode: Sendable {
        case readWrite
        /// Changes nothing on disk; a torn tail is ignored.
        case readOnly
    }

    let catalog: SegmentCatalog
    let deviceNames: NameTable
    let clientNames: NameTable
    let mode: Mode
    let lock = Mutex(())
    var appender: LogAppender
    private var failureCause: String?
    /// The file of the newest segment and its base.
    private var writeFile: (any StoredFile)?
    private var writeBase: UInt64 = 0
    let progress: LogProgress
    /// nil when nothing may be written.
    let upkeep: LogUpkeep?
    /// What retention had removed when the log was opened.
    private let removals: LogUpkeep.Shown

    /// Opens a shard's log, making it when there is none.
    ///
    /// - Parameters:
    ///   - directory: `<data>/queue/0`; the caller holds the data directory's lock (`DataDirectory`).
    ///   - keepsIDs: whether message ids are remembered. A writer must; a reader only for
    ///     `record(device:messageID:)`, which finds nothing without.
    ///   - nowTicks: the wall clock in 100 ns ticks; goes into the identity of a new log.
    ///   - seed: randomness for the identity of a new log, so that nobody can choose message ids whose hashes
    ///     collide.
    /// - Throws: `.corrupt` with the place when the log is damaged in its middle, `.newerFormat`,
    ///   `.invalidLimits`, or what the disk refuses.
    package static func open(
        directory: String, files: any FileStore, limits: QueueLimits = QueueLimits(),
        mode: Mode = .readWrite, keepsIDs: Bool = false, nowTicks: Int64, seed: UInt64 = 0
    ) throws(QueueError) -> DeviceQueue {
        try limits.validate()
        if mode == .readWrite {
            try Recovery.attempt { () throws(FileError) in
                // `queue/0` of a data directory, which is durable.
                let root = type(of: files).directory(of: type(of: files).directory(of: directory))
                try files.createDurableDirectory(directory, below: root)
                // And a segment that a killed process named last: records are acknowledged in it from now on.
                try files.synchronizeDirectory(directory)
            }
            for name in try Recovery.attempt({ () throws(FileError) in try files.list(directory) })
            where name.hasSuffix(".next") || name.hasSuffix(".tmp") {
                try Recovery.attempt { () throws(FileError) in try files.remove(directory + "/" + name) }
            }
            try Recovery.settleCompression(in: directory, files: files)
        }
        var opening = try LogStateStore.open(directory, files: files)
        let first = opening.first
        let logID = first?.logID ?? LogFormat.mixed(UInt64(bitPattern: nowTicks) ^ LogFormat.mixed(seed))
        let key = first?.hashKey ?? LogFormat.mixed(logID ^ LogFormat.mixed(~seed))
        let catalog = SegmentCatalog(
            directory: directory, files: files, limits: limits, logID: logID, hashKey: key,
            segments: opening.segments, mayWrite: mode == .readWrite)
        for notice in opening.notices { catalog.note(notice) }
        if mode == .readWrite { LogStateStore.removeStale(opening.segments, directory, files: files) }
        return try DeviceQueue(
            catalog: catalog, mode: mode, keepsIDs: keepsIDs || mode == .readWrite, opening: &opening,
            nowTicks: nowTicks)
    }

    private init(
        catalog: SegmentCatalog, mode: Mode, keepsIDs: Bool, opening: inout LogStateStore.Opening,
        nowTicks: Int64
    ) throws(QueueError) {
        self.catalog = catalog
        self.mode = mode
        let limits = catalog.limits
        deviceNames = NameTable(
            key: catalog.hashKey, countMax: limits.devices, nameBytesMax: limits.deviceNameBytesMax)
        clientNames = NameTable(
            key: catalog.hashKey, countMax: limits.clients, nameBytesMax: limits.clientNameBytesMax,
            totalBytesMax: limits.clientNamesBytesMax)
        guard
            var appender = LogAppender(
                catalog: catalog, deviceNames: deviceNames, clientNames: clientNames,
                keepsIDs: keepsIDs, nowTicks: nowTicks)
        else { throw .invalidLimits("no memory for dedupSlots; make it smaller") }
        var state = try Recovery.restore(&appender, &opening)
        let writtenBoundary = state.boundary
        removals = LogUpkeep.Shown(state)
        var end: UInt64 = 0
        if let tail = try Recovery.replay(&appender, &state) {
            var position = tail.position
            if mode == .readWrite {
                let file = try Recovery.attempt { () throws(FileError) in
                    try catalog.files.open(tail.segment.path, writable: true)
                }
                let repaired = try Recovery.repair(
                    tail, file: file, nextCommitNumber: appender.lastCommitNumber + 1)
                position = repaired.position
                appender.lastCommitNumber += repaired.commits
                writeFile = file
                writeBase = tail.segment.base
            }
            end = tail.segment.base + UInt64(position)
            appender.resume(in: tail.segment, at: end)
        } else if mode == .readWrite {
            let (segment, file) = try catalog.takeNext(base: 0)
            writeFile = file
            end = UInt64(LogFormat.segmentHeaderBytes)
            appender.resume(in: segment, at: end)
        }
        appender.counters.devices = appender.devices.countWithRecords()
        progress = LogProgress(durableEnd: end)
        upkeep =
            mode == .readOnly
            ? nil
            : LogUpkeep(
                catalog: catalog, deviceNames: deviceNames, clientNames: clientNames, state: state,
                goodNames: opening.goodNames, writtenBoundary: writtenBoundary, leftovers: opening.leftovers)
        self.appender = appender
    }

    // Names.

    /// The number of a device, dense from 1; a new one when the name is seen first.
    ///
    /// - Returns: nil when the name is empty or too long, or at the limit of devices.
    package func device(named name: String) -> UInt32? {
        var copy = name
        return copy.withUTF8 { deviceNames.number(of: UnsafeRawBufferPointer($0)) }
    }

    /// As `device(named:)` for the bytes of a name; allocates nothing.
    package func device(named name: UnsafeRawBufferPointer) -> UInt32? { deviceNames.number(of: name) }

    /// The number of an MQTT client identifier, for QoS 2; see `device(named:)`. Numbers are never used again:
    /// the log refers to them.
    package func client(named name: String) -> UInt32? {
        var copy = name
        return copy.withUTF8 { clientNames.number(of: UnsafeRawBufferPointer($0)) }
    }

    /// The number of a device that is known already, nil otherwise: for look-ups that must not make one.
    package func existingDevice(named name: String) -> UInt32? { deviceNames.existingNumber(of: name) }

    /// As `existingDevice(named:)` for the bytes of a name; allocates nothing.
    package func existingDevice(named name: UnsafeRawBufferPointer) -> UInt32? {
        deviceNames.existingNumber(of: name)
    }

    /// As `existingDevice(named:)` for a client identifier.
    package func existingClient(named name: String) -> UInt32? { clientNames.existingNumber(of: name) }

    /// The name of a device's number, nil for a number that was not given (and for 0, the quarantine).
    package func deviceID(_ number: UInt32) -> DeviceID? { deviceNames.name(number).map { DeviceID($0) } }

    /// Names of devices behind one, in order: a page of a list. Cheap but for the first call, which sorts all names
    /// (about a second for a million).
    package func deviceIDs(after name: DeviceID, limit: Int) -> [DeviceID] {
        deviceNames.sortedNames(after: name, limit: limit)
    }

    /// Devices with a number; see `QueueCounters.devices` for those that have records.
    package var deviceCount: Int { deviceNames.count }

    /// Clients with a number: those that published telemetry at QoS 2.
    package var clientCount: Int { clientNames.count }

    // Writing.

    /// Appends every staged frame: gives each its outcome, and what is stored its sequence, arrival time and
    /// place. Nothing is durable, and nothing may be acknowledged, before `commit()` returns. Storage thread
    /// only.
    ///
    /// - Parameter arrivalTicks: the wall clock; made non-decreasing here.
    /// - Throws: `.poisoned`, `.pendingFull` (nothing was appended).
    package func append(_ staging: StagingBuffer, arrivalTicks: Int64) throws(QueueError) {
        try checkWritable()
        try lock.withLock { (_) throws(QueueError) in
            guard appender.pendingBytes + staging.byteCount <= appender.limits.pendingBytesMax else {
                throw .pendingFull(pendingBytes: appender.pendingBytes)
            }
            appender.append(staging, arrivalTicks: arrivalTicks)
        }
    }

    /// Notes in the log that the clock moved the watermarks on. Storage thread only.
    package func appendTick(arrivalTicks: Int64) throws(QueueError) {
        try checkWritable()
        try lock.withLock { (_) throws(QueueError) in
            guard appender.pendingBytes < appender.limits.pendingBytesMax else {
                throw .pendingFull(pendingBytes: appender.pendingBytes)
            }
            appender.appendTick(arrivalTicks: arrivalTicks)
        }
    }

    /// Makes everything appended durable: one write and one sync for each segment that it touches, usually
    /// one. Storage thread only; blocks.
    ///
    /// - Throws: `.full` when there is no room for the next segment: nothing is lost, calling again writes
    ///   the same bytes. `.poisoned` from the first failed write or sync on.
    package func commit() throws(QueueError) {
        try checkWritable()
        lock.withLock { _ in appender.sealBatch() }
        while let batch = lock.withLock({ _ in appender.batches.first }) {
            do throws(QueueError) {
                try write(batch)
            } catch {
                if case .full = error { throw error }
                lock.withLock { _ in failureCause = error.description }
                throw .poisoned(cause: error.description)
            }
            lock.withLock { _ in appender.batchIsDurable() }
            progress.advance(to: batch.end)
        }
    }

    private func write(_ batch: LogAppender.Batch) throws(QueueError) {
        if batch.segmentBase != writeBase || writeFile == nil {
            let (segment, file) = try catalog.takeNext(base: batch.segmentBase)
            writeFile = file
            writeBase = segment.base
        }
        guard let file = writeFile else { return }
        let pieces = lock.withLock { _ in appender.recent.pieces(from: batch.start, to: batch.end) }
        do throws(FileError) {
            for piece in pieces { try file.write(piece.bytes, at: piece.offset - batch.segmentBase) }
        } catch {
            throw error.kind == .full ? .full(error) : .file(error)
        }
        // Whatever a sync reports, even "no room": the kernel may have dropped the pages.
        do throws(FileError) { try file.synchronize() } catch { throw .file(error) }
        try expectNamed(batch.segmentBase)
    }

    /// What was written to a file that somebody has removed meanwhile is durable for nobody. One look a commit.
    private func expectNamed(_ base: UInt64) throws(QueueError) {
        let path = catalog.directory + "/" + Segment.stem(base) + ".log"
        guard !catalog.files.exists(path) else { return }
        throw .file(
            FileError(
                kind: .missing, operation: "write", path: path, code: 2,
                message: "the file was removed while the hub was running"))
    }

    private func checkWritable() throws(QueueError) {
        guard mode == .readWrite else { throw .readOnly(path: catalog.directory) }
        if let cause = failureCause { throw .poisoned(cause: cause) }
    }

    /// Work that the storage thread should not do: makes the next segment ready, writes the sidecars of sealed
    /// segments, and now and then the state that makes the next start fast. For a helper thread, about once a
    /// second and after each new segment; blocks.
    ///
    /// - Throws: `.full`, `.file`: nothing is lost, a later call does what is missing.
    package func prepareNextSegment() throws(QueueError) {
        guard failure == nil else { return }
        try upkeep?.run()
    }

    /// Compresses one sealed segment, the oldest that is due, see `QueueLimits.plainBytes`. For one thread of its
    /// own, again and again while it returns true; reads and writes a segment, about 0.15 s of CPU for 64 MiB.
    ///
    /// - Parameter shouldStop: asked about each 64 KiB; when it says yes, nothing has changed.
    /// - Returns: false when nothing is due.
    /// - Throws: `.full`: the segment stays as it is, and a later call tries again. `.file`: it stays as it is
    ///   until the log is opened again.
    package func compressNextSegment(shouldStop: () -> Bool = { false }) throws(QueueError) -> Bool {
        guard mode == .readWrite, failure == nil else { return false }
        return try catalog.compressNext(shouldStop: shouldStop)
    }

    /// What retention has removed.
    var shownRemovals: LogUpkeep.Shown { upkeep?.shown.withLock { $0 } ?? removals }

    // State.

    /// Everything before it is on disk.
    package var durableEnd: QueueOffset { QueueOffset(progress.durableEnd) }

    /// Why the queue no longer writes, nil while it does.
    package var failure: String? { lock.withLock { _ in failureCause } }

    /// Bytes that wait for a commit.
    package var pendingBytes: Int { lock.withLock { _ in appender.pendingBytes } }

    /// The last arrival time in the log; `Int64.min` when there is none.
    package var lastArrivalTicks: Int64 { lock.withLock { _ in appender.lastArrivalTicks } }

    package var counters: QueueCounters {
        lock.withLock { _ in
            var counters = appender.counters
            counters.rememberedIDs = UInt64(appender.dedup.count)
            counters.rememberedBytes = UInt64(appender.dedup.byteCount)
            counters.forgottenEarly = appender.dedup.shortenedIDs
            counters.setAsideByReason = counters.quarantinedByReason
            counters.quarantinedByReason = appender.tallies.waitingByReason
            counters.quarantineRemoved = appender.tallies.removedWaiting
            counters.duplicates = appender.tallies.duplicates
            counters.replayedStored = appender.tallies.replayedStored
            counters.replayedDuplicates = appender.tallies.replayedDuplicates
            counters.received =
                counters.stored + counters.duplicates + counters.quarantined + counters.quarantineRemoved
            counters.deviceBytes = UInt64(
                deviceNames.byteCount + clientNames.byteCount + appender.devices.byteCount
                    + appender.clients.byteCount)
            return counters
        }
    }

    /// The packet identifiers of a QoS 2 client that are stored and not released, ascending; what is appended
    /// and not yet committed counts.
    package func unreleased(client: UInt32) -> [UInt16] {
        lock.withLock { _ in appender.unreleased.identifiers(client: client) }
    }
}

/// How far the log is durable: written by the storage thread, read by all.
final class LogProgress: Sendable {
    private let end: Atomic<UInt64>

    init(durableEnd: UInt64) { end = Atomic(durableEnd) }

    var durableEnd: UInt64 { end.load(ordering: .acquiring) }

    func advance(to offset: UInt64) { end.store(offset, ordering: .releasing) }
}
