import MQTTWire
import Testing

@Suite("Random packets")
struct RoundTripTests {
    @Test(
        "A random packet comes back as it was sent, 2,000 a version",
        arguments: [ProtocolVersion.v311, .v5], 0..<20)
    func roundTrip(_ version: ProtocolVersion, _ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        for _ in 0..<100 {
            let packet = random.packet(version)
            let written = encode(packet, version)
            let read = try decode(written, version)
            #expect(read == packet, "\(hex(written))")
            #expect(encode(read, version) == written)
        }
    }

    @Test("Every prefix of a packet is incomplete", arguments: [ProtocolVersion.v311, .v5])
    func prefixes(_ version: ProtocolVersion) {
        var random = SeededRandom(seed: 7)
        for _ in 0..<200 {
            let written = encode(random.packet(version), version)
            written.withUnsafeBytes { all in
                // All short prefixes, and of a long packet every 97th.
                for count in 0..<all.count where count < 300 || count % 97 == 0 {
                    let scan = scanFrame(
                        UnsafeRawBufferPointer(rebasing: all[..<count]), packetBytesMax: testPacketBytesMax)
                    #expect(scan == .incomplete)
                }
            }
        }
    }

    @Test(
        "A packet whose body is cut anywhere is refused or read, and never traps",
        arguments: [ProtocolVersion.v311, .v5])
    func cutBodies(_ version: ProtocolVersion) {
        var random = SeededRandom(seed: 8)
        for _ in 0..<200 {
            let written = encode(random.packet(version), version)
            _ = try? withFrame(written) { firstByte, body in
                for count in 0..<min(body.count, 200) {
                    exercise(firstByte, UnsafeRawBufferPointer(rebasing: body[..<count]), version)
                }
            }
        }
    }

    @Test(
        "A packet with random bytes changed never traps, and what is accepted can be written again",
        arguments: [ProtocolVersion.v311, .v5], 0..<20)
    func changedBytes(_ version: ProtocolVersion, _ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(1_000 + seed))
        for _ in 0..<300 {
            var written = encode(random.packet(version), version)
            for _ in 0...random.below(3) {
                // Mostly near the front, where the structure is.
                let index = random.below(random.chance(4) ? written.count : min(written.count, 40))
                written[index] = UInt8(random.below(256))
            }
            written.withUnsafeBytes { all in
                let scan = scanFrame(all, packetBytesMax: testPacketBytesMax)
                guard case .frame(let offset, let count) = scan else { return }
                let body = UnsafeRawBufferPointer(rebasing: all[offset..<(offset + count)])
                exercise(all[0], body, version)
            }
        }
    }

    /// Gives the bytes to everything that reads a packet; an accepted one must survive a round trip.
    private func exercise(_ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ version: ProtocolVersion) {
        if let packet = try? decodePacket(firstByte: firstByte, body: body, version: version) {
            var decodedVersion = version
            if case .connect(let connect) = packet { decodedVersion = connect.version }
            #expect((try? decode(encode(packet, decodedVersion), decodedVersion)) == packet)
        }
        _ = connectVersion(body: body)
        _ = try? parsePublishProperties(body)
        if let view = try? PublishView(firstByte: firstByte, body: body, version: version) {
            #expect(view.payload.upperBound == body.count)
            _ = view.userProperty(named: "a", in: body)
            // The wrong body must not trap either.
            _ = view.userProperty(named: "a", in: UnsafeRawBufferPointer(rebasing: body[..<(body.count / 2)]))
        }
    }
}
