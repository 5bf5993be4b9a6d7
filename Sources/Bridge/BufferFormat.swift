import CChecksum

/// A message that waits for the other broker.
package struct BufferedMessage: Sendable, Equatable {
    /// As the other broker is to know it.
    package var topic: String
    /// 0 or 1.
    package var qos: UInt8
    package var retain: Bool
    /// The property block of MQTT 5, without its length.
    package var properties: [UInt8]
    package var payload: [UInt8]
    /// Wall clock when it was collected, ticks of 100 ns: what is left of its expiry counts from here.
    package var collectedTicks: Int64

    package init(
        topic: String, qos: UInt8, retain: Bool, properties: [UInt8], payload: [UInt8], collectedTicks: Int64
    ) {
        self.topic = topic
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.payload = payload
        self.collectedTicks = collectedTicks
    }
}

/// The bytes of the buffer on disk; the layout is a table in Bridge.docc/BufferFormat.md.
enum BufferFormat {
    static let magic = Array("HEDBRBUF".utf8)
    static let version: UInt16 = 1
    static let headerBytes = 24
    /// Before topic, properties and payload.
    static let fixedBytes = 24

    static func header(base: UInt64) -> [UInt8] {
        var bytes = magic
        append(version, to: &bytes)
        append(UInt16(0), to: &bytes)
        append(base, to: &bytes)
        append(bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }, to: &bytes)
        return bytes
    }

    static func append(_ message: BufferedMessage, position: UInt64, to bytes: inout [UInt8]) {
        let topic = Array(message.topic.utf8)
        precondition(topic.count <= Int(UInt16.max), "a topic fits its length field")
        let start = bytes.count
        let bodyBytes = fixedBytes - 8 + topic.count + message.properties.count + message.payload.count
        append(UInt32(bodyBytes), to: &bytes)
        append(UInt32(0), to: &bytes)
        append(message.collectedTicks, to: &bytes)
        append(UInt32(message.properties.count), to: &bytes)
        append(UInt16(topic.count), to: &bytes)
        bytes.append(message.qos | (message.retain ? 0x80 : 0))
        bytes.append(0)
        bytes += topic
        bytes += message.properties
        bytes += message.payload
        let sum = bytes.withUnsafeBytes {
            checksum(position: position, frame: UnsafeRawBufferPointer(rebasing: $0[start...]))
        }
        withUnsafeBytes(of: sum.littleEndian) { bytes.replaceSubrange((start + 4)..<(start + 8), with: $0) }
    }

    enum Parsed {
        case message(BufferedMessage, byteCount: Int)
        /// The bytes end before the frame does; it has so many.
        case short(byteCount: Int)
        case damaged
    }

    /// - Parameter byteCountMax: a longer frame is none of ours.
    static func parse(_ bytes: UnsafeRawBufferPointer, position: UInt64, byteCountMax: Int) -> Parsed {
        guard bytes.count >= 8 else { return .short(byteCount: fixedBytes) }
        let byteCount = Int(number(bytes, 0, UInt32.self)) + 8
        guard byteCount >= fixedBytes, byteCount <= byteCountMax else { return .damaged }
        guard bytes.count >= byteCount else { return .short(byteCount: byteCount) }
        let frame = UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
        guard checksum(position: position, frame: frame) == number(frame, 4, UInt32.self) else {
            return .damaged
        }
        let topicEnd = fixedBytes + Int(number(frame, 20, UInt16.self))
        let propertiesEnd = topicEnd + Int(number(frame, 16, UInt32.self))
        guard propertiesEnd <= byteCount, frame[22] & 0x7F <= 1 else { return .damaged }
        let message = BufferedMessage(
            topic: String(decoding: frame[fixedBytes..<topicEnd], as: UTF8.self), qos: frame[22] & 0x7F,
            retain: frame[22] & 0x80 != 0, properties: Array(frame[topicEnd..<propertiesEnd]),
            payload: Array(frame[propertiesEnd...]), collectedTicks: number(frame, 8, Int64.self))
        return .message(message, byteCount: byteCount)
    }

    /// CRC-32C over the position, the length and the body: a frame is valid in its own place only.
    private static func checksum(position: UInt64, frame: UnsafeRawBufferPointer) -> UInt32 {
        let sum = withUnsafeBytes(of: position.littleEndian) { headend_crc32c(0, $0.baseAddress, $0.count) }
        guard let base = frame.baseAddress else { return sum }
        return headend_crc32c(headend_crc32c(sum, base, 4), base + 8, frame.count - 8)
    }

    static func append<Number: FixedWidthInteger>(_ value: Number, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The caller has checked the size.
    static func number<Number: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ type: Number.Type
    ) -> Number {
        Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}
