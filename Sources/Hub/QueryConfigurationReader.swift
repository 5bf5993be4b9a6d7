import Platform
import Telemetry
import Yams

/// `queries:` of a configuration file.
///
/// ```yaml
/// queries:
///   - name: hot
///     file: hot.sql                     # beside the configuration; or sql: | …
///     late: 30s                         # also outOfOrder, early, action, startAt, onError
///     outputs: { alerts: { topic: "plant/{device}/alert", retain: true, file: false, downstream: true } }
/// ```
struct QueryConfigurationReader {
    private static let keys = ["name", "sql", "file", "outputs"] + QueryDefinition.settingNames

    let path: String
    var files: any FileStore = PosixFileStore()
    /// The inputs of reference data.
    var references: [String] = []
    private(set) var problems: [String] = []

    init(path: String) { self.path = path }

    mutating func read(_ node: Node) -> [QueryDefinition] {
        guard let list = node.sequence else {
            problem(node, "queries: is a list, for example [{ name: hot, file: hot.sql }]")
            return []
        }
        return list.compactMap { query($0) }
    }

    private mutating func query(_ node: Node) -> QueryDefinition? {
        guard let mapping = node.mapping else {
            problem(node, "queries: an entry is a map with name, and sql or file")
            return nil
        }
        guard let name = mapping["name"]?.scalar?.string, !name.isEmpty else {
            problem(node, "queries: an entry lacks its name")
            return nil
        }
        var definition = QueryDefinition(name: name, text: "")
        for (key, value) in mapping {
            let setting = key.string ?? ""
            switch setting {
            case "name": break
            case "sql": definition.text = value.scalar?.string ?? ""
            case "file": definition.text = text(of: value) ?? ""
            case "outputs": readOutputs(value, &definition)
            case let known where QueryDefinition.settingNames.contains(known):
                do throws(QueryRequestError) { try definition.set(known, value.scalar?.string ?? "") } catch {
                    problem(value, "\(name): \(error)")
                }
            default:
                let hint = Suggestion.nearest(to: setting, in: Self.keys).map { " (did you mean \"\($0)\"?)" }
                problem(
                    key,
                    "unknown setting \"\(setting)\"\(hint ?? ""); there are: \(Self.keys.joined(separator: ", "))"
                )
            }
        }
        if (mapping["sql"] == nil) == (mapping["file"] == nil) {
            problem(node, "\(name): a query has either sql or file")
            return nil
        }
        if definition.text.isEmpty { return nil }
        do throws(QueryRequestError) {
            let plan = try definition.plan(references: references)
            _ = try ResultTopics(definition, plan)
        } catch {
            problem(node, "\(error)")
        }
        return definition
    }

    /// A path is relative to the configuration's folder.
    private mutating func text(of node: Node) -> String? {
        let file = node.scalar?.string ?? ""
        let folder = path.contains("/") ? path[..<(path.lastIndex(of: "/") ?? path.startIndex)] + "/" : ""
        let whole = file.hasPrefix("/") ? file : folder + file
        do throws(FileError) {
            return String(decoding: try files.contents(of: whole), as: UTF8.self)
        } catch {
            problem(node, "file: \(error)")
            return nil
        }
    }

    private mutating func readOutputs(_ node: Node, _ definition: inout QueryDefinition) {
        guard let mapping = node.mapping else {
            problem(node, "outputs: is a map from an output to its settings")
            return
        }
        for (key, value) in mapping {
            var output = QueryDefinition.Output(name: key.string ?? "")
            for (setting, value) in value.mapping ?? [:] {
                switch (setting.string ?? "", value.scalar?.string ?? "") {
                case ("topic", let topic): output.topic = topic
                case ("file", "true"): output.isFile = true
                case ("file", "false"): output.isFile = false
                case ("retain", "true"): output.isRetained = true
                case ("retain", "false"): output.isRetained = false
                case ("downstream", "true"): output.isDownstream = true
                case ("downstream", "false"): output.isDownstream = false
                default:
                    problem(
                        setting,
                        "outputs: \(setting.string ?? ""): there are topic: TEXT, and file:, retain: and "
                            + "downstream: true or false"
                    )
                }
            }
            definition.outputs.append(output)
        }
    }

    private mutating func problem(_ node: Node, _ text: String) {
        let place = node.mark.map { ":\($0.line):\($0.column)" } ?? ""
        problems.append("\(path)\(place): \(text)")
    }
}
