import MQTTWire

/// Bytes written as hexadecimal digits; blanks are ignored.
func bytes(_ hex: String) -> [UInt8] {
    var result: [UInt8] = []
    var high: UInt8?
    for character in hex where character != " " && character != "\n" {
        guard let digit = character.hexDigitValue.map({ UInt8($0) }) else {
            preconditionFailure("not a hexadecimal digit: \(character)")
        }
        if let upper = high {
            result.append(upper << 4 | digit)
            high = nil
        } else {
            high = digit
        }
    }
    precondition(high == nil, "an odd number of hexadecimal digits")
    return result
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined(separator: " ")
}

/// The largest packet that these tests accept, in bytes; the vectors take it for granted.
let testPacketBytesMax = 16 << 20

struct NotOneFrame: Error { let scan: FrameScan }

/// What `body` makes of the one packet that the bytes hold; throws what the scanner refuses.
func withFrame<Result>(
    _ packet: [UInt8], _ body: (_ firstByte: UInt8, _ body: UnsafeRawBufferPointer) throws -> Result
) throws -> Result {
    try packet.withUnsafeBytes { all in
        switch scanFrame(all, packetBytesMax: testPacketBytesMax) {
        case .frame(let offset, let count) where offset + count == all.count:
            return try body(all[0], UnsafeRawBufferPointer(rebasing: all[offset...]))
        case .invalid(let error): throw error
        case let scan: throw NotOneFrame(scan: scan)
        }
    }
}

func decode(_ packet: [UInt8], _ version: ProtocolVersion) throws -> ControlPacket {
    try withFrame(packet) { try decodePacket(firstByte: $0, body: $1, version: version) }
}

func encode(_ packet: ControlPacket, _ version: ProtocolVersion) -> [UInt8] {
    var bytes: [UInt8] = []
    encodePacket(packet, version: version, into: &bytes)
    return bytes
}

/// The reason with which the packet is refused, nil when it is not.
func refusal(of packet: [UInt8], _ version: ProtocolVersion) throws -> ReasonCode? {
    do {
        _ = try decode(packet, version)
        return nil
    } catch let error as WireError {
        return error.reason
    }
}

extension Properties {
    init(_ change: (inout Properties) -> Void) {
        self.init()
        change(&self)
    }
}

extension Connect {
    init(_ version: ProtocolVersion, _ change: (inout Connect) -> Void) {
        self.init()
        self.version = version
        change(&self)
    }
}

extension Publish {
    init(_ topic: String, _ payload: String, _ change: (inout Publish) -> Void) {
        self.init(topic: topic, payload: [UInt8](payload.utf8))
        change(&self)
    }
}
