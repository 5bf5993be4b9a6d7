import Platform
import Telemetry
import Testing

@testable import DeviceQueue

let logDirectory = "/data/queue/0"

/// Limits small enough that a few records fill a segment.
func smallLimits(segmentBytes: Int = 2_048) -> QueueLimits {
    var limits = QueueLimits()
    limits.segmentBytes = segmentBytes
    limits.recordBytesMax = 1_024
    limits.deviceNameBytesMax = 64
    limits.clientNameBytesMax = 64
    limits.devices = 1_000
    limits.clients = 1_000
    limits.chunkBytes = 4_096
    limits.recentBytes = 8_192
    limits.readBytes = 4_096
    limits.dedupSlots = 64
    limits.dedupBytesMax = 1 << 20
    limits.pendingBytesMax = 1 << 20
    limits.snapshotBytes = segmentBytes * 2
    return limits
}

func openQueue(
    _ files: any FileStore, _ limits: QueueLimits = smallLimits(), mode: DeviceQueue.Mode = .readWrite
) throws -> DeviceQueue {
    try DeviceQueue.open(
        directory: logDirectory, files: files, limits: limits, mode: mode, nowTicks: 1_000, seed: 7)
}

/// A publish as a test writes it down.
struct Message: Equatable {
    var device = "meter-1"
    /// nil: none. It is stored behind the payload.
    var id: String?
    var payload = "{}"
    var client: String?
    var packetIdentifier: UInt16 = 0
    var reason: QuarantineReason?
    var eventTicks: Int64?
    var properties: [UInt8] = []

    @discardableResult
    func stage(in staging: StagingBuffer, for queue: DeviceQueue) throws -> Int {
        let number = device.isEmpty ? 0 : try #require(queue.device(named: device))
        let clientNumber = try client.map { try #require(queue.client(named: $0)) } ?? 0
        let topic = Array("devices/\(device)/telemetry".utf8)
        let body = Array(payload.utf8)
        let idBytes = Array((id ?? "").utf8)
        let offset = topic.withUnsafeBytes { topic in
            properties.withUnsafeBytes { properties in
                body.withUnsafeBytes { body in
                    idBytes.withUnsafeBytes { idBytes in
                        staging.stageRecord(
                            device: number, client: clientNumber, packetIdentifier: packetIdentifier,
                            flags: client == nil ? 1 : 2, reason: reason?.rawValue ?? 0,
                            eventTicks: eventTicks, topic: topic, properties: properties, payload: body,
                            messageID: id == nil ? .none : .decoded(idBytes))
                    }
                }
            }
        }
        return try #require(offset)
    }
}

/// Appends the messages as one buffer, without a commit.
@discardableResult
func append(_ messages: [Message], to queue: DeviceQueue, at ticks: Int64 = 2_000) throws -> [AppendOutcome] {
    let staging = StagingBuffer(byteCapacity: 1 << 16)
    let offsets = try messages.map { try $0.stage(in: staging, for: queue) }
    try queue.append(staging, arrivalTicks: ticks)
    return offsets.map { staging.outcome(at: $0) }
}

@discardableResult
func store(_ messages: [Message], in queue: DeviceQueue, at ticks: Int64 = 2_000) throws -> [AppendOutcome] {
    let outcomes = try append(messages, to: queue, at: ticks)
    try queue.commit()
    return outcomes
}

@discardableResult
func control(
    _ kind: FrameKind, client: String, packetIdentifier: UInt16 = 0, in queue: DeviceQueue
) throws -> AppendOutcome {
    let staging = StagingBuffer(byteCapacity: 4_096)
    let number = try #require(queue.client(named: client))
    let offset = try #require(
        staging.stageControl(kind, client: number, packetIdentifier: packetIdentifier))
    try queue.append(staging, arrivalTicks: 2_000)
    try queue.commit()
    return staging.outcome(at: offset)
}

func payloads(_ records: [TelemetryRecord]) -> [String] {
    records.map { String(decoding: $0.payload, as: UTF8.self) }
}

func records(of device: String, in queue: DeviceQueue, from: UInt64 = 1, limit: Int = 1_000_000) throws
    -> [TelemetryRecord]
{
    try queue.records(device: DeviceID(device), from: from, limit: limit)
}

/// Every record by a full scan, in log order.
func scanned(_ queue: DeviceQueue) throws -> [TelemetryRecord] {
    var all: [TelemetryRecord] = []
    try queue.scan { record, _ in all.append(record) }
    return all
}

/// Asserts gapless sequences for every device and the quarantine, from the full scan.
func expectGapless(_ queue: DeviceQueue, _ note: Comment? = nil) throws {
    var last: [String: UInt64] = [:]
    for record in try scanned(queue) {
        let key = record.quarantineReason == nil ? record.device.text : " quarantine"
        #expect(record.sequence == (last[key] ?? 0) + 1, note)
        last[key] = record.sequence
    }
}
