import MQTTWire
import Testing

@Suite("Encoding")
struct PacketEncoderTests {
    @Test(
        "A refusal becomes the nearest return code on 3.1.1",
        arguments: [
            (ReasonCode.success, 0), (.unsupportedProtocolVersion, 1), (.clientIdentifierNotValid, 2),
            (.serverUnavailable, 3), (.serverBusy, 3), (.quotaExceeded, 3), (.unspecifiedError, 3),
            (.badUserNameOrPassword, 4), (.notAuthorized, 5), (.banned, 5),
        ])
    func returnCodes(_ reason: ReasonCode, _ returnCode: Int) {
        let packet = ControlPacket.connack(Connack(sessionPresent: false, reason: reason))
        #expect(encode(packet, .v311) == [0x20, 2, 0, UInt8(returnCode)])
    }

    @Test("On 3.1.1 properties and reasons are left away, and a SUBACK failure is 0x80")
    func what311LeavesAway() {
        let properties = Properties {
            $0.reasonString = "because"
            $0.userProperties = [UserProperty("k", "v")]
        }
        let acknowledgement = Acknowledgement(
            packetIdentifier: 1, reason: .quotaExceeded, properties: properties)
        #expect(encode(.puback(acknowledgement), .v311) == bytes("40 02 0001"))
        let suback = SubscribeAcknowledgement(
            packetIdentifier: 1, reasons: [.grantedQoS1, .topicFilterInvalid, .notAuthorized],
            properties: properties)
        #expect(encode(.suback(suback), .v311) == bytes("90 05 0001 01 80 80"))
        #expect(encode(.unsuback(suback), .v311) == bytes("B0 02 0001"))
        let disconnect = Disconnect(reason: .serverShuttingDown, properties: properties)
        #expect(encode(.disconnect(disconnect), .v311) == bytes("E0 00"))
        let connack = Connack(sessionPresent: true, reason: .success, properties: properties)
        #expect(encode(.connack(connack), .v311) == bytes("20 02 01 00"))
        var publish = Publish(topic: "t", payload: [1])
        publish.properties = properties
        #expect(encode(.publish(publish), .v311) == bytes("30 04 0001 74 01"))
    }

    @Test(
        "The quick writer writes what the encoder writes", arguments: [ProtocolVersion.v311, .v5])
    func quickAcknowledgements(_ version: ProtocolVersion) {
        let identifier: UInt16 = 0xA1B2
        let acknowledgement = Acknowledgement(packetIdentifier: identifier)
        let packets: [(PacketType, ControlPacket)] = [
            (.puback, .puback(acknowledgement)), (.pubrec, .pubrec(acknowledgement)),
            (.pubrel, .pubrel(acknowledgement)), (.pubcomp, .pubcomp(acknowledgement)),
        ]
        for (type, packet) in packets {
            // At an odd address, with guards on both sides.
            var written = [UInt8](repeating: 0xEE, count: 6)
            written.withUnsafeMutableBytes { raw in
                guard let start = raw.baseAddress else { return }
                writeAcknowledgement(type: type.rawValue, packetIdentifier: identifier, to: start + 1)
            }
            #expect(written == [0xEE] + encode(packet, version) + [0xEE])
        }
    }

    @Test("A PUBLISH from the parts of a message is the same as from a packet")
    func publishFromParts() {
        var random = SeededRandom(seed: 3)
        for version in [ProtocolVersion.v311, .v5] {
            for _ in 0..<200 {
                let publish = random.publish(version, isFromServer: true)
                let header = PublishHeader(
                    qos: publish.qos, retain: publish.retain, duplicate: publish.duplicate,
                    packetIdentifier: publish.packetIdentifier ?? 0)
                var written: [UInt8] = []
                encodePublish(
                    header, topic: publish.topic, properties: publish.properties, payload: publish.payload,
                    version: version, into: &written)
                #expect(written == encode(.publish(publish), version))
            }
        }
    }

    @Test("Packets are appended to what is there")
    func appends() {
        var written: [UInt8] = [0xAA]
        encodePacket(.pingresp, version: .v5, into: &written)
        encodePacket(.publish(Publish(topic: "t", payload: [])), version: .v5, into: &written)
        #expect(written == bytes("AA D000 3004 0001 74 00"))
    }

    @Test("A packet with 2,097,152 bytes of body has four length bytes")
    func longPacket() throws {
        let publish = Publish(topic: "t", payload: [UInt8](repeating: 1, count: 2_097_152 - 3))
        let written = encode(.publish(publish), .v311)
        #expect([UInt8](written[..<5]) == bytes("30 80808001"))
        #expect(try decode(written, .v311) == .publish(publish))
    }

    @Test("More filters than the limit are refused")
    func filterLimit() throws {
        let filter = Subscribe.Filter("t", qos: .atMostOnce)
        let most = Subscribe(
            packetIdentifier: 1, filters: Array(repeating: filter, count: WireLimits.filtersMax))
        #expect(try refusal(of: encode(.subscribe(most), .v5), .v5) == nil)
        let tooMany = Subscribe(packetIdentifier: 1, filters: most.filters + [filter])
        #expect(try refusal(of: encode(.subscribe(tooMany), .v5), .v5) == .quotaExceeded)
    }
}
