/// Where something stands in a text, as errors name it: both from 1, the column in Unicode scalars.
package struct TextPlace: Sendable, Equatable {
    package var line: Int
    package var column: Int

    /// - Parameter offset: in characters; behind the end it is the end.
    package init(characters offset: Int, in text: String) {
        let before = text.prefix(offset)
        let begin = before.lastIndex(where: \.isNewline).map { before.index(after: $0) } ?? before.startIndex
        line = 1 + before.count(where: \.isNewline)
        column = 1 + before[begin...].unicodeScalars.count
    }

    /// - Parameter offset: in bytes of UTF-8; a line ends with `\n`.
    package init(bytes offset: Int, in text: UnsafeRawBufferPointer) {
        line = 1
        column = 1
        for byte in text.prefix(offset) {
            if byte == 0x0A {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
    }
}
