/// The levels of a topic name or filter, one after the other, without a copy. MQTT 5.0 §4.7.1.1.
struct TopicLevels {
    private let bytes: UnsafeRawBufferPointer
    /// Where the next level begins; one behind the end when there is none.
    private var start = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { start > bytes.count }

    mutating func next() -> UnsafeRawBufferPointer? {
        guard start <= bytes.count else { return nil }
        var end = start
        while end < bytes.count, bytes[end] != 0x2F { end += 1 }
        defer { start = end + 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }
}

extension UnsafeRawBufferPointer {
    /// The level is `+`.
    var isPlus: Bool { count == 1 && self[0] == 0x2B }
    /// The level is `#`.
    var isHash: Bool { count == 1 && self[0] == 0x23 }
    var beginsWithDollar: Bool { first == 0x24 }
}
