import MQTTWire
import Testing

/// Bytes that only a server sends, so that the malformed corpus cannot have them.
@Suite("Malformed packets from a server")
struct ServerPacketTests {
    @Test(
        "A malformed packet of MQTT 5.0 is refused with its reason",
        arguments: [
            ("CONNACK with reserved flags, §3.2.2.1", "20 03 02 00 00", ReasonCode.malformedPacket),
            ("CONNACK refusing with a session, [MQTT-3.2.2-6]", "20 03 01 87 00", .protocolError),
            ("CONNACK with a reason of PUBACK, [MQTT-3.2.2-8]", "20 03 00 10 00", .protocolError),
            ("CONNACK without properties, §3.2.2.3", "20 02 00 00", .malformedPacket),
            ("CONNACK with a topic alias, §2.2.2.2", "20 06 00 00 03 23 0001", .malformedPacket),
            ("CONNACK with maximum QoS 2, §3.2.2.3.4", "20 05 00 00 02 24 02", .protocolError),
            ("CONNACK with retain available 2, §3.2.2.3.5", "20 05 00 00 02 25 02", .protocolError),
            ("CONNACK with receive maximum 0, §3.2.2.3.3", "20 06 00 00 03 21 0000", .protocolError),
            (
                "CONNACK with server keep alive twice, §3.2.2.3.14", "20 09 00 00 06 13 0001 13 0001",
                .protocolError
            ),
            ("CONNACK with authentication data alone", "20 07 00 00 04 16 0001 64", .protocolError),
            ("CONNACK with bytes after the properties", "20 04 00 00 00 00", .malformedPacket),
            ("PUBLISH with subscription identifier 0, §3.3.2.3.8", "30 06 0001 74 02 0B 00", .protocolError),
            (
                "PUBLISH with a padded subscription identifier, [MQTT-1.5.5-1]", "30 07 0001 74 03 0B 8100",
                .malformedPacket
            ),
            ("SUBACK without a reason, §3.9.3", "90 03 0001 00", .protocolError),
            ("SUBACK with a reason of UNSUBACK, §3.9.3", "90 04 0001 00 11", .protocolError),
            ("SUBACK with packet identifier 0, §2.2.1", "90 04 0000 00 00", .protocolError),
            ("UNSUBACK without a reason, §3.11.3", "B0 03 0001 00", .protocolError),
            ("UNSUBACK with a reason of SUBACK, §3.11.3", "B0 04 0001 00 01", .protocolError),
            ("PINGRESP with a body, §3.13", "D0 01 00", .malformedPacket),
        ])
    func refused5(_ name: String, _ packet: String, _ reason: ReasonCode) throws {
        #expect(try refusal(of: bytes(packet), .v5) == reason)
    }

    @Test(
        "A malformed packet of MQTT 3.1.1 is refused",
        arguments: [
            ("CONNACK with reserved flags, §3.2.2.1", "20 02 02 00"),
            ("CONNACK refusing with a session, [MQTT-3.2.2-4]", "20 02 01 05"),
            ("CONNACK with return code 6, §3.2.2.3", "20 02 00 06"),
            ("CONNACK of one byte, §3.2.1", "20 01 00"),
            ("CONNACK with properties, §3.2.1", "20 03 00 00 00"),
            ("SUBACK without a return code, §3.9.3", "90 02 0001"),
            ("SUBACK with a reason of 5.0, [MQTT-3.9.3-2]", "90 03 0001 87"),
            ("UNSUBACK with a payload, §3.11.3", "B0 03 0001 00"),
            ("PINGRESP with a body, §3.13", "D0 01 00"),
        ])
    func refused311(_ name: String, _ packet: String) throws {
        #expect(try refusal(of: bytes(packet), .v311) != nil)
    }

    @Test("Every reason that table 2-6 gives to a packet type is accepted there, and no other")
    func reasons() throws {
        // MQTT 5.0 table 2-6, row by row: the packets that may carry the reason.
        let table: [UInt8: Set<PacketType>] = [
            0x00: [
                .connack, .puback, .pubrec, .pubrel, .pubcomp, .suback, .unsuback, .disconnect, .auth,
            ],
            0x01: [.suback], 0x02: [.suback], 0x04: [.disconnect], 0x10: [.puback, .pubrec],
            0x11: [.unsuback], 0x18: [.auth], 0x19: [.auth],
            0x80: [.connack, .puback, .pubrec, .suback, .unsuback, .disconnect],
            0x81: [.connack, .disconnect], 0x82: [.connack, .disconnect],
            0x83: [.connack, .puback, .pubrec, .suback, .unsuback, .disconnect],
            0x84: [.connack], 0x85: [.connack], 0x86: [.connack],
            0x87: [.connack, .puback, .pubrec, .suback, .unsuback, .disconnect],
            0x88: [.connack], 0x89: [.connack, .disconnect], 0x8A: [.connack], 0x8B: [.disconnect],
            0x8C: [.connack, .disconnect], 0x8D: [.disconnect], 0x8E: [.disconnect],
            0x8F: [.suback, .unsuback, .disconnect], 0x90: [.connack, .puback, .pubrec, .disconnect],
            0x91: [.puback, .pubrec, .suback, .unsuback], 0x92: [.pubrel, .pubcomp],
            0x93: [.disconnect], 0x94: [.disconnect], 0x95: [.connack, .disconnect], 0x96: [.disconnect],
            0x97: [.connack, .puback, .pubrec, .suback, .disconnect], 0x98: [.disconnect],
            0x99: [.connack, .puback, .pubrec, .disconnect], 0x9A: [.connack, .disconnect],
            0x9B: [.connack, .disconnect], 0x9C: [.connack, .disconnect], 0x9D: [.connack, .disconnect],
            0x9E: [.suback, .disconnect], 0x9F: [.connack, .disconnect], 0xA0: [.disconnect],
            0xA1: [.suback, .disconnect], 0xA2: [.suback, .disconnect],
        ]
        for code in UInt8.min...UInt8.max {
            for type in PacketType.allCases {
                let isAllowed = ReasonCode(rawValue: code).isAllowed(in: type)
                #expect(isAllowed == table[code]?.contains(type) ?? false, "\(code) in \(type)")
            }
        }
    }
}
