/// A JSON value as the proof reads it. A reader of its own, on purpose: a bug in the engine's must not hide
/// itself.
enum VerifyJSON: Equatable, Sendable {
    case null
    case boolean(Bool)
    case number(VerifyNumber)
    case text(String)
    case array([VerifyJSON])
    case object([Member])

    struct Member: Equatable, Sendable {
        var name: String
        var value: VerifyJSON
    }

    /// The member of that name; nil too when this is no object.
    subscript(name: String) -> VerifyJSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    var text: String? {
        if case .text(let text) = self { return text }
        return nil
    }

    var number: VerifyNumber? {
        if case .number(let number) = self { return number }
        return nil
    }

    /// For messages: values of one line as they are, others by their kind.
    var summary: String {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .number(let number): "\(number)"
        case .text(let text): "\"\(text)\""
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// - Returns: nil when the bytes are not one JSON value (RFC 8259).
    init?(_ bytes: some Collection<UInt8>) {
        var reader = Reader(bytes: Array(bytes))
        guard let value = reader.value(depth: 0) else { return nil }
        reader.skipSpace()
        guard reader.isAtEnd else { return nil }
        self = value
    }

    private struct Reader {
        /// Deeper nesting is refused; a payload has two or three levels.
        static let depthMax = 128
        let bytes: [UInt8]
        var at = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { at == bytes.count }
        var next: UInt8? { at < bytes.count ? bytes[at] : nil }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard next == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        mutating func value(depth: Int) -> VerifyJSON? {
            skipSpace()
            guard depth < Self.depthMax, let first = next else { return nil }
            switch first {
            case UInt8(ascii: "{"): return object(depth)
            case UInt8(ascii: "["): return array(depth)
            case UInt8(ascii: "\""): return string().map { .text($0) }
            case UInt8(ascii: "t"): return word("true") ? .boolean(true) : nil
            case UInt8(ascii: "f"): return word("false") ? .boolean(false) : nil
            case UInt8(ascii: "n"): return word("null") ? .null : nil
            default: return number()
            }
        }

        private mutating func word(_ text: String) -> Bool {
            guard bytes[at...].starts(with: text.utf8) else { return false }
            at += text.utf8.count
            return true
        }

        private mutating func object(_ depth: Int) -> VerifyJSON? {
            at += 1
            var members: [Member] = []
            if take("}") { return .object([]) }
            repeat {
                skipSpace()
                guard next == UInt8(ascii: "\""), let name = string(), take(":"),
                    let value = value(depth: depth + 1)
                else { return nil }
                members.append(Member(name: name, value: value))
            } while take(",")
            return take("}") ? .object(members) : nil
        }

        private mutating func array(_ depth: Int) -> VerifyJSON? {
            at += 1
            var values: [VerifyJSON] = []
            if take("]") { return .array([]) }
            repeat {
                guard let value = value(depth: depth + 1) else { return nil }
                values.append(value)
            } while take(",")
            return take("]") ? .array(values) : nil
        }

        private mutating func number() -> VerifyJSON? {
            let start = at
            let numeric = Array("+-.0123456789eE".utf8)
            while let byte = next, numeric.contains(byte) { at += 1 }
            let text = String(decoding: bytes[start..<at], as: UTF8.self)
            let digits = text.first == "-" ? text.dropFirst() : text[...]
            // What Swift reads and JSON does not know: `+1`, `.5`, `5.`, `05`.
            guard let first = digits.first, first.isNumber, digits.last?.isNumber == true,
                !(first == "0" && digits.dropFirst().first?.isNumber == true), !digits.contains(".e"),
                !digits.contains(".E")
            else { return nil }
            if let integer = Int64(text) { return .number(.integer(integer)) }
            return Double(text).map { .number(.float($0)) }
        }

        private mutating func string() -> String? {
            at += 1
            var text: [UInt8] = []
            while let byte = next {
                at += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
                case UInt8(ascii: "\\"): guard escape(&text) else { return nil }
                case 0..<0x20: return nil
                default: text.append(byte)
                }
            }
            return nil
        }

        private mutating func escape(_ text: inout [UInt8]) -> Bool {
            guard let byte = next else { return false }
            at += 1
            switch byte {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
            case UInt8(ascii: "u"):
                guard var code = hexadecimal() else { return false }
                if (0xD800..<0xDC00).contains(code) {
                    guard bytes[at...].starts(with: [0x5C, 0x75]) else { return false }
                    at += 2
                    guard let low = hexadecimal(), (0xDC00..<0xE000).contains(low) else { return false }
                    code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(code) else { return false }
                text.append(contentsOf: String(Character(scalar)).utf8)
            default: return false
            }
            return true
        }

        private mutating func hexadecimal() -> UInt32? {
            guard at + 4 <= bytes.count else { return nil }
            let digits = String(decoding: bytes[at..<at + 4], as: UTF8.self)
            guard digits.allSatisfy(\.isHexDigit) else { return nil }
            at += 4
            return UInt32(digits, radix: 16)
        }
    }
}

/// A JSON number: an integer as long as it is written as one and fits.
enum VerifyNumber: Equatable, Sendable, CustomStringConvertible {
    case integer(Int64)
    case float(Double)

    var double: Double {
        switch self {
        case .integer(let value): Double(value)
        case .float(let value): value
        }
    }

    /// 5 and 5.0 are the same number.
    static func == (left: VerifyNumber, right: VerifyNumber) -> Bool {
        if case .integer(let a) = left, case .integer(let b) = right { return a == b }
        return left.double == right.double
    }

    static func < (left: VerifyNumber, right: VerifyNumber) -> Bool {
        if case .integer(let a) = left, case .integer(let b) = right { return a < b }
        return left.double < right.double
    }

    var description: String {
        switch self {
        case .integer(let value): "\(value)"
        case .float(let value): "\(value)"
        }
    }
}
