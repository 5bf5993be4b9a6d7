/// A compiled ingest rule: flat tables of raw bytes that the publish path walks without a String, a retain or an
/// allocation. A hot-path file with raw pointers.
///
/// Guard: `IngestTable` makes the tables once, never changes them, and frees them in its `deinit`; whoever uses a
/// plan holds the table.
struct IngestPlan {
    /// A level of the topic filter; without bytes it takes any text.
    struct Level {
        var literal: UnsafeRawBufferPointer
        var isLiteral: Bool
    }

    enum Role: UInt8 {
        case id
        case time
    }

    enum SourceKind: UInt8 {
        case property
        case bag
        case segment
    }

    /// A place outside the payload where the id or the time may stand.
    struct Source {
        var kind: SourceKind
        var role: Role
        /// Its place in the rule's list: the lowest wins.
        var rank: UInt8
        /// Of a segment.
        var level: Int
        /// Of a property or a bag value.
        var name: UnsafeRawBufferPointer
    }

    /// A field of the payload where the id or the time may stand.
    struct Field {
        var role: Role
        var rank: UInt8
        var name: UnsafeRawBufferPointer
        /// Names of the objects' fields below `name`, outermost first; empty for a top-level field.
        var path: UnsafeBufferPointer<UnsafeRawBufferPointer>
    }

    enum DevicePart {
        case text(UnsafeRawBufferPointer)
        case level(Int)
        case client
    }

    enum Device {
        /// One level of the topic, as it stands.
        case level(Int)
        /// Made of levels and texts, and of the client identifier if `usesClient`.
        case parts(UnsafeBufferPointer<DevicePart>, usesClient: Bool)
        case property(UnsafeRawBufferPointer)
        case bag(UnsafeRawBufferPointer)
        case json(UnsafeBufferPointer<UnsafeRawBufferPointer>)
    }

    var levels: UnsafeBufferPointer<Level>
    var hasRest: Bool
    var device: Device
    var sources: UnsafeBufferPointer<Source>
    /// In the order of their ranks.
    var fields: UnsafeBufferPointer<Field>
    /// Bit n: a field's name has n bytes (63: or more). Most fields of a payload are passed over by this alone.
    var fieldLengths: UInt64
    var isJSON: Bool
    var payloadBytesMax: Int
    /// The topic (or its part before the `#`) decides the device, and does not change with every message.
    var isCacheable: Bool

    /// Whether the device must be worked out for each message.
    var namesDevicePerMessage: Bool {
        switch device {
        case .level: false
        case .parts(_, let usesClient): usesClient
        case .property, .bag, .json: true
        }
    }

    /// - Returns: where the bytes that `#` took begin, nil when the topic is none of this rule's.
    @inline(__always)
    func match(_ topic: UnsafeRawBufferPointer) -> Int? {
        var at = 0
        for index in 0..<levels.count {
            if index > 0 {
                guard at < topic.count else { return nil }
                at += 1
            }
            let level = levels[index]
            if level.isLiteral {
                let text = level.literal
                guard topic.count - at >= text.count else { return nil }
                for byte in 0..<text.count where topic[at + byte] != text[byte] { return nil }
                at += text.count
                guard at == topic.count || topic[at] == 0x2F else { return nil }
            } else {
                // MQTT 5.0 §4.7.2: a wildcard in front takes no topic that begins with `$`.
                if index == 0, topic.count > 0, topic[0] == 0x24 { return nil }
                while at < topic.count, topic[at] != 0x2F { at += 1 }
            }
        }
        if levels.count == 0 { return topic.count > 0 && topic[0] == 0x24 ? nil : 0 }
        if at == topic.count { return at }
        return hasRest ? at + 1 : nil
    }

    /// The bytes of one level of a topic that this plan matched.
    func range(ofLevel level: Int, in topic: UnsafeRawBufferPointer) -> Range<Int> {
        var start = 0
        for _ in 0..<level {
            while start < topic.count, topic[start] != 0x2F { start += 1 }
            start += 1
        }
        start = min(start, topic.count)
        var end = start
        while end < topic.count, topic[end] != 0x2F { end += 1 }
        return start..<end
    }
}
