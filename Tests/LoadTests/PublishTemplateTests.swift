import Foundation
import MQTTWire
import Testing

@testable import Load

@Suite("Publish template")
struct PublishTemplateTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var qos: QoS
        var version: ProtocolVersion
        var payloadBytes: Int
        var testDescription: String {
            "QoS \(qos.rawValue), level \(version.rawValue), \(payloadBytes) bytes"
        }
    }

    static let shapes: [Shape] = [QoS.atMostOnce, .atLeastOnce, .exactlyOnce].flatMap { qos in
        [ProtocolVersion.v311, .v5].flatMap { version in
            [PublishTemplate.payloadBytesMin, 150, 20_000].map {
                Shape(qos: qos, version: version, payloadBytes: $0)
            }
        }
    }

    private struct Reading: Decodable {
        var id: String
        var ts: Int64
        var temperature: Double
    }

    private static func decode(
        _ bytes: ArraySlice<UInt8>, _ version: ProtocolVersion
    ) throws -> (packet: Publish, end: Int) {
        try bytes.withUnsafeBytes { buffer in
            guard case .frame(let offset, let count) = scanFrame(buffer, packetBytesMax: 1 << 20) else {
                throw WireError(.malformedPacket, "no whole packet")
            }
            let body = UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + count)])
            guard
                case .publish(let publish) = try decodePacket(
                    firstByte: buffer[0], body: body, version: version)
            else { throw WireError(.malformedPacket, "not a PUBLISH") }
            return (publish, offset + count)
        }
    }

    @Test(
        "every message of a composed write decodes, with its own identifier, id and time", arguments: shapes)
    func composedMessagesDecode(shape: Shape) throws {
        let template = PublishTemplate(
            runID: 0xDEAD_BEEF, connection: 42, name: "load-00042", qos: shape.qos, version: shape.version,
            payloadBytes: shape.payloadBytes)
        let connection = LoadConnection(number: 42, template: template, window: 7)
        let target = UnsafeMutableRawBufferPointer.allocate(
            byteCount: 7 * template.bytes.count, alignment: 16)
        defer { target.deallocate() }
        let base = try #require(target.baseAddress)
        [UInt8]("1763860000123".utf8).withUnsafeBytes { digits in
            guard let timestamp = digits.baseAddress else { return }
            connection.compose(7, into: base, first: 1_000, gap: 10, timestamp: timestamp)
        }
        var rest = [UInt8](target)[...]
        var identifiers: Set<UInt16> = []
        for number in 0..<7 {
            let (packet, end) = try Self.decode(rest, shape.version)
            rest = rest.dropFirst(end)
            #expect(packet.qos == shape.qos)
            #expect(packet.topic == "devices/load-00042/telemetry")
            #expect(packet.payload.count == shape.payloadBytes)
            if let identifier = packet.packetIdentifier { identifiers.insert(identifier) }
            let reading = try JSONDecoder().decode(Reading.self, from: Data(packet.payload))
            #expect(reading.id == "deadbeef-0002a-0000000\(number)")
            #expect(reading.ts == 1_763_860_000_123)
            #expect(abs(reading.temperature - 20 - Double(number) / 10) < 1e-9)
        }
        #expect(rest.isEmpty)
        #expect(identifiers.count == (shape.qos == .atMostOnce ? 0 : 7))
    }

    @Test("eight hex digits", arguments: [0, 9, 10, 15, 16, 0x9ABC_DEF0, 0x0F1E_2D3C, .max] as [UInt32])
    func hexadecimal(value: UInt32) {
        let expected =
            String(repeating: "0", count: 8 - String(value, radix: 16).count) + String(value, radix: 16)
        let packed = PublishTemplate.hexadecimal(value)
        let text = (0..<8).map { UInt8(truncatingIfNeeded: packed >> UInt64(56 - 8 * $0)) }
        #expect(String(decoding: text, as: UTF8.self) == expected)
    }

    @Test(
        "an acknowledgement ends its message once, in the right state, and frees the oldest identifier last")
    func window() throws {
        let template = PublishTemplate(
            runID: 1, connection: 0, name: "a-00000", qos: .exactlyOnce, version: .v5, payloadBytes: 100)
        let connection = LoadConnection(number: 0, template: template, window: 3)
        let target = UnsafeMutableRawPointer.allocate(byteCount: 3 * template.bytes.count, alignment: 16)
        defer { target.deallocate() }
        let digits = UnsafeMutableRawPointer.allocate(
            byteCount: PublishTemplate.timestampDigits, alignment: 1)
        digits.initializeMemory(as: UInt8.self, repeating: 0x31, count: PublishTemplate.timestampDigits)
        defer { digits.deallocate() }
        connection.compose(3, into: target, first: 100, gap: 5, timestamp: digits)
        #expect(connection.free == 0)
        #expect(connection.outstanding == 3)
        #expect(connection.finish(2, from: .released) == nil)
        #expect(connection.advance(2, from: .published, to: .released))
        #expect(!connection.advance(2, from: .published, to: .released))
        #expect(connection.finish(2, from: .released) == 105)
        #expect(connection.finish(2, from: .released) == nil)
        #expect(connection.finish(0, from: .published) == nil)
        #expect(connection.finish(4, from: .published) == nil)
        #expect(connection.finish(3, from: .published) == 110)
        #expect(connection.free == 2)
        // Freed first, used first.
        connection.compose(1, into: target, first: 200, gap: 0, timestamp: digits)
        #expect(connection.finish(3, from: .published) == nil)
        #expect(connection.finish(2, from: .published) == 200)
    }
}
