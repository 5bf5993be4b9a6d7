import Platform
import Telemetry

// The hot path: raw pointers into the staging buffer (guard: `StagingBuffer` wrote the frames, and each
// length is checked against its end) and into the write buffer (guard: `makeRoom`).
extension LogAppender {
    /// Appends every frame of a staging buffer and writes the outcomes into it.
    ///
    /// Two passes a group of frames: the first hashes ids and loads all the cache lines that the second will
    /// need, so that their misses overlap.
    mutating func append(_ staging: StagingBuffer, arrivalTicks: Int64) {
        let arrival = max(lastArrivalTicks, arrivalTicks)
        lastArrivalTicks = arrival
        dedup.advance(to: arrival)
        let base = staging.base
        let end = staging.byteCount
        let key = catalog.hashKey
        var at = 0
        while at < end {
            var ahead = at
            var count = 0
            var sum: UInt64 = 0
            while ahead < end, count < Self.groupFrames {
                let frame = UnsafeRawPointer(base + ahead)
                let byteCount = frame.frameBytes
                precondition(byteCount >= FrameLayout.releaseBytes)
                precondition(byteCount & 7 == 0)
                precondition(byteCount <= end - ahead)
                hashes[count] = Self.hash(frame, key: key)
                sum &+= devices.state(frame.device).pointee.lastSequence
                count += 1
                ahead += byteCount
            }
            note(sum)
            dedup.touch(hashes, count)
            for index in 0..<count {
                let frame = base + at
                at += UnsafeRawPointer(frame).frameBytes
                append(frame, hash: hashes[index], arrival: arrival)
            }
        }
        if !repetitions.isEmpty { writeRepetitions() }
    }

    /// The hash of the frame's message id, or 0 when it has none that can repeat. A quarantined frame's id
    /// counts for the device it claims to be.
    @inline(__always)
    static func hash(_ frame: UnsafeRawPointer, key: UInt64) -> UInt64 {
        guard frame.isRecordLike else { return 0 }
        let idBytes = frame.messageIDBytes
        let device = frame.device == 0 ? frame.claimedDevice : frame.device
        guard idBytes > 0, device != 0 else { return 0 }
        return KeyedHash.hash(frame + frame.messageIDOffset, idBytes, device: device, key: key)
    }

    @inline(__always)
    private mutating func append(_ frame: UnsafeMutableRawPointer, hash: UInt64, arrival: Int64) {
        let kind = UnsafeRawPointer(frame).kindByte
        guard kind == FrameKind.record.rawValue || kind == FrameKind.quarantined.rawValue else {
            return appendControl(frame)
        }
        let client = UnsafeRawPointer(frame).client
        // Only where there is no id to go by: after a restart a client may have begun anew with the same packet
        // identifiers for other messages.
        if client != 0, hash == 0,
            unreleased.contains(client: client, UnsafeRawPointer(frame).packetIdentifier)
        {
            noteRepetition(frame, of: 0)
            return setOutcome(frame, .duplicate)
        }
        let isReplay = UnsafeRawPointer(frame).flagByte & FrameFlags.replayed != 0
        if isReplay, !isReplayDue(frame) { return setOutcome(frame, .duplicate) }
        if hash != 0 {
            var cursor = DedupIndex.Cursor(hash)
            let position = dedup.next(&cursor)
            if position != 0 {
                switch judge(frame, first: position, &cursor) {
                case .duplicate:
                    if isReplay {
                        settleAsDuplicate(frame, of: repeatedOffset)
                    } else {
                        noteRepetition(frame, of: repeatedOffset)
                    }
                    return setOutcome(frame, .duplicate)
                case .conflict where isReplay:
                    keepWaiting(
                        UnsafeRawPointer(frame).replayedFrom, reason: QuarantineReason.conflict.rawValue)
                    return setOutcome(frame, .conflict)
                case .conflict: Self.makeConflict(frame)
                default: break
                }
            }
        }
        store(frame, hash: hash, arrival: arrival)
    }

    @inline(__always)
    private func setOutcome(_ frame: UnsafeMutableRawPointer, _ outcome: AppendOutcome) {
        frame.storeBytes(of: outcome.rawValue, toByteOffset: FrameLayout.outcome, as: UInt8.self)
    }

    /// Turns a staged record into a quarantined one.
    private static func makeConflict(_ frame: UnsafeMutableRawPointer) {
        let device = UnsafeRawPointer(frame).device
        frame.storeBytes(of: FrameKind.quarantined.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(
            of: QuarantineReason.conflict.rawValue, toByteOffset: FrameLayout.reason, as: UInt8.self)
        frame.storeBytes(of: UInt64(device), toByteOffset: FrameLayout.claimedDevice, as: UInt64.self)
        frame.storeBytes(of: 0, toByteOffset: FrameLayout.device, as: UInt32.self)
    }

    /// Gives a record its place in the queue and copies it into the write buffer.
    @inline(__always)
    private mutating func store(_ staged: UnsafeMutableRawPointer, hash: UInt64, arrival: Int64) {
        let source = UnsafeRawPointer(staged)
        let byteCount = source.frameBytes
        let device = source.device
        let isReplay = source.flagByte & FrameFlags.replayed != 0
        let named = device == 0 ? source.claimedDevice : device
        let client = source.client
        let state = devices.state(device)
        if !isBatchOpen || recent.offset + UInt64(byteCount) > segmentLimit || recent.room < byteCount
            || state.pointee.definedIn != segmentBase + 1 || (device == 0 && named != 0) || client != 0
            || isReplay
        {
            // A replay speaks of the quarantine too.
            makeRoom(byteCount, device: isReplay ? 0 : device, named: named, client: client)
        }
        let sequence = state.pointee.lastSequence + 1
        let offset = recent.offset
        staged.storeBytes(of: sequence, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        staged.storeBytes(of: state.pointee.lastOffset, toByteOffset: FrameLayout.previous, as: UInt64.self)
        staged.storeBytes(of: arrival, toByteOffset: FrameLayout.arrivalTime, as: Int64.self)
        if source.flagByte & FrameFlags.deviceTime == 0 {
            staged.storeBytes(of: arrival, toByteOffset: FrameLayout.eventTime, as: Int64.self)
        }
        staged.storeBytes(of: 0, toByteOffset: FrameLayout.outcome, as: UInt8.self)
        let frame = recent.cursor
        frame.copyMemory(from: source, byteCount: byteCount)
        finish(frame, byteCount)
        state.pointee.lastSequence = sequence
        state.pointee.lastOffset = offset
        if hash != 0 {
            let place = DedupPlace(
                position: offset, device: device, sequence: UInt32(truncatingIfNeeded: sequence))
            dedup.insert(hash, place, ticks: arrival, devices: devices)
            counters.withMessageID += 1
        }
        if client != 0, source.flagByte & FrameFlags.qosMask == 2 {
            unreleased.insert(client: client, source.packetIdentifier)
        }
        if device == 0 {
            counters.countQuarantined(reason: source.reasonByte)
            setOutcome(
                staged, source.reasonByte == QuarantineReason.conflict.rawValue ? .conflict : .quarantined)
        } else {
            counters.stored += 1
            if sequence == 1 { counters.devices += 1 }
            setOutcome(staged, .stored)
        }
        if device == 0 || isReplay { tallies.take(UnsafeRawPointer(frame)) }
    }

    /// Appends a release or a discarded session.
    @inline(never)
    private mutating func appendControl(_ staged: UnsafeMutableRawPointer) {
        let source = UnsafeRawPointer(staged)
        if source.kindByte == FrameKind.replayed.rawValue {
            keepWaiting(source.sequence, reason: source.reasonByte)
            return setOutcome(staged, .noted)
        }
        let client = source.client
        let isRelease = source.kindByte == FrameKind.release.rawValue
        precondition(isRelease || source.kindByte == FrameKind.sessionDiscarded.rawValue)
        precondition(source.frameBytes == FrameLayout.releaseBytes)
        // What the log does not hold need not be released in it.
        let matters =
            isRelease
            ? unreleased.contains(client: client, source.packetIdentifier)
            : !unreleased.identifiers(client: client).isEmpty
        if matters {
            makeRoom(FrameLayout.releaseBytes, device: nil, named: 0, client: client)
            staged.storeBytes(of: 0, toByteOffset: FrameLayout.outcome, as: UInt8.self)
            let frame = recent.cursor
            frame.copyMemory(from: source, byteCount: FrameLayout.releaseBytes)
            finish(frame, FrameLayout.releaseBytes)
            if isRelease {
                unreleased.remove(client: client, source.packetIdentifier)
            } else {
                unreleased.removeAll(client: client)
            }
        }
        setOutcome(staged, .noted)
    }

    /// Appends a tick of the clock.
    mutating func appendTick(arrivalTicks: Int64) {
        let arrival = max(lastArrivalTicks, arrivalTicks)
        lastArrivalTicks = arrival
        dedup.advance(to: arrival)
        makeRoom(FrameLayout.tickBytes, device: nil, named: 0, client: 0)
        let frame = recent.cursor
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.tickBytes)
        frame.storeBytes(of: FrameKind.tick.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: arrival, toByteOffset: FrameLayout.arrivalTime, as: Int64.self)
        finish(frame, FrameLayout.tickBytes)
    }

}
