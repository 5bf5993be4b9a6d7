package import MQTTWire

/// An application message on its way to any number of subscribers, who all share this one object.
package final class Message: Sendable {
    package let topic: String
    package let payload: [UInt8]
    /// As published; a subscription may lower it.
    package let qos: QoS
    /// As published. An empty payload then clears the retained message.
    package let retain: Bool
    /// Those that travel with a message: payload format, content type, response topic, correlation data, user
    /// properties. The expiry interval is here as published; what is left of it comes with each `forward`.
    package let properties: Properties
    /// The client identifier of the publisher, for No Local; nil when the hub is the publisher.
    package let publisher: String?
    /// Monotonic nanoseconds after which delivery no longer starts; nil is never. MQTT 5.0 §3.3.2.3.3.
    package let expiresAt: UInt64?
    /// Set for a record of a queue: the broker says when the client has it, and forgets it with the connection.
    package let ticket: QueueTicket?

    /// Bytes of topic, payload and properties: what the limits count.
    package let byteCount: Int
    /// Bytes of the properties in a PUBLISH but for the expiry interval and the subscription identifiers.
    let propertyBytes: Int

    package init(
        topic: String, payload: [UInt8], qos: QoS, retain: Bool, properties: Properties = Properties(),
        publisher: String? = nil, expiresAt: UInt64? = nil, ticket: QueueTicket? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.publisher = publisher
        self.expiresAt = expiresAt
        self.ticket = ticket
        let propertyBytes = Self.encodedBytes(properties)
        self.propertyBytes = propertyBytes
        byteCount = topic.utf8.count + payload.count + propertyBytes
    }

    /// The message of a PUBLISH whose topic alias is resolved.
    /// - Parameters:
    ///   - publisher: the client identifier it came from.
    ///   - now: monotonic nanoseconds; the expiry interval counts from here.
    package convenience init(_ publish: Publish, publisher: String?, now: UInt64) {
        var properties = publish.properties
        properties.topicAlias = nil
        properties.subscriptionIdentifiers = []
        self.init(
            topic: publish.topic, payload: publish.payload, qos: publish.qos, retain: publish.retain,
            properties: properties, publisher: publisher,
            expiresAt: properties.messageExpiryInterval.map { now + UInt64($0) * nanosecondsPerSecond })
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

    /// Bytes of the whole PUBLISH packet as a 5.0 subscriber gets it. MQTT 5.0 §3.1.2.11.4 counts all of
    /// them.
    func packetBytes(qos: QoS, subscriptionIdentifiers: [UInt32]) -> Int {
        var properties = propertyBytes + (expiresAt == nil ? 0 : 5)
        for identifier in subscriptionIdentifiers { properties += 1 + variableBytes(Int(identifier)) }
        let body =
            2 + topic.utf8.count + (qos == .atMostOnce ? 0 : 2) + variableBytes(properties) + properties
            + payload.count
        return 1 + variableBytes(body) + body
    }

    private static func encodedBytes(_ properties: Properties) -> Int {
        var count = properties.payloadFormatIndicator == nil ? 0 : 2
        if let text = properties.contentType { count += 3 + text.utf8.count }
        if let text = properties.responseTopic { count += 3 + text.utf8.count }
        if let bytes = properties.correlationData { count += 3 + bytes.count }
        for property in properties.userProperties {
            count += 5 + property.name.utf8.count + property.value.utf8.count
        }
        return count
    }
}

let nanosecondsPerSecond: UInt64 = 1_000_000_000

/// Bytes of a variable byte integer. MQTT 5.0 §1.5.5.
private func variableBytes(_ value: Int) -> Int {
    value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
}
