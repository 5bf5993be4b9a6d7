import Platform

/// What a range of the log from its beginning comes to, message ids apart: everything that a restart must know
/// of the segments before `boundary`, whether they are still there or not.
///
/// The helper thread keeps one up to date, a sealed segment at a time, apart from the writer's own state: so the
/// writer never waits for a copy of it. Costs 24 bytes a device in memory, and 8 more once retention has removed
/// something. Written to disk by `LogStateFile`.
struct LogState {
    struct Device: Equatable {
        var lastSequence: UInt64 = 0
        /// Offset of its last record, 0 for none.
        var lastOffset: UInt64 = 0
        /// The log before the boundary names it.
        var isDefined = false
    }

    /// One segment before the boundary that is still there.
    struct Covered: Equatable {
        var base: UInt64
        var byteCount: UInt64
        var lastCommitNumber: UInt64 = 0
        /// Position in the file and checksum of the last frame: what binds a state, or a sidecar, to the log.
        var lastFramePosition: UInt32 = 0
        var lastFrameChecksum: UInt32 = 0
        /// Arrival times of the first and the last frame that has one; `Int64.max` and `.min` when none has.
        var firstTicks = Int64.max
        var lastTicks = Int64.min
        /// Records and quarantined messages, and those of them with a message id of their own.
        var records: UInt64 = 0
        var ids: UInt64 = 0

        var end: UInt64 { base + byteCount }
    }

    /// A `.marks` file: see `RemovedMarks`.
    struct MarksFile: Equatable {
        var from: UInt64
        var to: UInt64
        var count: UInt64
        var checksum: UInt32
        /// The latest arrival time in it.
        var lastTicks: Int64
    }

    /// Everything before this offset, the base of a segment, is in the state.
    var boundary: UInt64 = 0
    /// Everything before this offset was removed by retention.
    var removedEnd: UInt64 = 0
    var lastCommitNumber: UInt64 = 0
    var lastArrivalTicks = Int64.min
    /// Only what the log says: stored, set aside, with an id.
    var counters = QueueCounters()
    var tallies = LogTallies(repeatedMax: QueueLimits().repeatedRecords)
    /// By number; 0 is the quarantine.
    var devices: [Device] = []
    /// By device number: the last sequence that retention removed. May be shorter than `devices`.
    var removedThrough: [UInt64] = []
    /// By number: whether the log before the boundary names the client.
    var clients: [Bool] = []
    var unreleased = UnreleasedIdentifiers()
    var segments: [Covered] = []
    var marks: [MarksFile] = []
    /// Segments before this offset have sidecars without the ids that need not be remembered.
    var thinnedEnd: UInt64 = 0
    var removedRecords: UInt64 = 0
    var removedSegments: UInt64 = 0

    /// The last sequence of a device before the boundary.
    func lastSequence(_ device: UInt32) -> UInt64 {
        Int(device) < devices.count ? devices[Int(device)].lastSequence : 0
    }

    /// Whether an id must be remembered however old it is: it is one of the last `minimum` of its device.
    func isRecent(_ place: DedupPlace, minimum: UInt32) -> Bool {
        UInt32(truncatingIfNeeded: lastSequence(place.device)) &- place.sequence < minimum
    }

    mutating func note(removed sequence: UInt64, of device: UInt32) {
        while removedThrough.count <= Int(device) { removedThrough.append(0) }
        removedThrough[Int(device)] = max(removedThrough[Int(device)], sequence)
    }

    // Taking in a sealed segment.

    /// Reads a whole segment, the next behind the boundary, into the state.
    ///
    /// - Returns: what its two sidecars hold.
    /// - Throws: `.corrupt` with the place; then the state is spoilt, and the caller goes back to a copy.
    mutating func take(
        _ segment: Segment, file: any StoredFile, limits: QueueLimits, key: UInt64
    ) throws(QueueError) -> (index: SegmentIndex, ids: IDList, covered: Covered) {
        precondition(segment.base == boundary)
        var covered = Covered(base: segment.base, byteCount: segment.byteCount)
        var touched: [(device: UInt32, first: UInt64)] = []
        var ids = IDList(horizonTicks: limits.dedupHorizonTicks)
        var scanner = SegmentScanner(
            segment: segment, file: file, position: LogFormat.segmentHeaderBytes,
            limit: Int(segment.byteCount), bufferBytes: limits.readBytes)
        while let frame = try scanner.next() {
            if LogTallies.concerns(frame) { tallies.take(frame) }
            covered.noteFrame(frame, position: scanner.framePosition)
            if frame.isRecordLike {
                let device = frame.device
                grow(to: device)
                if devices[Int(device)].lastOffset <= segment.base {
                    touched.append((device, frame.sequence))
                }
                devices[Int(device)].lastSequence = frame.sequence
                devices[Int(device)].lastOffset = scanner.frameOffset
                count(frame)
                covered.note(frame.arrivalTicks)
                covered.records += 1
                let hash = LogAppender.hash(frame, key: key)
                if hash != 0 {
                    let place = DedupPlace(
                        position: scanner.frameOffset, device: device,
                        sequence: UInt32(truncatingIfNeeded: frame.sequence))
                    ids.add(hash, place, ticks: frame.arrivalTicks)
                    counters.withMessageID += 1
                }
            } else {
                takeOther(frame, &covered)
            }
        }
        guard scanner.stop != .bad else { throw SegmentIndex.damaged(segment, scanner.position) }
        covered.ids = UInt64(ids.count)
        boundary = segment.end
        lastCommitNumber = covered.lastCommitNumber
        lastArrivalTicks = max(lastArrivalTicks, covered.lastTicks)
        segments.append(covered)
        touched.sort { $0.device < $1.device }
        let entries = touched.map { device, first in
            SegmentIndex.Entry(
                device: device, firstSequence: first, lastSequence: devices[Int(device)].lastSequence,
                lastOffset: devices[Int(device)].lastOffset)
        }
        return (SegmentIndex(base: segment.base, logID: segment.logID, entries: entries), ids, covered)
    }

    private mutating func grow(to device: UInt32) {
        while devices.count <= Int(device) { devices.append(Device()) }
    }

    private mutating func count(_ frame: UnsafeRawPointer) {
        let client = frame.client
        if client != 0, frame.flagByte & FrameFlags.qosMask == 2 {
            unreleased.insert(client: client, frame.packetIdentifier)
        }
        if frame.device == 0 {
            counters.countQuarantined(reason: frame.reasonByte)
        } else {
            counters.stored += 1
        }
    }

    private mutating func takeOther(_ frame: UnsafeRawPointer, _ covered: inout Covered) {
        switch frame.kindByte {
        case FrameKind.device.rawValue:
            grow(to: frame.device)
            devices[Int(frame.device)].isDefined = true
        case FrameKind.client.rawValue:
            while clients.count <= Int(frame.client) { clients.append(false) }
            clients[Int(frame.client)] = true
        case FrameKind.release.rawValue: unreleased.remove(client: frame.client, frame.packetIdentifier)
        case FrameKind.sessionDiscarded.rawValue: unreleased.removeAll(client: frame.client)
        case FrameKind.commit.rawValue: covered.lastCommitNumber = frame.sequence
        case FrameKind.replayed.rawValue, FrameKind.repeated.rawValue: break
        default: covered.note(frame.arrivalTicks)
        }
    }
}

extension LogState.Covered {
    mutating func note(_ ticks: Int64) {
        if firstTicks > ticks { firstTicks = ticks }
        lastTicks = ticks
    }

    @inline(__always)
    mutating func noteFrame(_ frame: UnsafeRawPointer, position: Int) {
        lastFramePosition = UInt32(position)
        lastFrameChecksum = frame.frameChecksum
    }
}

// To and from the writer's state, when a log is opened.
extension LogState {
    /// Gives the writer what this state knows; the names are in its tables already.
    func apply(to appender: inout LogAppender) {
        for (number, device) in devices.enumerated() where device.lastSequence > 0 {
            let state = appender.devices.state(UInt32(number))
            state.pointee.lastSequence = device.lastSequence
            state.pointee.lastOffset = device.lastOffset
        }
        appender.unreleased = unreleased
        appender.counters.stored = counters.stored
        appender.counters.withMessageID = counters.withMessageID
        appender.counters.quarantinedByReason = counters.quarantinedByReason
        appender.tallies = tallies
        appender.tallies.repeatedMax = appender.limits.repeatedRecords
        appender.lastCommitNumber = lastCommitNumber
        appender.lastArrivalTicks = lastArrivalTicks
    }

    /// Catches up with a writer that has replayed the log exactly as far as `boundary`.
    mutating func take(from appender: borrowing LogAppender, boundary: UInt64) {
        for number in 0..<appender.deviceNames.numberEnd {
            let known = appender.devices.state(number).pointee
            guard known.definedIn != 0 else { continue }
            grow(to: number)
            devices[Int(number)] = Device(
                lastSequence: known.lastSequence, lastOffset: known.lastOffset, isDefined: true)
        }
        for number in 0..<appender.clientNames.numberEnd
        where appender.clients.state(number).pointee.definedIn != 0 {
            while clients.count <= Int(number) { clients.append(false) }
            clients[Int(number)] = true
        }
        unreleased = appender.unreleased
        counters.stored = appender.counters.stored
        counters.withMessageID = appender.counters.withMessageID
        counters.quarantinedByReason = appender.counters.quarantinedByReason
        tallies = appender.tallies
        lastCommitNumber = appender.lastCommitNumber
        lastArrivalTicks = appender.lastArrivalTicks
        self.boundary = boundary
    }
}
