/// The property block of a stored or received PUBLISH in typed form.
///
/// - Parameter bytes: The block without its length prefix; empty gives no properties.
/// - Throws: 0x81 for a block that cannot be read or has a property that PUBLISH may not carry, 0x82 for a
///   repeated one or a value out of range, 0x97 beyond `WireLimits`. Source: MQTT 5.0 §3.3.2.3.
package func parsePublishProperties(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Properties {
    var reader = WireReader(bytes)
    return try decodeProperties(&reader, context: .publish)
}

extension WireReader {
    /// A property block with its length prefix; none is read on 3.1.1.
    mutating func properties(
        _ context: PropertyContext, version: ProtocolVersion
    ) throws(WireError) -> Properties {
        guard version == .v5 else { return Properties() }
        let count = try variableByteInteger("the property length")
        let range = try skip(count, "the properties")
        var block = WireReader(bytes, range: range)
        return try decodeProperties(&block, context: context)
    }
}

/// Reads properties until the reader's end.
func decodeProperties(_ reader: inout WireReader, context: PropertyContext) throws(WireError) -> Properties {
    var properties = Properties()
    var seen: PropertySet = []
    while !reader.isAtEnd {
        // An identifier is a variable byte integer, but all of them take one byte, so that a longer one is
        // either unknown or not in its shortest form: malformed in both cases.
        let rawIdentifier = try reader.uint8("a property identifier")
        guard
            let identifier = PropertyIdentifier(rawValue: rawIdentifier),
            context.allowed.contains(identifier)
        else {
            throw WireError(.malformedPacket, "\(context.packet) has a property that it may not carry")
        }
        if seen.contains(identifier), !context.repeatable.contains(identifier) {
            throw WireError(.protocolError, "\(context.packet) has the property \(identifier) twice")
        }
        seen.insert(identifier)
        try decodeValue(of: identifier, &reader, into: &properties)
    }
    return properties
}

private func decodeValue(
    of identifier: PropertyIdentifier, _ reader: inout WireReader, into properties: inout Properties
) throws(WireError) {
    switch identifier {
    case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation, .maximumQoS,
        .retainAvailable, .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable,
        .sharedSubscriptionAvailable:
        properties.setByte(try reader.zeroOrOne(), of: identifier)
    case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias:
        let value = try reader.uint16("a property")
        if value == 0 { try refuseZero(identifier) }
        properties.setUInt16(value, of: identifier)
    case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize:
        let value = try reader.uint32("a property")
        if value == 0 { try refuseZero(identifier) }
        properties.setUInt32(value, of: identifier)
    case .contentType, .responseTopic, .assignedClientIdentifier, .authenticationMethod,
        .responseInformation, .serverReference, .reasonString:
        let range = try reader.stringRange("a property")
        if identifier == .responseTopic { try reader.checkResponseTopic(range) }
        properties.setString(String(decoding: reader.bytes[range], as: UTF8.self), of: identifier)
    case .correlationData:
        properties.correlationData = try reader.binary("the correlation data")
    case .authenticationData:
        properties.authenticationData = try reader.binary("the authentication data")
    case .subscriptionIdentifier:
        let value = try reader.variableByteInteger("the subscription identifier")
        if value == 0 { try refuseZero(identifier) }
        properties.subscriptionIdentifiers.append(UInt32(truncatingIfNeeded: value))
    case .userProperty:
        guard properties.userProperties.count < WireLimits.userPropertiesMax else {
            throw .tooManyUserProperties
        }
        let name = try reader.string("a user property's name")
        let value = try reader.string("a user property's value")
        properties.userProperties.append(UserProperty(name, value))
    }
}

/// The properties for which the standard does not permit 0.
private func refuseZero(_ identifier: PropertyIdentifier) throws(WireError) {
    switch identifier {
    case .topicAlias: throw .topicAliasZero
    case .receiveMaximum, .maximumPacketSize, .subscriptionIdentifier:
        throw WireError(.protocolError, "the property \(identifier) is 0")
    default: return
    }
}

extension WireError {
    static var tooManyUserProperties: WireError {
        WireError(.quotaExceeded, "more than \(WireLimits.userPropertiesMax) user properties in one packet")
    }

    /// [MQTT-3.3.2-8] forbids it without naming a reason; 0x94 says what to look for.
    static var topicAliasZero: WireError { WireError(.topicAliasInvalid, "the topic alias is 0") }
}

extension WireReader {
    /// A byte property: all eight of them are 0 or 1, and it is a protocol error if not.
    mutating func zeroOrOne() throws(WireError) -> UInt8 {
        let value = try uint8("a property")
        guard value <= 1 else { throw WireError(.protocolError, "a property that is 0 or 1 is \(value)") }
        return value
    }

    /// [MQTT-3.3.2-14], [MQTT-4.7.3-1].
    func checkResponseTopic(_ range: Range<Int>) throws(WireError) {
        guard !range.isEmpty, !hasWildcard(UnsafeRawBufferPointer(rebasing: bytes[range])) else {
            throw WireError(.protocolError, "the response topic is empty or has a wildcard in it")
        }
    }
}

extension Properties {
    fileprivate mutating func setByte(_ value: UInt8, of identifier: PropertyIdentifier) {
        switch identifier {
        case .payloadFormatIndicator: payloadFormatIndicator = value
        case .requestProblemInformation: requestProblemInformation = value
        case .requestResponseInformation: requestResponseInformation = value
        case .maximumQoS: maximumQoS = value
        case .retainAvailable: retainAvailable = value
        case .wildcardSubscriptionAvailable: wildcardSubscriptionAvailable = value
        case .subscriptionIdentifierAvailable: subscriptionIdentifierAvailable = value
        case .sharedSubscriptionAvailable: sharedSubscriptionAvailable = value
        default: preconditionFailure("\(identifier) is not a byte")
        }
    }

    fileprivate mutating func setUInt16(_ value: UInt16, of identifier: PropertyIdentifier) {
        switch identifier {
        case .serverKeepAlive: serverKeepAlive = value
        case .receiveMaximum: receiveMaximum = value
        case .topicAliasMaximum: topicAliasMaximum = value
        case .topicAlias: topicAlias = value
        default: preconditionFailure("\(identifier) is not a two-byte integer")
        }
    }

    fileprivate mutating func setUInt32(_ value: UInt32, of identifier: PropertyIdentifier) {
        switch identifier {
        case .messageExpiryInterval: messageExpiryInterval = value
        case .sessionExpiryInterval: sessionExpiryInterval = value
        case .willDelayInterval: willDelayInterval = value
        case .maximumPacketSize: maximumPacketSize = value
        default: preconditionFailure("\(identifier) is not a four-byte integer")
        }
    }

    fileprivate mutating func setString(_ value: String, of identifier: PropertyIdentifier) {
        switch identifier {
        case .contentType: contentType = value
        case .responseTopic: responseTopic = value
        case .assignedClientIdentifier: assignedClientIdentifier = value
        case .authenticationMethod: authenticationMethod = value
        case .responseInformation: responseInformation = value
        case .serverReference: serverReference = value
        case .reasonString: reasonString = value
        default: preconditionFailure("\(identifier) is not a string")
        }
    }
}
