import FileStoreKit
import Telemetry
import Testing

@testable import ConsumerGroups

func definition(
    _ name: String = "billing", devices: DeviceFilter = .all, start: GroupStart = .earliest,
    mustNotMiss: Bool = false
) -> GroupDefinition {
    GroupDefinition(
        name: name, devices: devices, start: start, mustNotMiss: mustNotMiss, createdTicks: 1_000, logID: 7)
}

let second: UInt64 = 1_000_000_000
let lease = 30 * second

/// A group and a log of readings to feed it from; each record is 100 bytes of log.
final class GroupScene {
    var group: ConsumerGroup
    /// Device and sequence of the records, in log order.
    var log: [(device: UInt32, sequence: UInt64)] = []
    private var sequences: [UInt32: UInt64] = [:]
    var limits: GroupLimits

    init(limits: GroupLimits = GroupLimits(), state: GroupState? = nil) {
        self.limits = limits
        group = ConsumerGroup(
            definition(), state: state ?? GroupState(cursor: QueueOffset(0), recordsBefore: 0),
            limits: limits,
            firstSession: 1)
    }

    static let recordBytes: UInt64 = 100

    func store(_ devices: UInt32...) { for device in devices { store(device) } }

    func store(_ device: UInt32) {
        sequences[device, default: 0] += 1
        log.append((device, sequences[device] ?? 0))
    }

    /// Gives the group everything that it has room for.
    func read() {
        while group.hasRoom, group.readOffset.bytes / Self.recordBytes < log.count {
            let place = Int(group.readOffset.bytes / Self.recordBytes)
            let offset = UInt64(place) * Self.recordBytes
            group.take(
                GroupRecord(
                    offset: QueueOffset(offset), next: QueueOffset(offset + Self.recordBytes),
                    device: log[place].device, sequence: log[place].sequence, arrivalTicks: Int64(place)))
        }
    }

    /// The places in the log of what a member gets.
    func fetch(
        _ member: String, _ count: Int = 100, session: UInt64? = nil, bytes: Int = 1 << 20, at now: UInt64 = 0
    ) throws -> (places: [Int], delivery: Delivery) {
        read()
        let delivery = try group.fetch(
            member: member, session: session, recordsMax: count, bytesMax: bytes, lease: lease, now: now)
        return (delivery.records.map { Int($0.offset.bytes / Self.recordBytes) }, delivery)
    }

    @discardableResult
    func commit(
        _ member: String, _ delivery: Delivery, _ count: Int? = nil, at now: UInt64 = 0
    ) throws -> Int {
        let record = try #require(count.map { delivery.records[$0 - 1] } ?? delivery.records.last)
        return try group.commit(member: member, upTo: record.token, lease: lease, now: now, nowTicks: 1)
    }

    /// The same group after a crash that left this state.
    func restarted(_ state: GroupState, firstSession: UInt64) -> GroupScene {
        let next = GroupScene(limits: limits)
        next.group = ConsumerGroup(definition(), state: state, limits: limits, firstSession: firstSession)
        next.log = log
        next.sequences = sequences
        return next
    }
}
