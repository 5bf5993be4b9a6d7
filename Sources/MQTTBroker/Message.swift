package import MQTTWire

/// An application message on its way to any number of subscribers, who all share this one object.
///
/// Its topic, properties and payload are kept as they stand in a PUBLISH: a subscriber's packet is a few bytes of
/// header around copies of them, whatever the subscriber's version.
package final class Message: Sendable {
    /// As published; a subscription may lower it.
    package let qos: QoS
    /// As published. An empty payload then clears the retained message.
    package let retain: Bool
    /// The client identifier of the publisher, for No Local; nil when the hub is the publisher.
    package let publisher: String?
    /// Monotonic nanoseconds after which delivery no longer starts; nil is never. MQTT 5.0 §3.3.2.3.3.
    package let expiresAt: UInt64?
    /// Set for a record of a queue: the broker says when the client has it, and forgets it with the connection.
    package let ticket: QueueTicket?

    /// The hub has it elsewhere and retains it again at its start: the journal does not keep it as retained.
    package let isRestoredByHub: Bool
    /// Where its body stands in the journal; 0 for nowhere.
    // Guard: read and written by the one thread that runs the broker, and before the message is given to it.
    nonisolated(unsafe) var journalPosition: UInt64 = 0

    /// The topic, the properties but for the two that differ from subscriber to subscriber, the payload.
    let bytes: [UInt8]
    let topicByteCount: Int
    /// Where the properties in front of the expiry interval end, those in front of the subscription identifiers,
    /// and all: they stand in the order of their identifiers.
    let formatEnd: Int
    let middleEnd: Int
    let propertiesEnd: Int
    private let box: PropertyBox?

    /// Bytes of topic, payload and properties: what the limits count.
    package var byteCount: Int { bytes.count }
    /// Bytes of the properties in a PUBLISH but for the expiry interval and the subscription identifiers.
    var propertyBytes: Int { propertiesEnd - topicByteCount }

    package var topic: String { String(decoding: bytes[..<topicByteCount], as: UTF8.self) }
    func withTopic<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<topicByteCount])) }
    }
    package var payload: [UInt8] { Array(bytes[propertiesEnd...]) }
    package var hasPayload: Bool { propertiesEnd < bytes.count }
    /// Those that travel with a message: payload format, content type, response topic, correlation data, user
    /// properties. The expiry interval is here as published; what is left of it comes with each `forward`.
    package var properties: Properties {
        if let box { return box.properties }
        if propertyBytes == 0 { return Properties() }
        // Encoded by this program.
        let read = bytes.withUnsafeBytes {
            try? parsePublishProperties(UnsafeRawBufferPointer(rebasing: $0[topicByteCount..<propertiesEnd]))
        }
        return read ?? Properties()
    }

    package convenience init(
        topic: String, payload: [UInt8], qos: QoS, retain: Bool, properties: Properties = Properties(),
        publisher: String? = nil, expiresAt: UInt64? = nil, ticket: QueueTicket? = nil,
        isRestoredByHub: Bool = false
    ) {
        var topic = topic
        self.init(
            PropertyBox(properties), qos: qos, retain: retain, publisher: publisher, expiresAt: expiresAt,
            ticket: ticket, isRestoredByHub: isRestoredByHub,
            parts: topic.withUTF8 { name in
                payload.withUnsafeBytes { Self.parts(UnsafeRawBufferPointer(name), $0, properties) }
            })
    }

    /// The message of bytes that were received; they are copied.
    ///
    /// - Parameter properties: nil for none, which costs nothing.
    package convenience init(
        topic: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, qos: QoS, retain: Bool,
        properties: PropertyBox?, publisher: String?, expiresAt: UInt64?
    ) {
        self.init(
            properties, qos: qos, retain: retain, publisher: publisher, expiresAt: expiresAt, ticket: nil,
            parts: Self.parts(topic, payload, properties?.properties))
    }

    /// One of many messages of the hub's own with the same properties but for one value; all bytes are copied.
    ///
    /// - Parameter value: of the form's last user property, as long as the form's.
    package convenience init(
        topic: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, qos: QoS, retain: Bool,
        form: PropertyForm, value: UnsafeRawBufferPointer, isRestoredByHub: Bool
    ) {
        self.init(
            nil, qos: qos, retain: retain, publisher: nil, expiresAt: nil, ticket: nil,
            isRestoredByHub: isRestoredByHub, parts: Self.parts(topic, payload, form, value))
    }

    private init(
        _ box: PropertyBox?, qos: QoS, retain: Bool, publisher: String?, expiresAt: UInt64?,
        ticket: QueueTicket?, isRestoredByHub: Bool = false, parts: Parts
    ) {
        self.isRestoredByHub = isRestoredByHub
        self.box = box
        self.qos = qos
        self.retain = retain
        self.publisher = publisher
        self.expiresAt = expiresAt
        self.ticket = ticket
        bytes = parts.bytes
        topicByteCount = parts.topicByteCount
        formatEnd = parts.formatEnd
        middleEnd = parts.middleEnd
        propertiesEnd = parts.propertiesEnd
    }

    /// The message of a will at the moment it is published: its expiry counts from then. MQTT 5.0 §3.1.3.2.4.
    convenience init(_ will: Will, publisher: String, now: UInt64) {
        var properties = will.properties
        properties.willDelayInterval = nil
        self.init(
            topic: will.topic, payload: will.payload, qos: will.qos, retain: will.retain,
            properties: properties, publisher: publisher,
            expiresAt: properties.messageExpiryInterval.map { now + UInt64($0) * nanosecondsPerSecond })
    }

    func isExpired(now: UInt64) -> Bool {
        guard let expiresAt else { return false }
        return expiresAt <= now
    }

    /// Seconds left, rounded up so that a message that did not wait keeps its interval; 0 when past.
    func expiryLeft(now: UInt64) -> UInt32? {
        guard let expiresAt else { return nil }
        guard expiresAt > now else { return 0 }
        let seconds = (expiresAt - now + nanosecondsPerSecond - 1) / nanosecondsPerSecond
        return UInt32(clamping: seconds)
    }
}

/// The properties of a message, which few messages have.
package final class PropertyBox: Sendable {
    let properties: Properties

    /// - Returns: nil when there are none.
    package convenience init?(_ properties: Properties) {
        if properties == Properties() { return nil }
        self.init(some: properties)
    }

    private init(some properties: Properties) { self.properties = properties }
}

/// The properties of many messages, encoded once: only the value of the last user property differs, and is as long
/// in all of them.
package struct PropertyForm: Sendable {
    fileprivate let parts: Message.Parts

    /// - Parameter properties: their last user property has a value of the right length.
    package init(_ properties: Properties) {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        parts = Message.parts(none, none, properties)
    }
}

extension Message {
    fileprivate static func parts(
        _ topic: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, _ form: PropertyForm,
        _ value: UnsafeRawBufferPointer
    ) -> Parts {
        let form = form.parts
        let end = topic.count + form.bytes.count
        precondition(value.count <= form.bytes.count, "the value takes the place of another")
        let bytes = [UInt8](unsafeUninitializedCapacity: end + payload.count) { target, used in
            let target = UnsafeMutableRawBufferPointer(target)
            target.copyMemory(from: topic)
            UnsafeMutableRawBufferPointer(rebasing: target[topic.count...]).copyBytes(from: form.bytes)
            UnsafeMutableRawBufferPointer(rebasing: target[(end - value.count)...]).copyMemory(from: value)
            UnsafeMutableRawBufferPointer(rebasing: target[end...]).copyMemory(from: payload)
            used = end + payload.count
        }
        return Parts(
            bytes: bytes, topicByteCount: topic.count, formatEnd: topic.count + form.formatEnd,
            middleEnd: topic.count + form.middleEnd, propertiesEnd: end)
    }

    fileprivate struct Parts {
        var bytes: [UInt8]
        var topicByteCount: Int
        var formatEnd: Int
        var middleEnd: Int
        var propertiesEnd: Int
    }

    fileprivate static func parts(
        _ topic: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, _ properties: Properties?
    ) -> Parts {
        guard let properties else {
            let count = topic.count
            let bytes = [UInt8](unsafeUninitializedCapacity: count + payload.count) { target, used in
                let target = UnsafeMutableRawBufferPointer(target)
                target.copyMemory(from: topic)
                UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: payload)
                used = count + payload.count
            }
            return Parts(
                bytes: bytes, topicByteCount: count, formatEnd: count, middleEnd: count,
                propertiesEnd: count)
        }
        var parts = Parts(
            bytes: Array(topic), topicByteCount: topic.count, formatEnd: 0, middleEnd: 0, propertiesEnd: 0)
        var format = Properties()
        format.payloadFormatIndicator = properties.payloadFormatIndicator
        encodeProperties(format, into: &parts.bytes)
        parts.formatEnd = parts.bytes.count
        var middle = Properties()
        middle.contentType = properties.contentType
        middle.responseTopic = properties.responseTopic
        middle.correlationData = properties.correlationData
        encodeProperties(middle, into: &parts.bytes)
        parts.middleEnd = parts.bytes.count
        var user = Properties()
        user.userProperties = properties.userProperties
        encodeProperties(user, into: &parts.bytes)
        parts.propertiesEnd = parts.bytes.count
        parts.bytes.append(contentsOf: payload)
        return parts
    }
}

let nanosecondsPerSecond: UInt64 = 1_000_000_000
