import ConformanceKit
import MQTTBroker
import MQTTWire
import Testing

@testable import Hub

/// Statements that no single exchange of packets shows.
@Suite("Answers of the hub")
struct AnswerTests {
    @Test("Every packet that the hub sends in the vectors is read, and written again byte by byte")
    func canonical() throws {
        let hub = try MemoryHub()
        var seen = Set<UInt8>()
        for (index, vector) in try Vector.all().enumerated() {
            for version in vector.versions {
                hub.sent = []
                try VectorRunner(host: hub, version: version, run: "c\(index)v\(version)").run(vector)
                for (version, packet) in hub.sent {
                    let decoded = try decode(packet, version)
                    var again: [UInt8] = []
                    encodePacket(decoded, version: version, into: &again)
                    #expect(again == packet, "\(vector.name)")
                    seen.insert(packet[0] >> 4)
                }
            }
        }
        #expect(seen == [2, 3, 4, 5, 6, 7, 9, 11, 13, 14])
    }

    @Test("No DISCONNECT of the hub has a session expiry interval")
    func disconnects() throws {
        let hub = try MemoryHub()
        var count = 0
        for (index, vector) in try Vector.all().enumerated() where vector.versions.contains(5) {
            hub.sent = []
            try VectorRunner(host: hub, version: 5, run: "d\(index)").run(vector)
            for case (.v5, let packet) in hub.sent where packet[0] == 0xE0 {
                guard case .disconnect(let disconnect) = try decode(packet, .v5) else { continue }
                #expect(disconnect.properties.sessionExpiryInterval == nil, "\(vector.name)")
                count += 1
            }
        }
        #expect(count > 100)
    }

    @Test("Without a maximum of aliases every alias is refused")
    func noAliases() throws {
        let hub = try MemoryHub { $0.broker.topicAliasMaximum = 0 }
        let script = "= x\na connect\na> 30 [ s\"~/1\" { 23 0001 } \"a\" ]\na< E0 [ 94 * ]\na closed"
        let vector = try #require(try Vector.parse(script, file: "x").first)
        try VectorRunner(host: hub, version: 5, run: "n").run(vector)
    }

    @Test("No session ends while its connection is open, whatever its expiry")
    func openSession() throws {
        let script = """
            = x
            memory
            a connect { 11 00000001 }
            a> 82 [ 0001 {} s"~/t" 01 ]
            a< 90 [ 0001 {} 01 ]
            wait 100000
            b connect
            b> 32 [ s"~/t" 0001 {} "x" ]
            b< 40 [ 0001 ]
            a< 32 [ s"~/t" 0001 {} "x" ]
            """
        let vector = try #require(try Vector.parse(script, file: "x").first)
        try VectorRunner(host: try MemoryHub(), version: 5, run: "o").run(vector)
    }

    @Test("An explanation that would be too large is left away, in every packet")
    func explanations() throws {
        var properties = Properties()
        properties.reasonString = String(repeating: "r", count: 100)
        properties.userProperties = [UserProperty("k", String(repeating: "v", count: 100))]
        let acknowledgement = Acknowledgement(
            packetIdentifier: 1, reason: .packetIdentifierNotFound, properties: properties)
        let refusal = Acknowledgement(packetIdentifier: 1, reason: .quotaExceeded, properties: properties)
        let answer = SubscribeAcknowledgement(
            packetIdentifier: 1, reasons: [.unspecifiedError], properties: properties)
        let packets: [ControlPacket] = [
            .connack(Connack(sessionPresent: false, reason: .quotaExceeded, properties: properties)),
            .puback(refusal), .pubrec(refusal), .pubrel(acknowledgement), .pubcomp(acknowledgement),
            .suback(answer), .unsuback(answer),
            .disconnect(Disconnect(reason: .quotaExceeded, properties: properties)),
        ]
        for (bytesMax, asks, isExplained) in [(1_000, true, true), (50, true, false), (1_000, false, false)] {
            let hub = try MemoryHub()
            let connection = try hub.connect(bytesMax: UInt32(bytesMax), wantsProblemInformation: asks)
            for packet in packets {
                let bytes = try #require(connection.encodeFitting(packet))
                let text = String(decoding: bytes, as: UTF8.self)
                var mayExplain = isExplained
                // Those two may explain to whoever takes it.
                if bytesMax == 1_000, [0x20, 0xE0].contains(bytes[0]) { mayExplain = true }
                #expect(text.contains("rrrr") == mayExplain, "\(packet)")
                #expect(text.contains("vvvv") == mayExplain, "\(packet)")
                #expect(bytes.count <= bytesMax)
            }
        }
    }

    private func decode(_ packet: [UInt8], _ version: ProtocolVersion) throws -> ControlPacket {
        try packet.withUnsafeBytes { bytes in
            guard case .frame(let offset, let count) = scanFrame(bytes, packetBytesMax: 1 << 28) else {
                throw VectorRunner.Failure(description: "not a packet: \(packet)")
            }
            return try decodePacket(
                firstByte: packet[0],
                body: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)]),
                version: version)
        }
    }
}
