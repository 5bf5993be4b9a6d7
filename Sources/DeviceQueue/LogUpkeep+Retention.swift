import Platform
import Synchronization
import Telemetry

// Retention: whole sealed segments go from the front. What must outlive them (names, sequences, QoS 2 state,
// counters, remembered ids) is durable in a state and its copy before the first file is removed.
extension LogUpkeep {
    /// The consumers that must not miss anything.
    struct Holds {
        /// By name, ascending.
        var list: [RetentionHold] = []
        /// Everything before it is being removed, or is gone.
        var removingTo: UInt64 = 0
    }

    /// Segments of one step at most, which bounds its memory: 16, about 200 MB of ids.
    private static let segmentsMax = 16
    /// A state is not written for less than four times its bytes, but after a minute at the latest.
    private static let patienceTicks: Int64 = 60 * 10_000_000

    /// See `DeviceQueue.applyRetention`.
    func applyRetention(nowTicks: Int64) throws(QueueError) {
        try work.withLock { (work) throws(QueueError) in
            removeLeftovers(&work)
            guard !catalog.limits.retention.keepsEverything else { return }
            while try removeSome(&work, nowTicks: nowTicks) {}
        }
    }

    /// - Returns: whether there may be more to remove.
    private func removeSome(_ work: inout Work, nowTicks: Int64) throws(QueueError) -> Bool {
        let wanted = try countPastLimits(work.state, nowTicks: nowTicks)
        let target = wanted == 0 ? work.state.removedEnd : work.state.segments[wanted - 1].end
        let allowed = holds.withLock { holds in
            let limit = holds.list.map(\.from.bytes).min() ?? .max
            let count = min(
                work.state.segments.prefix(wanted).prefix { $0.end <= limit }.count, Self.segmentsMax)
            let end = count == 0 ? work.state.removedEnd : work.state.segments[count - 1].end
            shown.withLock { $0.heldBytes = limit < target ? target - max(end, work.state.removedEnd) : 0 }
            let isWorthIt =
                end - work.state.removedEnd >= UInt64(work.writtenBytes * 4)
                || nowTicks - Self.patienceTicks >= work.removedAtTicks
            guard count > 0, isWorthIt else { return 0 }
            holds.removingTo = end
            return count
        }
        guard allowed > 0 else { return false }
        defer { holds.withLock { $0.removingTo = work.state.removedEnd } }
        do throws(QueueError) {
            try remove(allowed, &work)
        } catch {
            guard case .full = error else { throw error }
            // This is what makes room, but needs some first: the caches', for one segment at a time.
            dropSidecars(&work)
            try remove(1, &work)
            return true
        }
        work.removedAtTicks = nowTicks
        return allowed == Self.segmentsMax
    }

    /// How many segments from the front are past any of the limits.
    private func countPastLimits(_ state: LogState, nowTicks: Int64) throws(QueueError) -> Int {
        let policy = catalog.limits.retention
        let segments = catalog.segments
        // What is on disk: compressed segments count as such.
        var storedBytes = segments.reduce(0) { $0 + $1.storedBytes }
        var count = 0
        for (covered, segment) in zip(state.segments, segments) {
            precondition(covered.base == segment.base)
            var isPast = false
            if let bytes = policy.bytes, storedBytes > bytes { isPast = true }
            storedBytes -= segment.storedBytes
            if let age = policy.ageTicks, covered.lastTicks < Self.difference(nowTicks, age) { isPast = true }
            if !isPast, let records = policy.recordsPerDevice {
                isPast = try isOutnumbered(covered, records, state)
            }
            guard isPast else { break }
            count += 1
        }
        return count
    }

    private static func difference(_ ticks: Int64, _ age: Int64) -> Int64 {
        let (result, overflow) = ticks.subtractingReportingOverflow(age)
        return overflow ? .min : result
    }

    /// Whether each device that has records in a segment has stored `records` since.
    private func isOutnumbered(
        _ covered: LogState.Covered, _ records: UInt64, _ state: LogState
    ) throws(QueueError) -> Bool {
        guard let segment = catalog.segment(containing: covered.base) else { return false }
        return try catalog.index(segment, mayWrite: true).entries.allSatisfy {
            state.lastSequence($0.device) - $0.lastSequence >= records
        }
    }

    // Removing, in an order in which a crash leaves either everything or what the newest state says.

    private func remove(_ count: Int, _ work: inout Work) throws(QueueError) {
        let removed = work.state.segments.prefix(count).compactMap { catalog.segment(containing: $0.base) }
        do throws(QueueError) {
            try carryForward(count, &work)
        } catch {
            // What no state names must not take room.
            if !work.mayHaveNewState { removeOldMarks(work.state.marks) }
            throw error
        }
        let state = work.state
        catalog.marks.set(state.marks)
        catalog.forget(before: state.removedEnd)
        shown.withLock { $0 = Shown(state) }
        work.leftovers += removed
        removeLeftovers(&work)
        LogStateStore.prune(keeping: work.goodNames, directory: catalog.directory, files: catalog.files)
        removeOldMarks(state.marks)
    }

    /// Gives up the sidecars of ids, which are only caches; they are made again later.
    private func dropSidecars(_ work: inout Work) {
        for covered in work.state.segments {
            if let segment = catalog.segment(containing: covered.base) {
                try? catalog.files.remove(segment.idsPath)
            }
        }
        work.sidecarsBefore = 0
    }

    /// Writes the marks of the first segments, and twice the state that says they are gone.
    private func carryForward(_ count: Int, _ work: inout Work) throws(QueueError) {
        var next = work.state
        let gone = next.segments.prefix(count)
        guard let end = gone.last?.end else { return }
        for covered in gone {
            guard let segment = catalog.segment(containing: covered.base) else { continue }
            next.removedRecords += covered.records
            next.removedSegments += 1
            for entry in try catalog.index(segment, mayWrite: false).entries {
                next.note(removed: entry.lastSequence, of: entry.device)
            }
        }
        next.tallies.forget(through: next.removedThrough.first ?? 0)
        try addMarks(Array(gone), to: &next)
        next.segments.removeFirst(count)
        next.removedEnd = end
        next.thinnedEnd = max(next.thinnedEnd, end)
        var names: [String] = []
        for isCopy in [false, true] {
            let mightHave = work.mayHaveNewState
            work.mayHaveNewState = true
            do throws(QueueError) {
                let written = try LogStateStore.write(
                    next, isCopy: isCopy, catalog: catalog, deviceNames: deviceNames,
                    clientNames: clientNames)
                names.append(written.name)
                work.writtenBytes = written.byteCount
            } catch {
                // Without room for its contents the first one has not got its name.
                if !isCopy, case .full = error { work.mayHaveNewState = mightHave }
                throw error
            }
        }
        work.mayHaveNewState = false
        work.state = next
        work.goodNames = names
        work.writtenBoundary = next.boundary
    }

    private func addMarks(_ gone: [LogState.Covered], to next: inout LogState) throws(QueueError) {
        guard let first = gone.first, let last = gone.last else { return }
        let horizonStart = Recovery.horizonStart(next.lastArrivalTicks, catalog.limits)
        var list = IDList(horizonTicks: catalog.limits.dedupHorizonTicks, hasProofs: true)
        for covered in gone {
            try gatherMarks(covered, next, horizonStart: horizonStart, into: &list)
        }
        if let file = try writeMarks(list, from: first.base, to: last.end) { next.marks.append(file) }
        try joinMarks(&next, horizonStart: horizonStart)
        // What memory cannot hold is forgotten at a restart anyway.
        var total = next.segments.reduce(0) { $0 + $1.ids }
        for file in next.marks { total += file.count }
        while let oldest = next.marks.first, total - oldest.count >= UInt64(catalog.limits.dedupBytesMax / 24)
        {
            total -= oldest.count
            next.marks.removeFirst()
        }
    }

    /// Marks past the horizon shrink as devices go on. They are joined two by two, when the older is not much
    /// larger: so each id is written a few times only, and there are few files.
    private func joinMarks(_ next: inout LogState, horizonStart: Int64) throws(QueueError) {
        while true {
            let expired = next.marks.prefix { $0.lastTicks < horizonStart }.count
            guard expired > 1 else { return }
            let old = next.marks[expired - 2]
            let new = next.marks[expired - 1]
            guard old.count <= new.count * 2 + 1_024 else { return }
            var joined = IDList(horizonTicks: catalog.limits.dedupHorizonTicks, hasProofs: true)
            for file in [old, new] {
                if let ids = try Recovery.marks(file, catalog) {
                    joined.append(LogUpkeep.recent(ids, next, catalog.limits))
                }
            }
            let file = try writeMarks(joined, from: old.from, to: new.to)
            next.marks.replaceSubrange((expired - 2)..<expired, with: file.map { [$0] } ?? [])
        }
    }

    /// The ids of a segment that must outlive it.
    private func gatherMarks(
        _ covered: LogState.Covered, _ state: LogState, horizonStart: Int64, into list: inout IDList
    ) throws(QueueError) {
        guard covered.ids > 0, let segment = catalog.segment(containing: covered.base) else { return }
        let minimum = UInt32(catalog.limits.dedupMinimum)
        var scanner = SegmentScanner(
            segment: segment, file: try catalog.file(segment), position: LogFormat.segmentHeaderBytes,
            limit: Int(segment.byteCount), bufferBytes: catalog.limits.readBytes)
        while let frame = try scanner.next() {
            let hash = LogAppender.hash(frame, key: catalog.hashKey)
            guard hash != 0 else { continue }
            let place = DedupPlace(
                position: scanner.frameOffset, device: frame.device,
                sequence: UInt32(truncatingIfNeeded: frame.sequence))
            guard frame.arrivalTicks >= horizonStart || state.isRecent(place, minimum: minimum) else {
                continue
            }
            list.add(
                hash, place, ticks: frame.arrivalTicks, proof: IDFile.Proof(frame, key: catalog.hashKey))
        }
        guard scanner.stop == .bad else { return }
        // Damaged since it was sealed: its sidecar still knows the ids, and nobody can compare the bodies.
        let behind = segment.base + UInt64(scanner.position)
        catalog.note("\(SegmentIndex.damaged(segment, scanner.position)); removed by retention as it was")
        let sidecar = try? Recovery.sidecar(segment, covered, catalog)
        guard let sidecar else { return }
        var index = 0
        for run in 0..<sidecar.runCount {
            let (ticks, end) = sidecar.run(run)
            while index < end {
                if sidecar.places[index].position >= behind {
                    list.add(sidecar.hashes[index], sidecar.places[index], ticks: ticks, proof: .unknown)
                }
                index += 1
            }
        }
    }

    private func writeMarks(
        _ list: IDList, from: UInt64, to: UInt64
    ) throws(QueueError) -> LogState.MarksFile? {
        guard list.count > 0 else { return nil }
        let image = list.encoded(
            from: from, to: to, logID: catalog.logID, lastCommitNumber: 0, lastFrameChecksum: 0)
        let file = LogState.MarksFile(
            from: from, to: to, count: UInt64(list.count), checksum: image.load(12),
            lastTicks: list.lastTicks)
        try catalog.replace(catalog.marks.path(file), with: image.bytes)
        return file
    }

    /// Removes the files of segments that are gone; what cannot be removed now is tried again.
    private func removeLeftovers(_ work: inout Work) {
        // Not while a single state speaks of them: `run` writes the second.
        guard !work.leftovers.isEmpty, work.goodNames.count > 1 else { return }
        work.leftovers.removeAll { segment in
            for path in segment.paths where catalog.files.exists(path) {
                do { try catalog.files.remove(path) } catch { return false }
            }
            return true
        }
        try? catalog.files.synchronizeDirectory(catalog.directory)
    }

    private func removeOldMarks(_ kept: [LogState.MarksFile]) {
        guard let names = try? catalog.files.list(catalog.directory) else { return }
        let wanted = kept.map(RemovedMarks.name)
        for name in names
        where (name.hasSuffix(".marks") && !wanted.contains(name)) || name.hasSuffix(".marks.tmp") {
            try? catalog.files.remove(catalog.directory + "/" + name)
        }
    }
}
