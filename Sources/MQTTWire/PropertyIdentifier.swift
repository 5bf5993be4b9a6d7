/// The property identifiers, all below 64, so that a set of them is a bit mask. MQTT 5.0 §2.2.2.2 table 2-4.
package enum PropertyIdentifier: UInt8 {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0B
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1A
    case serverReference = 0x1C
    case reasonString = 0x1F
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifierAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2A
}

/// A set of property identifiers as bits.
struct PropertySet: ExpressibleByArrayLiteral, Sendable {
    private(set) var mask: UInt64 = 0

    init(arrayLiteral identifiers: PropertyIdentifier...) {
        for identifier in identifiers { insert(identifier) }
    }

    func contains(_ identifier: PropertyIdentifier) -> Bool {
        mask & (1 << UInt64(identifier.rawValue)) != 0
    }

    mutating func insert(_ identifier: PropertyIdentifier) {
        mask |= 1 << UInt64(identifier.rawValue)
    }
}

/// Which properties a packet may carry. MQTT 5.0 table 2-4.
struct PropertyContext: Sendable {
    /// For the explanation.
    let packet: StaticString
    let allowed: PropertySet
    /// Those that may occur more than once.
    let repeatable: PropertySet

    init(_ packet: StaticString, _ allowed: PropertySet, repeatable: PropertySet = [.userProperty]) {
        self.packet = packet
        self.allowed = allowed
        self.repeatable = repeatable
    }

    static let connect = PropertyContext(
        "CONNECT",
        [
            .sessionExpiryInterval, .authenticationMethod, .authenticationData, .requestProblemInformation,
            .requestResponseInformation, .receiveMaximum, .topicAliasMaximum, .userProperty,
            .maximumPacketSize,
        ])
    static let will = PropertyContext(
        "the will",
        [
            .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData,
            .willDelayInterval, .userProperty,
        ])
    static let connack = PropertyContext(
        "CONNACK",
        [
            .sessionExpiryInterval, .assignedClientIdentifier, .serverKeepAlive, .authenticationMethod,
            .authenticationData, .responseInformation, .serverReference, .reasonString, .receiveMaximum,
            .topicAliasMaximum, .maximumQoS, .retainAvailable, .userProperty, .maximumPacketSize,
            .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable,
        ])
    /// Either direction: a subscriber may get several subscription identifiers, a publisher may send none.
    static let publish = PropertyContext(
        "PUBLISH",
        [
            .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData,
            .subscriptionIdentifier, .topicAlias, .userProperty,
        ],
        repeatable: [.userProperty, .subscriptionIdentifier])
    static let acknowledgement = PropertyContext("the acknowledgement", [.reasonString, .userProperty])
    static let subscribe = PropertyContext("SUBSCRIBE", [.subscriptionIdentifier, .userProperty])
    static let unsubscribe = PropertyContext("UNSUBSCRIBE", [.userProperty])
    static let disconnect = PropertyContext(
        "DISCONNECT", [.sessionExpiryInterval, .serverReference, .reasonString, .userProperty])
    static let auth = PropertyContext(
        "AUTH", [.authenticationMethod, .authenticationData, .reasonString, .userProperty])
}
