import Glibc

/// Where a broker is: `mqtt[s]://[user[:password]@]host[:port][/prefix]`.
package struct MosquittoURL: Sendable, Equatable, CustomStringConvertible {
    /// True for `mqtts`.
    package var isSecure: Bool
    package var user: String?
    package var password: String?
    /// A name or a numeric address, IPv6 without its brackets.
    package var host: String
    /// 1883 for `mqtt` and 8883 for `mqtts` unless given.
    package var port: UInt16
    /// What topics begin with, without slashes at its ends; nil when there is none.
    package var prefix: String?
    /// PEM file with the authorities to trust for `mqtts`; nil trusts the system's. No part of the text.
    package var authorityFile: String?

    package init(
        host: String, port: UInt16, isSecure: Bool = false, user: String? = nil, password: String? = nil,
        prefix: String? = nil
    ) {
        self.isSecure = isSecure
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.prefix = prefix
    }

    /// What is wrong with a URL, in a sentence that says what to write.
    package struct ParseError: Error, Sendable, Equatable, CustomStringConvertible {
        package var description: String
    }

    /// - Throws: what is wrong and how it should look; never the password.
    package init(_ text: String) throws(ParseError) {
        guard let mark = Self.range(of: "://", in: text) else {
            throw ParseError(description: "a broker is written mqtt://host:port or mqtts://host:port")
        }
        switch text[..<mark.lowerBound].lowercased() {
        case "mqtt": isSecure = false
        case "mqtts": isSecure = true
        case let scheme:
            throw ParseError(description: "unknown scheme \"\(scheme)\": write mqtt://… or mqtts://…")
        }
        var authority = text[mark.upperBound...]
        prefix = nil
        if let slash = authority.firstIndex(of: "/") {
            prefix = try Self.topicPrefix(authority[slash...])
            authority = authority[..<slash]
        }
        user = nil
        password = nil
        if let at = authority.lastIndex(of: "@") {
            let parts = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = try Self.percentDecoded(parts[0])
            if parts.count > 1 { password = try Self.percentDecoded(parts[1]) }
            authority = authority[authority.index(after: at)...]
        }
        let (name, number) = try Self.hostAndPort(authority)
        guard !name.isEmpty, !name.contains(where: { $0 == " " || $0 == "\0" }) else {
            throw ParseError(description: "the host is missing: write mqtt://host:port")
        }
        host = name
        port = number ?? (isSecure ? 8883 : 1883)
    }

    /// Without the password.
    package var description: String {
        let account = user.map { "\($0)@" } ?? ""
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(isSecure ? "mqtts" : "mqtt")://\(account)\(name):\(port)\(prefix.map { "/" + $0 } ?? "")"
    }

    private static func hostAndPort(_ authority: Substring) throws(ParseError) -> (String, UInt16?) {
        var rest = authority
        let name: Substring
        if rest.first == "[" {
            guard let close = rest.firstIndex(of: "]") else {
                throw ParseError(description: "an IPv6 address needs its closing bracket: mqtt://[::1]:1883")
            }
            name = rest[rest.index(after: rest.startIndex)..<close]
            rest = rest[rest.index(after: close)...]
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            name = rest[..<colon]
            rest = rest[colon...]
        }
        guard !rest.isEmpty else { return (String(name), nil) }
        guard rest.first == ":", let port = UInt16(rest.dropFirst()), port > 0 else {
            throw ParseError(
                description: "\"\(rest)\" is not a port: write a colon and a number from 1 to 65535")
        }
        return (String(name), port)
    }

    private static func topicPrefix(_ path: Substring) throws(ParseError) -> String? {
        var path = path
        while path.first == "/" { path = path.dropFirst() }
        while path.last == "/" { path = path.dropLast() }
        let text = try percentDecoded(path)
        if text.contains(where: { $0 == "+" || $0 == "#" || $0 == "\0" }) {
            throw ParseError(description: "the topic prefix \"\(text)\" must not hold + or #")
        }
        return text.isEmpty ? nil : text
    }

    private static func percentDecoded(_ text: Substring) throws(ParseError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard rest.count >= 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16)
            else {
                throw ParseError(
                    description: "a % must be followed by two hex digits (%25 stands for % itself)")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func range(of part: String, in text: String) -> Range<String.Index>? {
        text.firstRange(of: part)
    }
}
