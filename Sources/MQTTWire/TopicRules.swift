// What the standard asks of strings, topic names and topic filters.

/// Whether the bytes are well-formed UTF-8 without U+0000: no surrogates, no overlong forms, nothing above
/// U+10FFFF. Control characters and U+FEFF pass. MQTT 5.0 §1.5.4, 3.1.1 §1.5.3.
func isValidUTF8String(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    let end = bytes.count
    while offset < end {
        // Eight ASCII bytes at a time; the load is guarded by `end - offset >= 8`.
        if end - offset >= 8 {
            let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let highBits: UInt64 = 0x8080_8080_8080_8080
            let zeroBytes = (word &- 0x0101_0101_0101_0101) & ~word
            if (word | zeroBytes) & highBits == 0 {
                offset += 8
                continue
            }
        }
        let first = bytes[offset]
        if first < 0x80 {
            if first == 0 { return false }
            offset += 1
            continue
        }
        let length = multiByteLength(bytes, at: offset, first: first)
        if length == 0 { return false }
        offset += length
    }
    return true
}

/// The bytes of the well-formed multi-byte character at `offset`, else 0. Unicode 15 table 3-7.
private func multiByteLength(_ bytes: UnsafeRawBufferPointer, at offset: Int, first: UInt8) -> Int {
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch first {
    case 0xC2...0xDF: length = 2
    case 0xE0:
        length = 3
        second = 0xA0...0xBF
    case 0xED:
        length = 3
        second = 0x80...0x9F
    case 0xE1...0xEF: length = 3
    case 0xF0:
        length = 4
        second = 0x90...0xBF
    case 0xF4:
        length = 4
        second = 0x80...0x8F
    case 0xF1...0xF3: length = 4
    default: return 0
    }
    guard bytes.count - offset >= length else { return 0 }
    guard second.contains(bytes[offset + 1]) else { return 0 }
    for index in 2..<max(length, 2) where bytes[offset + index] & 0xC0 != 0x80 { return 0 }
    return length
}

/// Checks the topic name of a PUBLISH or will: well-formed UTF-8, not empty, no wildcard.
///
/// An empty name with a topic alias is legal (5.0): the caller decides before asking.
/// - Returns: nil when it is one; 0x81 for its encoding, 0x82 when empty, 0x90 for `+` or `#` in it.
///   MQTT 5.0 §1.5.4, §3.3.2.1, [MQTT-4.7.0-1].
package func validateTopicName(_ bytes: UnsafeRawBufferPointer) -> WireError? {
    guard !bytes.isEmpty else { return WireError(.protocolError, "the topic name is empty") }
    guard isValidUTF8String(bytes) else {
        return WireError(.malformedPacket, "the topic name is not valid UTF-8 or has U+0000 in it")
    }
    guard !hasWildcard(bytes) else {
        return WireError(.topicNameInvalid, "the topic name has a wildcard, + or #, in it")
    }
    return nil
}

/// Whether `+` or `#` is among the bytes; both are ASCII, so neither is ever part of a longer character.
func hasWildcard(_ bytes: UnsafeRawBufferPointer) -> Bool {
    for byte in bytes where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { return true }
    return false
}

/// Whether the text is a topic filter, `$share/{name}/{filter}` included: 1 to 65,535 bytes, no U+0000, `+`
/// and `#` only as whole levels, `#` only as the last. MQTT 5.0 §4.7.1, §4.7.3, §4.8.2.
package func validateTopicFilter(_ text: String) -> Bool {
    let bytes = text.utf8
    guard !bytes.isEmpty else { return false }
    guard bytes.count <= WireLimits.stringBytesMax else { return false }
    guard isSharedFilter(text) else { return areLevelsValid(bytes[...]) }
    let afterPrefix = bytes.dropFirst(sharedPrefix.utf8CodeUnitCount)
    guard let slash = afterPrefix.firstIndex(of: UInt8(ascii: "/")) else { return false }
    let name = afterPrefix[..<slash]
    guard !name.isEmpty else { return false }
    for byte in name where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") || byte == 0 {
        return false
    }
    let filter = afterPrefix[afterPrefix.index(after: slash)...]
    return !filter.isEmpty && areLevelsValid(filter)
}

private let sharedPrefix: StaticString = "$share/"

/// Whether the filter asks for a shared subscription. MQTT 5.0 §4.8.2.
func isSharedFilter(_ text: String) -> Bool {
    sharedPrefix.withUTF8Buffer { text.utf8.starts(with: $0) }
}

private func areLevelsValid(_ filter: Substring.UTF8View) -> Bool {
    var levelBytes = 0
    var levelIsWildcard = false
    var ended = false
    for byte in filter {
        if byte == 0 || ended { return false }
        switch byte {
        case UInt8(ascii: "/"):
            levelBytes = 0
            levelIsWildcard = false
            continue
        case UInt8(ascii: "+"), UInt8(ascii: "#"):
            guard levelBytes == 0 else { return false }
            levelIsWildcard = true
            ended = byte == UInt8(ascii: "#")
        default:
            guard !levelIsWildcard else { return false }
        }
        levelBytes += 1
    }
    return true
}
