import CMosquitto

/// The MQTT 5 properties of a publish. A 3.1.1 connection has none and leaves them out.
package struct MosquittoProperties: Sendable {
    /// Name and value, in this order on the wire; names may repeat. `MQTT 5.0 §3.3.2.3.7`.
    package var userProperties: [(String, String)]
    /// A MIME type. `MQTT 5.0 §3.3.2.3.9`.
    package var contentType: String?
    /// The topic an answer is expected on. `MQTT 5.0 §3.3.2.3.5`.
    package var responseTopic: String?
    /// What the answer carries back. `MQTT 5.0 §3.3.2.3.6`.
    package var correlationData: [UInt8]?
    /// True declares the payload to be UTF-8 text. `MQTT 5.0 §3.3.2.3.2`.
    package var isText: Bool
    /// Seconds until the broker drops the message undelivered. `MQTT 5.0 §3.3.2.3.3`.
    package var messageExpirySeconds: UInt32?

    package init(
        userProperties: [(String, String)] = [], contentType: String? = nil, responseTopic: String? = nil,
        isText: Bool = false, messageExpirySeconds: UInt32? = nil, correlationData: [UInt8]? = nil
    ) {
        self.correlationData = correlationData
        self.userProperties = userProperties
        self.contentType = contentType
        self.responseTopic = responseTopic
        self.isText = isText
        self.messageExpirySeconds = messageExpirySeconds
    }

    var isEmpty: Bool {
        userProperties.isEmpty && contentType == nil && responseTopic == nil && !isText
            && messageExpirySeconds == nil && correlationData == nil
    }
}

/// A message that came in.
package struct MosquittoMessage: Sendable {
    package var topic: String
    package var payload: [UInt8]
    /// 0, 1 or 2.
    package var qos: UInt8
    /// True: it was stored before the subscription was made.
    package var isRetained: Bool
    /// Empty on 3.1.1.
    package var userProperties: [(String, String)]
    /// nil when the publisher gave none, and on 3.1.1; so are the ones below.
    package var contentType: String?
    package var responseTopic: String?
    package var correlationData: [UInt8]?
    /// What is left of it.
    package var messageExpirySeconds: UInt32?
    /// The publisher declared the payload to be UTF-8 text.
    package var isText = false

    /// The first user property of that name.
    package func userProperty(_ name: String) -> String? { userProperties.first { $0.0 == name }?.1 }
}

/// What a subscription asks for beyond its QoS. `MQTT 5.0 §3.8.3.1`.
package struct MosquittoSubscribeOptions: OptionSet, Sendable {
    package var rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Not what this client publishes itself.
    package static let noLocal = MosquittoSubscribeOptions(rawValue: 0x04)
    /// The retain flag as it was published.
    package static let retainAsPublished = MosquittoSubscribeOptions(rawValue: 0x08)
    /// Retained messages only when the subscription is new.
    package static let retainedIfNew = MosquittoSubscribeOptions(rawValue: 0x10)
}

/// The protocol version of a connection.
package enum MosquittoVersion: Sendable {
    case v311
    case v5

    var libraryCode: Int32 { self == .v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311 }
}

/// How long to wait before the next attempt to connect: doubling from `initial` to `maximum`, each cut by up
/// to a half so that a fleet does not come back in one moment.
package struct MosquittoBackoff: Sendable {
    package var initial: Duration
    package var maximum: Duration
    /// 0 to 1, chosen by the caller per client; the same value gives the same delays.
    package var jitter: Double

    package init(initial: Duration = .seconds(1), maximum: Duration = .seconds(30), jitter: Double = 0) {
        self.initial = initial
        self.maximum = maximum
        self.jitter = jitter
    }

    /// - Parameter attempt: 0 for the first wait.
    package func delay(attempt: Int) -> Duration {
        let doubled = initial * (1 << min(max(attempt, 0), 20))
        let capped = min(doubled, maximum)
        // The golden ratio moves the jitter from attempt to attempt without any randomness of our own.
        let spread = (jitter + Double(attempt) * 0.618_033_988_75).truncatingRemainder(dividingBy: 1)
        return jitter == 0 ? capped : capped * (1 - 0.5 * spread)
    }
}

/// A list of properties in the library's form, freed with its owner.
struct PropertyList: ~Copyable {
    private(set) var head: OpaquePointer?

    init() { head = nil }

    deinit {
        var head = head
        mosquitto_property_free_all(&head)
    }

    mutating func add(_ identifier: mqtt5_property, string: String) throws(MosquittoError) {
        try check(mosquitto_property_add_string(&head, Int32(identifier.rawValue), string))
    }

    mutating func add(_ identifier: mqtt5_property, pair: (String, String)) throws(MosquittoError) {
        try check(mosquitto_property_add_string_pair(&head, Int32(identifier.rawValue), pair.0, pair.1))
    }

    mutating func add(_ identifier: mqtt5_property, byte: UInt8) throws(MosquittoError) {
        try check(mosquitto_property_add_byte(&head, Int32(identifier.rawValue), byte))
    }

    mutating func add(_ identifier: mqtt5_property, seconds: UInt32) throws(MosquittoError) {
        try check(mosquitto_property_add_int32(&head, Int32(identifier.rawValue), seconds))
    }

    mutating func add(_ identifier: mqtt5_property, bytes: [UInt8]) throws(MosquittoError) {
        try check(
            mosquitto_property_add_binary(&head, Int32(identifier.rawValue), bytes, UInt16(bytes.count)))
    }

    mutating func add(_ properties: MosquittoProperties) throws(MosquittoError) {
        if properties.isText { try add(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, byte: 1) }
        if let seconds = properties.messageExpirySeconds {
            try add(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, seconds: seconds)
        }
        if let type = properties.contentType { try add(MQTT_PROP_CONTENT_TYPE, string: type) }
        if let topic = properties.responseTopic { try add(MQTT_PROP_RESPONSE_TOPIC, string: topic) }
        if let bytes = properties.correlationData {
            try add(MQTT_PROP_CORRELATION_DATA, bytes: Array(bytes.prefix(Int(UInt16.max))))
        }
        for pair in properties.userProperties { try add(MQTT_PROP_USER_PROPERTY, pair: pair) }
    }

    private func check(_ code: Int32) throws(MosquittoError) {
        if code != MOSQ_ERR_SUCCESS.rawValue { throw MosquittoError("add a property", code: code) }
    }
}
