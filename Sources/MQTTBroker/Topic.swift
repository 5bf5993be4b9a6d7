/// Topic names: what messages are published to. MQTT 5.0 §4.7.
enum TopicName {
    /// Not empty, at most 65,535 bytes, no wildcard, no NUL, not too deep.
    static func isValid(_ topic: String, levelsMax: Int) -> Bool {
        var topic = topic
        return topic.withUTF8 { isValid(UnsafeRawBufferPointer($0), levelsMax: levelsMax) }
    }

    static func isValid(_ bytes: UnsafeRawBufferPointer, levelsMax: Int) -> Bool {
        guard !bytes.isEmpty, bytes.count <= 65_535 else { return false }
        var levels = 1
        for byte in bytes {
            switch byte {
            case 0, UInt8(ascii: "+"), UInt8(ascii: "#"): return false
            case UInt8(ascii: "/"): levels += 1
            default: break
            }
        }
        return levels <= levelsMax
    }

    /// The texts between the slashes; `a//b` has an empty one in the middle.
    static func levels(_ topic: String) -> [ByteString] {
        var topic = topic
        return topic.withUTF8 { levels(UnsafeRawBufferPointer($0)) }
    }

    static func levels(_ bytes: UnsafeRawBufferPointer) -> [ByteString] {
        let slash = UInt8(ascii: "/")
        var levels: [ByteString] = []
        levels.reserveCapacity(8)
        var start = 0
        for index in 0...bytes.count where index == bytes.count || bytes[index] == slash {
            let level = UnsafeRawBufferPointer(rebasing: bytes[start..<index])
            levels.append(ByteString(String(decoding: level, as: UTF8.self)))
            start = index + 1
        }
        return levels
    }

    /// `$` topics are not matched by a wildcard in the first level. MQTT 5.0 §4.7.2 [MQTT-4.7.2-1].
    static func isReserved(_ levels: [ByteString]) -> Bool {
        levels.first?.text.utf8.first == UInt8(ascii: "$")
    }
}

/// A topic filter taken apart. MQTT 5.0 §4.7.1, shared ones §4.8.2.
struct TopicFilter: Sendable {
    enum Level: Hashable, Sendable {
        case text(ByteString)
        case plus
    }

    /// The levels in front of a final `#`, or all of them.
    let levels: [Level]
    let endsWithHash: Bool
    /// The ShareName of `$share/name/filter`.
    let shareGroup: ByteString?

    /// nil when the text is not a valid filter or has more than `levelsMax` levels.
    init?(_ text: String, levelsMax: Int) {
        guard !text.isEmpty, text.utf8.count <= 65_535, !text.utf8.contains(0) else { return nil }
        var parts = TopicName.levels(text)
        if parts[0].text == "$share" {
            guard parts.count >= 3, !(parts.count == 3 && parts[2].text.isEmpty) else { return nil }
            let group = parts[1]
            guard !group.text.isEmpty, !Self.hasWildcard(group.text) else { return nil }
            shareGroup = group
            parts.removeFirst(2)
        } else {
            shareGroup = nil
        }
        guard parts.count <= levelsMax else { return nil }

        endsWithHash = parts.last?.text == "#"
        if endsWithHash { parts.removeLast() }
        var levels: [Level] = []
        levels.reserveCapacity(parts.count)
        for part in parts {
            if part.text == "+" {
                levels.append(.plus)
            } else {
                guard !Self.hasWildcard(part.text) else { return nil }
                levels.append(.text(part))
            }
        }
        self.levels = levels
    }

    private static func hasWildcard(_ text: String) -> Bool {
        text.utf8.contains(UInt8(ascii: "+")) || text.utf8.contains(UInt8(ascii: "#"))
    }
}
