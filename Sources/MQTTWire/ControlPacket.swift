/// An MQTT control packet of 3.1.1 or 5.0 in typed form: for everything but the publish hot path, and for
/// tests. MQTT 5.0 §2.1.2 table 2-1.
package enum ControlPacket: Hashable, Sendable {
    case connect(Connect)
    case connack(Connack)
    case publish(Publish)
    case puback(Acknowledgement)
    case pubrec(Acknowledgement)
    case pubrel(Acknowledgement)
    case pubcomp(Acknowledgement)
    case subscribe(Subscribe)
    case suback(SubscribeAcknowledgement)
    case unsubscribe(Unsubscribe)
    case unsuback(SubscribeAcknowledgement)
    case pingreq
    case pingresp
    case disconnect(Disconnect)
    /// MQTT 5.0 only.
    case auth(Auth)
}

/// The protocol level byte of CONNECT.
package enum ProtocolVersion: UInt8, Sendable {
    case v311 = 4
    case v5 = 5
}

/// Quality of service. MQTT 5.0 §4.3.
package enum QoS: UInt8, Sendable, Comparable {
    case atMostOnce = 0
    case atLeastOnce = 1
    case exactlyOnce = 2

    package static func < (left: QoS, right: QoS) -> Bool { left.rawValue < right.rawValue }
}

/// MQTT 5.0 §3.1; 3.1.1 §3.1.
package struct Connect: Hashable, Sendable {
    package var version: ProtocolVersion = .v5
    /// Clean Start (5.0) or Clean Session (3.1.1).
    package var cleanStart = true
    /// Seconds; 0 turns the keep-alive off.
    package var keepAlive: UInt16 = 0
    package var properties = Properties()
    package var clientIdentifier = ""
    package var will: Will?
    package var userName: String?
    package var password: [UInt8]?

    package init() {}
}

/// MQTT 5.0 §3.1.2.5 to §3.1.3.4.
package struct Will: Hashable, Sendable {
    package var topic: String
    package var payload: [UInt8]
    package var qos: QoS
    package var retain: Bool
    package var properties: Properties

    package init(
        topic: String, payload: [UInt8], qos: QoS, retain: Bool, properties: Properties = Properties()
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
    }
}

/// MQTT 5.0 §3.2. On 3.1.1 the reason is written as the return code of 3.1.1 §3.2.2.3.
package struct Connack: Hashable, Sendable {
    package var sessionPresent: Bool
    package var reason: ReasonCode
    package var properties: Properties

    package init(sessionPresent: Bool, reason: ReasonCode, properties: Properties = Properties()) {
        self.sessionPresent = sessionPresent
        self.reason = reason
        self.properties = properties
    }
}

/// MQTT 5.0 §3.3.
package struct Publish: Hashable, Sendable {
    package var duplicate = false
    package var qos: QoS = .atMostOnce
    package var retain = false
    /// Empty when a topic alias stands for it (5.0).
    package var topic: String
    /// nil at QoS 0.
    package var packetIdentifier: UInt16?
    package var properties = Properties()
    package var payload: [UInt8]

    package init(topic: String, payload: [UInt8]) {
        self.topic = topic
        self.payload = payload
    }
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP share one shape. MQTT 5.0 §3.4 to §3.7.
package struct Acknowledgement: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var reason: ReasonCode
    package var properties: Properties

    package init(
        packetIdentifier: UInt16, reason: ReasonCode = .success, properties: Properties = Properties()
    ) {
        self.packetIdentifier = packetIdentifier
        self.reason = reason
        self.properties = properties
    }
}

/// MQTT 5.0 §3.8.
package struct Subscribe: Hashable, Sendable {
    package struct Filter: Hashable, Sendable {
        package var filter: String
        package var qos: QoS
        package var noLocal = false
        package var retainAsPublished = false
        /// 0 send at subscribe, 1 only for a new subscription, 2 never.
        package var retainHandling: UInt8 = 0

        package init(_ filter: String, qos: QoS) {
            self.filter = filter
            self.qos = qos
        }
    }
    package var packetIdentifier: UInt16
    package var properties = Properties()
    package var filters: [Filter]

    package init(packetIdentifier: UInt16, filters: [Filter]) {
        self.packetIdentifier = packetIdentifier
        self.filters = filters
    }
}

/// SUBACK and UNSUBACK. MQTT 5.0 §3.9, §3.11; UNSUBACK of 3.1.1 carries no reasons.
package struct SubscribeAcknowledgement: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var properties: Properties
    package var reasons: [ReasonCode]

    package init(packetIdentifier: UInt16, reasons: [ReasonCode], properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.reasons = reasons
        self.properties = properties
    }
}

/// MQTT 5.0 §3.10.
package struct Unsubscribe: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var properties = Properties()
    package var filters: [String]

    package init(packetIdentifier: UInt16, filters: [String]) {
        self.packetIdentifier = packetIdentifier
        self.filters = filters
    }
}

/// MQTT 5.0 §3.14.
package struct Disconnect: Hashable, Sendable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}

/// MQTT 5.0 §3.15.
package struct Auth: Hashable, Sendable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}
