/// The frames of a WebSocket client (RFC 6455 §5) as a stream: payload bytes go on as they come, so a frame of any
/// length costs no memory.
///
/// Only what MQTT allows is taken: masked binary frames, whole or in fragments, and control frames between.
struct WebSocketReader {
    /// A frame that is no data.
    enum Control: Equatable {
        case ping([UInt8])
        case pong
        /// The peer's status and reason; nothing more is read.
        case close([UInt8])
    }

    /// What ends the connection; `code` is the status that the peer is told (RFC 6455 §7.4.1).
    struct Violation: Error, Equatable {
        let code: UInt16
        let reason: String
    }

    private enum Part {
        case header
        case data
        case control
        case ended
    }

    private var part = Part.header
    private var header: [UInt8] = []
    private var opcode: UInt8 = 0
    private var mask: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    /// Bytes of the frame's payload that were read.
    private var readCount: UInt64 = 0
    private var length: UInt64 = 0
    /// Within a message whose last fragment has not begun.
    private var isFragmented = false
    private var controlBytes: [UInt8] = []

    /// Takes the bytes of a read.
    ///
    /// - Parameters:
    ///   - data: unmasked payload goes there; has room for as many bytes as are taken.
    ///   - controls: gets what is no data, in order.
    /// - Returns: how many bytes of `data` were written.
    mutating func read(
        _ bytes: UnsafeRawBufferPointer, into data: UnsafeMutableRawBufferPointer, controls: inout [Control]
    ) throws(Violation) -> Int {
        precondition(data.count >= bytes.count, "payload is never longer than its frames")
        var at = 0
        var written = 0
        while at < bytes.count {
            switch part {
            case .ended: return written
            case .header:
                header.append(bytes[at])
                at += 1
                if header.count >= 2, header.count == headerBytes { try begin(&controls) }
            case .data:
                let count = Int(min(UInt64(bytes.count - at), length - readCount))
                unmask(
                    UnsafeRawBufferPointer(rebasing: bytes[at..<(at + count)]),
                    UnsafeMutableRawBufferPointer(rebasing: data[written..<(written + count)]))
                at += count
                written += count
                readCount += UInt64(count)
                if readCount == length { part = .header }
            case .control:
                controlBytes.append(bytes[at] ^ maskByte(Int(readCount & 3)))
                at += 1
                readCount += 1
                if readCount == length { finishControl(&controls) }
            }
        }
        return written
    }

    // MARK: Headers

    /// Of the header whose first two bytes are there.
    private var headerBytes: Int {
        let base = header[1] & 0x80 != 0 ? 6 : 2
        switch header[1] & 0x7F {
        case 126: return base + 2
        case 127: return base + 8
        default: return base
        }
    }

    private mutating func begin(_ controls: inout [Control]) throws(Violation) {
        let isFinal = header[0] & 0x80 != 0
        opcode = header[0] & 0x0F
        guard header[0] & 0x70 == 0 else {
            throw Self.broken("a reserved bit is set, no extension was agreed")
        }
        guard header[1] & 0x80 != 0 else { throw Self.broken("frames of a client are masked") }
        length = try frameLength()
        let end = header.count
        mask = (header[end - 4], header[end - 3], header[end - 2], header[end - 1])
        header.removeAll(keepingCapacity: true)
        readCount = 0
        switch opcode {
        case 0:
            guard isFragmented else { throw Self.broken("a continuation without a beginning") }
            isFragmented = !isFinal
        case 1:
            // MQTT 5.0 §6 [MQTT-6.0.0-1].
            throw Violation(code: 1_003, reason: "MQTT is sent in binary frames")
        case 2:
            guard !isFragmented else { throw Self.broken("a message within a message") }
            isFragmented = !isFinal
        case 8, 9, 10:
            guard isFinal, length <= 125 else { throw Self.broken("a control frame is whole and short") }
            controlBytes.removeAll()
            part = .control
            if length == 0 { finishControl(&controls) }
            return
        default: throw Self.broken("an unknown kind of frame")
        }
        part = length == 0 ? .header : .data
    }

    private func frameLength() throws(Violation) -> UInt64 {
        let short = UInt64(header[1] & 0x7F)
        guard short >= 126 else { return short }
        let long = header[2..<(short == 126 ? 4 : 10)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard long >> 63 == 0, long > (short == 126 ? 125 : 0xFFFF) else {
            throw Self.broken("the length of a frame is not written in the shortest way")
        }
        return long
    }

    private mutating func finishControl(_ controls: inout [Control]) {
        part = .header
        switch opcode {
        case 8:
            part = .ended
            controls.append(.close(controlBytes))
        case 9: controls.append(.ping(controlBytes))
        default: controls.append(.pong)
        }
    }

    private static func broken(_ reason: String) -> Violation { Violation(code: 1_002, reason: reason) }

    // MARK: Masks

    private func maskByte(_ index: Int) -> UInt8 {
        switch index {
        case 0: return mask.0
        case 1: return mask.1
        case 2: return mask.2
        default: return mask.3
        }
    }

    private func unmask(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer) {
        let phase = Int(readCount & 3)
        var word: UInt64 = 0
        for index in 0..<8 { word |= UInt64(maskByte((phase + index) & 3)) << UInt64(8 * index) }
        word = UInt64(littleEndian: word)
        var at = 0
        while at + 8 <= source.count {
            let masked = source.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            target.storeBytes(of: masked ^ word, toByteOffset: at, as: UInt64.self)
            at += 8
        }
        while at < source.count {
            target[at] = source[at] ^ maskByte((phase + at) & 3)
            at += 1
        }
    }
}

/// Frames to a WebSocket client: never masked, never in fragments.
enum WebSocketFrameHeader {
    static let binary: UInt8 = 0x82
    static let close: UInt8 = 0x88
    static let pong: UInt8 = 0x8A

    /// Two, four or ten bytes.
    static func bytes(_ first: UInt8, payloadBytes: Int) -> [UInt8] {
        if payloadBytes < 126 { return [first, UInt8(payloadBytes)] }
        if payloadBytes <= 0xFFFF {
            return [first, 126, UInt8(payloadBytes >> 8), UInt8(payloadBytes & 0xFF)]
        }
        return [first, 127] + (0..<8).map { UInt8(truncatingIfNeeded: payloadBytes >> (56 - 8 * $0)) }
    }
}
