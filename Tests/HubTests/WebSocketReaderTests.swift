import Testing

@testable import Hub

@Suite("Frames of a WebSocket client")
struct WebSocketReaderTests {
    private typealias Control = WebSocketReader.Control

    /// A masked frame; the length in as many bytes as `lengthBytes` says, the shortest way when nil.
    private static func frame(
        _ first: UInt8, _ payload: [UInt8], mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D], lengthBytes: Int? = nil
    ) -> [UInt8] {
        let width = lengthBytes ?? (payload.count < 126 ? 0 : payload.count < 65_536 ? 2 : 8)
        let short: UInt8 = width == 0 ? UInt8(payload.count) : width == 2 ? 126 : 127
        let long = (0..<width).map { UInt8(truncatingIfNeeded: payload.count >> (8 * (width - 1 - $0))) }
        return [first, 0x80 | short] + long + mask + payload.indices.map { payload[$0] ^ mask[$0 & 3] }
    }

    /// Gives the bytes in pieces of so many, and collects what comes out.
    private static func read(
        _ bytes: [UInt8], by size: Int
    ) throws(WebSocketReader.Violation) -> (data: [UInt8], controls: [Control]) {
        var reader = WebSocketReader()
        var data: [UInt8] = []
        var controls: [Control] = []
        var at = 0
        while at < bytes.count {
            let piece = Array(bytes[at..<min(at + size, bytes.count)])
            var target = [UInt8](repeating: 0, count: piece.count)
            let result = target.withUnsafeMutableBytes { target in
                piece.withUnsafeBytes { source in
                    Result { () throws(WebSocketReader.Violation) in
                        try reader.read(source, into: target, controls: &controls)
                    }
                }
            }
            data += target[..<(try result.get())]
            at += piece.count
        }
        return (data, controls)
    }

    private static func payload(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    @Test(
        "Payload comes out unmasked, however the frames are cut",
        arguments: [1, 2, 3, 5, 7, 64, 1_000, 1 << 20])
    func pieces(_ size: Int) throws {
        let parts = [0, 1, 2, 125, 126, 127, 4_000, 65_535, 65_536].map(Self.payload)
        let bytes = parts.flatMap { Self.frame(0x82, $0) }
        let (data, controls) = try Self.read(bytes, by: size)
        #expect(data == parts.flatMap { $0 })
        #expect(controls.isEmpty)
    }

    @Test("Fragments are one stream, and control frames may stand between them", arguments: [1, 4, 999])
    func fragments(_ size: Int) throws {
        let bytes =
            Self.frame(0x02, [1, 2, 3]) + Self.frame(0x89, Array("are you there".utf8))
            + Self.frame(0x00, [4], mask: [9, 8, 7, 6]) + Self.frame(0x8A, []) + Self.frame(0x80, [5, 6])
            + Self.frame(0x82, [7])
        let (data, controls) = try Self.read(bytes, by: size)
        #expect(data == [1, 2, 3, 4, 5, 6, 7])
        #expect(controls == [.ping(Array("are you there".utf8)), .pong])
    }

    @Test("Nothing counts behind a close frame", arguments: [1, 100])
    func close(_ size: Int) throws {
        let bytes = Self.frame(0x82, [1]) + Self.frame(0x88, [0x03, 0xE8, 0x62]) + Self.frame(0x82, [2])
        let (data, controls) = try Self.read(bytes, by: size)
        #expect(data == [1])
        #expect(controls == [.close([0x03, 0xE8, 0x62])])
    }

    @Test(
        "What MQTT or RFC 6455 forbids is refused with its status",
        arguments: [
            ("text", frame(0x81, [0x61]), 1_003),
            ("no mask", [0x82, 0x01, 0x61], 1_002),
            ("reserved bit", frame(0xC2, [1]), 1_002),
            ("unknown opcode", frame(0x83, [1]), 1_002),
            ("unknown control", frame(0x8B, []), 1_002),
            ("continuation first", frame(0x80, [1]), 1_002),
            ("message in a message", frame(0x02, [1]) + frame(0x82, [2]), 1_002),
            ("fragmented ping", frame(0x09, []), 1_002),
            ("long ping", frame(0x89, payload(126)), 1_002),
            ("length in two bytes for nothing", frame(0x82, payload(125), lengthBytes: 2), 1_002),
            ("length in eight bytes for nothing", frame(0x82, payload(65_535), lengthBytes: 8), 1_002),
            ("negative length", [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 1_002),
        ] as [(String, [UInt8], UInt16)])
    func forbidden(_ name: String, _ bytes: [UInt8], _ code: UInt16) {
        for size in [1, bytes.count] {
            let violation = #expect(throws: WebSocketReader.Violation.self, "\(name)") {
                _ = try Self.read(bytes, by: size)
            }
            #expect(violation?.code == code, "\(name)")
        }
    }

    @Test("Headers to a client have the shortest length, and no mask")
    func headers() {
        #expect(WebSocketFrameHeader.bytes(0x82, payloadBytes: 125) == [0x82, 125])
        #expect(WebSocketFrameHeader.bytes(0x82, payloadBytes: 126) == [0x82, 126, 0, 126])
        #expect(WebSocketFrameHeader.bytes(0x82, payloadBytes: 65_535) == [0x82, 126, 0xFF, 0xFF])
        #expect(
            WebSocketFrameHeader.bytes(0x82, payloadBytes: 65_536) == [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    @Test("The key of RFC 6455 §1.3 is answered as there")
    func accept() {
        #expect(WebSocketUpgrader.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }
}
