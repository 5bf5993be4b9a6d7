import Foundation
package import PerpetualQuery
package import Platform
import QueryLanguage
package import ReferenceFiles
import Telemetry

/// A test configuration in the form of Azure's: a query, and cases of inputs and expected outputs.
///
/// ```json
/// {"Script": "minute.sql", "TestCases": [{"Name": "one minute",
///   "Inputs": [{"InputAlias": "telemetry", "Type": "Data Stream", "FilePath": "in.jsonl"}],
///   "ExpectedOutputs": [{"OutputAlias": "minute", "FilePath": "out.jsonl", "Required": true}]}]}
/// ```
/// An input of the type `Reference Data` is a file to join with; of an SQLite database `FILE#TABLE`.
/// Ours, beside each other in the configuration or in a case: `Late`, `OutOfOrder` (`"30s"`), `Policy`,
/// `WatermarkOver`, `IdleAfter`, `Arrival`, `Dedup`. Paths are relative to the configuration.
package struct QueryTest {
    package struct Case: Sendable {
        package var name: String
        package var inputs: [QueryReplay.NamedFile] = []
        package var references: [ReferenceSource] = []
        package var expected: [(output: String, path: String, isRequired: Bool)] = []
        package var settings = StreamSettings()
        package var arrivalField: String?
        package var deduplication: [String] = []
    }

    /// How a case went.
    package struct Outcome: Sendable {
        package var name: String
        /// Lines that say what differs; empty when nothing does.
        package var differences: [String]
        package var passed: Bool { differences.isEmpty }
    }

    package let script: String
    package let cases: [Case]
    private let files: any FileStore

    /// Reads a configuration.
    ///
    /// - Throws: when it is no JSON or lacks what it must have.
    package init(path: String, files: any FileStore) throws(ReplayError) {
        self.files = files
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch {
            throw ReplayError(.environment, error.description)
        }
        let folder =
            path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/" : ""
        let root = try ConfigurationNode(bytes, place: path)
        script = folder + (try root.text("Script"))
        let shared = try Self.settings(of: root, StreamSettings())
        var cases: [Case] = []
        for node in try root.nodes("TestCases") {
            var made = Case(name: try node.optionalText("Name") ?? "case \(cases.count + 1)")
            made.settings = try Self.settings(of: node, shared)
            made.arrivalField = try node.optionalText("Arrival", else: root)
            let names = try node.optionalText("Dedup", else: root)
            made.deduplication = names?.split(separator: ",").map { String($0) } ?? []
            for input in try node.nodes("Inputs") {
                let name = try input.text("InputAlias")
                let path = folder + (try input.text("FilePath"))
                let type = try input.optionalText("Type") ?? "Data Stream"
                if type.lowercased().hasPrefix("reference") {
                    made.references.append(ReferenceSource(name: name, location: path))
                } else {
                    made.inputs.append(QueryReplay.NamedFile(name: name, path: path))
                }
            }
            for output in try node.nodes("ExpectedOutputs") {
                made.expected.append(
                    (
                        try output.text("OutputAlias"), folder + (try output.text("FilePath")),
                        try output.optionalFlag("Required") ?? true
                    ))
            }
            cases.append(made)
        }
        if cases.isEmpty { throw ReplayError(.input, "\(path): TestCases is empty") }
        self.cases = cases
    }

    private static func settings(
        of node: ConfigurationNode, _ shared: StreamSettings
    ) throws(ReplayError) -> StreamSettings {
        var settings = shared
        if let text = try node.optionalText("Late") {
            settings.timePolicy.lateToleranceTicks =
                text == "unlimited" ? TimePolicy.unlimited : try ticks(text, "Late", node)
        }
        if let text = try node.optionalText("OutOfOrder") {
            settings.timePolicy.outOfOrderToleranceTicks = try ticks(text, "OutOfOrder", node)
        }
        switch try node.optionalText("Policy") {
        case nil: break
        case "adjust": settings.timePolicy.lateAction = .adjust
        case "drop": settings.timePolicy.lateAction = .drop
        case "divert": settings.timePolicy.lateAction = .divert
        default: throw ReplayError(.input, "\(node.place): Policy is adjust, drop or divert")
        }
        let idle = try node.optionalText("IdleAfter")
        if let fields = try node.optionalText("WatermarkOver") {
            var idleTicks: Int64?
            if let idle {
                idleTicks = idle == "unlimited" ? TimePolicy.unlimited : try ticks(idle, "IdleAfter", node)
            }
            do throws(QueryError) {
                settings.minimumWatermark = try MinimumWatermark(fields: fields, idleTicks: idleTicks)
            } catch {
                throw ReplayError(
                    .input, error.render(source: fields, name: "\(node.place): WatermarkOver"))
            }
        } else if idle != nil {
            throw ReplayError(.input, "\(node.place): IdleAfter stands beside WatermarkOver")
        }
        return settings
    }

    /// `500ms`, `30s`, `5m`, `1h`, `1d`, `0`.
    private static func ticks(
        _ text: String, _ key: String, _ node: ConfigurationNode
    ) throws(ReplayError) -> Int64 {
        if text == "0" { return 0 }
        let units: [(String, Double)] = [("ms", 1e4), ("s", 1e7), ("m", 6e8), ("h", 3.6e10), ("d", 8.64e11)]
        for (suffix, scale) in units where text.hasSuffix(suffix) {
            if let number = Double(text.dropLast(suffix.count)), number >= 0, number * scale < 9e18 {
                return Int64(number * scale)
            }
        }
        throw ReplayError(.input, "\(node.place): \(key) is a duration: 500ms, 30s, 5m, 1h")
    }

    /// Runs a case.
    ///
    /// - Throws: when it cannot run at all; a row that cannot be computed is a difference.
    package func run(_ test: Case, text: String) throws(ReplayError) -> Outcome {
        var replay = QueryReplay(text: text, name: "test", files: files)
        replay.inputs = test.inputs
        replay.references = test.references
        replay.settings = test.settings
        replay.arrivalField = test.arrivalField
        replay.deduplication = test.deduplication
        let plan = try replay.plan(title: script)
        var made: [String: [[Column]]] = [:]
        do {
            _ = try replay.run(plan, title: script) { (rows) throws(ReplayError) in
                for row in 0..<rows.count {
                    made[plan.outputs[rows.output(of: row)].lowercased(), default: []].append(
                        rows.resultRow(row).columns)
                }
                for row in rows.systemRows { made[row.output, default: []].append(row.columns) }
            }
        } catch  where error.kind == .failed {
            return Outcome(name: test.name, differences: [error.message])
        }
        var differences: [String] = []
        for expected in test.expected {
            let known = plan.outputs + ["_late", "_errors"]
            guard known.contains(where: { $0.lowercased() == expected.output.lowercased() }) else {
                throw ReplayError(
                    .input,
                    "the query has no output \(expected.output): it has \(plan.outputs.joined(separator: ", "))"
                )
            }
            let file = try EventFile(path: expected.path, files: files)
            var rows: [[Column]] = []
            while let row = try file.next() {
                guard let columns = RowDifference.columns(of: row) else {
                    throw ReplayError(.input, "\(file.place): not a JSON object: write one row a line")
                }
                rows.append(columns)
            }
            let found = RowDifference.compare(
                expected: rows, actual: made[expected.output.lowercased()] ?? [], output: expected.output)
            if expected.isRequired { differences += found }
        }
        return Outcome(name: test.name, differences: differences)
    }
}

/// An object of the configuration; keys are read without regard to case.
struct ConfigurationNode {
    let place: String
    private let fields: [String: Any]

    init(_ bytes: [UInt8], place: String) throws(ReplayError) {
        self.place = place
        guard let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            throw ReplayError(.input, "\(place): not a JSON object")
        }
        fields = Self.lowercased(object)
    }

    private init(_ object: [String: Any], place: String) {
        self.place = place
        fields = Self.lowercased(object)
    }

    private static func lowercased(_ object: [String: Any]) -> [String: Any] {
        Dictionary(object.map { ($0.key.lowercased(), $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    func optionalText(_ key: String) throws(ReplayError) -> String? {
        guard let value = fields[key.lowercased()] else { return nil }
        guard let text = value as? String else {
            throw ReplayError(.input, "\(place): \(key) must be a text")
        }
        return text
    }

    func optionalText(_ key: String, else other: ConfigurationNode) throws(ReplayError) -> String? {
        if let text = try optionalText(key) { return text }
        return try other.optionalText(key)
    }

    func text(_ key: String) throws(ReplayError) -> String {
        guard let text = try optionalText(key), !text.isEmpty else {
            throw ReplayError(.input, "\(place): \(key) is missing")
        }
        return text
    }

    func optionalFlag(_ key: String) throws(ReplayError) -> Bool? {
        guard let value = fields[key.lowercased()] else { return nil }
        guard let flag = value as? Bool else {
            throw ReplayError(.input, "\(place): \(key) must be true or false")
        }
        return flag
    }

    func nodes(_ key: String) throws(ReplayError) -> [ConfigurationNode] {
        guard let value = fields[key.lowercased()] else { return [] }
        guard let list = value as? [[String: Any]] else {
            throw ReplayError(.input, "\(place): \(key) must be a list of objects")
        }
        return list.enumerated().map { ConfigurationNode($1, place: "\(place): \(key)[\($0)]") }
    }
}
