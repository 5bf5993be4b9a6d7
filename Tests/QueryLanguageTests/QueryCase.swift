import Foundation
import Testing

@testable import QueryLanguage

/// One case of Queries/accepted.sql or Queries/rejected.sql, whose heads explain the form.
struct QueryCase: Sendable, CustomTestStringConvertible {
    var name: String
    var referenceInputs: [String] = []
    /// `line:column+length message | did you mean word`.
    var expected: [String] = []
    var lines: [String] = []

    var text: String { lines.joined(separator: "\n") }
    var testDescription: String { name }

    static let accepted = read("accepted")
    static let rejected = read("rejected")

    private static func read(_ file: String) -> [QueryCase] {
        guard let url = Bundle.module.url(forResource: file, withExtension: "sql", subdirectory: "Queries"),
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return [] }
        var cases: [QueryCase] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("--- ") {
                cases.append(QueryCase(name: String(line.dropFirst(4))))
            } else if let last = cases.indices.last {
                if line.hasPrefix("--@ reference ") {
                    cases[last].referenceInputs = line.dropFirst(14).components(separatedBy: ", ")
                } else if line.hasPrefix("--> ") {
                    cases[last].expected.append(String(line.dropFirst(4)))
                } else {
                    cases[last].lines.append(line)
                }
            }
        }
        if let last = cases.indices.last, cases[last].lines.last == "" { cases[last].lines.removeLast() }
        return cases
    }
}

extension QueryError {
    /// In the form of the cases.
    var summary: String {
        "\(line):\(column)+\(length) \(message)" + (suggestion.map { " | did you mean \($0)" } ?? "")
    }
}

/// SplitMix64: the same seed, the same texts.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
