package import DeviceQueue
package import Telemetry

/// A page of the quarantine as JSON objects: for HTTP, and for commands on a stopped hub.
package struct QuarantinePage: Sendable {
    package var reason: QuarantineReason?
    /// What the messages claimed to be; nil: any.
    package var device: String?
    package var from: UInt64 = 1
    package var limit = 100
    /// Those that a replay has settled too.
    package var includesSettled = false
    /// Conflicts come with the record that was kept.
    package var withKept = false

    package init() {}

    /// Up to `limit` objects, fewer when they are large: a page holds about 16 MiB. A reader goes on behind the last
    /// sequence it got until it gets nothing.
    package func objects(_ queue: DeviceQueue) throws(QueueError) -> [[UInt8]] {
        let reader = queue.makeQuarantineReader(
            .init(from: from, reason: reason, includesSettled: includesSettled))
        let wanted = device.map { DeviceID($0) }
        var records: [TelemetryRecord] = []
        var bytes = 0
        while records.count < limit, bytes < Self.bytesMax {
            let hasMore = try reader.next { frame, _ in
                guard records.count < limit, bytes < Self.bytesMax else { return }
                let record = queue.copy(frame)
                if let wanted, record.device != wanted { return }
                bytes += record.payload.count + record.topic.utf8.count
                records.append(record)
            }
            if !hasMore { break }
        }
        queue.addTallies(to: &records)
        var objects: [[UInt8]] = []
        for record in records {
            var kept: TelemetryRecord?
            if withKept, record.quarantineReason == .conflict, let id = record.messageID {
                do throws(QueueError) {
                    kept = try queue.record(device: record.device, messageID: id)
                } catch {
                    // Retention took it; the conflict can be read all the same.
                    guard case .removed = error else { throw error }
                }
            }
            objects.append(RecordJSON.bytes(record, kept: kept))
        }
        return objects
    }

    private static let bytesMax = 16 << 20
}
