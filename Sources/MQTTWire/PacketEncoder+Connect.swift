/// MQTT 5.0 §3.1, 3.1.1 §3.1; the version is the packet's own.
func encodeConnect(_ packet: Connect, into bytes: inout [UInt8]) {
    bytes.appendPacket(PacketType.connect.firstByte) { body in
        body.appendString("MQTT")
        body.append(packet.version.rawValue)
        body.append(connectFlags(packet))
        body.appendUInt16(packet.keepAlive)
        body.appendProperties(packet.properties, version: packet.version)
        body.appendString(packet.clientIdentifier)
        if let will = packet.will {
            body.appendProperties(will.properties, version: packet.version)
            body.appendString(will.topic)
            body.appendBinary(will.payload)
        }
        if let userName = packet.userName { body.appendString(userName) }
        if let password = packet.password { body.appendBinary(password) }
    }
}

private func connectFlags(_ packet: Connect) -> UInt8 {
    var flags: UInt8 = packet.cleanStart ? 0x02 : 0
    if let will = packet.will {
        flags |= 0x04 | will.qos.rawValue << 3 | (will.retain ? 0x20 : 0)
    }
    if packet.password != nil { flags |= 0x40 }
    if packet.userName != nil { flags |= 0x80 }
    return flags
}

/// MQTT 5.0 §3.2, 3.1.1 §3.2.
func encodeConnack(_ packet: Connack, _ version: ProtocolVersion, into bytes: inout [UInt8]) {
    bytes.appendPacket(PacketType.connack.firstByte) { body in
        body.append(packet.sessionPresent ? 1 : 0)
        body.append(version == .v5 ? packet.reason.rawValue : packet.reason.returnCode)
        body.appendProperties(packet.properties, version: version)
    }
}

extension ReasonCode {
    /// The return code of 3.1.1 §3.2.2.3 that comes nearest; 3, server unavailable, for what it has no word
    /// for.
    package var returnCode: UInt8 {
        switch self {
        case .success: 0
        case .unsupportedProtocolVersion: 1
        case .clientIdentifierNotValid: 2
        case .badUserNameOrPassword: 4
        case .notAuthorized, .banned, .badAuthenticationMethod: 5
        default: 3
        }
    }
}
