import ConsumerGroups
import Telemetry

/// The fields of a small JSON object in a request, read strictly: what is not known, or not of its type, is an error
/// that names the field.
struct RequestFields {
    enum Field {
        case text(String)
        case number(Int64)
        case flag(Bool)
        case texts([String])
    }

    private(set) var fields: [String: Field] = [:]

    /// - Parameter known: the names that may stand there.
    /// - Throws: `GroupError.invalid`.
    init(_ body: [UInt8], known: [String]) throws(GroupError) {
        if body.isEmpty { return }
        var found: [String: Field] = [:]
        var problem: GroupError?
        let isObject = body.first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 } == 0x7B
        let isJSON = body.withUnsafeBytes { bytes in
            JSONFieldScanner.forEachTopLevelField(bytes) { name, value in
                let name = String(decoding: name, as: UTF8.self)
                if !known.contains(name) {
                    let hint =
                        Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
                    problem =
                        problem
                        ?? .invalid(
                            field: name,
                            explanation:
                                "not a known field\(hint); there are: \(known.joined(separator: ", "))")
                } else if let field = Self.field(value) {
                    found[name] = field
                } else {
                    problem = problem ?? .invalid(field: name, explanation: "not of a type that it can have")
                }
            }
        }
        guard isJSON, isObject else {
            throw .invalid(field: "body", explanation: "not a JSON object")
        }
        if let problem { throw problem }
        fields = found
    }

    /// - Returns: nil for a value no field has.
    private static func field(_ value: JSONScalar) -> Field? {
        switch value {
        case .text(let raw, let hasEscapes): .text(text(raw, hasEscapes))
        case .bigint(let number): .number(number)
        case .boolean(let flag): .flag(flag)
        case .nested(let raw): texts(raw).map { .texts($0) }
        case .float, .null: nil
        }
    }

    private static func text(_ raw: UnsafeRawBufferPointer, _ hasEscapes: Bool) -> String {
        String(decoding: hasEscapes ? JSONString.decode(raw) : Array(raw), as: UTF8.self)
    }

    /// The elements of an array of strings, which the scanner has found to be JSON.
    private static func texts(_ raw: UnsafeRawBufferPointer) -> [String]? {
        guard raw.first == 0x5B else { return nil }
        var texts: [String] = []
        var at = 1
        while at < raw.count {
            switch raw[at] {
            case 0x20, 0x0A, 0x0D, 0x09, 0x2C: at += 1
            case 0x5D: return texts
            case 0x22:
                let start = at + 1
                var end = start
                var hasEscapes = false
                while end < raw.count, raw[end] != 0x22 {
                    if raw[end] == 0x5C {
                        hasEscapes = true
                        end += 1
                    }
                    end += 1
                }
                guard end < raw.count else { return nil }
                texts.append(text(UnsafeRawBufferPointer(rebasing: raw[start..<end]), hasEscapes))
                at = end + 1
            default: return nil
            }
        }
        return nil
    }

    func text(_ name: String) throws(GroupError) -> String? {
        switch fields[name] {
        case nil: nil
        case .text(let text): text
        case .number(let number): String(number)
        case .flag, .texts: throw .invalid(field: name, explanation: "is a text")
        }
    }

    func flag(_ name: String) throws(GroupError) -> Bool? {
        switch fields[name] {
        case nil: nil
        case .flag(let flag): flag
        case .text, .number, .texts: throw .invalid(field: name, explanation: "is true or false")
        }
    }

    /// A device filter: a text, or an array of names.
    func devices(_ name: String) throws(GroupError) -> DeviceFilter? {
        switch fields[name] {
        case nil: return nil
        case .text(let text): return DeviceFilter(text: text)
        case .texts(let texts):
            var names: [String] = []
            for text in texts where !names.contains(text) { names.append(text) }
            return .names(names)
        case .flag, .number:
            throw .invalid(field: name, explanation: "is \"*\", a name, a pattern, or an array of names")
        }
    }

    func start(_ name: String) throws(GroupError) -> GroupStart? {
        guard let text = try text(name) else { return nil }
        guard let start = GroupStart(text: text) else {
            throw .invalid(
                field: name,
                explanation: "\"\(text)\" is none of: earliest, latest, an ISO 8601 time, a sequence from 1")
        }
        return start
    }
}
