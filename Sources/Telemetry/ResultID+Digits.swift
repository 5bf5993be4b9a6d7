extension ResultID {
    /// Of `description`.
    package static let digitCount = 32

    /// Writes `description` without making a text.
    ///
    /// - Parameter digits: room for `digitCount` bytes.
    package func write(to digits: UnsafeMutableRawBufferPointer) {
        precondition(digits.count >= Self.digitCount, "an id has 32 digits")
        func write(_ word: UInt64, _ start: Int) {
            var rest = word
            for place in stride(from: start + 15, through: start, by: -1) {
                let digit = UInt8(truncatingIfNeeded: rest & 0xF)
                digits[place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                rest >>= 4
            }
        }
        write(high, 0)
        write(low, 16)
    }
}
