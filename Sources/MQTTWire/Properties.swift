/// The properties of MQTT 5.0 §2.2.2, absent ones nil. On 3.1.1 they are all absent.
package struct Properties: Hashable, Sendable {
    package var payloadFormatIndicator: UInt8?
    package var messageExpiryInterval: UInt32?
    package var contentType: String?
    package var responseTopic: String?
    package var correlationData: [UInt8]?
    /// At most one in SUBSCRIBE; PUBLISH to a subscriber may carry several.
    package var subscriptionIdentifiers: [UInt32] = []
    package var sessionExpiryInterval: UInt32?
    package var assignedClientIdentifier: String?
    package var serverKeepAlive: UInt16?
    package var authenticationMethod: String?
    package var authenticationData: [UInt8]?
    package var requestProblemInformation: UInt8?
    package var willDelayInterval: UInt32?
    package var requestResponseInformation: UInt8?
    package var responseInformation: String?
    package var serverReference: String?
    package var reasonString: String?
    package var receiveMaximum: UInt16?
    package var topicAliasMaximum: UInt16?
    package var topicAlias: UInt16?
    package var maximumQoS: UInt8?
    package var retainAvailable: UInt8?
    /// In the order sent; names may repeat.
    package var userProperties: [UserProperty] = []
    package var maximumPacketSize: UInt32?
    package var wildcardSubscriptionAvailable: UInt8?
    package var subscriptionIdentifierAvailable: UInt8?
    package var sharedSubscriptionAvailable: UInt8?

    package init() {}
}

/// A name and a value chosen by the sender. MQTT 5.0 §3.3.2.3.7.
package struct UserProperty: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}
