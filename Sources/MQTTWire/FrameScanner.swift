/// What stands at the start of a read buffer: where a packet ends, before anything in it is looked at.
@usableFromInline
package enum FrameScan: Hashable, Sendable {
    /// A whole packet: its body is `bodyBytes` long and starts `bodyOffset` bytes into the scanned buffer;
    /// the next packet starts at `bodyOffset + bodyBytes`.
    case frame(bodyOffset: Int, bodyBytes: Int)
    /// The packet goes on beyond the buffer; scan again from its first byte when more has arrived.
    case incomplete
    /// The peer's stream cannot be read any further.
    case invalid(WireError)

    /// Checks the packet type and the flags that table 2-2 fixes, and a PUBLISH for QoS 3.
    ///
    /// - Parameter version: AUTH is refused on 3.1.1; nil while the version is not known yet.
    /// - Returns: nil for a byte a packet may start with, else 0x81. MQTT 5.0 §2.1.3, [MQTT-3.3.1-4].
    package static func validateFirstByte(_ firstByte: UInt8, version: ProtocolVersion? = nil) -> WireError? {
        guard isFirstByteValid(firstByte) else {
            return .invalidFirstByte
        }
        if version == .v311, firstByte >> 4 == PacketType.auth.rawValue {
            return WireError(.malformedPacket, "AUTH does not exist in MQTT 3.1.1")
        }
        return nil
    }

    /// Whether a packet may start with the byte in one of the versions: `validateFirstByte` as a yes or no.
    @inlinable package static func isFirstByteValid(_ firstByte: UInt8) -> Bool {
        let type = firstByte >> 4
        let flags = firstByte & 0x0F
        if type == 3 { return flags & 0b0110 != 0b0110 }
        // Bits 6, 8 and 10: PUBREL, SUBSCRIBE and UNSUBSCRIBE carry the flags 0010, the others 0000.
        let required = UInt8(truncatingIfNeeded: (UInt16(0x0540) >> UInt16(type)) & 1) << 1
        return type != 0 && flags == required
    }
}

/// Finds the first packet of a read buffer: its first byte and its remaining length.
///
/// Never allocates unless it refuses. A length that needs more bytes than necessary is refused in both
/// versions (MQTT 5.0 [MQTT-1.5.5-1], 3.1.1 table 2.4).
/// - Parameters:
///   - bytes: What has arrived, starting at a packet's first byte; may be empty.
///   - packetBytesMax: Largest packet accepted, its fixed header included (MQTT 5.0 §3.1.2.11.4); a larger
///     one is refused with 0x95 as soon as its length is known.
/// - Returns: Offsets relative to `bytes`. Source: MQTT 5.0 §2.1.
@inlinable
package func scanFrame(_ bytes: UnsafeRawBufferPointer, packetBytesMax: Int) -> FrameScan {
    // Every load below is guarded by `offset < bytes.count`.
    guard let firstByte = bytes.first else { return .incomplete }
    guard FrameScan.isFirstByteValid(firstByte) else {
        return .invalid(.invalidFirstByte)
    }
    var bodyBytes = 0
    var offset = 1
    while true {
        guard offset < bytes.count else { return .incomplete }
        let byte = bytes[offset]
        bodyBytes |= Int(byte & 0x7F) << (7 * (offset - 1))
        offset += 1
        if byte < 0x80 {
            guard byte != 0 || offset == 2 else {
                return .invalid(.remainingLengthPadded)
            }
            break
        }
        guard offset < 5 else {
            return .invalid(.remainingLengthTooLong)
        }
    }
    guard offset + bodyBytes <= packetBytesMax else {
        return .invalid(.packetTooLarge)
    }
    guard offset + bodyBytes <= bytes.count else { return .incomplete }
    return .frame(bodyOffset: offset, bodyBytes: bodyBytes)
}

// Made out of line, so that what is inlined elsewhere stays small.
extension WireError {
    @usableFromInline static var invalidFirstByte: WireError {
        WireError(.malformedPacket, "the first byte has a reserved packet type or wrong flags")
    }

    @usableFromInline static var remainingLengthPadded: WireError {
        WireError(.malformedPacket, "the remaining length is not in its shortest form")
    }

    @usableFromInline static var remainingLengthTooLong: WireError {
        WireError(.malformedPacket, "the remaining length is longer than four bytes")
    }

    @usableFromInline static var packetTooLarge: WireError {
        WireError(.packetTooLarge, "the packet is larger than the largest that is accepted here")
    }
}
