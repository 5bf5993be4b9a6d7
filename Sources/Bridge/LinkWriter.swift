package import MQTTWire

/// Writes what the other broker sent as packets of a client of this hub, and counts what the hub still owes for
/// them: until nothing is owed, the other broker gets no acknowledgement.
package struct LinkWriter {
    /// Packets written and not yet given to the hub.
    package private(set) var bytes: [UInt8] = []
    /// Answers that are to come: one a message at QoS 1, one a fence.
    package private(set) var owed = 0
    private var lastIdentifier: UInt16 = 0
    private let packetBytesMax: Int

    /// Messages on their way at once; an identifier is so never used twice.
    package static let owedMax = 50_000

    /// - Parameter packetBytesMax: the largest packet that the hub takes.
    package init(packetBytesMax: Int) { self.packetBytesMax = packetBytesMax }

    /// Adds a message.
    ///
    /// - Returns: false when it is larger than the hub takes, or its topic is none: it is left out.
    package mutating func publish(
        topic: String, payload: [UInt8], qos: UInt8, retain: Bool, properties: Properties
    ) -> Bool {
        guard isValid(topic), topic.utf8.count <= WireLimits.stringBytesMax else { return false }
        var properties = properties
        // Checked where it is read, but not by every broker.
        if let response = properties.responseTopic, !isValid(response) { properties.responseTopic = nil }
        let start = bytes.count
        var packet = Publish(topic: topic, payload: payload)
        packet.retain = retain
        packet.properties = properties
        if qos > 0 {
            lastIdentifier = lastIdentifier == .max ? 1 : lastIdentifier + 1
            packet.qos = .atLeastOnce
            packet.packetIdentifier = lastIdentifier
        }
        encodePacket(.publish(packet), version: .v5, into: &bytes)
        guard bytes.count - start <= packetBytesMax else {
            bytes.removeSubrange(start...)
            return false
        }
        if qos > 0 { owed += 1 }
        return true
    }

    /// Adds a question that the hub answers when it has taken all before it: messages at QoS 0 have no other answer.
    package mutating func fence() {
        encodePacket(.pingreq, version: .v5, into: &bytes)
        owed += 1
    }

    /// What is to be given to the hub now.
    package mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// The hub has answered.
    package mutating func settle() { owed = max(owed - 1, 0) }

    /// The connection to the hub is a new one: it owes nothing.
    package mutating func reset() {
        bytes = []
        owed = 0
    }

    private func isValid(_ topic: String) -> Bool {
        var topic = topic
        return topic.withUTF8 { validateTopicName(UnsafeRawBufferPointer($0)) == nil }
    }
}

/// The packets in a stream of bytes of the hub.
package struct LinkReader {
    private var rest: [UInt8] = []

    package init() {}

    /// - Throws: what the hub never sends.
    package mutating func read(_ bytes: [UInt8]) throws(WireError) -> [ControlPacket] {
        rest += bytes
        let all = rest
        var packets: [ControlPacket] = []
        let result = all.withUnsafeBytes { buffer in
            Result { () throws(WireError) -> Int in
                var at = 0
                while at < buffer.count {
                    let left = UnsafeRawBufferPointer(rebasing: buffer[at...])
                    switch scanFrame(left, packetBytesMax: WireLimits.variableByteIntegerMax) {
                    case .frame(let offset, let count):
                        let body = UnsafeRawBufferPointer(rebasing: left[offset..<(offset + count)])
                        packets.append(try decodePacket(firstByte: left[0], body: body, version: .v5))
                        at += offset + count
                    case .incomplete: return at
                    case .invalid(let error): throw error
                    }
                }
                return at
            }
        }
        rest.removeFirst(try result.get())
        return packets
    }
}
