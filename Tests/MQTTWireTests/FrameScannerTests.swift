import MQTTWire
import Testing

@Suite("Finding packets in a stream")
struct FrameScannerTests {
    private func scan(_ bytes: [UInt8], packetBytesMax: Int = testPacketBytesMax) -> FrameScan {
        bytes.withUnsafeBytes { scanFrame($0, packetBytesMax: packetBytesMax) }
    }

    private func reason(_ scan: FrameScan) -> ReasonCode? {
        if case .invalid(let error) = scan { error.reason } else { nil }
    }

    @Test(
        "A remaining length takes as many bytes as MQTT 5.0 table 1-1 says",
        arguments: [
            ("00", 0, 1), ("7F", 127, 1), ("8001", 128, 2), ("FF7F", 16_383, 2), ("808001", 16_384, 3),
            ("FFFF7F", 2_097_151, 3), ("80808001", 2_097_152, 4), ("FFFFFF07", 16_777_215, 4),
        ])
    func remainingLengths(_ length: String, _ bodyBytes: Int, _ lengthBytes: Int) {
        let header = bytes("30" + length)
        let packet = header + [UInt8](repeating: 0, count: bodyBytes)
        let expected = FrameScan.frame(bodyOffset: 1 + lengthBytes, bodyBytes: bodyBytes)
        #expect(scan(packet, packetBytesMax: 1 << 28) == expected)
        #expect(scan(packet + [0x30], packetBytesMax: 1 << 28) == expected)
        if bodyBytes > 0 { #expect(scan(packet.dropLast(), packetBytesMax: 1 << 28) == .incomplete) }
    }

    @Test("Nothing and half a header are incomplete")
    func incomplete() {
        #expect(scan([]) == .incomplete)
        #expect(scan([0x30]) == .incomplete)
        #expect(scan(bytes("30 80")) == .incomplete)
        #expect(scan(bytes("30 FF FF FF")) == .incomplete)
    }

    @Test(
        "A length that is too long or padded is malformed",
        arguments: ["30 80808080", "30 FFFFFFFF", "30 8000", "30 FF00", "30 808000", "30 FFFFFF00"])
    func badLengths(_ packet: String) {
        #expect(reason(scan(bytes(packet))) == .malformedPacket)
    }

    @Test("A packet over the limit is refused before its body arrives, one at the limit is not")
    func packetTooLarge() {
        let header = bytes("30 7E")
        let body = [UInt8](repeating: 0, count: 126)
        #expect(reason(scan(header, packetBytesMax: 127)) == .packetTooLarge)
        #expect(scan(header, packetBytesMax: 128) == .incomplete)
        #expect(scan(header + body, packetBytesMax: 128) == .frame(bodyOffset: 2, bodyBytes: 126))
    }

    @Test("First bytes are those of table 2-1 with the flags of table 2-2, and nothing else")
    func firstBytes() {
        var valid = Set<UInt8>(PacketType.allCases.map(\.firstByte))
        for flags in UInt8(0)...15 where flags & 0b0110 != 0b0110 { valid.insert(0x30 | flags) }
        #expect(valid.count == 26)
        #expect(PacketType.pubrel.firstByte == 0x62)
        #expect(PacketType.subscribe.firstByte == 0x82)
        #expect(PacketType.unsubscribe.firstByte == 0xA2)
        for byte in UInt8.min...UInt8.max {
            #expect((FrameScan.validateFirstByte(byte) == nil) == valid.contains(byte))
            #expect((reason(scan([byte, 0])) == nil) == valid.contains(byte))
        }
        #expect(FrameScan.validateFirstByte(0xF0, version: .v311)?.reason == .malformedPacket)
        #expect(FrameScan.validateFirstByte(0xF0, version: .v5) == nil)
    }

    @Test("Packets behind each other are found one by one")
    func sequence() {
        let stream = bytes("C000 30050001740001 E000 40")
        var offset = 0
        var types: [UInt8] = []
        stream.withUnsafeBytes { all in
            while case .frame(let bodyOffset, let bodyBytes) = scanFrame(
                UnsafeRawBufferPointer(rebasing: all[offset...]), packetBytesMax: 100)
            {
                types.append(all[offset])
                offset += bodyOffset + bodyBytes
            }
        }
        #expect(types == [0xC0, 0x30, 0xE0])
        #expect(offset == stream.count - 1)
    }
}
