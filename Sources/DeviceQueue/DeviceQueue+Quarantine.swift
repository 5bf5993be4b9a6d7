import Synchronization
package import Telemetry

// What is known of the quarantine, and of repetitions; any thread.
extension DeviceQueue {
    /// A reader of what is quarantined now.
    package func makeQuarantineReader(_ filter: QuarantineReader.Filter = .init()) -> QuarantineReader {
        QuarantineReader(queue: self, filter: filter)
    }

    func quarantineState(_ sequence: UInt64) -> LogTallies.QuarantineState {
        lock.withLock { _ in appender.tallies.state(sequence) }
    }

    /// Messages of a device: how many came that were stored already, how many wait in the quarantine, and how many
    /// waited there until retention removed them.
    package func tallies(device: DeviceID) -> (duplicates: UInt64, quarantined: UInt64, removed: UInt64) {
        guard let number = deviceNames.existingNumber(of: device.text) else { return (0, 0, 0) }
        return lock.withLock { _ in
            (
                appender.tallies.duplicates(device: number), appender.tallies.waiting(device: number),
                appender.tallies.removedWaiting(device: number)
            )
        }
    }

    /// The record that holds a device's message id; for a conflict, the message that was kept.
    ///
    /// - Returns: nil when there is none, or when its id is past the horizon of duplicates.
    /// - Throws: `.removed` when retention removed it, `.corrupt`, `.file`.
    package func record(device: DeviceID, messageID: String) throws(QueueError) -> TelemetryRecord? {
        guard let number = deviceNames.existingNumber(of: device.text), !messageID.isEmpty else { return nil }
        let id = Array(messageID.utf8)
        let key = catalog.hashKey
        let hash = id.withUnsafeBytes { bytes in
            bytes.baseAddress.map { KeyedHash.hash($0, bytes.count, device: number, key: key) } ?? 0
        }
        // The places under the lock, the disk without it.
        let places = lock.withLock { _ in
            var places: [UInt64] = []
            var cursor = DedupIndex.Cursor(hash)
            while case let position = appender.dedup.next(&cursor), position != 0 {
                if position < appender.durableEnd { places.append(position) }
            }
            return places
        }
        var fetcher = FrameFetcher(catalog: catalog)
        for place in places {
            let frame = try fetcher.frame(at: place)
            guard frame.kindByte == FrameKind.record.rawValue, frame.device == number,
                frame.messageIDBuffer.elementsEqual(id)
            else { continue }
            var found = [copy(LogFrame(base: frame, offset: QueueOffset(place)))]
            addTallies(to: &found)
            return found.first
        }
        return nil
    }

    /// Fills in what the frames of records and quarantined messages do not say.
    package func addTallies(to records: inout [TelemetryRecord]) {
        lock.withLock { _ in
            for index in records.indices {
                let offset = records[index].offset.bytes
                records[index].duplicateCount = appender.tallies.repetitions(at: offset)
                guard records[index].quarantineReason != nil else { continue }
                switch appender.tallies.state(records[index].sequence) {
                case .waiting(let reason): records[index].quarantineReason = reason
                case .settled: records[index].isSettled = true
                case .unknown: break
                }
            }
        }
    }
}
