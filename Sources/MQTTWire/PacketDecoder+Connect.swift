/// Decodes the body of CONNECT, of either version: it says itself which one.
///
/// - Throws: 0x84 when the protocol is not MQTT 3.1.1 or 5.0 (answered with return code 1, §3.1.2.2), else
///   0x81, 0x82 or, for the will's topic, 0x90. Source: MQTT 5.0 §3.1, 3.1.1 §3.1.
package func decodeConnect(body: UnsafeRawBufferPointer) throws(WireError) -> Connect {
    var reader = WireReader(body)
    var connect = Connect()
    connect.version = try reader.protocolVersion()
    let flags = ConnectFlags(rawValue: try reader.uint8("the connect flags"))
    try flags.validate(version: connect.version)
    connect.cleanStart = flags.cleanStart
    connect.keepAlive = try reader.uint16("the keep alive")
    connect.properties = try reader.properties(.connect, version: connect.version)
    try requireAuthenticationMethod(connect.properties)
    connect.clientIdentifier = try reader.string("the client identifier")
    if flags.hasWill { connect.will = try reader.will(flags, version: connect.version) }
    if flags.hasUserName { connect.userName = try reader.string("the user name") }
    if flags.hasPassword { connect.password = try reader.binary("the password") }
    try reader.requireEnd("CONNECT")
    return connect
}

/// The version that a CONNECT asks for, also when the rest of it is malformed: tells whether a refusal may be
/// said with a 5.0 CONNACK.
///
/// - Returns: nil when it cannot be told or is neither 3.1.1 nor 5.0. MQTT 5.0 §3.1.2.1, §3.1.2.2.
package func connectVersion(body: UnsafeRawBufferPointer) -> ProtocolVersion? {
    var reader = WireReader(body)
    return try? reader.protocolVersion()
}

/// The connect flags byte. MQTT 5.0 §3.1.2.3.
private struct ConnectFlags {
    let rawValue: UInt8

    var cleanStart: Bool { rawValue & 0x02 != 0 }
    var hasWill: Bool { rawValue & 0x04 != 0 }
    var willQoS: QoS? { QoS(rawValue: (rawValue >> 3) & 0b11) }
    var willRetain: Bool { rawValue & 0x20 != 0 }
    var hasPassword: Bool { rawValue & 0x40 != 0 }
    var hasUserName: Bool { rawValue & 0x80 != 0 }

    func validate(version: ProtocolVersion) throws(WireError) {
        guard rawValue & 0x01 == 0 else {
            throw WireError(.malformedPacket, "the reserved connect flag is set")
        }
        guard willQoS != nil else { throw WireError(.malformedPacket, "the will has QoS 3") }
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13].
        if !hasWill, willQoS != .atMostOnce || willRetain {
            throw WireError(.protocolError, "the will's QoS or retain flag is set without a will")
        }
        // 3.1.1 [MQTT-3.1.2-22]; 5.0 lets a password stand alone (§3.1.2.9).
        if version == .v311, hasPassword, !hasUserName {
            throw WireError(.protocolError, "a password without a user name")
        }
    }
}

extension WireReader {
    fileprivate mutating func protocolVersion() throws(WireError) -> ProtocolVersion {
        let name = try binaryRange("the protocol name")
        guard bytes[name].elementsEqual("MQTT".utf8) else {
            throw WireError(.unsupportedProtocolVersion, "the protocol name is not MQTT")
        }
        guard let version = ProtocolVersion(rawValue: try uint8("the protocol version")) else {
            throw WireError(.unsupportedProtocolVersion, "the protocol version is neither 3.1.1 nor 5.0")
        }
        return version
    }

    /// MQTT 5.0 §3.1.3.2 to §3.1.3.4.
    fileprivate mutating func will(_ flags: ConnectFlags, version: ProtocolVersion) throws(WireError) -> Will
    {
        let properties = try properties(.will, version: version)
        let topic = try binaryRange("the will topic")
        if let error = validateTopicName(UnsafeRawBufferPointer(rebasing: bytes[topic])) { throw error }
        let payload = try binary("the will payload")
        return Will(
            topic: String(decoding: bytes[topic], as: UTF8.self), payload: payload,
            qos: flags.willQoS ?? .atMostOnce, retain: flags.willRetain, properties: properties)
    }
}

/// MQTT 5.0 §3.1.2.11.10, §3.2.2.3.18: authentication data without a method is a protocol error.
private func requireAuthenticationMethod(_ properties: Properties) throws(WireError) {
    if properties.authenticationData != nil, properties.authenticationMethod == nil {
        throw WireError(.protocolError, "authentication data without an authentication method")
    }
}

/// MQTT 5.0 §3.2, 3.1.1 §3.2.
func decodeConnack(_ body: UnsafeRawBufferPointer, _ version: ProtocolVersion) throws(WireError) -> Connack {
    var reader = WireReader(body)
    let flags = try reader.uint8("the connect acknowledge flags")
    guard flags <= 1 else {
        throw WireError(.malformedPacket, "a reserved connect acknowledge flag is set")
    }
    let reason = version == .v5 ? try reader.reasonCode(of: .connack) : try reader.returnCode()
    // [MQTT-3.2.2-6], 3.1.1 [MQTT-3.2.2-4].
    if flags == 1, reason != .success {
        throw WireError(.protocolError, "CONNACK refuses and says that a session is present")
    }
    let properties = try reader.properties(.connack, version: version)
    try requireAuthenticationMethod(properties)
    try reader.requireEnd("CONNACK")
    return Connack(sessionPresent: flags == 1, reason: reason, properties: properties)
}

extension WireReader {
    /// A return code of 3.1.1 §3.2.2.3 as the reason code that means the same.
    fileprivate mutating func returnCode() throws(WireError) -> ReasonCode {
        switch try uint8("the return code") {
        case 0: .success
        case 1: .unsupportedProtocolVersion
        case 2: .clientIdentifierNotValid
        case 3: .serverUnavailable
        case 4: .badUserNameOrPassword
        case 5: .notAuthorized
        default: throw WireError(.malformedPacket, "the return code is reserved")
        }
    }
}
