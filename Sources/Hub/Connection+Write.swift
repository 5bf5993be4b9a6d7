import MQTTBroker
import MQTTWire
import Platform

/// What leaves a connection in typed form, within what the client said it takes.
extension Connection {
    /// The bytes of a packet that is not a forwarded message.
    ///
    /// What only explains is left away where the client did not ask for it or it would make the packet too large;
    /// an answer that is too large without it ends the connection. MQTT 5.0 §3.1.2.11.4, §3.1.2.11.7.
    /// - Returns: nil when nothing may be sent.
    func encodeFitting(_ packet: ControlPacket) -> [UInt8]? {
        var bytes: [UInt8] = []
        let isPlain = session?.wantsProblemInformation ?? true || packet.mayAlwaysExplain
        encodePacket(isPlain ? packet : packet.withoutExplanation, version: version, into: &bytes)
        if let bytesMax = session?.maximumPacketSize, bytes.count > bytesMax {
            bytes.removeAll(keepingCapacity: true)
            encodePacket(packet.withoutExplanation, version: version, into: &bytes)
            guard bytes.count <= bytesMax else {
                cannotSay(packet)
                return nil
            }
        }
        // The broker counts those.
        if case .publish = packet { return bytes }
        loop.traffic.controlPacketsSent &+= 1
        return bytes
    }

    /// Sends a message on to a client that takes topic aliases: with one where the topic comes again.
    ///
    /// - Parameter header: `packetIdentifier` is ignored at QoS 0.
    func writeAliased(
        _ message: Message, _ header: PublishHeader, subscriptionIdentifiers: [UInt32], expiryLeft: UInt32?
    ) {
        guard var aliases = outboundAliases else { return }
        outboundAliases = nil
        let topic = message.topic
        let use = aliases.use(for: topic)
        var properties = message.properties
        properties.subscriptionIdentifiers = subscriptionIdentifiers
        properties.messageExpiryInterval = expiryLeft
        var bytes: [UInt8] = []
        func encode(topic: String, alias: UInt16?) {
            properties.topicAlias = alias
            bytes.removeAll(keepingCapacity: true)
            encodePublish(
                header, topic: topic, properties: properties, payload: message.payload, version: version,
                into: &bytes)
        }
        switch use {
        case .name: encode(topic: topic, alias: nil)
        case .alias(let alias): encode(topic: "", alias: alias)
        case .set(let alias):
            encode(topic: topic, alias: alias)
            // The broker has found the message small enough without the alias.
            if let bytesMax = session?.maximumPacketSize, bytes.count > bytesMax {
                aliases.withdraw(alias)
                encode(topic: topic, alias: nil)
            }
        }
        outboundAliases = aliases
        output.append(bytes)
        loop.markDirty(self)
    }

    private func cannotSay(_ packet: ControlPacket) {
        // A DISCONNECT is followed by the close in any case.
        if case .disconnect = packet { return }
        refuse(
            WireError(.packetTooLarge, "the answer is larger than the client's maximum packet size"),
            loop.clock.monotonicNanoseconds())
    }
}

extension ControlPacket {
    /// Whether a reason string and user properties may stand in it although the client asked for none.
    /// MQTT 5.0 [MQTT-3.1.2-29].
    fileprivate var mayAlwaysExplain: Bool {
        switch self {
        case .connack, .publish, .disconnect: true
        default: false
        }
    }

    /// The packet without its reason string and user properties.
    fileprivate var withoutExplanation: ControlPacket {
        func plain(_ properties: Properties) -> Properties {
            var properties = properties
            properties.reasonString = nil
            properties.userProperties = []
            return properties
        }
        switch self {
        case .connack(var packet):
            packet.properties = plain(packet.properties)
            return .connack(packet)
        case .puback(var packet):
            packet.properties = plain(packet.properties)
            return .puback(packet)
        case .pubrec(var packet):
            packet.properties = plain(packet.properties)
            return .pubrec(packet)
        case .pubrel(var packet):
            packet.properties = plain(packet.properties)
            return .pubrel(packet)
        case .pubcomp(var packet):
            packet.properties = plain(packet.properties)
            return .pubcomp(packet)
        case .suback(var packet):
            packet.properties = plain(packet.properties)
            return .suback(packet)
        case .unsuback(var packet):
            packet.properties = plain(packet.properties)
            return .unsuback(packet)
        case .disconnect(var packet):
            packet.properties = plain(packet.properties)
            return .disconnect(packet)
        default: return self
        }
    }
}
