/// The topic filter of an ingest rule: an MQTT topic filter whose wildcard levels may have names.
///
/// `plant/{line}/{device}/telemetry`, `site/+/{device}`, `devices/{device}/messages/events/#`. A name stands for
/// one whole level; `#` stands at the end and takes the level before it too. MQTT 5.0 §4.7.
package struct TopicPattern: Sendable, Equatable, CustomStringConvertible {
    package enum Level: Sendable, Equatable {
        case literal(String)
        /// Any text; nil: `+`, nobody asks for it.
        case any(name: String?)

        /// Whether each text of the other level is one of this level.
        func contains(_ other: Level) -> Bool {
            switch (self, other) {
            case (.any, _): true
            case (.literal(let mine), .literal(let its)): mine == its
            case (.literal, .any): false
            }
        }

        func overlaps(_ other: Level) -> Bool { contains(other) || other.contains(self) }
    }

    /// Without the `#`.
    package let levels: [Level]
    /// A `#` stands at the end.
    package let hasRest: Bool

    /// Levels of a pattern at most: far above any scheme in use, and it bounds the cost of a match.
    package static let levelsMax = 32

    /// What is wrong with a pattern, for the one who wrote it.
    package struct Problem: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// - Throws: `Problem`, one line that says what to write.
    package init(_ text: String) throws(Problem) {
        guard !text.isEmpty else { throw Problem(description: "a topic filter is not empty") }
        guard !text.hasPrefix("$share/") else {
            throw Problem(
                description: "a rule takes messages, it does not share them: leave \"$share/…/\" out")
        }
        guard !text.unicodeScalars.contains("\0"), text.utf8.count <= 65_535 else {
            throw Problem(description: "a topic filter has at most 65,535 bytes and no NUL")
        }
        var parts = text.split(separator: "/", omittingEmptySubsequences: false)
        hasRest = parts.last == "#"
        if hasRest { parts.removeLast() }
        guard parts.count <= Self.levelsMax else {
            throw Problem(description: "a topic filter has at most \(Self.levelsMax) levels")
        }
        var levels: [Level] = []
        var names: Set<String> = []
        for part in parts {
            let level = try Self.level(part)
            if case .any(let name?) = level, !names.insert(name).inserted {
                throw Problem(description: "{\(name)} stands twice: give each level a name of its own")
            }
            levels.append(level)
        }
        self.levels = levels
    }

    private static func level(_ part: Substring) throws(Problem) -> Level {
        if part == "+" { return .any(name: nil) }
        if part == "#" { throw Problem(description: "# stands only at the end of a topic filter") }
        if part.hasPrefix("{"), part.hasSuffix("}") {
            let name = part.dropFirst().dropLast()
            guard !name.isEmpty, name.utf8.allSatisfy(isNameByte) else {
                throw Problem(description: "{\(name)}: a name is made of letters, digits, _ and -")
            }
            guard name != DeviceTemplate.clientName else {
                throw Problem(description: "{\(name)} names the MQTT client, give the level another name")
            }
            return .any(name: String(name))
        }
        guard !part.utf8.contains(where: { $0 == 0x7B || $0 == 0x7D || $0 == 0x2B || $0 == 0x23 }) else {
            throw Problem(
                description: "\"\(part)\": a name or wildcard stands for a whole level, such as a/{device}/b")
        }
        return .literal(String(part))
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x2D: true
        default: false
        }
    }

    package var description: String {
        var parts = levels.map { level in
            switch level {
            case .literal(let text): text
            case .any(let name): name.map { "{\($0)}" } ?? "+"
            }
        }
        if hasRest { parts.append("#") }
        return parts.joined(separator: "/")
    }

    /// The names in order.
    package var names: [String] {
        levels.compactMap { level in
            if case .any(let name) = level { name } else { nil }
        }
    }

    /// The index of the level with a name.
    func index(of name: String) -> Int? { levels.firstIndex(of: .any(name: name)) }

    /// Whether every topic of the other pattern is one of this pattern: then the other, standing behind, never
    /// gets a message.
    package func contains(_ other: TopicPattern) -> Bool {
        guard firstLevelsAllow(other), levels.count <= other.levels.count else { return false }
        for (mine, its) in zip(levels, other.levels) where !mine.contains(its) { return false }
        return hasRest || (levels.count == other.levels.count && !other.hasRest)
    }

    /// Whether some topic is one of both patterns.
    package func overlaps(_ other: TopicPattern) -> Bool {
        guard firstLevelsAllow(other), other.firstLevelsAllow(self) else { return false }
        for (mine, its) in zip(levels, other.levels) where !mine.overlaps(its) { return false }
        if levels.count == other.levels.count { return true }
        return levels.count < other.levels.count ? hasRest : other.hasRest
    }

    /// A wildcard in front never takes a topic that begins with `$`: MQTT 5.0 §4.7.2.
    private func firstLevelsAllow(_ other: TopicPattern) -> Bool {
        guard case .literal(let text)? = other.levels.first, text.hasPrefix("$") else { return true }
        if case .literal? = levels.first { return true }
        return false
    }
}
