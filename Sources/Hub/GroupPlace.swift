import ConsumerGroups
import DeviceQueue
import Telemetry

/// A place in the log where a group begins or goes on, and the records of its devices before it.
struct GroupPlace: Sendable {
    var offset: QueueOffset
    var recordsBefore: UInt64

    /// Finds it; may read some segments of the log, so on a thread that may block.
    ///
    /// - Parameter first: what is before it may be on its way out already, and is no place.
    /// - Throws: `GroupError.invalid` with the field `from`, or `QueueError`.
    static func find(
        _ start: GroupStart, _ devices: DeviceFilter, notBefore first: QueueOffset = QueueOffset(0),
        in queue: DeviceQueue
    ) throws -> GroupPlace {
        let offset: QueueOffset
        switch start {
        case .earliest: offset = queue.firstOffset
        case .latest: offset = queue.durableEnd
        case .time(let time): offset = try queue.offset(arrivedFrom: time)
        case .sequence(let sequence): offset = try find(sequence, devices, notBefore: first, in: queue)
        }
        return try place(max(offset, first), devices, in: queue)
    }

    static func place(
        _ offset: QueueOffset, _ devices: DeviceFilter, in queue: DeviceQueue
    ) throws(QueueError) -> GroupPlace {
        GroupPlace(
            offset: offset,
            recordsBefore: try queue.recordsBefore(offset) { number in
                queue.deviceID(number).map { devices.matches($0.text) } ?? false
            })
    }

    private static func find(
        _ sequence: UInt64, _ devices: DeviceFilter, notBefore first: QueueOffset, in queue: DeviceQueue
    ) throws -> QueueOffset {
        guard case .names(let names) = devices, names.count == 1 else {
            throw GroupError.invalid(
                field: "from",
                explanation: "a sequence is a place in the queue of one device, and the group has others too")
        }
        let device = DeviceID(names[0])
        // Before the last sequence is asked for: what comes in between is behind it then.
        let end = queue.durableEnd
        let last = queue.lastSequence(device: device)
        if sequence == last + 1 { return end }
        guard sequence <= last else {
            throw GroupError.invalid(
                field: "from",
                explanation:
                    "device \"\(device)\" has \(last) records, so \(last + 1) is the last possible place")
        }
        guard let record = try queue.records(device: device, from: sequence, limit: 1).first,
            record.sequence == sequence, record.offset >= first
        else {
            throw GroupError.invalid(
                field: "from",
                explanation: "retention has removed record \(sequence) of device \"\(device)\"; use earliest")
        }
        return record.offset
    }
}
