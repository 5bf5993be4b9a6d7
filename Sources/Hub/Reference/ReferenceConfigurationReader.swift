import ReferenceFiles
import Telemetry
import Yams

/// `references:` of a configuration file.
///
/// ```yaml
/// references:
///   - name: sites
///     file: sites.csv                   # beside the configuration
///     format: csv                       # csv, json, sqlite; by default the end of the file's name says it
///     delimiter: ";"                    # of CSV
///     refresh: 10s                      # how often the file is looked at; off: when somebody asks
///   - { name: limits, file: plant.db, table: limits }    # of SQLite; or query: SELECT …
/// ```
struct ReferenceConfigurationReader {
    private static let keys = ["name", "file", "format", "delimiter", "table", "query", "refresh"]

    let path: String
    private(set) var problems: [String] = []

    init(path: String) { self.path = path }

    mutating func read(_ node: Node) -> [ReferenceSource] {
        guard let list = node.sequence else {
            problem(node, "references: is a list, for example [{ name: sites, file: sites.csv }]")
            return []
        }
        var sources: [ReferenceSource] = []
        for entry in list {
            guard let source = source(entry) else { continue }
            if sources.contains(where: { $0.name.lowercased() == source.name.lowercased() }) {
                problem(entry, "two references are called \(source.name)")
            }
            sources.append(source)
        }
        return sources
    }

    private mutating func source(_ node: Node) -> ReferenceSource? {
        guard let mapping = node.mapping else {
            problem(node, "references: an entry is a map with name and file")
            return nil
        }
        guard let name = mapping["name"]?.scalar?.string, ReferenceSource.isName(name),
            name.lowercased() != "telemetry"
        else {
            problem(
                mapping["name"] ?? node,
                "name: what queries call it: letters, digits, - and _, a letter first, and not telemetry")
            return nil
        }
        guard let file = mapping["file"]?.scalar?.string, !file.isEmpty else {
            problem(node, "\(name): lacks its file")
            return nil
        }
        // A path is relative to the configuration's folder.
        let folder = path.contains("/") ? path[..<(path.lastIndex(of: "/") ?? path.startIndex)] + "/" : ""
        var source = ReferenceSource(name: name, location: file.hasPrefix("/") ? file : folder + file)
        for (key, value) in mapping { set(key, value, in: &source) }
        let isDatabase = source.format == .sqlite
        if mapping["table"] != nil, mapping["query"] != nil {
            problem(node, "\(name): has either table or query")
        }
        for key in ["table", "query"] where mapping[key] != nil && !isDatabase {
            problem(mapping[key] ?? node, "\(key): is for SQLite; write format: sqlite")
        }
        if let delimiter = mapping["delimiter"], source.format != .csv {
            problem(delimiter, "delimiter: is for CSV")
        }
        return source
    }

    private mutating func set(_ key: Node, _ value: Node, in source: inout ReferenceSource) {
        let text = value.scalar?.string ?? ""
        switch key.string ?? "" {
        case "name", "file": break
        case "format":
            if let format = ReferenceSource.Format(rawValue: text) {
                source.format = format
            } else {
                problem(value, "format: is csv, json or sqlite")
            }
        case "delimiter":
            if let byte = text == "tab" ? 0x09 : text.utf8.first, text == "tab" || text.utf8.count == 1,
                byte < 0x80, byte != 0x22, byte != 0x0A, byte != 0x0D
            {
                source.delimiter = byte
            } else {
                problem(value, "delimiter: is one character, such as \";\" or tab")
            }
        case "table": source.selection = .table(text)
        case "query": source.selection = .query(text)
        case "refresh":
            if text == "off" || text == "false" {
                source.refreshNanoseconds = nil
            } else if let nanoseconds = Self.nanoseconds(text), nanoseconds >= 100_000_000 {
                source.refreshNanoseconds = nanoseconds
            } else {
                problem(value, "refresh: is a time from 100ms on, such as 10s or 5m, or off")
            }
        case let other:
            let hint = Suggestion.nearest(to: other, in: Self.keys).map { " (did you mean \"\($0)\"?)" } ?? ""
            problem(
                key, "unknown setting \"\(other)\"\(hint); there are: \(Self.keys.joined(separator: ", "))")
        }
    }

    private static func nanoseconds(_ text: String) -> UInt64? {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ]
        for (unit, scale) in units where text.hasSuffix(unit) {
            guard let number = UInt64(text.dropLast(unit.utf8.count)) else { continue }
            let (product, isOver) = number.multipliedReportingOverflow(by: scale)
            return isOver || product > UInt64(Int64.max) ? nil : product
        }
        return nil
    }

    private mutating func problem(_ node: Node, _ text: String) {
        let place = node.mark.map { ":\($0.line):\($0.column)" } ?? ""
        problems.append("\(path)\(place): \(text)")
    }
}
