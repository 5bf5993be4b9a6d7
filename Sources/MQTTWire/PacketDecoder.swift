/// Decodes any packet of either direction, strictly.
///
/// For everything but the publish hot path (`PublishView`), and for clients and tests. Who may send the
/// packet to whom, and when, is the broker's to judge.
/// - Parameters:
///   - firstByte: The packet's first byte.
///   - body: The packet after its fixed header, whole.
///   - version: Of the connection; CONNECT carries its own and ignores it.
/// - Throws: `WireError` with the reason to close with. Where the standard names the error, that one is
///   given; elsewhere what cannot be parsed is malformed (0x81), what can be but is not allowed is a protocol
///   error (0x82). MQTT 5.0 §1.2, §2.2.2.2, §4.13.
package func decodePacket(
    firstByte: UInt8, body: UnsafeRawBufferPointer, version: ProtocolVersion
) throws(WireError) -> ControlPacket {
    if let error = FrameScan.validateFirstByte(firstByte, version: version) { throw error }
    guard let type = PacketType(rawValue: firstByte >> 4) else {
        throw WireError(.malformedPacket, "the packet type 0 is reserved")
    }
    switch type {
    case .connect: return .connect(try decodeConnect(body: body))
    case .connack: return .connack(try decodeConnack(body, version))
    case .publish: return .publish(try decodePublish(firstByte, body, version))
    case .puback: return .puback(try decodeAcknowledgement(type, body, version))
    case .pubrec: return .pubrec(try decodeAcknowledgement(type, body, version))
    case .pubrel: return .pubrel(try decodeAcknowledgement(type, body, version))
    case .pubcomp: return .pubcomp(try decodeAcknowledgement(type, body, version))
    case .subscribe: return .subscribe(try decodeSubscribe(body, version))
    case .suback: return .suback(try decodeSuback(body, version))
    case .unsubscribe: return .unsubscribe(try decodeUnsubscribe(body, version))
    case .unsuback: return .unsuback(try decodeUnsuback(body, version))
    case .pingreq:
        try WireReader(body).requireEnd("PINGREQ")
        return .pingreq
    case .pingresp:
        try WireReader(body).requireEnd("PINGRESP")
        return .pingresp
    case .disconnect: return .disconnect(try decodeDisconnect(body, version))
    case .auth: return .auth(try decodeAuth(body))
    }
}

private func decodePublish(
    _ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> Publish {
    let view = try PublishView(firstByte: firstByte, body: body, version: version, isFromServer: true)
    if view.topicAlias == 0 || !view.topic.isEmpty,
        let error = validateTopicName(UnsafeRawBufferPointer(rebasing: body[view.topic]))
    {
        throw error
    }
    var publish = Publish(
        topic: String(decoding: body[view.topic], as: UTF8.self), payload: [UInt8](body[view.payload]))
    publish.duplicate = view.isDuplicate
    publish.qos = view.qos
    publish.retain = view.isRetained
    publish.packetIdentifier = view.qos == .atMostOnce ? nil : view.packetIdentifier
    publish.properties = try parsePublishProperties(UnsafeRawBufferPointer(rebasing: body[view.properties]))
    return publish
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP. MQTT 5.0 §3.4 to §3.7.
private func decodeAcknowledgement(
    _ type: PacketType, _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> Acknowledgement {
    var reader = WireReader(body)
    var packet = Acknowledgement(packetIdentifier: try reader.packetIdentifier())
    // 5.0 leaves the reason and the properties away when they say nothing (§3.4.2.1, §3.4.2.2.1).
    if version == .v5, !reader.isAtEnd {
        packet.reason = try reader.reasonCode(of: type)
        if !reader.isAtEnd { packet.properties = try reader.properties(.acknowledgement, version: version) }
    }
    try reader.requireEnd("the acknowledgement")
    return packet
}

private func decodeDisconnect(
    _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> Disconnect {
    var reader = WireReader(body)
    var packet = Disconnect()
    // §3.14.2.1: without a reason it is 0x00; §3.14.2.2.1: below two bytes there are no properties.
    if version == .v5, !reader.isAtEnd {
        packet.reason = try reader.reasonCode(of: .disconnect)
        if !reader.isAtEnd { packet.properties = try reader.properties(.disconnect, version: version) }
    }
    try reader.requireEnd("DISCONNECT")
    return packet
}

/// MQTT 5.0 §3.15: an empty body stands for success; else the reason and the properties are both there.
private func decodeAuth(_ body: UnsafeRawBufferPointer) throws(WireError) -> Auth {
    var reader = WireReader(body)
    var packet = Auth(reason: .success)
    guard !reader.isAtEnd else { return packet }
    packet.reason = try reader.reasonCode(of: .auth)
    packet.properties = try reader.properties(.auth, version: .v5)
    guard packet.properties.authenticationMethod != nil else {
        throw WireError(.protocolError, "AUTH has no authentication method")
    }
    try reader.requireEnd("AUTH")
    return packet
}

extension WireError {
    /// [MQTT-2.2.1-3], [MQTT-2.2.1-4].
    static var packetIdentifierZero: WireError { WireError(.protocolError, "the packet identifier is 0") }
}

extension WireReader {
    mutating func packetIdentifier() throws(WireError) -> UInt16 {
        let identifier = try uint16("the packet identifier")
        guard identifier != 0 else { throw .packetIdentifierZero }
        return identifier
    }

    /// A reason code that the packet may carry in 5.0.
    mutating func reasonCode(of type: PacketType) throws(WireError) -> ReasonCode {
        let reason = ReasonCode(rawValue: try uint8("the reason code"))
        guard reason.isAllowed(in: type) else {
            throw WireError(.protocolError, "the reason code \(reason) does not belong to this packet type")
        }
        return reason
    }
}
