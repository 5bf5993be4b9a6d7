/// Rows of JSON (RFC 8259): an array of objects, or one object after the other, as JSON lines are.
struct JSONRows {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    /// Line breaks before `at`.
    private var line = 1

    private static let depthMax = 128

    private init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
    }

    static func read(_ bytes: UnsafeRawBufferPointer, into rows: inout RowCollector) throws(TextMistake) {
        var reader = JSONRows(bytes)
        reader.skipBlanks()
        let isArray = reader.peek == 0x5B
        if isArray {
            reader.at += 1
            reader.skipBlanks()
            if reader.peek == 0x5D {
                reader.at += 1
                return try reader.end()
            }
        }
        while isArray || reader.at < bytes.count {
            try reader.row(into: &rows)
            reader.skipBlanks()
            if !isArray { continue }
            let byte = reader.peek
            guard byte == 0x2C || byte == 0x5D else { throw reader.mistake("a comma or ]") }
            reader.at += 1
            if byte == 0x5D { return try reader.end() }
            reader.skipBlanks()
        }
    }

    private mutating func row(into rows: inout RowCollector) throws(TextMistake) {
        let from = at
        let start = line
        guard peek == 0x7B else { throw mistake("a row, which is an object: {") }
        try value(depth: 0)
        let row = bytes[from..<at]
        let beyond = rows.append(line: start) { bytes in
            // A line break stands between tokens only: a blank does as well, and keeps the row on one line.
            for byte in row { bytes.append(byte < 0x20 ? 0x20 : byte) }
        }
        if let beyond { throw TextMistake(offset: from, text: beyond) }
    }

    private func end() throws(TextMistake) {
        var rest = self
        rest.skipBlanks()
        if rest.at < bytes.count { throw rest.mistake("nothing more behind the array") }
    }

    // MARK: Values

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func mistake(_ expected: String) -> TextMistake {
        guard let byte = peek else {
            return TextMistake(offset: at, text: "the file ends; expected \(expected)")
        }
        let shown = byte > 0x20 && byte < 0x7F ? "found \(UnicodeScalar(byte)), " : ""
        return TextMistake(offset: at, text: shown + "expected \(expected)")
    }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            if byte == 0x0A { line += 1 }
            at += 1
        }
    }

    private mutating func value(depth: Int) throws(TextMistake) {
        guard depth < Self.depthMax else {
            throw TextMistake(offset: at, text: "more than \(Self.depthMax) levels")
        }
        switch peek {
        case 0x7B: try container(close: 0x7D, hasNames: true, depth)
        case 0x5B: try container(close: 0x5D, hasNames: false, depth)
        case 0x22: try text()
        case 0x74: try word("true")
        case 0x66: try word("false")
        case 0x6E: try word("null")
        case .some(0x2D), .some(0x30...0x39): try number()
        default: throw mistake("a value")
        }
    }

    private mutating func container(close: UInt8, hasNames: Bool, _ depth: Int) throws(TextMistake) {
        at += 1
        skipBlanks()
        if peek == close {
            at += 1
            return
        }
        while true {
            if hasNames {
                guard peek == 0x22 else { throw mistake("a name in double quotes") }
                try text()
                skipBlanks()
                guard peek == 0x3A else { throw mistake("a colon") }
                at += 1
                skipBlanks()
            }
            try value(depth: depth + 1)
            skipBlanks()
            if peek == close {
                at += 1
                return
            }
            guard peek == 0x2C else { throw mistake("a comma or \(UnicodeScalar(close))") }
            at += 1
            skipBlanks()
        }
    }

    private mutating func text() throws(TextMistake) {
        let from = at
        at += 1
        while let byte = peek {
            switch byte {
            case 0x22:
                at += 1
                return
            case 0x5C:
                at += 1
                switch peek {
                case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: at += 1
                case 0x75:
                    at += 1
                    for _ in 0..<4 {
                        guard let digit = peek, UnicodeScalar(digit).properties.isASCIIHexDigit else {
                            throw mistake("four hexadecimal digits")
                        }
                        at += 1
                    }
                default: throw mistake("an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u")
                }
            case 0..<0x20: throw TextMistake(offset: at, text: "a line break or control character in a text")
            default: at += 1
            }
        }
        throw TextMistake(offset: from, text: "this text is never closed")
    }

    private mutating func word(_ word: StaticString) throws(TextMistake) {
        for index in 0..<word.utf8CodeUnitCount {
            guard peek == word.utf8Start[index] else { throw mistake("\(word)") }
            at += 1
        }
    }

    private mutating func number() throws(TextMistake) {
        if peek == 0x2D { at += 1 }
        if peek == 0x30 { at += 1 } else { try digits() }
        if peek == 0x2E {
            at += 1
            try digits()
        }
        if peek == 0x65 || peek == 0x45 {
            at += 1
            if peek == 0x2B || peek == 0x2D { at += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(TextMistake) {
        let from = at
        while let byte = peek, (0x30...0x39).contains(byte) { at += 1 }
        if at == from { throw mistake("a digit") }
    }
}
