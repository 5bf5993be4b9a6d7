package import MQTTWire

/// The PUBLISH that carries a message to one subscriber, written straight into the connection's output.
/// MQTT 5.0 §3.3, 3.1.1 §3.3.
package struct MessagePacket {
    package var qos: QoS
    package var retain: Bool
    package var duplicate: Bool
    /// 1 to 65,535; ignored at QoS 0.
    package var packetIdentifier: UInt16
    /// These two are left away on 3.1.1.
    package var subscriptionIdentifiers: [UInt32]
    package var expiryLeft: UInt32?

    package init(
        qos: QoS, retain: Bool, duplicate: Bool, packetIdentifier: UInt16, subscriptionIdentifiers: [UInt32],
        expiryLeft: UInt32?
    ) {
        self.qos = qos
        self.retain = retain
        self.duplicate = duplicate
        self.packetIdentifier = packetIdentifier
        self.subscriptionIdentifiers = subscriptionIdentifiers
        self.expiryLeft = expiryLeft
    }
}

/// How long the parts of a PUBLISH are: worked out once, for the room and for the writing.
package struct MessagePacketLayout {
    fileprivate var propertyBytes: Int
    fileprivate var bodyBytes: Int
    /// All of the packet. MQTT 5.0 §3.1.2.11.4 counts its fixed header too.
    package var packetBytes: Int
}

extension Message {
    /// - Parameter version: the subscriber's.
    package func layout(_ packet: MessagePacket, version: ProtocolVersion) -> MessagePacketLayout {
        layout(
            qos: packet.qos, subscriptionIdentifiers: packet.subscriptionIdentifiers,
            hasExpiry: packet.expiryLeft != nil, version: version)
    }

    func layout(
        qos: QoS, subscriptionIdentifiers: [UInt32], hasExpiry: Bool, version: ProtocolVersion
    ) -> MessagePacketLayout {
        var properties = 0
        var body = 2 + topicByteCount + bytes.count - propertiesEnd
        if case .atMostOnce = qos {} else { body += 2 }
        if case .v5 = version {
            properties = propertyBytes + (hasExpiry ? 5 : 0)
            for identifier in subscriptionIdentifiers { properties += 1 + variableBytes(Int(identifier)) }
            body += variableBytes(properties) + properties
        }
        return MessagePacketLayout(
            propertyBytes: properties, bodyBytes: body, packetBytes: 1 + variableBytes(body) + body)
    }

    /// Bytes of the whole packet as a 5.0 subscriber gets it.
    func packetBytes(qos: QoS, subscriptionIdentifiers: [UInt32]) -> Int {
        layout(
            qos: qos, subscriptionIdentifiers: subscriptionIdentifiers, hasExpiry: expiresAt != nil,
            version: .v5
        ).packetBytes
    }

    /// Writes the packet.
    ///
    /// - Parameters:
    ///   - layout: of the same packet and version.
    ///   - target: `layout.packetBytes` bytes are writable there.
    package func write(
        _ packet: MessagePacket, _ layout: MessagePacketLayout, version: ProtocolVersion,
        to target: UnsafeMutableRawPointer
    ) {
        var writer = PacketWriter(at: target, end: target + layout.packetBytes)
        let flags: UInt8 =
            (packet.duplicate ? 0b1000 : 0) | packet.qos.rawValue << 1 | (packet.retain ? 0b0001 : 0)
        writer.put(PacketType.publish.firstByte | flags)
        writer.putVariable(layout.bodyBytes)
        bytes.withUnsafeBytes { all in
            writer.putUInt16(UInt16(topicByteCount))
            writer.put(all, 0, topicByteCount)
            if case .atMostOnce = packet.qos {} else { writer.putUInt16(packet.packetIdentifier) }
            if case .v5 = version { putProperties(packet, layout, all, &writer) }
            writer.put(all, propertiesEnd, all.count)
        }
        precondition(writer.isFull)
    }

    private func putProperties(
        _ packet: MessagePacket, _ layout: MessagePacketLayout, _ all: UnsafeRawBufferPointer,
        _ writer: inout PacketWriter
    ) {
        writer.putVariable(layout.propertyBytes)
        if layout.propertyBytes == 0 { return }
        writer.put(all, topicByteCount, formatEnd)
        if let expiry = packet.expiryLeft {
            writer.put(PropertyIdentifier.messageExpiryInterval.rawValue)
            writer.putUInt16(UInt16(truncatingIfNeeded: expiry >> 16))
            writer.putUInt16(UInt16(truncatingIfNeeded: expiry))
        }
        writer.put(all, formatEnd, middleEnd)
        for identifier in packet.subscriptionIdentifiers {
            writer.put(PropertyIdentifier.subscriptionIdentifier.rawValue)
            writer.putVariable(Int(identifier))
        }
        writer.put(all, middleEnd, propertiesEnd)
    }
}

/// Writes into memory that has exactly the room; going beyond it traps. Hot path: raw memory, borrowed.
private struct PacketWriter {
    private var at: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer

    init(at: UnsafeMutableRawPointer, end: UnsafeMutableRawPointer) {
        self.at = at
        self.end = end
    }

    var isFull: Bool { at == end }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        precondition(at < end)
        at.storeBytes(of: byte, as: UInt8.self)
        at += 1
    }

    @inline(__always)
    mutating func putUInt16(_ value: UInt16) {
        precondition(end - at >= 2)
        at.storeBytes(of: value.bigEndian, as: UInt16.self)
        at += 2
    }

    /// MQTT 5.0 §1.5.5.
    @inline(__always)
    mutating func putVariable(_ value: Int) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        put(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ stop: Int) {
        let count = stop - start
        guard count > 0, let base = bytes.baseAddress else { return }
        precondition(stop <= bytes.count)
        precondition(end - at >= count)
        at.copyMemory(from: base + start, byteCount: count)
        at += count
    }
}

/// Bytes of a variable byte integer. MQTT 5.0 §1.5.5.
private func variableBytes(_ value: Int) -> Int {
    value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
}
