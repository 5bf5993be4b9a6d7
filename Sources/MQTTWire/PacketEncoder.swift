/// Appends a packet as its version writes it, in canonical form: properties by ascending identifier,
/// acknowledgements and DISCONNECT as short as the standard permits.
///
/// On 3.1.1 properties are left away, a CONNACK reason becomes the return code that comes nearest, a SUBACK
/// failure 0x80. CONNECT is written in its own version. Nothing is checked that a decoder would refuse, but
/// strings and lengths that the wire cannot carry trap, as do AUTH on 3.1.1 and a QoS above 0 without a
/// packet identifier: these are mistakes of the caller. Source: MQTT 5.0 §3, 3.1.1 §3.
package func encodePacket(_ packet: ControlPacket, version: ProtocolVersion, into bytes: inout [UInt8]) {
    switch packet {
    case .connect(let connect): encodeConnect(connect, into: &bytes)
    case .connack(let connack): encodeConnack(connack, version, into: &bytes)
    case .publish(let publish): encodePublish(publish, version, into: &bytes)
    case .puback(let packet): encodeAcknowledgement(.puback, packet, version, into: &bytes)
    case .pubrec(let packet): encodeAcknowledgement(.pubrec, packet, version, into: &bytes)
    case .pubrel(let packet): encodeAcknowledgement(.pubrel, packet, version, into: &bytes)
    case .pubcomp(let packet): encodeAcknowledgement(.pubcomp, packet, version, into: &bytes)
    case .subscribe(let packet): encodeSubscribe(packet, version, into: &bytes)
    case .suback(let packet): encodeSuback(packet, version, into: &bytes)
    case .unsubscribe(let packet): encodeUnsubscribe(packet, version, into: &bytes)
    case .unsuback(let packet): encodeUnsuback(packet, version, into: &bytes)
    case .pingreq: bytes.append(contentsOf: [PacketType.pingreq.firstByte, 0])
    case .pingresp: bytes.append(contentsOf: [PacketType.pingresp.firstByte, 0])
    case .disconnect(let packet): encodeDisconnect(packet, version, into: &bytes)
    case .auth(let packet):
        precondition(version == .v5, "AUTH does not exist in MQTT 3.1.1")
        encodeAuth(packet, into: &bytes)
    }
}

/// Writes a PUBACK, PUBREC, PUBREL or PUBCOMP that says success: the same 4 bytes in both versions.
///
/// - Parameters:
///   - type: The packet type, 4 to 7 (`PacketType.puback.rawValue` and so on).
///   - target: Where 4 bytes are writable; any alignment. The caller guards the room.
/// Source: MQTT 5.0 §3.4 to §3.7.
@inlinable
package func writeAcknowledgement(
    type: UInt8, packetIdentifier: UInt16, to target: UnsafeMutableRawPointer
) {
    let firstByte = UInt32(type) << 4 | (type == 6 ? 0b0010 : 0)
    let packet = firstByte << 24 | 2 << 16 | UInt32(packetIdentifier)
    target.storeBytes(of: packet.bigEndian, as: UInt32.self)
}

extension Array where Element == UInt8 {
    /// A whole packet: its first byte, the length of what `body` writes, and that.
    mutating func appendPacket(_ firstByte: UInt8, _ body: (inout [UInt8]) -> Void) {
        append(firstByte)
        appendLengthPrefixed(body)
    }
}

private func encodeAcknowledgement(
    _ type: PacketType, _ packet: Acknowledgement, _ version: ProtocolVersion, into bytes: inout [UInt8]
) {
    bytes.appendPacket(type.firstByte) { body in
        body.appendUInt16(packet.packetIdentifier)
        body.appendShortenedReason(packet.reason, packet.properties, version)
    }
}

private func encodeDisconnect(
    _ packet: Disconnect, _ version: ProtocolVersion, into bytes: inout [UInt8]
) {
    bytes.appendPacket(PacketType.disconnect.firstByte) { body in
        body.appendShortenedReason(packet.reason, packet.properties, version)
    }
}

/// MQTT 5.0 §3.15.2.1: nothing at all for success, else reason and properties.
private func encodeAuth(_ packet: Auth, into bytes: inout [UInt8]) {
    bytes.appendPacket(PacketType.auth.firstByte) { body in
        if packet.reason == .success, packet.properties == Properties() { return }
        body.append(packet.reason.rawValue)
        body.appendProperties(packet.properties, version: .v5)
    }
}

extension Array where Element == UInt8 {
    /// MQTT 5.0 §3.4.2.1, §3.14.2.1: without properties their length is left away, and success with it.
    fileprivate mutating func appendShortenedReason(
        _ reason: ReasonCode, _ properties: Properties, _ version: ProtocolVersion
    ) {
        guard version == .v5 else { return }
        let hasProperties = properties != Properties()
        if reason != .success || hasProperties { append(reason.rawValue) }
        if hasProperties { appendProperties(properties, version: version) }
    }
}

private func encodeSubscribe(_ packet: Subscribe, _ version: ProtocolVersion, into bytes: inout [UInt8]) {
    bytes.appendPacket(PacketType.subscribe.firstByte) { body in
        body.appendUInt16(packet.packetIdentifier)
        body.appendProperties(packet.properties, version: version)
        for filter in packet.filters {
            body.appendString(filter.filter)
            var options = filter.qos.rawValue
            if version == .v5 {
                options |= (filter.noLocal ? 0x04 : 0) | (filter.retainAsPublished ? 0x08 : 0)
                options |= filter.retainHandling << 4
            }
            body.append(options)
        }
    }
}

private func encodeUnsubscribe(_ packet: Unsubscribe, _ version: ProtocolVersion, into bytes: inout [UInt8]) {
    bytes.appendPacket(PacketType.unsubscribe.firstByte) { body in
        body.appendUInt16(packet.packetIdentifier)
        body.appendProperties(packet.properties, version: version)
        for filter in packet.filters { body.appendString(filter) }
    }
}

private func encodeSuback(
    _ packet: SubscribeAcknowledgement, _ version: ProtocolVersion, into bytes: inout [UInt8]
) {
    bytes.appendPacket(PacketType.suback.firstByte) { body in
        body.appendUInt16(packet.packetIdentifier)
        body.appendProperties(packet.properties, version: version)
        for reason in packet.reasons {
            body.append(version == .v311 && reason.isFailure ? 0x80 : reason.rawValue)
        }
    }
}

private func encodeUnsuback(
    _ packet: SubscribeAcknowledgement, _ version: ProtocolVersion, into bytes: inout [UInt8]
) {
    bytes.appendPacket(PacketType.unsuback.firstByte) { body in
        body.appendUInt16(packet.packetIdentifier)
        guard version == .v5 else { return }
        body.appendProperties(packet.properties, version: version)
        for reason in packet.reasons { body.append(reason.rawValue) }
    }
}
