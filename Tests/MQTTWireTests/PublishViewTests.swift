import MQTTWire
import Testing

@Suite("PublishView")
struct PublishViewTests {
    /// Compares the view of a client's PUBLISH with the decoded packet, field by field.
    private func expectAgreement(_ packet: [UInt8], _ version: ProtocolVersion) throws {
        guard case .publish(let publish) = try decode(packet, version) else {
            Issue.record("not a PUBLISH")
            return
        }
        try withFrame(packet) { firstByte, body in
            let view = try PublishView(firstByte: firstByte, body: body, version: version)
            #expect(String(decoding: body[view.topic], as: UTF8.self) == publish.topic)
            #expect([UInt8](body[view.payload]) == publish.payload)
            #expect(view.qos == publish.qos)
            #expect(view.isDuplicate == publish.duplicate)
            #expect(view.isRetained == publish.retain)
            #expect(view.packetIdentifier == publish.packetIdentifier ?? 0)
            #expect(view.topicAlias == publish.properties.topicAlias ?? 0)
            #expect(view.payloadFormatIndicator == publish.properties.payloadFormatIndicator ?? 255)
            #expect(
                String(decoding: body[view.contentType], as: UTF8.self) == publish.properties.contentType
                    ?? "")
            #expect(view.userPropertyCount == publish.properties.userProperties.count)
            let block = UnsafeRawBufferPointer(rebasing: body[view.properties])
            #expect(try parsePublishProperties(block) == publish.properties)
            var written: [UInt8] = []
            encodeProperties(publish.properties, into: &written)
            #expect(written == [UInt8](block))
        }
    }

    @Test("It agrees with the decoder on the canonical vectors", arguments: [ProtocolVersion.v311, .v5])
    func agreesOnVectors(_ version: ProtocolVersion) throws {
        var compared = 0
        for vector in version == .v311 ? vectors311 : vectors5 where vector.isCanonical {
            guard case .publish(let publish) = vector.packet else { continue }
            guard publish.properties.subscriptionIdentifiers.isEmpty else { continue }
            try expectAgreement(vector.bytes, version)
            compared += 1
        }
        #expect(compared >= 2)
    }

    @Test(
        "It agrees with the decoder on random packets", arguments: [ProtocolVersion.v311, .v5], 0..<20)
    func agreesOnRandomPackets(_ version: ProtocolVersion, _ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(100 + seed))
        for _ in 0..<100 {
            let publish = random.publish(version, isFromServer: false)
            try expectAgreement(encode(.publish(publish), version), version)
        }
    }

    @Test("It refuses what the decoder refuses, with the same reason", arguments: 0..<20)
    func refusesTheSame(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(200 + seed))
        for _ in 0..<200 {
            var publish = random.publish(.v5, isFromServer: false)
            publish.properties.topicAlias = 1
            publish.payload = []
            var packet = encode(.publish(publish), .v5)
            let blockStart = packet.count - random.below(min(packet.count - 2, 60)) - 1
            packet[blockStart] = UInt8(random.below(256))
            expectSameRefusal(packet)
        }
    }

    private func expectSameRefusal(_ packet: [UInt8]) {
        let firstByte = packet[0]
        packet.withUnsafeBytes { all in
            guard case .frame(let offset, _) = scanFrame(all, packetBytesMax: testPacketBytesMax) else {
                return
            }
            let body = UnsafeRawBufferPointer(rebasing: all[offset...])
            var viewReason: ReasonCode?
            var viewHasServerProperty = false
            do throws(WireError) {
                let view = try PublishView(firstByte: firstByte, body: body, version: .v5)
                viewReason = validateTopicName(UnsafeRawBufferPointer(rebasing: body[view.topic]))?.reason
                if view.topic.isEmpty, view.topicAlias != 0 { viewReason = nil }
            } catch {
                viewReason = error.reason
                viewHasServerProperty = error.explanation.contains("subscription identifier")
            }
            // Only there they differ: the decoder reads both directions.
            if viewHasServerProperty { return }
            var decoderReason: ReasonCode?
            do throws(WireError) {
                _ = try decodePacket(firstByte: firstByte, body: body, version: .v5)
            } catch {
                decoderReason = error.reason
            }
            #expect(viewReason == decoderReason, "\(hex(packet))")
        }
    }

    @Test("A user property is found by its whole name, the first of several")
    func userProperty() throws {
        let publish = Publish("t", "payload") {
            $0.properties.contentType = "message-id"
            $0.properties.topicAlias = 9
            $0.properties.payloadFormatIndicator = 1
            $0.properties.messageExpiryInterval = 9
            $0.properties.responseTopic = "r"
            $0.properties.correlationData = [0x26, 0, 0]
            $0.properties.userProperties = [
                UserProperty("message", "no"), UserProperty("message-id2", "no"),
                UserProperty("message-iX", "no"), UserProperty("Message-id", "no"),
                UserProperty("message-id", "first"), UserProperty("message-id", "second"),
                UserProperty("empty", ""),
            ]
        }
        try withFrame(encode(.publish(publish), .v5)) { firstByte, body in
            let view = try PublishView(firstByte: firstByte, body: body, version: .v5)
            let found = try #require(view.userProperty(named: "message-id", in: body))
            #expect(String(decoding: body[found], as: UTF8.self) == "first")
            #expect(view.userProperty(named: "message-i", in: body) == nil)
            #expect(view.userProperty(named: "no", in: body) == nil)
            let empty = try #require(view.userProperty(named: "empty", in: body))
            #expect(empty.isEmpty)
        }
    }

    @Test("It leaves the topic's characters to validateTopicName")
    func topicIsNotChecked() throws {
        try withFrame(bytes("30 05 0002 2B00 00")) { firstByte, body in
            let view = try PublishView(firstByte: firstByte, body: body, version: .v5)
            #expect(view.topic == 2..<4)
        }
    }

    @Test("More user properties than the limit are refused by the view and by the decoder")
    func userPropertyLimit() throws {
        var publish = Publish(topic: "t", payload: [])
        publish.properties.userProperties = Array(
            repeating: UserProperty("", ""), count: WireLimits.userPropertiesMax)
        try expectAgreement(encode(.publish(publish), .v5), .v5)
        publish.properties.userProperties.append(UserProperty("", ""))
        let packet = encode(.publish(publish), .v5)
        #expect(try refusal(of: packet, .v5) == .quotaExceeded)
        expectSameRefusal(packet)
    }
}
