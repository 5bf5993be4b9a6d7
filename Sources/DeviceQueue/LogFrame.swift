package import Telemetry

/// One durable frame as a reader sees it: borrowed bytes, valid only during the call that gets it.
///
/// A raw pointer inside: the reader checked length, checksum and fields before it made this.
package struct LogFrame {
    let base: UnsafeRawPointer
    /// Where the frame begins.
    package let offset: QueueOffset

    @inline(__always)
    init(base: UnsafeRawPointer, offset: QueueOffset) {
        self.base = base
        self.offset = offset
    }

    /// Where to go on reading after this frame.
    package var nextOffset: QueueOffset { QueueOffset(offset.bytes + UInt64(base.frameBytes)) }
    package var kind: FrameKind { FrameKind(rawValue: base.kindByte) ?? .commit }

    // Records and quarantined records.

    /// The record for the query engine; for a quarantined one `device` is 0 and the sequence the
    /// quarantine's.
    @inline(__always)
    package var record: RecordView {
        RecordView(
            device: base.device, sequence: base.sequence, arrivalTime: EventTime(ticks: base.arrivalTicks),
            eventTime: EventTime(ticks: base.eventTicks), offset: offset, payload: base.payloadBuffer,
            topic: base.topicBuffer, properties: base.propertiesBuffer)
    }
    package var topic: UnsafeRawBufferPointer { base.topicBuffer }
    package var properties: UnsafeRawBufferPointer { base.propertiesBuffer }
    package var payload: UnsafeRawBufferPointer { base.payloadBuffer }
    /// Empty: the message carried none.
    package var messageID: UnsafeRawBufferPointer { base.messageIDBuffer }
    /// See `FrameFlags`.
    package var flags: UInt8 { base.flagByte }
    /// Of a record that a replay stored: its sequence in the quarantine; else 0.
    package var replayedFrom: UInt64 {
        kind == .record && base.flagByte & FrameFlags.replayed != 0 ? base.replayedFrom : 0
    }
    /// The device a quarantined message said to be from; 0 for unknown.
    package var claimedDevice: UInt32 { base.claimedDevice }
    /// Set for a quarantined record only.
    package var reason: QuarantineReason? { QuarantineReason(rawValue: base.reasonByte) }

    // Records, and the frames that name a device or client.

    package var device: UInt32 { base.device }
    package var client: UInt32 { base.client }
    package var packetIdentifier: UInt16 { base.packetIdentifier }
    package var sequence: UInt64 { base.sequence }
    /// Offset of the device's record before this one, 0 for none; in a commit the bytes of the batch.
    package var previous: UInt64 { base.previous }
    /// The clock of a tick or a record.
    package var arrivalTime: EventTime { EventTime(ticks: base.arrivalTicks) }
    /// The name in a device or client definition.
    package var name: UnsafeRawBufferPointer { base.nameBuffer }
}
