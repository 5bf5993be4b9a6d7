import Foundation
import Testing

/// One row of the per-minute query, from a file or a topic.
struct ResultRow {
    var device: String
    var key: String
    var count: Int
    var rid: String
    /// As it stood there, byte for byte.
    var text: String

    init(_ text: some StringProtocol) throws {
        self.text = String(text)
        let value = try JSONSerialization.jsonObject(with: Data(self.text.utf8))
        let row = try #require(value as? [String: Any], "no row: \(text)")
        device = try #require(row["device"] as? String)
        let field = try #require(row["field"] as? String)
        let end = try #require(row["windowEnd"] as? String)
        count = try #require(row["count"] as? Int)
        rid = try #require(row["_rid"] as? String)
        key = "\(device) \(field) \(end)"
    }
}

enum ResultRows {
    /// The rows of all finished files of a query, in the order of the files' names.
    static func read(_ folder: String) throws -> [ResultRow] {
        let names = (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? [])
            .filter { $0.hasSuffix(".jsonl") }.sorted()
        return try names.flatMap { name in
            try String(contentsOfFile: folder + "/" + name, encoding: .utf8).split(separator: "\n")
                .map { try ResultRow($0) }
        }
    }
}
