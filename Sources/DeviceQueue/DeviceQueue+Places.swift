import Synchronization
package import Telemetry

// Places in the log for readers that begin in its middle, and how many records are before them; any thread.
extension DeviceQueue {
    /// The offset of the first record (or tick of the clock) that arrived at that time or later; the durable end when
    /// there is none. Reads a block of each of some ten segments, and one segment.
    ///
    /// - Throws: `.corrupt` with the place, `.file`.
    package func offset(arrivedFrom time: EventTime) throws(QueueError) -> QueueOffset {
        let end = durableEnd
        let segments = catalog.segments
        var low = 0
        var high = segments.count
        // The last segment that begins before the time.
        while low < high {
            let middle = (low + high) / 2
            if let first = try firstArrival(from: segments[middle].base), first.time < time {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low > 0 else { return firstOffset }
        let reader = makeReader(from: QueueOffset(segments[low - 1].base))
        var found: QueueOffset?
        while found == nil, reader.position < end {
            let isMore = try reader.next { frame in
                guard found == nil, frame.hasArrivalTime, frame.arrivalTime >= time else { return }
                found = frame.offset
            }
            if !isMore { break }
        }
        return found ?? end
    }

    private func firstArrival(
        from base: UInt64
    ) throws(QueueError) -> (time: EventTime, offset: QueueOffset)? {
        let reader = makeReader(from: QueueOffset(base))
        var found: (time: EventTime, offset: QueueOffset)?
        while found == nil {
            let isMore = try reader.next { frame in
                if found == nil, frame.hasArrivalTime { found = (frame.arrivalTime, frame.offset) }
            }
            if !isMore { break }
        }
        return found
    }

    /// How many records certain devices had before a place in the log, since it began: those that retention removed
    /// count. Reads the sidecars of the segments behind the place, and of the log only the segment the place is in and
    /// the newest.
    ///
    /// - Parameters:
    ///   - offset: from `firstOffset` to `durableEnd`.
    ///   - matches: by the device's number.
    /// - Throws: `.corrupt` with the place, `.removed`, `.offsetOutOfRange`, `.file`.
    package func recordsBefore(
        _ offset: QueueOffset, where matches: (UInt32) -> Bool
    ) throws(QueueError) -> UInt64 {
        if offset.bytes == 0, firstOffset.bytes == 0 { return 0 }
        // The order matters: a device without a record between the place and the end read below has as many records as
        // its last durable one says now.
        var last: [UInt32: UInt64] = [:]
        for number in 1..<max(1, deviceNames.numberEnd) where matches(number) {
            last[number] = durableLastSequence(number)
        }
        let end = durableEnd
        var first: [UInt32: UInt64] = [:]
        let segments = catalog.segments
        for (index, segment) in segments.enumerated() where segment.end > offset.bytes {
            if segment.base >= offset.bytes, index < segments.count - 1 {
                for entry in try catalog.index(segment, mayWrite: false).entries
                where entry.device != 0 && first[entry.device] == nil {
                    first[entry.device] = entry.firstSequence
                }
                continue
            }
            let reader = makeReader(from: QueueOffset(max(segment.base, offset.bytes)))
            while reader.position.bytes < min(segment.end, end.bytes) {
                let isMore = try reader.next { frame in
                    guard frame.kind == .record, first[frame.device] == nil else { return }
                    first[frame.device] = frame.sequence
                }
                if !isMore { break }
            }
        }
        var count: UInt64 = 0
        for (number, sequence) in last { count += first[number].map { $0 - 1 } ?? sequence }
        // Devices that came after the first look have nothing before the place.
        return count
    }

    /// How many records certain devices have had so far, since the log began: those that retention removed count, and
    /// those of the batch that is being written.
    ///
    /// - Parameter matches: by the device's number.
    package func recordTotal(where matches: (UInt32) -> Bool) -> UInt64 {
        let end = deviceNames.numberEnd
        var count: UInt64 = 0
        var number: UInt32 = 1
        var chunk: [UInt32] = []
        while number < end {
            // Names are looked at outside of the lock, for which the storage thread waits.
            chunk.removeAll(keepingCapacity: true)
            while number < end, chunk.count < 4_096 {
                if matches(number) { chunk.append(number) }
                number += 1
            }
            lock.withLock { _ in
                for device in chunk where device < appender.devices.numberLimit {
                    count += appender.devices.lastSequence(device)
                }
            }
        }
        return count
    }

    /// The records at these offsets, which a reader gave, in the order asked.
    ///
    /// - Throws: `.corrupt` with the place, `.removed` when retention removed one, `.file`.
    package func records(at offsets: [QueueOffset]) throws(QueueError) -> [TelemetryRecord] {
        var records: [TelemetryRecord] = []
        records.reserveCapacity(offsets.count)
        var fetcher = FrameFetcher(catalog: catalog)
        for offset in offsets {
            records.append(copy(LogFrame(base: try fetcher.frame(at: offset.bytes), offset: offset)))
        }
        return records
    }
}

extension LogFrame {
    fileprivate var hasArrivalTime: Bool {
        switch kind {
        case .record, .quarantined, .tick: true
        default: false
        }
    }
}
