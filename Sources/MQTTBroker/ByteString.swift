/// Text that is compared byte by byte. Swift's String takes two spellings of the same character for equal;
/// topics and client identifiers must not be normalised. MQTT 5.0 §4.7.3 [MQTT-4.7.3-4].
struct ByteString: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ByteString, right: ByteString) -> Bool {
        let left = left.text.utf8
        let right = right.text.utf8
        guard left.count == right.count else { return false }
        let fast = left.withContiguousStorageIfAvailable { leftBytes in
            right.withContiguousStorageIfAvailable { leftBytes.elementsEqual($0) }
        }
        if let fast, let fast { return fast }
        return left.elementsEqual(right)
    }

    func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if done == nil { for byte in text.utf8 { hasher.combine(byte) } }
    }
}
