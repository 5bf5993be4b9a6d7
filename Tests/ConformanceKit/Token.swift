import Foundation

/// A piece of a packet in a vector.
package indirect enum Token: Sendable, Equatable {
    case bytes([UInt8])
    /// `~` in it stands for the run.
    case text(String, isPrefixed: Bool)
    case group([Token])
    case properties([Token])
    case only(version: Int, [Token])
    case anyByte
    case anyRest

    static func parse(_ text: Substring) throws -> [Token] {
        var scanner = TokenScanner(rest: text)
        let tokens = try scanner.tokens(until: nil)
        return tokens
    }
}

private struct TokenScanner {
    var rest: Substring

    mutating func tokens(until end: Character?) throws -> [Token] {
        var tokens: [Token] = []
        while true {
            rest = rest.drop { $0 == " " }
            guard let first = rest.first else {
                guard end == nil else { throw Vector.Mistake(description: "\(end ?? " ") is missing") }
                return tokens
            }
            if first == end {
                rest.removeFirst()
                return tokens
            }
            tokens.append(try token(first))
        }
    }

    private mutating func token(_ first: Character) throws -> Token {
        switch first {
        case "[":
            rest.removeFirst()
            return .group(try tokens(until: "]"))
        case "{":
            rest.removeFirst()
            return .properties(try tokens(until: "}"))
        case "(":
            rest.removeFirst()
            guard let version = rest.popFirst().flatMap({ Int(String($0)) }), [3, 5].contains(version) else {
                throw Vector.Mistake(description: "( is followed by 3 or 5")
            }
            return .only(version: version, try tokens(until: ")"))
        case "\"": return .text(try quoted(), isPrefixed: false)
        case "s" where rest.hasPrefix("s\""):
            rest.removeFirst()
            return .text(try quoted(), isPrefixed: true)
        default: return try word()
        }
    }

    private mutating func quoted() throws -> String {
        rest.removeFirst()
        guard let end = rest.firstIndex(of: "\"") else {
            throw Vector.Mistake(description: "a quote is not closed")
        }
        defer { rest = rest[rest.index(after: end)...] }
        return String(rest[..<end])
    }

    private mutating func word() throws -> Token {
        let word = rest.prefix { !" ]})".contains($0) }
        rest = rest[word.endIndex...]
        if word == "*" { return .anyRest }
        if word == ".." { return .anyByte }
        let parts = word.split(separator: "*")
        var digits = parts.first ?? ""
        var bytes: [UInt8] = []
        guard !digits.isEmpty, digits.count % 2 == 0 else {
            throw Vector.Mistake(description: "\(word) is not hexadecimal")
        }
        while !digits.isEmpty {
            guard let byte = UInt8(digits.prefix(2), radix: 16) else {
                throw Vector.Mistake(description: "\(word) is not hexadecimal")
            }
            bytes.append(byte)
            digits = digits.dropFirst(2)
        }
        guard parts.count == 2 else { return .bytes(bytes) }
        guard let count = Int(parts[1]) else {
            throw Vector.Mistake(description: "\(word) has no count")
        }
        return .bytes(Array([[UInt8]](repeating: bytes, count: count).joined()))
    }
}

extension [Token] {
    /// The bytes; nil stands for any byte.
    ///
    /// - Parameters:
    ///   - run: what `~` becomes.
    ///   - bodyBytes: how many bytes `*` makes of the packet's body, for the outermost group.
    func bytes(version: Int, run: String, anyRest: Int = 0) -> [UInt8?] {
        var all: [UInt8?] = []
        for token in self {
            switch token {
            case .bytes(let bytes): all += bytes.map { $0 }
            case .text(let text, let isPrefixed):
                let bytes = Array<UInt8>(text.replacingOccurrences(of: "~", with: run).utf8)
                if isPrefixed { all += [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] }
                all += bytes.map { $0 }
            case .group(let inner):
                let content = inner.bytes(version: version, run: run, anyRest: anyRest)
                all += Self.length(content.count) + content
            case .properties(let inner):
                guard version == 5 else { continue }
                let content = inner.bytes(version: version, run: run, anyRest: anyRest)
                all += Self.length(content.count) + content
            case .only(let only, let inner):
                if only == version { all += inner.bytes(version: version, run: run, anyRest: anyRest) }
            case .anyByte: all.append(nil)
            case .anyRest: all += [UInt8?](repeating: nil, count: anyRest)
            }
        }
        return all
    }

    var hasAnyRest: Bool {
        contains { token in
            switch token {
            case .anyRest: true
            case .group(let inner), .properties(let inner), .only(_, let inner): inner.hasAnyRest
            default: false
            }
        }
    }

    private static func length(_ count: Int) -> [UInt8?] {
        var rest = count
        var bytes: [UInt8?] = []
        repeat {
            bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return bytes
    }
}
