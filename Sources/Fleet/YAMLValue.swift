import Telemetry
import Yams

/// A YAML file while it is read: its name, and what was found wrong in it so far.
final class YAMLFile {
    let name: String
    private(set) var problems: [ConfigurationProblem] = []

    init(name: String) {
        self.name = name
    }

    func report(_ message: String, at mark: Mark?) {
        problems.append(
            ConfigurationProblem(file: name, line: mark?.line, column: mark?.column, message: message))
    }

    /// The first document's root; nil when there is none or the text is not YAML (reported).
    func compose(_ text: String) -> YAMLValue? {
        do {
            guard let root = try Yams.compose(yaml: text) else {
                report("the file is empty", at: nil)
                return nil
            }
            return YAMLValue(node: root, file: self)
        } catch {
            report(error, in: text)
            return nil
        }
    }

    private func report(_ error: any Error, in text: String) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            report("not YAML: \(problem)", at: mark)
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
            report("the key \(keys) is there twice in this map", at: context.mark)
        case .reader(let problem, let offset, _, _):
            let place = TextPlace(characters: offset ?? 0, in: text)
            problems.append(
                ConfigurationProblem(
                    file: name, line: place.line, column: place.column, message: "not YAML: \(problem)"))
        default:
            report("not YAML: \(error)", at: nil)
        }
    }
}

/// A node of a YAML file, read with the core rules of YAML 1.2: a scalar's meaning comes from its text and
/// from whoever asks, so `on`, `no` and `15:00` are never booleans or numbers.
struct YAMLValue {
    let node: Node
    let file: YAMLFile

    var mark: Mark? { node.mark }

    func report(_ message: String) {
        file.report(message, at: mark)
    }

    /// The entries of a map, or nil and a problem.
    func mapping(_ expected: String) -> YAMLMapping? {
        guard let mapping = node.mapping else {
            report("expected \(expected)")
            return nil
        }
        var entries: [YAMLMapping.Entry] = []
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                file.report("a key must be a plain text", at: key.mark)
                continue
            }
            entries.append(.init(key: name, mark: key.mark, value: YAMLValue(node: value, file: file)))
        }
        return YAMLMapping(entries: entries, mark: mark, file: file)
    }

    /// The items of a list, or nil when this is none (not reported).
    var list: [YAMLValue]? {
        node.sequence.map { items in items.map { YAMLValue(node: $0, file: file) } }
    }

    var isScalar: Bool { node.scalar != nil }

    /// A scalar's text, or nil and a problem.
    func text(_ expected: String) -> String? {
        guard let scalar = node.scalar else {
            report("expected \(expected)")
            return nil
        }
        if scalar.string.isEmpty, isPlain {
            report("expected \(expected), found nothing")
            return nil
        }
        return scalar.string
    }

    /// True when the scalar was written without quotes.
    var isPlain: Bool {
        guard let style = node.scalar?.style else { return false }
        return style == .plain || style == .any
    }

    /// A scalar read by one of the functions of `Quantity`; its error is reported here.
    func quantity<Result>(
        _ expected: String, _ parse: (String) throws(QuantityError) -> Result
    ) -> Result? {
        guard let text = text(expected) else { return nil }
        do throws(QuantityError) {
            return try parse(text)
        } catch {
            report(error.message)
            return nil
        }
    }

    /// A whole number between the bounds.
    func whole(_ range: ClosedRange<Int>, _ name: String) -> Int? {
        guard let text = text("a whole number") else { return nil }
        guard isPlain, let value = Int(text), range.contains(value) else {
            report("\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
    }
}

/// A map of a YAML file, in the order of the file.
struct YAMLMapping {
    struct Entry {
        let key: String
        let mark: Mark?
        let value: YAMLValue
    }

    let entries: [Entry]
    let mark: Mark?
    let file: YAMLFile

    subscript(key: String) -> YAMLValue? {
        entries.first { $0.key == key }?.value
    }

    /// Reports every key that is not known, with the nearest known one, or as one of the format's that this
    /// version does not carry out yet.
    func checkKeys(known: [String], later: [String] = [], noun: String = "key") {
        for entry in entries where !known.contains(entry.key) {
            if later.contains(entry.key) {
                file.report(
                    "\(noun) \"\(entry.key)\" is not supported yet (here: \(known.joined(separator: ", ")))",
                    at: entry.mark)
            } else if let near = Suggestion.nearest(to: entry.key, in: known + later) {
                file.report("unknown \(noun) \"\(entry.key)\" (did you mean \"\(near)\"?)", at: entry.mark)
            } else {
                file.report(
                    "unknown \(noun) \"\(entry.key)\" (known here: \(known.joined(separator: ", ")))",
                    at: entry.mark)
            }
        }
    }

    func report(_ message: String) {
        file.report(message, at: mark)
    }

    /// The number of a key, or nil; a missing key is reported when there is no default.
    func number(_ key: String, default value: Double? = nil) -> Double? {
        guard let found = self[key] else { return missing(key, value) }
        return found.quantity("a number", Quantity.number)
    }

    /// A number or a range of numbers; see `number(_:default:)`.
    func numberRange(_ key: String, default value: Double? = nil) -> ClosedRange<Double>? {
        guard let found = self[key] else { return missing(key, value.map { $0...$0 }) }
        return found.quantity("a number or a range", Quantity.numberRange)
    }

    /// A duration in milliseconds; see `number(_:default:)`.
    func duration(_ key: String, default value: Int64? = nil) -> Int64? {
        guard let found = self[key] else { return missing(key, value) }
        return found.quantity("a duration", Quantity.duration)
    }

    /// A duration or a range of durations in milliseconds; see `number(_:default:)`.
    func durationRange(_ key: String) -> ClosedRange<Int64>? {
        guard let found = self[key] else { return missing(key, nil) }
        return found.quantity("a duration or a range", Quantity.durationRange)
    }

    private func missing<Result>(_ key: String, _ value: Result?) -> Result? {
        if value == nil { report("\"\(key)\" is missing") }
        return value
    }
}
