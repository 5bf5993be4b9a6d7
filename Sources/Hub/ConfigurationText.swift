import Telemetry
import Yams

/// The text of a configuration file, or of one that it names, before anything is read out of it.
enum ConfigurationText {
    /// Why a text is no YAML: one line, `file:line:column: what`. None of the file's values is in it.
    struct Mistake: Error {
        var line: String
    }

    /// - Parameter path: what the file is called in a mistake.
    /// - Returns: the root; nil when the text is empty.
    static func compose(_ text: String, path: String) throws(Mistake) -> Node? {
        do {
            return try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw Mistake(line: line(error, text, path))
        } catch {
            throw Mistake(line: "\(path): not YAML")
        }
    }

    private static func line(_ error: YamlError, _ text: String, _ path: String) -> String {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let whole = context.map { "\($0.text) (\($0.mark.line):\($0.mark.column)): " } ?? ""
            return "\(path):\(mark.line):\(mark.column): not YAML: \(whole)\(problem)"
        case .reader(let problem, let offset, _, _):
            let place = TextPlace(characters: offset ?? 0, in: text)
            return "\(path):\(place.line):\(place.column): not YAML: \(problem)"
        case .duplicatedKeysInMapping(let keys, let context):
            // Quoted as in a program: a key may have line breaks.
            let names = keys.sorted().map(\.debugDescription).joined(separator: ", ")
            let place = "\(context.mark.line):\(context.mark.column)"
            return "\(path):\(place): \(names) stands twice in this map: leave one of them"
        default:
            return "\(path): not YAML"
        }
    }
}
