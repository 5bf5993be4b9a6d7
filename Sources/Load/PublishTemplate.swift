import MQTTWire

/// A whole PUBLISH packet of one connection, made once; a message is a copy of it with its packet identifier,
/// id, time and value written over it.
///
/// The payload is `{"id":"RUN-CONNECTION-SEQUENCE","ts":MILLISECONDS,"temperature":20.0,"pad":"…"}`. The id
/// is unique over runs (the run's number), connections and messages; `ts` is the time of sending.
struct PublishTemplate: Sendable {
    /// Hex digits of a message's number on its connection.
    static let sequenceDigits = 8
    /// Decimal digits of milliseconds since 1970, until the year 2286.
    static let timestampDigits = 13
    /// Bytes of the shortest payload.
    static let payloadBytesMin = 79

    let bytes: [UInt8]
    /// Where the packet identifier's two bytes are; nil at QoS 0.
    let identifierOffset: Int?
    let sequenceOffset: Int
    let timestampOffset: Int
    /// The digits `0.0` of `20.0`: they vary, so that an average has work to do.
    let temperatureOffset: Int

    /// - Parameters:
    ///   - runID: sets the ids of this run apart from those of others.
    ///   - connection: 0…0xFFFFF.
    ///   - name: the device's, see `name(of:prefix:)`.
    ///   - payloadBytes: at least `payloadBytesMin`.
    init(
        runID: UInt32, connection: Int, name: String, qos: QoS, version: ProtocolVersion, payloadBytes: Int
    ) {
        precondition(payloadBytes >= Self.payloadBytesMin, "the payload has no room for its id")
        precondition((0...0xF_FFFF).contains(connection), "the connection's number has five hex digits")
        var payload = [UInt8](#"{"id":""#.utf8)
        payload += Self.hexadecimal(UInt64(runID), digits: 8) + [UInt8(ascii: "-")]
        payload += Self.hexadecimal(UInt64(connection), digits: 5) + [UInt8(ascii: "-")]
        let sequence = payload.count
        payload += [UInt8](repeating: UInt8(ascii: "0"), count: Self.sequenceDigits)
        payload += [UInt8](#"","ts":"#.utf8)
        let timestamp = payload.count
        payload += [UInt8](repeating: UInt8(ascii: "1"), count: Self.timestampDigits)
        payload += [UInt8](#","temperature":2"#.utf8)
        let temperature = payload.count
        payload += [UInt8](#"0.0,"pad":""#.utf8)
        payload += [UInt8](repeating: UInt8(ascii: "x"), count: payloadBytes - payload.count - 2)
        payload += [UInt8](#""}"#.utf8)

        var publish = Publish(topic: "devices/\(name)/telemetry", payload: payload)
        publish.qos = qos
        if qos != .atMostOnce { publish.packetIdentifier = 1 }
        var packet: [UInt8] = []
        encodePacket(.publish(publish), version: version, into: &packet)
        let start = packet.count - payload.count
        // 5.0 puts the length of the properties, here a single 0, between identifier and payload.
        identifierOffset = qos == .atMostOnce ? nil : start - (version == .v5 ? 3 : 2)
        sequenceOffset = start + sequence
        timestampOffset = start + timestamp
        temperatureOffset = start + temperature
        bytes = packet
    }

    /// The device, and the client identifier: `PREFIX-00042`.
    static func name(of connection: Int, prefix: String) -> String {
        let number = String(connection)
        return prefix + "-" + String(repeating: "0", count: max(0, 5 - number.count)) + number
    }

    /// A prefix that no other run has: `load-` and eight hex digits.
    static func namePrefix(runID: UInt32) -> String {
        "load-" + String(decoding: hexadecimal(UInt64(runID), digits: 8), as: UTF8.self)
    }

    /// Writes one message's own bytes over a copy of the template.
    ///
    /// Guard: `packet` points to at least `bytes.count` bytes that hold the template, `timestamp` to
    /// `timestampDigits` digits.
    @inline(__always)
    func stamp(
        _ packet: UnsafeMutableRawPointer, identifier: UInt16, sequence: UInt32, timestamp: UnsafeRawPointer
    ) {
        if let identifierOffset {
            packet.storeBytes(of: identifier.bigEndian, toByteOffset: identifierOffset, as: UInt16.self)
        }
        packet.storeBytes(
            of: Self.hexadecimal(sequence).bigEndian, toByteOffset: sequenceOffset, as: UInt64.self)
        (packet + timestampOffset).copyMemory(from: timestamp, byteCount: Self.timestampDigits)
        let value = sequence % 100
        packet.storeBytes(
            of: UInt8(ascii: "0") + UInt8(value / 10), toByteOffset: temperatureOffset, as: UInt8.self)
        packet.storeBytes(
            of: UInt8(ascii: "0") + UInt8(value % 10), toByteOffset: temperatureOffset + 2, as: UInt8.self)
    }

    /// Eight hex digits, the first in the highest byte: all nibbles at once.
    @inline(__always)
    static func hexadecimal(_ value: UInt32) -> UInt64 {
        var nibbles = UInt64(value)
        nibbles = (nibbles | nibbles << 16) & 0x0000_FFFF_0000_FFFF
        nibbles = (nibbles | nibbles << 8) & 0x00FF_00FF_00FF_00FF
        nibbles = (nibbles | nibbles << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // 1 in every byte that is 10 or more: those are letters, 39 places after the digits.
        let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return nibbles + 0x3030_3030_3030_3030 + letters * 39
    }

    private static func hexadecimal(_ value: UInt64, digits: Int) -> [UInt8] {
        (0..<digits).reversed().map { place in
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(4 * place)) & 0xF
            return nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
        }
    }
}
