import Platform
import Synchronization

/// The work on the log that its writer should not wait for: the next segment, the sidecars of sealed ones, states
/// for a fast restart, and retention. One thread at a time, a helper's; nothing here touches the writer's memory.
final class LogUpkeep: Sendable {
    struct Work {
        /// Everything before the newest segment, one sealed segment after the other.
        var state: LogState
        /// A sealed segment does not read back: the state cannot go on.
        var isStuck = false
        /// State files on disk that agree with the log, newest first, and the boundary of the newest.
        var goodNames: [String]
        var writtenBoundary: UInt64
        var writtenBytes = 0
        /// Every segment before this offset was seen with its sidecars.
        var sidecarsBefore: UInt64 = 0
        /// Files of segments that were given up and could not be removed yet.
        var leftovers: [Segment]
        /// A new state may be on disk although writing both of them failed: the marks that it names must stay.
        var mayHaveNewState = false
        /// When retention removed something last.
        var removedAtTicks = Int64.min
    }

    let catalog: SegmentCatalog
    let deviceNames: NameTable
    let clientNames: NameTable
    let work: Mutex<Work>
    let shown: Mutex<Shown>
    let holds = Mutex(Holds())

    /// What other threads may see at any time.
    struct Shown {
        var removedThrough: [UInt64] = []
        var removedRecords: UInt64 = 0
        var removedSegments: UInt64 = 0
        var removedEnd: UInt64 = 0
        var heldBytes: UInt64 = 0
    }

    init(
        catalog: SegmentCatalog, deviceNames: NameTable, clientNames: NameTable, state: LogState,
        goodNames: [String], writtenBoundary: UInt64, leftovers: [Segment]
    ) {
        self.catalog = catalog
        self.deviceNames = deviceNames
        self.clientNames = clientNames
        shown = Mutex(Shown(state))
        work = Mutex(
            Work(
                state: state, goodNames: goodNames, writtenBoundary: writtenBoundary, leftovers: leftovers))
    }

    /// See `DeviceQueue.prepareNextSegment`.
    func run() throws(QueueError) {
        try catalog.prepareNext()
        try work.withLock { (work) throws(QueueError) in
            try takeSealed(&work)
            try writeMissingSidecars(&work)
            try catalog.dropOldCaches()
            try writeStateIfDue(&work)
        }
    }

    /// Takes the segments that were sealed since into the state, and writes their sidecars.
    private func takeSealed(_ work: inout Work) throws(QueueError) {
        for segment in catalog.segments.dropLast() where segment.base >= work.state.boundary {
            guard !work.isStuck else { return }
            let sidecars: (index: SegmentIndex, ids: IDList, covered: LogState.Covered)
            do throws(QueueError) {
                sidecars = try work.state.take(
                    segment, file: catalog.file(segment), limits: catalog.limits, key: catalog.hashKey)
            } catch {
                // Read again it would be the same; a restart looks at everything.
                work.isStuck = true
                catalog.note("\(error); until then restarts are slower, and retention stops here")
                return
            }
            // Only caches: when the disk is full they are made when they are needed.
            if !catalog.files.exists(segment.indexPath) {
                try? catalog.files.replace(segment.indexPath, with: sidecars.index.encoded())
            }
            let image = sidecars.ids.encoded(segment, sidecars.covered)
            try? catalog.replace(segment.idsPath, with: image.bytes)
            // The next segment may be wanted while this thread catches up.
            try catalog.prepareNext()
        }
    }

    /// Sidecars of segments that were sealed in an earlier life.
    private func writeMissingSidecars(_ work: inout Work) throws(QueueError) {
        let sealed = work.state.segments.filter { $0.base >= work.sidecarsBefore }
        for covered in sealed {
            guard let segment = catalog.segment(containing: covered.base) else { continue }
            do throws(QueueError) {
                if !catalog.files.exists(segment.indexPath) { _ = try catalog.index(segment, mayWrite: true) }
                if !catalog.files.exists(segment.idsPath) {
                    _ = try Recovery.sidecar(segment, covered, catalog)
                    try catalog.prepareNext()
                }
            } catch {
                guard case .corrupt = error else { throw error }
                catalog.note(error.description)
            }
            work.sidecarsBefore = covered.end
        }
    }

    /// Writes a state when enough of the log lies behind the last one, or when there must be two and are not.
    private func writeStateIfDue(_ work: inout Work) throws(QueueError) {
        let behind = work.state.boundary - min(work.writtenBoundary, work.state.boundary)
        let isDue = behind >= UInt64(max(catalog.limits.snapshotBytes, work.writtenBytes * 8))
        let lacksWitness = work.state.removedEnd > 0 && work.goodNames.count < 2
        guard !work.isStuck, (isDue && behind > 0) || lacksWitness else { return }
        try thin(&work)
        let isCopy = work.goodNames.first == LogStateStore.name(work.state.boundary)
        let written = try LogStateStore.write(
            work.state, isCopy: isCopy, catalog: catalog, deviceNames: deviceNames, clientNames: clientNames)
        work.goodNames = [written.name] + work.goodNames.filter { $0 != written.name }.prefix(1)
        work.writtenBoundary = work.state.boundary
        work.writtenBytes = written.byteCount
        LogStateStore.prune(keeping: work.goodNames, directory: catalog.directory, files: catalog.files)
    }

    /// Leaves the ids that need not be remembered any more out of the sidecars.
    private func thin(_ work: inout Work) throws(QueueError) {
        let horizonStart = Recovery.horizonStart(work.state.lastArrivalTicks, catalog.limits)
        for index in work.state.segments.indices {
            let covered = work.state.segments[index]
            guard covered.base >= work.state.thinnedEnd else { continue }
            guard covered.lastTicks < horizonStart else { return }
            guard let segment = catalog.segment(containing: covered.base) else { continue }
            let list: IDList
            do throws(QueueError) {
                list = Self.recent(
                    try Recovery.sidecar(segment, covered, catalog), work.state, catalog.limits)
            } catch {
                guard case .corrupt = error else { throw error }
                continue
            }
            let image = list.encoded(segment, covered)
            try catalog.replace(segment.idsPath, with: image.bytes)
            work.state.segments[index].ids = UInt64(list.count)
            work.state.thinnedEnd = covered.end
        }
    }

    /// The ids that are among the last of their device.
    static func recent(
        _ ids: borrowing IDFile, _ state: borrowing LogState, _ limits: QueueLimits
    ) -> IDList {
        var list = IDList(horizonTicks: limits.dedupHorizonTicks, hasProofs: ids.hasProofs)
        var index = 0
        for run in 0..<ids.runCount {
            let (ticks, end) = ids.run(run)
            while index < end {
                if state.isRecent(ids.places[index], minimum: UInt32(limits.dedupMinimum)) {
                    list.add(
                        ids.hashes[index], ids.places[index], ticks: ticks,
                        proof: ids.hasProofs ? ids.proof(index) : nil)
                }
                index += 1
            }
        }
        return list
    }
}

extension LogUpkeep.Shown {
    init(_ state: LogState) {
        removedThrough = state.removedThrough
        removedRecords = state.removedRecords
        removedSegments = state.removedSegments
        removedEnd = state.removedEnd
    }
}
