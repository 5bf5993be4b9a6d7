/// MQTT 5.0 §3.8, 3.1.1 §3.8. A filter's form is left to the broker, which answers it in SUBACK.
func decodeSubscribe(
    _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> Subscribe {
    var reader = WireReader(body)
    var packet = Subscribe(packetIdentifier: try reader.packetIdentifier(), filters: [])
    packet.properties = try reader.properties(.subscribe, version: version)
    while !reader.isAtEnd {
        try requireRoom(packet.filters.count)
        let text = try reader.topicFilter()
        let options = try reader.uint8("the subscription options")
        packet.filters.append(try decodeOptions(options, filter: text, version))
    }
    // [MQTT-3.8.3-2].
    guard !packet.filters.isEmpty else {
        throw WireError(.protocolError, "SUBSCRIBE has no topic filter")
    }
    return packet
}

/// MQTT 5.0 §3.8.3.1; 3.1.1 §3.8.3.
private func decodeOptions(
    _ options: UInt8, filter text: String, _ version: ProtocolVersion
) throws(WireError) -> Subscribe.Filter {
    guard options & (version == .v5 ? 0xC0 : 0xFC) == 0 else {
        throw WireError(.malformedPacket, "reserved subscription options are set")
    }
    guard let qos = QoS(rawValue: options & 0b11) else {
        throw WireError(version == .v5 ? .protocolError : .malformedPacket, "a subscription has QoS 3")
    }
    var filter = Subscribe.Filter(text, qos: qos)
    filter.noLocal = options & 0x04 != 0
    filter.retainAsPublished = options & 0x08 != 0
    filter.retainHandling = options >> 4
    guard filter.retainHandling < 3 else {
        throw WireError(.protocolError, "the retain handling is 3")
    }
    // [MQTT-3.8.3-4].
    if filter.noLocal, isSharedFilter(text) {
        throw WireError(.protocolError, "a shared subscription has the no local option")
    }
    return filter
}

/// MQTT 5.0 §3.10, 3.1.1 §3.10.
func decodeUnsubscribe(
    _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> Unsubscribe {
    var reader = WireReader(body)
    var packet = Unsubscribe(packetIdentifier: try reader.packetIdentifier(), filters: [])
    packet.properties = try reader.properties(.unsubscribe, version: version)
    while !reader.isAtEnd {
        try requireRoom(packet.filters.count)
        packet.filters.append(try reader.topicFilter())
    }
    // [MQTT-3.10.3-2].
    guard !packet.filters.isEmpty else {
        throw WireError(.protocolError, "UNSUBSCRIBE has no topic filter")
    }
    return packet
}

/// MQTT 5.0 §3.9, 3.1.1 §3.9.
func decodeSuback(
    _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> SubscribeAcknowledgement {
    var reader = WireReader(body)
    var packet = SubscribeAcknowledgement(packetIdentifier: try reader.packetIdentifier(), reasons: [])
    packet.properties = try reader.properties(.acknowledgement, version: version)
    try reader.reasons(of: .suback, into: &packet)
    // 3.1.1 [MQTT-3.9.3-2]: 0x80 is the only failure.
    if version == .v311, packet.reasons.contains(where: { $0.rawValue > 2 && $0.rawValue != 0x80 }) {
        throw WireError(.malformedPacket, "SUBACK has a reserved return code")
    }
    return packet
}

/// MQTT 5.0 §3.11; 3.1.1 §3.11, where nothing follows the packet identifier.
func decodeUnsuback(
    _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion
) throws(WireError) -> SubscribeAcknowledgement {
    var reader = WireReader(body)
    var packet = SubscribeAcknowledgement(packetIdentifier: try reader.packetIdentifier(), reasons: [])
    guard version == .v5 else {
        try reader.requireEnd("UNSUBACK")
        return packet
    }
    packet.properties = try reader.properties(.acknowledgement, version: version)
    try reader.reasons(of: .unsuback, into: &packet)
    return packet
}

private func requireRoom(_ filterCount: Int) throws(WireError) {
    guard filterCount < WireLimits.filtersMax else {
        throw WireError(.quotaExceeded, "more than \(WireLimits.filtersMax) topic filters in one packet")
    }
}

extension WireReader {
    fileprivate mutating func topicFilter() throws(WireError) -> String {
        let range = try stringRange("a topic filter")
        guard !range.isEmpty else { throw WireError(.malformedPacket, "a topic filter is empty") }
        return String(decoding: bytes[range], as: UTF8.self)
    }

    /// The reasons up to the packet's end, one for each filter that was sent, so at least one.
    fileprivate mutating func reasons(
        of type: PacketType, into packet: inout SubscribeAcknowledgement
    ) throws(WireError) {
        while !isAtEnd {
            try requireRoom(packet.reasons.count)
            packet.reasons.append(try reasonCode(of: type))
        }
        guard !packet.reasons.isEmpty else {
            throw WireError(.protocolError, "the acknowledgement has no reason code")
        }
    }
}
