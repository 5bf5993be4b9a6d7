import MQTTWire
import Testing

/// A packet written by hand from the standard, and what it says.
struct PacketVector: Sendable, CustomTestStringConvertible {
    let name: String
    let clause: String
    let bytes: [UInt8]
    let packet: ControlPacket
    /// False for bytes that are legal but that the encoder writes shorter or in another order.
    let isCanonical: Bool

    init(_ name: String, _ clause: String, _ hex: String, _ packet: ControlPacket, isCanonical: Bool = true) {
        self.name = name
        self.clause = clause
        self.bytes = MQTTWireTests.bytes(hex)
        self.packet = packet
        self.isCanonical = isCanonical
    }

    var testDescription: String { "\(name), \(clause)" }
}

@Suite("Every packet type, byte by byte")
struct PacketVectorTests {
    @Test("A packet of MQTT 3.1.1 decodes to what it says", arguments: vectors311)
    func decodes311(_ vector: PacketVector) throws {
        #expect(try decode(vector.bytes, .v311) == vector.packet)
    }

    @Test("A packet of MQTT 5.0 decodes to what it says", arguments: vectors5)
    func decodes5(_ vector: PacketVector) throws {
        #expect(try decode(vector.bytes, .v5) == vector.packet)
    }

    @Test("A packet of MQTT 3.1.1 is encoded to the same bytes", arguments: vectors311)
    func encodes311(_ vector: PacketVector) {
        let written = encode(vector.packet, .v311)
        #expect((hex(written) == hex(vector.bytes)) == vector.isCanonical)
    }

    @Test("A packet of MQTT 5.0 is encoded to the same bytes", arguments: vectors5)
    func encodes5(_ vector: PacketVector) {
        let written = encode(vector.packet, .v5)
        #expect((hex(written) == hex(vector.bytes)) == vector.isCanonical)
    }

    @Test("The vectors have every packet type of their version")
    func coversEveryType() {
        let types311 = Set(vectors311.map { $0.bytes[0] >> 4 })
        let types5 = Set(vectors5.map { $0.bytes[0] >> 4 })
        #expect(types311 == Set(1...14))
        #expect(types5 == Set(1...15))
    }
}
