/// Appends a property block without its length prefix, as records keep it: by ascending identifier, repeated
/// ones in their order. The inverse of `parsePublishProperties`.
///
/// Which properties a packet may carry is for who makes the packet. Source: MQTT 5.0 §2.2.2.
package func encodeProperties(_ properties: Properties, into bytes: inout [UInt8]) {
    encodeMessageProperties(properties, into: &bytes)
    encodeSessionProperties(properties, into: &bytes)
    encodeCapabilityProperties(properties, into: &bytes)
}

extension Array where Element == UInt8 {
    /// Appends a property block with its length prefix; nothing on 3.1.1.
    mutating func appendProperties(_ properties: Properties, version: ProtocolVersion) {
        guard version == .v5 else { return }
        appendLengthPrefixed { encodeProperties(properties, into: &$0) }
    }
}

/// 0x01 to 0x0B: those of a message.
private func encodeMessageProperties(_ properties: Properties, into bytes: inout [UInt8]) {
    bytes.append(.payloadFormatIndicator, byte: properties.payloadFormatIndicator)
    bytes.append(.messageExpiryInterval, uint32: properties.messageExpiryInterval)
    bytes.append(.contentType, string: properties.contentType)
    bytes.append(.responseTopic, string: properties.responseTopic)
    bytes.append(.correlationData, binary: properties.correlationData)
    for identifier in properties.subscriptionIdentifiers {
        bytes.append(PropertyIdentifier.subscriptionIdentifier.rawValue)
        bytes.appendVariableByteInteger(Int(identifier))
    }
}

/// 0x11 to 0x1F: those of a session.
private func encodeSessionProperties(_ properties: Properties, into bytes: inout [UInt8]) {
    bytes.append(.sessionExpiryInterval, uint32: properties.sessionExpiryInterval)
    bytes.append(.assignedClientIdentifier, string: properties.assignedClientIdentifier)
    bytes.append(.serverKeepAlive, uint16: properties.serverKeepAlive)
    bytes.append(.authenticationMethod, string: properties.authenticationMethod)
    bytes.append(.authenticationData, binary: properties.authenticationData)
    bytes.append(.requestProblemInformation, byte: properties.requestProblemInformation)
    bytes.append(.willDelayInterval, uint32: properties.willDelayInterval)
    bytes.append(.requestResponseInformation, byte: properties.requestResponseInformation)
    bytes.append(.responseInformation, string: properties.responseInformation)
    bytes.append(.serverReference, string: properties.serverReference)
    bytes.append(.reasonString, string: properties.reasonString)
}

/// 0x21 to 0x2A: limits and abilities, and the user properties among them.
private func encodeCapabilityProperties(_ properties: Properties, into bytes: inout [UInt8]) {
    bytes.append(.receiveMaximum, uint16: properties.receiveMaximum)
    bytes.append(.topicAliasMaximum, uint16: properties.topicAliasMaximum)
    bytes.append(.topicAlias, uint16: properties.topicAlias)
    bytes.append(.maximumQoS, byte: properties.maximumQoS)
    bytes.append(.retainAvailable, byte: properties.retainAvailable)
    for property in properties.userProperties {
        bytes.append(PropertyIdentifier.userProperty.rawValue)
        bytes.appendString(property.name)
        bytes.appendString(property.value)
    }
    bytes.append(.maximumPacketSize, uint32: properties.maximumPacketSize)
    bytes.append(.wildcardSubscriptionAvailable, byte: properties.wildcardSubscriptionAvailable)
    bytes.append(.subscriptionIdentifierAvailable, byte: properties.subscriptionIdentifierAvailable)
    bytes.append(.sharedSubscriptionAvailable, byte: properties.sharedSubscriptionAvailable)
}

extension Array where Element == UInt8 {
    fileprivate mutating func append(_ identifier: PropertyIdentifier, byte value: UInt8?) {
        guard let value else { return }
        append(identifier.rawValue)
        append(value)
    }

    fileprivate mutating func append(_ identifier: PropertyIdentifier, uint16 value: UInt16?) {
        guard let value else { return }
        append(identifier.rawValue)
        appendUInt16(value)
    }

    fileprivate mutating func append(_ identifier: PropertyIdentifier, uint32 value: UInt32?) {
        guard let value else { return }
        append(identifier.rawValue)
        appendUInt32(value)
    }

    fileprivate mutating func append(_ identifier: PropertyIdentifier, string value: String?) {
        guard let value else { return }
        append(identifier.rawValue)
        appendString(value)
    }

    fileprivate mutating func append(_ identifier: PropertyIdentifier, binary value: [UInt8]?) {
        guard let value else { return }
        append(identifier.rawValue)
        appendBinary(value)
    }
}
