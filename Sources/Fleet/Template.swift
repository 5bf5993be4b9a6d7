import Telemetry

/// A text with placeholders: `pump-{i:02}`, `plant/{tags.line}/{id}/telemetry`.
///
/// Known placeholders: `{type}`, `{i}` (the device's index from 1), `{i:04}` (padded with zeros to 4 digits),
/// `{tags.NAME}`, and `{id}` where it is allowed.
package struct Template: Equatable, Sendable {
    enum Part: Equatable, Sendable {
        case text(String)
        case type
        case index(width: Int)
        case tag(String)
        case id
    }
    let parts: [Part]

    /// - Parameters:
    ///   - text: the template.
    ///   - tags: the tags' names that may be used.
    ///   - allowsID: whether `{id}` is known here.
    /// - Throws: an unknown placeholder, or a brace without its other half.
    package init(_ text: String, tags: [String], allowsID: Bool) throws(QuantityError) {
        var parts: [Part] = []
        var rest = Substring(text)
        while let open = rest.firstIndex(of: "{") {
            let before = rest[..<open]
            if !before.isEmpty { parts.append(.text(String(before))) }
            guard let close = rest[open...].firstIndex(of: "}") else {
                throw QuantityError(message: "\"\(text)\" has a { without its }")
            }
            let name = String(rest[rest.index(after: open)..<close])
            parts.append(try Self.part(name, tags: tags, allowsID: allowsID))
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
        self.parts = parts
    }

    /// The text for one device.
    func render(type: String, index: Int, tags: [DeviceType.Tag], id: String) -> String {
        var result = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .type: result += type
            case .index(let width):
                let digits = String(index)
                result += String(repeating: "0", count: max(0, width - digits.count)) + digits
            case .tag(let name): result += tags.first { $0.name == name }?.values.first ?? ""
            case .id: result += id
            }
        }
        return result
    }

    private static func part(
        _ name: String, tags: [String], allowsID: Bool
    ) throws(QuantityError) -> Part {
        if name == "type" { return .type }
        if name == "i" { return .index(width: 1) }
        if name == "id", allowsID { return .id }
        if name.hasPrefix("i:0"), let width = Int(name.dropFirst(3)), (1...9).contains(width) {
            return .index(width: width)
        }
        if name.hasPrefix("tags.") {
            let tag = String(name.dropFirst(5))
            if tags.contains(tag) { return .tag(tag) }
        }
        let known = ["type", "i", "i:04"] + (allowsID ? ["id"] : []) + tags.map { "tags.\($0)" }
        let hint =
            Suggestion.nearest(to: name, in: known).map { "did you mean {\($0)}?" }
            ?? "known here: \(known.map { "{\($0)}" }.joined(separator: ", "))"
        throw QuantityError(message: "unknown placeholder {\(name)} (\(hint))")
    }
}
