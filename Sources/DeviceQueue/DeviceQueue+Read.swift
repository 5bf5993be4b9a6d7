import Synchronization
package import Telemetry

// Reading for commands, HTTP and proofs; any thread. What is appended but not durable is not seen.
extension DeviceQueue {
    /// A reader that begins at an offset: 0 for the beginning, a `LogFrame.nextOffset`, or `durableEnd`.
    package func makeReader(from offset: QueueOffset) -> LogReader {
        LogReader(catalog: catalog, progress: progress, from: offset)
    }

    /// The records of one device in order.
    ///
    /// - Parameters:
    ///   - from: the first sequence wanted; one that was removed means the first that is there.
    ///   - limit: at most so many records.
    /// - Returns: empty for a device that is not known.
    /// - Throws: `.corrupt` with the place, `.file`.
    package func records(
        device: DeviceID, from: UInt64, limit: Int
    ) throws(QueueError) -> [TelemetryRecord] {
        guard let number = deviceNames.existingNumber(of: device.text) else { return [] }
        return try walk(number, from: from, limit: limit)
    }

    /// Every message that was ever set aside, in order, those that a replay has settled too; `device` is what each
    /// claimed to be, empty when that is unknown.
    package func quarantined(from: UInt64, limit: Int) throws(QueueError) -> [TelemetryRecord] {
        try walk(0, from: from, limit: limit)
    }

    /// The sequence of the device's last durable record, 0 when there is none.
    package func lastSequence(device: DeviceID) -> UInt64 {
        guard let number = deviceNames.existingNumber(of: device.text) else { return 0 }
        return durableHead(number).sequence
    }

    /// As `lastSequence(device:)`, by the device's number.
    func durableLastSequence(_ number: UInt32) -> UInt64 { durableHead(number).sequence }

    /// The sequence of the last quarantined message, 0 when there is none.
    package var lastQuarantinedSequence: UInt64 { durableHead(0).sequence }

    /// All records and quarantined messages in log order.
    ///
    /// - Throws: what `each` throws, or a `QueueError`.
    package func scan(_ each: (TelemetryRecord, FrameKind) throws -> Void) throws {
        let reader = makeReader(from: QueueOffset(0))
        var failure: (any Error)?
        while try reader.next({ frame in
            guard failure == nil, frame.kind == .record || frame.kind == .quarantined else { return }
            do { try each(copy(frame), frame.kind) } catch { failure = error }
        }) {
            if let failure { throw failure }
        }
    }

    /// A frame's contents, copied out.
    package func copy(_ frame: LogFrame) -> TelemetryRecord {
        let base = frame.base
        let isQuarantined = frame.kind == .quarantined
        let name = deviceNames.name(isQuarantined ? base.claimedDevice : base.device) ?? ""
        let messageID = base.messageIDBuffer
        return TelemetryRecord(
            device: DeviceID(name), sequence: base.sequence,
            messageID: messageID.isEmpty ? nil : String(decoding: messageID, as: UTF8.self),
            arrivalTime: EventTime(ticks: base.arrivalTicks), eventTime: EventTime(ticks: base.eventTicks),
            topic: String(decoding: base.topicBuffer, as: UTF8.self),
            properties: Array(base.propertiesBuffer),
            payload: Array(base.payloadBuffer), quarantineReason: isQuarantined ? frame.reason : nil,
            offset: frame.offset,
            replayedFrom: base.flagByte & FrameFlags.replayed != 0 ? base.replayedFrom : 0)
    }

    /// The last durable record of a device: offset and sequence, 0 for none.
    private func durableHead(_ number: UInt32) -> (offset: UInt64, sequence: UInt64) {
        lock.withLock { _ in
            guard number < appender.devices.numberLimit else { return (0, 0) }
            let state = appender.devices.state(number).pointee
            var offset = state.lastOffset
            var sequence = state.lastSequence
            // What is not durable yet is all in memory: step back over it.
            while offset >= appender.durableEnd, let frame = appender.recent.pointer(at: offset) {
                offset = frame.previous
                sequence -= 1
            }
            return offset == 0 ? (0, 0) : (offset, sequence)
        }
    }

    /// Walks a device's records backwards from the last one wanted, or from where a sidecar knows one near
    /// it.
    private func walk(_ number: UInt32, from: UInt64, limit: Int) throws(QueueError) -> [TelemetryRecord] {
        let head = durableHead(number)
        let first = max(from, firstSequence(number))
        guard limit > 0, head.sequence >= first else { return [] }
        let (sum, overflow) = first.addingReportingOverflow(UInt64(limit) - 1)
        let last = overflow ? head.sequence : min(sum, head.sequence)
        var offset = head.offset
        if last < head.sequence, let nearer = try offsetAtOrAfter(last, device: number) { offset = nearer }
        var records: [TelemetryRecord] = []
        records.reserveCapacity(Int(min(last - first + 1, 65_536)))
        var fetcher = FrameFetcher(catalog: catalog)
        let oldest = catalog.firstOffset ?? 0
        while offset != 0, offset >= oldest {
            let frame: UnsafeRawPointer
            do throws(QueueError) { frame = try fetcher.frame(at: offset) } catch {
                // The chain ends where retention has come by now.
                if case .removed = error { break }
                throw error
            }
            guard frame.sequence >= first else { break }
            if frame.sequence <= last {
                records.append(copy(LogFrame(base: frame, offset: QueueOffset(offset))))
            }
            offset = frame.previous
        }
        records.reverse()
        addTallies(to: &records)
        return records
    }

    /// The offset of a record at or soon after a sequence, from the sidecars of the sealed segments; nil when
    /// only the newest segment goes that far.
    private func offsetAtOrAfter(_ sequence: UInt64, device: UInt32) throws(QueueError) -> UInt64? {
        let sealed = catalog.segments.dropLast()
        var found: UInt64?
        var low = 0
        var high = sealed.count
        while low < high {
            let middle = (low + high) / 2
            // A segment may have nothing of the device: the next one to the right that has decides.
            var probe = middle
            var entry: SegmentIndex.Entry?
            while probe < high {
                entry = try catalog.index(sealed[probe], mayWrite: false).entry(device)
                if entry != nil { break }
                probe += 1
            }
            guard let entry else {
                high = middle
                continue
            }
            if entry.lastSequence >= sequence {
                found = entry.lastOffset
                high = middle
            } else {
                low = probe + 1
            }
        }
        return found
    }
}
