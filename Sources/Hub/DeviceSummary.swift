package import DeviceQueue
package import Telemetry

/// One device as lists show it.
package struct DeviceSummary: Sendable {
    package var id: DeviceID
    /// Records stored; the last sequence.
    package var lastSequence: UInt64
    /// The first sequence that retention left.
    package var firstSequence: UInt64
    /// nil when the last record was removed, or cannot be read now.
    package var lastArrivalTime: EventTime?
}

extension DeviceQueue {
    /// Devices in the order of their names, a page at a time. For people and proofs, not hot paths.
    ///
    /// - Parameter after: the last name of the page before, empty for the first.
    package func deviceSummaries(after: DeviceID, limit: Int) -> [DeviceSummary] {
        var summaries: [DeviceSummary] = []
        var last = after
        // A device that has a number and nothing stored yet is in no list.
        while summaries.count < limit {
            let ids = deviceIDs(after: last, limit: limit - summaries.count)
            guard let next = ids.last else { break }
            summaries += ids.compactMap(deviceSummary)
            last = next
        }
        return summaries
    }

    /// - Returns: nil when the device has no number or nothing stored.
    package func deviceSummary(_ id: DeviceID) -> DeviceSummary? {
        let last = lastSequence(device: id)
        guard last > 0 else { return nil }
        let record = try? records(device: id, from: last, limit: 1).first
        return DeviceSummary(
            id: id, lastSequence: last, firstSequence: firstSequence(device: id),
            lastArrivalTime: record?.arrivalTime)
    }
}
