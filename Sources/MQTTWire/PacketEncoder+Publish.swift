/// MQTT 5.0 §3.3, 3.1.1 §3.3.
func encodePublish(_ packet: Publish, _ version: ProtocolVersion, into bytes: inout [UInt8]) {
    let header = PublishHeader(
        qos: packet.qos, retain: packet.retain, duplicate: packet.duplicate,
        packetIdentifier: packet.packetIdentifier ?? 0)
    encodePublish(
        header, topic: packet.topic, properties: packet.properties, payload: packet.payload,
        version: version, into: &bytes)
}

/// What differs between the PUBLISH packets that carry one message to several subscribers.
package struct PublishHeader: Hashable, Sendable {
    package var qos: QoS
    package var retain: Bool
    package var duplicate: Bool
    /// Ignored at QoS 0; else 1 to 65,535.
    package var packetIdentifier: UInt16

    package init(qos: QoS, retain: Bool = false, duplicate: Bool = false, packetIdentifier: UInt16 = 0) {
        self.qos = qos
        self.retain = retain
        self.duplicate = duplicate
        self.packetIdentifier = packetIdentifier
    }
}

/// Appends a PUBLISH straight from the parts of a shared message, without a `Publish` in between.
///
/// - Parameter properties: Left away on 3.1.1.
/// Source: MQTT 5.0 §3.3, 3.1.1 §3.3.
package func encodePublish(
    _ header: PublishHeader, topic: String, properties: Properties, payload: [UInt8],
    version: ProtocolVersion, into bytes: inout [UInt8]
) {
    let flags: UInt8 =
        (header.duplicate ? 0b1000 : 0) | header.qos.rawValue << 1 | (header.retain ? 0b0001 : 0)
    bytes.appendPacket(PacketType.publish.firstByte | flags) { body in
        body.appendString(topic)
        if header.qos != .atMostOnce {
            precondition(header.packetIdentifier != 0, "QoS 1 and 2 need a packet identifier")
            body.appendUInt16(header.packetIdentifier)
        }
        body.appendProperties(properties, version: version)
        body.append(contentsOf: payload)
    }
}
