package import DeviceQueue
package import Telemetry

/// One device as lists show it.
package struct DeviceSummary: Sendable {
    package var id: DeviceID
    /// Records stored; the last sequence.
    package var lastSequence: UInt64
    /// nil when the last record cannot be read now.
    package var lastArrivalTime: EventTime?
}

extension DeviceQueue {
    /// Devices in the order of their names, a page at a time. Sorts all names: for people and proofs, not hot
    /// paths.
    ///
    /// - Parameter after: the last name of the page before, empty for the first.
    package func deviceSummaries(after: DeviceID, limit: Int) -> [DeviceSummary] {
        var ids: [DeviceID] = []
        ids.reserveCapacity(deviceCount)
        for number in 0..<UInt32(deviceCount) {
            if let id = deviceID(number + 1), after < id { ids.append(id) }
        }
        ids.sort()
        return ids.prefix(limit).compactMap(deviceSummary)
    }

    /// - Returns: nil when the device has no number or nothing stored.
    package func deviceSummary(_ id: DeviceID) -> DeviceSummary? {
        let last = lastSequence(device: id)
        guard last > 0 else { return nil }
        let record = try? records(device: id, from: last, limit: 1).first
        return DeviceSummary(id: id, lastSequence: last, lastArrivalTime: record?.arrivalTime)
    }
}
