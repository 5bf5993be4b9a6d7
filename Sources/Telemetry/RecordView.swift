/// One stored record as the query engine sees it: borrowed bytes, valid only during the call that gets it.
package struct RecordView {
    /// The shard's number of the device, dense from 1.
    package var device: UInt32
    /// 1, 2, 3 … per device, in the order of first acceptance.
    package var sequence: UInt64
    /// The hub's clock when the record was accepted; never goes back within a shard.
    package var arrivalTime: EventTime
    /// The device's own time where the ingest rule found one, else the arrival time.
    package var eventTime: EventTime
    /// Where the record's frame begins in the log.
    package var offset: QueueOffset
    /// The payload as it was published.
    package var payload: UnsafeRawBufferPointer
    package var topic: UnsafeRawBufferPointer
    /// MQTT 5 publish properties as they came (without their length), empty on 3.1.1.
    package var properties: UnsafeRawBufferPointer

    @inlinable package init(
        device: UInt32, sequence: UInt64, arrivalTime: EventTime, eventTime: EventTime, offset: QueueOffset,
        payload: UnsafeRawBufferPointer,
        topic: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        properties: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        self.topic = topic
        self.properties = properties
        self.device = device
        self.sequence = sequence
        self.arrivalTime = arrivalTime
        self.eventTime = eventTime
        self.offset = offset
        self.payload = payload
    }
}

/// One stored record with everything it carries, copied out: for commands, HTTP and proofs, not hot paths.
package struct TelemetryRecord: Sendable, Equatable {
    package var device: DeviceID
    package var sequence: UInt64
    /// nil: the message carried none, and the device is "at least once".
    package var messageID: String?
    package var arrivalTime: EventTime
    package var eventTime: EventTime
    package var topic: String
    /// MQTT 5 publish properties as they came (without their length), empty on 3.1.1.
    package var properties: [UInt8]
    package var payload: [UInt8]
    /// Set for a record of the quarantine queue only.
    package var quarantineReason: QuarantineReason?
    package var offset: QueueOffset
    /// How often the same message came again and was not stored; nil when that was forgotten, 0 in a scan.
    package var duplicateCount: UInt64?
    /// Of a record that a replay stored: its sequence in the quarantine; else 0.
    package var replayedFrom: UInt64
    /// Of a quarantined message: a replay stored it, or found that it is stored.
    package var isSettled = false

    package init(
        device: DeviceID, sequence: UInt64, messageID: String?, arrivalTime: EventTime, eventTime: EventTime,
        topic: String, properties: [UInt8], payload: [UInt8], quarantineReason: QuarantineReason?,
        offset: QueueOffset, duplicateCount: UInt64? = 0, replayedFrom: UInt64 = 0
    ) {
        self.device = device
        self.sequence = sequence
        self.messageID = messageID
        self.arrivalTime = arrivalTime
        self.eventTime = eventTime
        self.topic = topic
        self.properties = properties
        self.payload = payload
        self.quarantineReason = quarantineReason
        self.offset = offset
        self.duplicateCount = duplicateCount
        self.replayedFrom = replayedFrom
    }
}
