/// The topic of an access rule: an MQTT topic filter in which `%c` stands for the client identifier and `%u` for
/// the user name, `%%` for `%`. MQTT 5.0 §4.7.
///
/// As in MQTT a wildcard in front takes no topic that begins with `$`.
package struct AccessPattern: Sendable, Equatable, CustomStringConvertible {
    enum Part: Sendable, Equatable {
        case text([UInt8])
        case client
        case user
    }

    enum Level: Sendable, Equatable {
        /// `+`.
        case any
        case text([UInt8])
        /// A level with `%c` or `%u` in it.
        case parts([Part])
    }

    /// How what a client asks for stands to what a rule is about.
    package enum Relation: Sendable, Equatable {
        /// No topic of the one is a topic of the other.
        case disjoint
        /// Some are.
        case overlaps
        /// Each topic that was asked for is one of the rule's.
        case covers
    }

    /// Levels of a pattern at most, as many as a topic has.
    package static let levelsMax = 128

    package let description: String
    /// Without the `#`.
    let levels: [Level]
    /// A `#` stands at the end.
    let hasRest: Bool

    /// What is wrong with a pattern, for the one who wrote it.
    package struct Problem: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// - Throws: `Problem`, one line that says what to write.
    package init(_ text: String) throws(Problem) {
        guard !text.isEmpty else { throw Problem(description: "a topic filter is not empty") }
        guard !text.utf8.contains(0), text.utf8.count <= 65_535 else {
            throw Problem(description: "a topic filter has at most 65,535 bytes and no NUL")
        }
        guard !text.hasPrefix("$share/") else {
            throw Problem(
                description:
                    "a rule is about the topics behind \"$share/…/\": leave that out, it is for them too")
        }
        var parts = text.split(separator: "/", omittingEmptySubsequences: false)
        hasRest = parts.last == "#"
        if hasRest { parts.removeLast() }
        guard parts.count <= Self.levelsMax else {
            throw Problem(description: "a topic filter has at most \(Self.levelsMax) levels")
        }
        var levels: [Level] = []
        for part in parts { levels.append(try Self.level(part)) }
        self.levels = levels
        description = text
    }

    private static func level(_ text: Substring) throws(Problem) -> Level {
        if text == "+" { return .any }
        if text == "#" { throw Problem(description: "# stands only at the end of a topic filter") }
        guard !text.utf8.contains(0x2B), !text.utf8.contains(0x23) else {
            throw Problem(description: "\"\(text)\": a wildcard stands for a whole level, such as a/+/b")
        }
        var parts: [Part] = []
        var literal: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            guard byte == UInt8(ascii: "%") else {
                literal.append(byte)
                continue
            }
            let kind = bytes.next()
            if kind == UInt8(ascii: "%") {
                literal.append(UInt8(ascii: "%"))
                continue
            }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = []
            switch kind {
            case UInt8(ascii: "c"): parts.append(.client)
            case UInt8(ascii: "u"): parts.append(.user)
            default:
                throw Problem(
                    description:
                        "\"\(text)\": there are %c (client identifier), %u (user name) and %% (a percent sign)"
                )
            }
        }
        if parts.isEmpty { return .text(literal) }
        if !literal.isEmpty { parts.append(.text(literal)) }
        return .parts(parts)
    }

    /// The client's name for a rule stands in it.
    package var namesClient: Bool {
        levels.contains { if case .parts(let parts) = $0 { parts.contains(.client) } else { false } }
    }
}

// Matching.
extension AccessPattern {
    /// One level against one of the pattern's.
    private enum Outcome {
        case equal
        case other
        /// The client's name cannot stand for a level.
        case void
    }

    /// Whether a topic is one of the pattern's.
    ///
    /// - Parameter isDenying: where the client's name cannot stand for a level, an allowing rule is about no topic,
    ///   and a denying one about every topic that begins alike.
    package func matches(
        _ topic: UnsafeRawBufferPointer, _ identity: ClientIdentity, isDenying: Bool
    ) -> Bool {
        if topic.beginsWithDollar, beginsWithWildcard { return false }
        var rest = TopicLevels(topic)
        for (index, level) in levels.enumerated() {
            guard let text = rest.next() else { return false }
            switch compare(level, text, identity, isFirst: index == 0) {
            case .equal: continue
            case .other: return false
            case .void: return isDenying
            }
        }
        return hasRest || rest.isAtEnd
    }

    /// How the topics of a filter, without `$share/…/`, stand to the pattern's.
    package func relation(
        to filter: UnsafeRawBufferPointer, _ identity: ClientIdentity, isDenying: Bool
    ) -> Relation {
        var rest = TopicLevels(filter)
        var isWhole = true
        for (index, level) in levels.enumerated() {
            guard let text = rest.next() else { return .disjoint }
            if index == 0, !firstLevelsMeet(level, text) { return .disjoint }
            // `a/#` has topics of `a/b/c` among its own.
            if text.isHash { return .overlaps }
            if case .any = level { continue }
            if text.isPlus {
                if case .parts(let parts) = level, isVoid(parts, identity, isFirst: index == 0) {
                    return isDenying ? .covers : .disjoint
                }
                isWhole = false
                continue
            }
            switch compare(level, text, identity, isFirst: index == 0) {
            case .equal: continue
            case .other: return .disjoint
            case .void: return isDenying ? (isWhole ? .covers : .overlaps) : .disjoint
            }
        }
        if hasRest {
            if levels.isEmpty, filter.beginsWithDollar { return .disjoint }
            return isWhole ? .covers : .overlaps
        }
        guard let text = rest.next() else { return isWhole ? .covers : .overlaps }
        // `a/#` has the topic `a` too. MQTT 5.0 §4.7.1.2.
        return text.isHash ? .overlaps : .disjoint
    }

    private var beginsWithWildcard: Bool {
        guard let first = levels.first else { return true }
        if case .any = first { return true }
        return false
    }

    private func firstLevelsMeet(_ level: Level, _ text: UnsafeRawBufferPointer) -> Bool {
        switch level {
        case .any: !text.beginsWithDollar
        case .text(let mine): !(mine.first == 0x24 && (text.isPlus || text.isHash))
        case .parts: true
        }
    }

    private func compare(
        _ level: Level, _ text: UnsafeRawBufferPointer, _ identity: ClientIdentity, isFirst: Bool
    ) -> Outcome {
        switch level {
        case .any: return .equal
        case .text(let mine): return mine.elementsEqual(text) ? .equal : .other
        case .parts(let parts):
            var at = 0
            for part in parts {
                let bytes: [UInt8]
                switch part {
                case .text(let literal): bytes = literal
                case .client:
                    if isVoid(identity.clientName, isFirst: isFirst) { return .void }
                    bytes = identity.clientName.bytes
                case .user:
                    // Who has no user name is not meant, neither allowed nor denied.
                    guard let name = identity.userName else { return .other }
                    if isVoid(name, isFirst: isFirst) { return .void }
                    bytes = name.bytes
                }
                guard bytes.count <= text.count - at,
                    bytes.elementsEqual(UnsafeRawBufferPointer(rebasing: text[at..<(at + bytes.count)]))
                else { return .other }
                at += bytes.count
            }
            return at == text.count ? .equal : .other
        }
    }

    private func isVoid(_ parts: [Part], _ identity: ClientIdentity, isFirst: Bool) -> Bool {
        parts.contains { part in
            switch part {
            case .text: false
            case .client: isVoid(identity.clientName, isFirst: isFirst)
            case .user: identity.userName.map { isVoid($0, isFirst: isFirst) } ?? false
            }
        }
    }

    private func isVoid(_ name: ClientIdentity.Name, isFirst: Bool) -> Bool {
        name.isVoid || (isFirst && name.beginsWithDollar)
    }
}
