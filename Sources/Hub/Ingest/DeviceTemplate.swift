/// How a device's name is made of a topic's levels: `{device}`, `{line}-{device}`, `{clientId}`.
package struct DeviceTemplate: Sendable, Equatable, CustomStringConvertible {
    package enum Part: Sendable, Equatable {
        case text(String)
        case segment(String)
        /// The client identifier of the publisher's connection.
        case client
    }

    /// The name that stands for the client identifier.
    static let clientName = "clientId"
    /// Parts of a template at most.
    static let partsMax = 16

    package let parts: [Part]

    /// - Throws: `TopicPattern.Problem`, one line that says what to write.
    package init(_ text: String) throws(TopicPattern.Problem) {
        var parts: [Part] = []
        var rest = Substring(text)
        while let first = rest.first {
            if first == "{" {
                guard let end = rest.firstIndex(of: "}") else {
                    throw .init(description: "\"\(text)\": a } is missing")
                }
                let name = String(rest[rest.index(after: rest.startIndex)..<end])
                guard !name.isEmpty, name.utf8.allSatisfy(TopicPattern.isNameByte) else {
                    throw .init(description: "{\(name)}: a name is made of letters, digits, _ and -")
                }
                parts.append(name == Self.clientName ? .client : .segment(name))
                rest = rest[rest.index(after: end)...]
            } else {
                let end = rest.firstIndex(of: "{") ?? rest.endIndex
                let piece = rest[..<end]
                guard !piece.utf8.contains(where: { [0x7D, 0x2B, 0x23, 0x2F, 0].contains($0) }) else {
                    throw .init(description: "\"\(piece)\": a device's name has no /, +, # or }")
                }
                parts.append(.text(String(piece)))
                rest = rest[end...]
            }
        }
        guard parts.contains(where: { if case .text = $0 { false } else { true } }) else {
            throw .init(
                description: "\"\(text)\" is the same for every message: name a level, such as {device}")
        }
        guard parts.count <= Self.partsMax else {
            throw .init(description: "a device's name is made of at most \(Self.partsMax) parts")
        }
        self.parts = parts
    }

    package var description: String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .segment(let name): "{\(name)}"
            case .client: "{\(Self.clientName)}"
            }
        }.joined()
    }

    /// The levels that it speaks of.
    package var names: [String] {
        parts.compactMap { if case .segment(let name) = $0 { name } else { nil } }
    }
}
