import Synchronization
package import Telemetry

// Retention and what it must spare; any thread but where noted.
extension DeviceQueue {
    /// The beginning of the log: what is before it was removed by retention.
    package var firstOffset: QueueOffset { QueueOffset(catalog.firstOffset ?? 0) }

    /// Keeps retention from removing anything from an offset on, until the same name holds another or lets go. Not
    /// durable: a consumer holds again when it opens, before the first `applyRetention`.
    ///
    /// - Returns: where the hold is: `from`, or the beginning of the log when that is later already.
    @discardableResult
    package func hold(name: String, from offset: QueueOffset) -> QueueOffset {
        let first = catalog.firstOffset ?? 0
        guard let upkeep else { return max(offset, QueueOffset(first)) }
        return upkeep.holds.withLock { holds in
            let from = max(offset, QueueOffset(max(first, holds.removingTo)))
            let at = holds.list.firstIndex { $0.name >= name } ?? holds.list.count
            if at < holds.list.count, holds.list[at].name == name {
                holds.list[at].from = from
            } else {
                holds.list.insert(RetentionHold(name: name, from: from), at: at)
            }
            return from
        }
    }

    package func releaseHold(name: String) {
        upkeep?.holds.withLock { $0.list.removeAll { $0.name == name } }
    }

    /// By name.
    package var holds: [RetentionHold] { upkeep?.holds.withLock { $0.list } ?? [] }

    /// Removes the sealed segments at the front that are past `QueueLimits.retention` and that nobody holds. For the
    /// thread that calls `prepareNextSegment`, every few seconds; blocks.
    ///
    /// A crash leaves the segments, or all that must outlive them: device numbers, names and last sequences,
    /// unreleased QoS 2 state, counters, and the message ids that must still be remembered.
    ///
    /// - Parameter nowTicks: the wall clock.
    /// - Throws: `.full`, `.file`: nothing is lost, a later call tries again.
    package func applyRetention(nowTicks: Int64) throws(QueueError) {
        guard mode == .readWrite, failure == nil else { return }
        defer {
            let removed = firstQuarantinedSequence - 1
            lock.withLock { _ in appender.tallies.forget(through: removed) }
        }
        try upkeep?.applyRetention(nowTicks: nowTicks)
    }

    package var retention: RetentionStatus {
        let segments = catalog.segments
        var status = RetentionStatus()
        status.firstOffset = QueueOffset(segments.first?.base ?? 0)
        status.segments = segments.count
        status.logBytes = segments.reduce(0) { $0 + $1.storedBytes }
        status.firstArrivalTime = firstArrivalTime
        status.holds = holds
        let shown = shownRemovals
        // All from one look: retention may go on meanwhile.
        status.removedQuarantined = shown.removedThrough.first ?? 0
        status.removedRecords = shown.removedRecords - status.removedQuarantined
        status.removedSegments = shown.removedSegments
        status.removedBytes = shown.removedEnd
        status.heldBytes = shown.heldBytes
        return status
    }

    /// The arrival time of the first reading or tick that is there; nil when there is none, or it cannot be read.
    package var firstArrivalTime: EventTime? {
        guard let segment = catalog.segments.first, let file = try? catalog.file(segment) else { return nil }
        let end = min(segment.end, progress.durableEnd)
        let start = LogFormat.segmentHeaderBytes
        guard end > segment.base + UInt64(start) else { return nil }
        var scanner = SegmentScanner(
            segment: segment, file: file, position: start, limit: Int(end - segment.base), bufferBytes: 4_096)
        while let frame = try? scanner.next() {
            if frame.isRecordLike || frame.kindByte == FrameKind.tick.rawValue {
                return EventTime(ticks: frame.arrivalTicks)
            }
        }
        return nil
    }

    /// The first sequence of a device that is not removed: 1 without retention, the last plus one when all are
    /// gone, 1 for a device that is not known.
    package func firstSequence(device: DeviceID) -> UInt64 {
        guard let number = deviceNames.existingNumber(of: device.text) else { return 1 }
        return firstSequence(number)
    }

    /// The devices of which retention removed something, and how many of their first records; by number.
    package var removedRecords: [(device: DeviceID, count: UInt64)] {
        shownRemovals.removedThrough.enumerated().compactMap { number, last in
            last == 0 ? nil : deviceID(UInt32(number)).map { ($0, last) }
        }
    }

    /// As `firstSequence(device:)` for the quarantine.
    package var firstQuarantinedSequence: UInt64 { firstSequence(0) }

    func firstSequence(_ number: UInt32) -> UInt64 {
        let removed = shownRemovals.removedThrough
        return Int(number) < removed.count ? removed[Int(number)] + 1 : 1
    }

    /// What an operator should know and was not told yet: states that were not used, damage met in passing.
    package func takeNotices() -> [String] { catalog.takeNotices() }
}
