/// MQTT packets written out byte by byte, for sockets that behave as no client library does.
enum MQTTPackets {
    static let pingreq: [UInt8] = [0xC0, 0]
    static let connackAccepted: [UInt8] = [0x20, 2, 0, 0]

    /// 3.1.1.
    static func connect(_ identifier: String, clean: Bool = true, keepAlive: UInt16 = 0) -> [UInt8] {
        let head: [UInt8] = [0, 4] + Array("MQTT".utf8) + [4, clean ? 2 : 0]
        return frame(0x10, head + bytes(keepAlive) + text(identifier))
    }

    static func publish(
        _ topic: String, _ payload: [UInt8], qos: UInt8 = 0, identifier: UInt16 = 1, retain: Bool = false
    ) -> [UInt8] {
        frame(
            0x30 | qos << 1 | (retain ? 1 : 0),
            text(topic) + (qos == 0 ? [] : bytes(identifier)) + payload)
    }

    static func publish(
        _ topic: String, _ payload: String, qos: UInt8 = 0, identifier: UInt16 = 1, retain: Bool = false
    ) -> [UInt8] {
        publish(topic, Array(payload.utf8), qos: qos, identifier: identifier, retain: retain)
    }

    static func puback(_ identifier: UInt16) -> [UInt8] { [0x40, 2] + bytes(identifier) }

    static func subscribe(_ filter: String, qos: UInt8, identifier: UInt16 = 9) -> [UInt8] {
        frame(0x82, bytes(identifier) + text(filter) + [qos])
    }

    private static func frame(_ first: UInt8, _ body: [UInt8]) -> [UInt8] {
        var length = body.count
        var head = [first]
        repeat {
            head.append(UInt8(length & 0x7F) | (length > 127 ? 0x80 : 0))
            length >>= 7
        } while length > 0
        return head + body
    }

    private static func text(_ text: String) -> [UInt8] { bytes(UInt16(text.utf8.count)) + Array(text.utf8) }
    private static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xFF)] }
}
