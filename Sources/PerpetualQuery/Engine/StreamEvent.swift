package import Telemetry

/// One event of an input, as an engine takes it: borrowed bytes, valid only during the call that gets it.
package struct StreamEvent {
    /// The number of the input in `StreamPlan.inputs`.
    package var input: Int
    /// The shard's number of the device; 0 when events have none.
    package var device: UInt32
    /// 1, 2, 3 … per device, or per input when there are no devices. Names the event in result ids.
    package var sequence: UInt64
    package var arrivalTime: EventTime
    /// The time that the ingest rule found, for `IoTHub.EventTime`.
    package var eventTime: EventTime
    package var payload: UnsafeRawBufferPointer
    /// Empty: the message had none.
    package var messageID: UnsafeRawBufferPointer
    /// Empty: there is none.
    package var topic = UnsafeRawBufferPointer(start: nil, count: 0)
    /// MQTT 5 publish properties without their length; empty: there are none.
    package var properties = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Values come as text, as those of CSV do.
    package var isText: Bool

    package init(
        input: Int, device: UInt32, sequence: UInt64, arrivalTime: EventTime, eventTime: EventTime,
        payload: UnsafeRawBufferPointer,
        messageID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), isText: Bool = false
    ) {
        self.input = input
        self.device = device
        self.sequence = sequence
        self.arrivalTime = arrivalTime
        self.eventTime = eventTime
        self.payload = payload
        self.messageID = messageID
        self.isText = isText
    }

    /// A record of the log.
    @inline(__always)
    init(_ record: RecordView, messageID: UnsafeRawBufferPointer) {
        self.init(
            input: 0, device: record.device, sequence: record.sequence, arrivalTime: record.arrivalTime,
            eventTime: record.eventTime, payload: record.payload, messageID: messageID)
        topic = record.topic
        properties = record.properties
    }
}

/// What a stream engine has done since it was made, carried on by its checkpoint.
package struct StreamCounters: Hashable, Sendable {
    package var events: UInt64 = 0
    /// Payloads that are no JSON object; their fields are NULL.
    package var notJSON: UInt64 = 0
    package var duplicates: UInt64 = 0
    /// Events that the time policies accepted, retimed ones included; of each source.
    package var accepted: UInt64 = 0
    package var early: UInt64 = 0
    package var late: UInt64 = 0
    package var outOfOrder: UInt64 = 0
    /// Events whose TIMESTAMP BY is NULL, or no time.
    package var withoutTime: UInt64 = 0
    /// Events that break a declared type.
    package var mistyped: UInt64 = 0
    /// Rows of the outputs.
    package var rows: UInt64 = 0
    /// Rows of `_errors`.
    package var errors: UInt64 = 0

    package init() {}
}
