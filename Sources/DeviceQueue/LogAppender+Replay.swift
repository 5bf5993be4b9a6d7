import Telemetry

// Rebuilding the writer's state from the log: raw pointers to frames that the scanner checked.
extension LogAppender {
    /// Ids of replayed records on their way into the dedup tables, in groups whose misses overlap.
    struct ReplayGroup {
        var places: [DedupPlace] = []
        var ticks: Int64 = 0
    }

    /// Takes in one frame of the log, in order; commit frames are the caller's.
    ///
    /// - Returns: nil, or in what the frame contradicts the log before it.
    mutating func replay(_ frame: UnsafeRawPointer, offset: UInt64, group: inout ReplayGroup) -> String? {
        switch frame.kindByte {
        case FrameKind.record.rawValue, FrameKind.quarantined.rawValue:
            return replayRecord(frame, offset: offset, group: &group)
        case FrameKind.device.rawValue: return replayDevice(frame)
        case FrameKind.client.rawValue:
            let number = frame.client
            guard clientNames.restore(frame.nameBuffer, number: number), number < clients.numberLimit else {
                return "client \(number) is defined twice, or is over the limit of clients"
            }
            clients.state(number).pointee.definedIn = segmentBase + 1
        case FrameKind.release.rawValue: unreleased.remove(client: frame.client, frame.packetIdentifier)
        case FrameKind.sessionDiscarded.rawValue: unreleased.removeAll(client: frame.client)
        case FrameKind.replayed.rawValue, FrameKind.repeated.rawValue: return replayTallies(frame)
        default: return replayArrival(frame.arrivalTicks, group: &group)
        }
        return nil
    }

    /// The segment whose frames follow.
    mutating func replay(segment: Segment) {
        segmentBase = segment.base
    }

    private mutating func replayDevice(_ frame: UnsafeRawPointer) -> String? {
        let number = frame.device
        guard number < devices.numberLimit,
            number == 0 || deviceNames.restore(frame.nameBuffer, number: number)
        else { return "device \(number) is defined twice, or is over the limit of devices" }
        let state = devices.state(number)
        if state.pointee.lastSequence != frame.sequence || state.pointee.lastOffset != frame.previous {
            return "device \(number) comes to sequence \(state.pointee.lastSequence) before its definition "
                + "with \(frame.sequence): readings between them are missing"
        }
        state.pointee.definedIn = segmentBase + 1
        return nil
    }

    private mutating func replayRecord(
        _ frame: UnsafeRawPointer, offset: UInt64, group: inout ReplayGroup
    ) -> String? {
        let device = frame.device
        guard device < devices.numberLimit else { return "device \(device) is over the limit of devices" }
        let state = devices.state(device)
        guard state.pointee.definedIn == segmentBase + 1 else {
            return "device \(device) is not defined before"
        }
        guard frame.sequence == state.pointee.lastSequence + 1, frame.previous == state.pointee.lastOffset
        else {
            return "sequence \(frame.sequence) of device \(device) follows \(state.pointee.lastSequence)"
        }
        if let reason = replayArrival(frame.arrivalTicks, group: &group) { return reason }
        state.pointee.lastSequence = frame.sequence
        state.pointee.lastOffset = offset
        let client = frame.client
        if client != 0, frame.flagByte & FrameFlags.qosMask == 2 {
            guard client < clients.numberLimit else { return "client \(client) is over the limit of clients" }
            unreleased.insert(client: client, frame.packetIdentifier)
        }
        if LogTallies.concerns(frame), let contradiction = replayTallies(frame) { return contradiction }
        if device == 0 {
            counters.countQuarantined(reason: frame.reasonByte)
        } else {
            counters.stored += 1
        }
        let hash = Self.hash(frame, key: catalog.hashKey)
        if hash != 0 {
            counters.withMessageID += 1
            guard keepsIDs else { return nil }
            hashes[group.places.count] = hash
            group.places.append(
                DedupPlace(
                    position: offset, device: device, sequence: UInt32(truncatingIfNeeded: frame.sequence)))
            if group.places.count == Self.groupFrames { flush(&group) }
        }
        return nil
    }

    private mutating func replayArrival(_ ticks: Int64, group: inout ReplayGroup) -> String? {
        guard ticks >= lastArrivalTicks else { return "the arrival time goes back" }
        if ticks != lastArrivalTicks {
            flush(&group)
            lastArrivalTicks = ticks
            group.ticks = ticks
            dedup.advance(to: ticks)
        }
        return nil
    }

    /// Puts ids of sealed or removed segments into the dedup tables.
    ///
    /// - Parameters:
    ///   - horizonStart: older ids count only when they are among the last of their device.
    ///   - state: tells which those are.
    mutating func restore(_ ids: borrowing IDFile, horizonStart: Int64, _ state: borrowing LogState) {
        let minimum = UInt32(limits.dedupMinimum)
        withUnsafeTemporaryAllocation(of: DedupPlace.self, capacity: Self.groupFrames) { places in
            var index = 0
            for run in 0..<ids.runCount {
                let (ticks, end) = ids.run(run)
                dedup.advance(to: ticks)
                while index < end {
                    var count = 0
                    while index < end, count < Self.groupFrames {
                        let place = ids.places[index]
                        if place.device < devices.numberLimit,
                            ticks >= horizonStart || state.isRecent(place, minimum: minimum)
                        {
                            hashes[count] = ids.hashes[index]
                            places[count] = place
                            count += 1
                        }
                        index += 1
                    }
                    dedup.touchForInsertion(hashes, count)
                    for at in 0..<count {
                        dedup.insert(hashes[at], places[at], ticks: ticks, devices: devices)
                    }
                }
            }
        }
    }

    /// Puts the waiting ids into the dedup tables.
    mutating func flush(_ group: inout ReplayGroup) {
        guard !group.places.isEmpty else { return }
        dedup.touchForInsertion(hashes, group.places.count)
        for index in 0..<group.places.count {
            dedup.insert(hashes[index], group.places[index], ticks: group.ticks, devices: devices)
        }
        group.places.removeAll(keepingCapacity: true)
    }
}
