import MQTTWire

/// SplitMix64: the same seed gives the same packets everywhere.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func chance(_ outOf: Int) -> Bool { below(outOf) == 0 }
    mutating func uint16(from low: UInt16 = 0) -> UInt16 { low + UInt16(below(65_536 - Int(low))) }
    mutating func uint32(from low: UInt32 = 0) -> UInt32 { max(low, UInt32(truncatingIfNeeded: next())) }
    mutating func element<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

extension SeededRandom {
    mutating func text(atLeast minimum: Int = 0) -> String {
        let scalars: [Unicode.Scalar] = ["a", "b", "/", "é", "€", "😀", "\u{FEFF}", " "]
        var text = ""
        for _ in 0..<(minimum + below(12)) { text.unicodeScalars.append(element(scalars)) }
        return text
    }

    /// Mostly short, sometimes long enough for a remaining length of two or three bytes.
    mutating func data() -> [UInt8] {
        let count = chance(10) ? below(20_000) : below(40)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    mutating func qos() -> QoS { element([.atMostOnce, .atLeastOnce, .exactlyOnce]) }

    mutating func userProperties() -> [UserProperty] {
        chance(2) ? [] : (0..<below(4)).map { _ in UserProperty(text(), text()) }
    }

    /// A reason that the packet type may carry in that version.
    mutating func reason(_ type: PacketType, _ version: ProtocolVersion) -> ReasonCode {
        if version == .v311 {
            switch type {
            case .connack:
                return element([
                    .success, .unsupportedProtocolVersion, .clientIdentifierNotValid, .serverUnavailable,
                    .badUserNameOrPassword, .notAuthorized,
                ])
            case .suback: return element([.grantedQoS0, .grantedQoS1, .grantedQoS2, .unspecifiedError])
            default: return .success
            }
        }
        let allowed = (UInt8.min...UInt8.max).map(ReasonCode.init).filter { $0.isAllowed(in: type) }
        return element(allowed)
    }
}

extension SeededRandom {
    /// The properties that a message may have, in a PUBLISH and in a will.
    mutating func messageProperties() -> Properties {
        var properties = Properties()
        if chance(3) { properties.payloadFormatIndicator = UInt8(below(2)) }
        if chance(3) { properties.messageExpiryInterval = uint32() }
        if chance(3) { properties.contentType = text() }
        if chance(3) { properties.responseTopic = text(atLeast: 1) }
        if chance(3) { properties.correlationData = data() }
        properties.userProperties = userProperties()
        return properties
    }

    mutating func reasonProperties(_ version: ProtocolVersion) -> Properties {
        var properties = Properties()
        guard version == .v5 else { return properties }
        if chance(3) { properties.reasonString = text() }
        properties.userProperties = userProperties()
        return properties
    }

    mutating func connect(_ version: ProtocolVersion) -> Connect {
        var packet = Connect()
        packet.version = version
        packet.cleanStart = chance(2)
        packet.keepAlive = uint16()
        packet.clientIdentifier = text()
        if chance(2) {
            packet.will = Will(topic: text(atLeast: 1), payload: data(), qos: qos(), retain: chance(2))
            if version == .v5 {
                packet.will?.properties = messageProperties()
                if chance(2) { packet.will?.properties.willDelayInterval = uint32() }
            }
        }
        if chance(2) { packet.userName = text() }
        if chance(2), version == .v5 || packet.userName != nil { packet.password = data() }
        guard version == .v5 else { return packet }
        packet.properties.userProperties = userProperties()
        if chance(2) { packet.properties.sessionExpiryInterval = uint32() }
        if chance(2) { packet.properties.receiveMaximum = uint16(from: 1) }
        if chance(2) { packet.properties.maximumPacketSize = uint32(from: 1) }
        if chance(2) { packet.properties.topicAliasMaximum = uint16() }
        if chance(2) { packet.properties.requestProblemInformation = UInt8(below(2)) }
        if chance(2) { packet.properties.requestResponseInformation = UInt8(below(2)) }
        if chance(2) { packet.properties.authenticationMethod = text() }
        if packet.properties.authenticationMethod != nil { packet.properties.authenticationData = data() }
        return packet
    }

    mutating func connack(_ version: ProtocolVersion) -> Connack {
        let reason = reason(.connack, version)
        var packet = Connack(sessionPresent: reason == .success && chance(2), reason: reason)
        packet.properties = reasonProperties(version)
        guard version == .v5 else { return packet }
        if chance(2) { packet.properties.sessionExpiryInterval = uint32() }
        if chance(2) { packet.properties.assignedClientIdentifier = text() }
        if chance(2) { packet.properties.serverKeepAlive = uint16() }
        if chance(2) { packet.properties.receiveMaximum = uint16(from: 1) }
        if chance(2) { packet.properties.maximumQoS = UInt8(below(2)) }
        if chance(2) { packet.properties.sharedSubscriptionAvailable = UInt8(below(2)) }
        return packet
    }

    mutating func publish(_ version: ProtocolVersion, isFromServer: Bool) -> Publish {
        var packet = Publish(topic: text(atLeast: 1), payload: data())
        packet.qos = qos()
        packet.retain = chance(2)
        if packet.qos != .atMostOnce {
            packet.duplicate = chance(2)
            packet.packetIdentifier = uint16(from: 1)
        }
        guard version == .v5 else { return packet }
        packet.properties = messageProperties()
        if chance(3) {
            packet.properties.topicAlias = uint16(from: 1)
            if chance(2) { packet.topic = "" }
        }
        if isFromServer {
            packet.properties.subscriptionIdentifiers = (0..<below(3)).map { _ in
                1 + UInt32(below(268_435_455))
            }
        }
        return packet
    }

    mutating func subscribe(_ version: ProtocolVersion) -> Subscribe {
        let filters = (0...below(4)).map { _ in
            var filter = Subscribe.Filter(text(atLeast: 1), qos: qos())
            if version == .v5 {
                filter.noLocal = chance(2)
                filter.retainAsPublished = chance(2)
                filter.retainHandling = UInt8(below(3))
            }
            return filter
        }
        var packet = Subscribe(packetIdentifier: uint16(from: 1), filters: filters)
        guard version == .v5 else { return packet }
        packet.properties.userProperties = userProperties()
        if chance(2) { packet.properties.subscriptionIdentifiers = [1 + UInt32(below(268_435_455))] }
        return packet
    }

    mutating func acknowledgement(_ type: PacketType, _ version: ProtocolVersion) -> Acknowledgement {
        Acknowledgement(
            packetIdentifier: uint16(from: 1), reason: reason(type, version),
            properties: reasonProperties(version))
    }

    mutating func subscribeAcknowledgement(
        _ type: PacketType, _ version: ProtocolVersion
    ) -> SubscribeAcknowledgement {
        let count = type == .unsuback && version == .v311 ? 0 : 1 + below(5)
        return SubscribeAcknowledgement(
            packetIdentifier: uint16(from: 1), reasons: (0..<count).map { _ in reason(type, version) },
            properties: reasonProperties(version))
    }

    mutating func unsubscribe(_ version: ProtocolVersion) -> Unsubscribe {
        var packet = Unsubscribe(
            packetIdentifier: uint16(from: 1), filters: (0...below(4)).map { _ in text(atLeast: 1) })
        if version == .v5 { packet.properties.userProperties = userProperties() }
        return packet
    }

    mutating func disconnect(_ version: ProtocolVersion) -> Disconnect {
        var packet = Disconnect(reason: reason(.disconnect, version), properties: reasonProperties(version))
        guard version == .v5 else { return packet }
        if chance(3) { packet.properties.sessionExpiryInterval = uint32() }
        if chance(3) { packet.properties.serverReference = text() }
        return packet
    }

    mutating func auth() -> Auth {
        var packet = Auth(reason: reason(.auth, .v5), properties: reasonProperties(.v5))
        packet.properties.authenticationMethod = text()
        if chance(2) { packet.properties.authenticationData = data() }
        return packet
    }

    /// A legal packet of any type that the version has.
    mutating func packet(_ version: ProtocolVersion) -> ControlPacket {
        switch element(PacketType.allCases) {
        case .connect: .connect(connect(version))
        case .connack: .connack(connack(version))
        case .publish: .publish(publish(version, isFromServer: true))
        case .puback: .puback(acknowledgement(.puback, version))
        case .pubrec: .pubrec(acknowledgement(.pubrec, version))
        case .pubrel: .pubrel(acknowledgement(.pubrel, version))
        case .pubcomp: .pubcomp(acknowledgement(.pubcomp, version))
        case .subscribe: .subscribe(subscribe(version))
        case .suback: .suback(subscribeAcknowledgement(.suback, version))
        case .unsubscribe: .unsubscribe(unsubscribe(version))
        case .unsuback: .unsuback(subscribeAcknowledgement(.unsuback, version))
        case .pingreq: .pingreq
        case .pingresp: .pingresp
        case .disconnect: .disconnect(disconnect(version))
        case .auth: version == .v5 ? .auth(auth()) : .pingreq
        }
    }
}
