/// What is wrong with a text, and where.
struct TextMistake: Error {
    /// In bytes.
    var offset: Int
    var text: String
}

enum UTF8Check {
    /// The first byte that is no UTF-8; nil when all is. Unicode 17, table 3-7.
    static func firstNonUTF8(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var at = 0
        let end = bytes.count
        while at < end {
            let lead = bytes[at]
            if lead < 0x80 {
                at += 1
                continue
            }
            let (length, low, high): (Int, UInt8, UInt8)
            switch lead {
            case 0xC2...0xDF: (length, low, high) = (2, 0x80, 0xBF)
            case 0xE0: (length, low, high) = (3, 0xA0, 0xBF)
            case 0xE1...0xEC, 0xEE, 0xEF: (length, low, high) = (3, 0x80, 0xBF)
            case 0xED: (length, low, high) = (3, 0x80, 0x9F)
            case 0xF0: (length, low, high) = (4, 0x90, 0xBF)
            case 0xF1...0xF3: (length, low, high) = (4, 0x80, 0xBF)
            case 0xF4: (length, low, high) = (4, 0x80, 0x8F)
            default: return at
            }
            guard at + length <= end, (low...high).contains(bytes[at + 1]) else { return at }
            for next in 2..<max(length, 2) where bytes[at + next] & 0xC0 != 0x80 { return at }
            at += length
        }
        return nil
    }
}
