import Platform

// Message ids at a restart: from marks and sidecars instead of the frames.
extension Recovery {
    /// Gives the writer what a state knows, ids included.
    ///
    /// - Returns: the state; that of an empty log when there is none.
    static func restore(
        _ appender: inout LogAppender, _ opening: inout LogStateStore.Opening
    ) throws(QueueError) -> LogState {
        guard let file = opening.file.take() else { return LogState() }
        let state = file.state
        let path = appender.catalog.directory + "/" + (opening.goodNames.first ?? "")
        guard state.devices.count <= Int(appender.devices.numberLimit),
            state.clients.count <= Int(appender.clients.numberLimit)
        else {
            throw .corrupt(
                path: path, offset: 192,
                explanation: "more devices or clients than the limits allow; raise them")
        }
        guard file.restoreNames(devices: appender.deviceNames, clients: appender.clientNames) else {
            throw .corrupt(
                path: path, offset: UInt64(LogStateFile.headerBytes),
                explanation:
                    "a device or client is named twice; remove this file, and the log is read instead")
        }
        state.apply(to: &appender)
        appender.catalog.marks.set(state.marks)
        if appender.keepsIDs { try restoreIDs(&appender, state) }
        return state
    }

    /// Puts the ids of everything before a state's boundary into the dedup tables, oldest first, as many of the
    /// newest as memory may hold.
    ///
    /// - Throws: `.corrupt` when a `.marks` file is missing or damaged: what it holds is nowhere else.
    static func restoreIDs(
        _ appender: inout LogAppender, _ state: borrowing LogState
    ) throws(QueueError) {
        let catalog = appender.catalog
        let horizonStart = Self.horizonStart(state.lastArrivalTicks, appender.limits)
        var room = UInt64(appender.dedup.capacity)
        // From the newest backwards: what does not fit would only be forgotten again.
        var firstCovered = state.segments.count
        while firstCovered > 0, state.segments[firstCovered - 1].ids <= room {
            firstCovered -= 1
            room -= state.segments[firstCovered].ids
        }
        var firstMarks = state.marks.count
        while firstCovered == 0, firstMarks > 0, state.marks[firstMarks - 1].count <= room {
            firstMarks -= 1
            room -= state.marks[firstMarks].count
        }
        appender.dedup.prepare(for: appender.dedup.capacity - Int(room))
        for (index, file) in state.marks.enumerated() {
            // All are looked at: a damaged one must not come to light only when it is needed.
            guard let ids = try marks(file, catalog) else { continue }
            if index >= firstMarks {
                appender.restore(ids, horizonStart: horizonStart, state)
            } else if file.lastTicks >= horizonStart {
                appender.dedup.note(shortened: file.count)
            }
        }
        for (index, covered) in state.segments.enumerated() {
            guard index >= firstCovered else {
                if covered.lastTicks >= horizonStart { appender.dedup.note(shortened: covered.ids) }
                continue
            }
            guard let segment = catalog.segment(containing: covered.base) else { continue }
            let ids = try sidecar(segment, covered, catalog)
            appender.restore(ids, horizonStart: horizonStart, state)
        }
        if state.lastArrivalTicks != .min { appender.dedup.advance(to: state.lastArrivalTicks) }
    }

    /// Ids that arrived before it are remembered only as the last ones of their device.
    static func horizonStart(_ lastTicks: Int64, _ limits: QueueLimits) -> Int64 {
        let (start, overflow) = lastTicks.subtractingReportingOverflow(limits.dedupHorizonTicks)
        return overflow ? .min : start
    }

    /// A `.marks` file that a state names.
    ///
    /// - Returns: nil when an operator put an empty file in its place.
    static func marks(
        _ file: LogState.MarksFile, _ catalog: SegmentCatalog
    ) throws(QueueError) -> IDFile? {
        let path = catalog.marks.path(file)
        let advice =
            "restore it from a backup; to go on without it, put an empty file in its place: then repetitions of "
            + "readings that retention removed would be stored again"
        if let ids = IDFile.load(
            path, files: catalog.files, logID: catalog.logID, from: file.from, to: file.to),
            ids.checksum == file.checksum, ids.hasProofs, ids.count == Int(file.count)
        {
            return ids
        }
        guard catalog.files.exists(path) else {
            throw .corrupt(path: path, offset: 0, explanation: "this file of the log is missing; " + advice)
        }
        let size = try attempt { () throws(FileError) in
            let stored = try catalog.files.open(path, writable: false)
            defer { stored.close() }
            return try stored.byteCount()
        }
        guard size == 0 else {
            throw .corrupt(path: path, offset: 0, explanation: "not what was written; " + advice)
        }
        catalog.note("\(path): empty, as an operator left it; the ids that it held are forgotten")
        return nil
    }

    /// The ids of a sealed segment: from its sidecar, or from the segment when that does not agree.
    static func sidecar(
        _ segment: Segment, _ covered: LogState.Covered, _ catalog: SegmentCatalog
    ) throws(QueueError) -> IDFile {
        if let ids = IDFile.load(
            segment.idsPath, files: catalog.files, logID: catalog.logID, from: segment.base, to: segment.end),
            ids.lastCommitNumber == covered.lastCommitNumber,
            ids.lastFrameChecksum == covered.lastFrameChecksum
        {
            return ids
        }
        let list = try IDList.build(
            segment, file: catalog.file(segment), limits: catalog.limits, key: catalog.hashKey)
        let image = list.encoded(segment, covered)
        // Only a cache: when the disk is full it is made again the next time.
        if catalog.mayWrite { try? catalog.replace(segment.idsPath, with: image.bytes) }
        guard let ids = IDFile(image: image, logID: catalog.logID) else {
            preconditionFailure("a sidecar that cannot be read back")
        }
        return ids
    }
}

extension IDList {
    /// Gathers the ids of a whole segment.
    ///
    /// - Throws: `.corrupt` with the place.
    static func build(
        _ segment: Segment, file: any StoredFile, limits: QueueLimits, key: UInt64
    ) throws(QueueError) -> IDList {
        var list = IDList(horizonTicks: limits.dedupHorizonTicks)
        var scanner = SegmentScanner(
            segment: segment, file: file, position: LogFormat.segmentHeaderBytes,
            limit: Int(segment.byteCount), bufferBytes: limits.readBytes)
        while let frame = try scanner.next() {
            let hash = LogAppender.hash(frame, key: key)
            guard hash != 0 else { continue }
            let place = DedupPlace(
                position: scanner.frameOffset, device: frame.device,
                sequence: UInt32(truncatingIfNeeded: frame.sequence))
            list.add(hash, place, ticks: frame.arrivalTicks)
        }
        guard scanner.stop != .bad else { throw SegmentIndex.damaged(segment, scanner.position) }
        return list
    }

    /// The sidecar of a segment.
    func encoded(_ segment: Segment, _ covered: LogState.Covered) -> FileImage {
        encoded(
            from: segment.base, to: segment.end, logID: segment.logID,
            lastCommitNumber: covered.lastCommitNumber, lastFrameChecksum: covered.lastFrameChecksum)
    }
}
