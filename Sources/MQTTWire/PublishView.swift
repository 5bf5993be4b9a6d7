/// A received PUBLISH as indices into its body: the hot path reads a packet without copying any of it.
///
/// Checked are the structure and every property, but not the topic's characters (`validateTopicName`),
/// because the hub keeps the topics that it has already found good. Does not hold the bytes: whoever asks for
/// a part passes the same body again.
package struct PublishView: Hashable, Sendable {
    /// May be empty on 5.0 (with a topic alias) and is not checked on 3.1.1.
    package private(set) var topic: Range<Int>
    /// 1 to 65,535; 0 at QoS 0.
    package private(set) var packetIdentifier: UInt16 = 0
    /// The property block without its length prefix; empty on 3.1.1.
    package private(set) var properties: Range<Int>
    package private(set) var payload: Range<Int>
    package private(set) var qos: QoS
    package private(set) var isDuplicate: Bool
    package private(set) var isRetained: Bool
    /// 1 to 65,535; 0 when absent.
    package private(set) var topicAlias: UInt16 = 0
    /// 0 or 1; 255 when absent.
    package private(set) var payloadFormatIndicator: UInt8 = 255
    /// Empty when absent.
    package private(set) var contentType: Range<Int> = 0..<0
    package private(set) var userPropertyCount = 0

    /// Parses what a client sent. Does not allocate unless it throws.
    ///
    /// - Parameters:
    ///   - firstByte: That of a PUBLISH, 0x30...0x3F.
    ///   - body: The packet after its fixed header; all indices refer to it.
    /// - Throws: 0x81 for what cannot be read, QoS 3 and properties that PUBLISH may not carry; 0x82 for
    ///   packet identifier 0, DUP at QoS 0, repeated properties, values out of range and a subscription
    ///   identifier; 0x94 for topic alias 0; 0x97 beyond `WireLimits`. Source: MQTT 5.0 §3.3, 3.1.1 §3.3.
    package init(
        firstByte: UInt8, body: UnsafeRawBufferPointer, version: ProtocolVersion
    ) throws(WireError) {
        try self.init(firstByte: firstByte, body: body, version: version, isFromServer: false)
    }

    /// - Parameter isFromServer: Whether subscription identifiers may stand among the properties.
    init(
        firstByte: UInt8, body: UnsafeRawBufferPointer, version: ProtocolVersion, isFromServer: Bool
    ) throws(WireError) {
        guard let qos = QoS(rawValue: (firstByte >> 1) & 0b11) else {
            throw WireError(.malformedPacket, "PUBLISH has QoS 3")
        }
        self.qos = qos
        isDuplicate = firstByte & 0b1000 != 0
        isRetained = firstByte & 0b0001 != 0
        if isDuplicate, qos == .atMostOnce {
            throw WireError(.protocolError, "PUBLISH has DUP set at QoS 0")
        }
        var reader = WireReader(body)
        topic = try reader.binaryRange("the topic name")
        if qos != .atMostOnce {
            packetIdentifier = try reader.uint16("the packet identifier")
            if packetIdentifier == 0 { throw .packetIdentifierZero }
        }
        if version == .v5 {
            let count = try reader.variableByteInteger("the property length")
            properties = try reader.skip(count, "the properties")
            payload = reader.rest()
            if count > 0 { try scanProperties(of: body, isFromServer: isFromServer) }
        } else {
            payload = reader.rest()
            properties = payload.lowerBound..<payload.lowerBound
        }
    }

    private mutating func scanProperties(
        of body: UnsafeRawBufferPointer, isFromServer: Bool
    ) throws(WireError) {
        var reader = WireReader(body, range: properties)
        // Which identifiers, all below 64, were there; the user property may repeat.
        var seen: UInt64 = 0
        while !reader.isAtEnd {
            let identifier = try reader.uint8("a property identifier")
            if identifier == PropertyIdentifier.userProperty.rawValue {
                _ = try reader.stringRange("a user property's name")
                _ = try reader.stringRange("a user property's value")
                userPropertyCount += 1
                if userPropertyCount > WireLimits.userPropertiesMax { throw .tooManyUserProperties }
                continue
            }
            let bit: UInt64 = identifier < 64 ? 1 << UInt64(identifier) : 0
            if seen & bit != 0 {
                // Several subscription identifiers may come from a server; a client's first was refused.
                guard identifier == PropertyIdentifier.subscriptionIdentifier.rawValue else {
                    throw WireError(.protocolError, "PUBLISH has a property twice")
                }
            }
            seen |= bit
            try scanProperty(identifier, &reader, isFromServer: isFromServer)
        }
    }

    @inline(__always)
    private mutating func scanProperty(
        _ identifier: UInt8, _ reader: inout WireReader, isFromServer: Bool
    ) throws(WireError) {
        switch PropertyIdentifier(rawValue: identifier) {
        case .payloadFormatIndicator:
            payloadFormatIndicator = try reader.zeroOrOne()
        case .messageExpiryInterval:
            _ = try reader.uint32("the message expiry interval")
        case .contentType:
            contentType = try reader.stringRange("the content type")
        case .responseTopic:
            try reader.checkResponseTopic(try reader.stringRange("the response topic"))
        case .correlationData:
            _ = try reader.binaryRange("the correlation data")
        case .subscriptionIdentifier:
            guard isFromServer else {
                throw WireError(.protocolError, "a client may not send a subscription identifier")
            }
            if try reader.variableByteInteger("the subscription identifier") == 0 {
                throw WireError(.protocolError, "the subscription identifier is 0")
            }
        case .topicAlias:
            topicAlias = try reader.uint16("the topic alias")
            if topicAlias == 0 { throw .topicAliasZero }
        default:
            throw WireError(.malformedPacket, "PUBLISH has a property that it may not carry")
        }
    }
}

extension PublishView {
    /// The value of the first user property of that name, as indices into the body. Does not allocate.
    ///
    /// - Parameter body: The body that this view was made from.
    /// - Returns: nil when there is none; an empty range for an empty value. MQTT 5.0 §3.3.2.3.7.
    package func userProperty(
        named name: StaticString, in body: UnsafeRawBufferPointer
    ) -> Range<Int>? {
        guard userPropertyCount > 0 else { return nil }
        return name.withUTF8Buffer { wanted in
            var reader = WireReader(body, range: properties)
            // The block was checked in init; should the body be another one, the reads fail and end it.
            return try? reader.firstUserProperty(named: UnsafeRawBufferPointer(wanted))
        }
    }
}

/// The value of the first user property of a name, as indices into a PUBLISH's property block. Does not allocate.
///
/// - Parameter properties: the block without its length, as `PublishView` has checked it.
/// - Returns: nil when there is none; an empty range for an empty value. MQTT 5.0 §3.3.2.3.7.
package func userProperty(
    named name: UnsafeRawBufferPointer, in properties: UnsafeRawBufferPointer
) -> Range<Int>? {
    var reader = WireReader(properties)
    return try? reader.firstUserProperty(named: name)
}

extension WireReader {
    fileprivate mutating func firstUserProperty(
        named wanted: UnsafeRawBufferPointer
    ) throws(WireError) -> Range<Int>? {
        while !isAtEnd {
            let identifier = try uint8("a property identifier")
            guard identifier == PropertyIdentifier.userProperty.rawValue else {
                try skipPublishProperty(identifier)
                continue
            }
            let name = try binaryRange("a user property's name")
            let value = try binaryRange("a user property's value")
            if isEqual(name, to: wanted) { return value }
        }
        return nil
    }

    private mutating func skipPublishProperty(_ identifier: UInt8) throws(WireError) {
        switch PropertyIdentifier(rawValue: identifier) {
        case .payloadFormatIndicator: _ = try skip(1, "a property")
        case .messageExpiryInterval: _ = try skip(4, "a property")
        case .topicAlias: _ = try skip(2, "a property")
        case .subscriptionIdentifier: _ = try variableByteInteger("a property")
        default: _ = try binaryRange("a property")
        }
    }

    private func isEqual(_ range: Range<Int>, to wanted: UnsafeRawBufferPointer) -> Bool {
        guard range.count == wanted.count else { return false }
        for index in 0..<wanted.count where bytes[range.lowerBound + index] != wanted[index] { return false }
        return true
    }
}
