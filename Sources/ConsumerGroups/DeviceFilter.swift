/// Which devices a group reads.
package enum DeviceFilter: Sendable, Equatable {
    case all
    /// These, also those that have not sent anything yet; without repetitions, in the order given.
    case names([String])
    /// Those whose whole name matches: `*` stands for any text, `?` for one character.
    case pattern(String)

    /// The filter a single text means: `*` is all, a text with `*` or `?` a pattern, any other a name.
    package init(text: String) {
        if text == "*" {
            self = .all
        } else if text.utf8.contains(where: { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") }) {
            self = .pattern(text)
        } else {
            self = .names([text])
        }
    }

    package func matches(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .names(let names): names.contains { $0.utf8.elementsEqual(name.utf8) }
        case .pattern(let pattern): Self.matches(name, pattern)
        }
    }

    /// - Throws: `.invalid` with the field `devices`.
    func validate(_ limits: GroupLimits) throws(GroupError) {
        let texts: [String]
        switch self {
        case .all: return
        case .names(let names): texts = names
        case .pattern(let pattern): texts = [pattern]
        }
        guard !texts.isEmpty else {
            throw .invalid(
                field: "devices", explanation: "an empty list; name devices, or write \"*\" for all")
        }
        guard texts.count <= limits.deviceNames else {
            throw .invalid(
                field: "devices",
                explanation: "\(texts.count) names are more than \(limits.deviceNames); use a pattern")
        }
        for text in texts {
            guard !text.isEmpty, text.utf8.count <= limits.deviceNameBytesMax else {
                throw .invalid(
                    field: "devices", explanation: "a name has 1 to \(limits.deviceNameBytesMax) bytes")
            }
        }
    }

    /// Linear in practice and never worse than the product of the lengths: a mismatch goes back to the latest `*`
    /// only.
    private static func matches(_ name: String, _ pattern: String) -> Bool {
        let text = Array(name.unicodeScalars)
        let rule = Array(pattern.unicodeScalars)
        var at = 0
        var next = 0
        var star: (rule: Int, text: Int)?
        while at < text.count {
            if next < rule.count, rule[next] == "*" {
                star = (next, at)
                next += 1
            } else if next < rule.count, rule[next] == "?" || rule[next] == text[at] {
                next += 1
                at += 1
            } else if let back = star {
                star = (back.rule, back.text + 1)
                next = back.rule + 1
                at = back.text + 1
            } else {
                return false
            }
        }
        while next < rule.count, rule[next] == "*" { next += 1 }
        return next == rule.count
    }
}

extension DeviceFilter: CustomStringConvertible {
    package var description: String {
        switch self {
        case .all: "*"
        case .names(let names): names.joined(separator: ",")
        case .pattern(let pattern): pattern
        }
    }
}
