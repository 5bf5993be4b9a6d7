import Telemetry

/// Reads and checks a query text, as `query check` does.
/// - Parameters:
///   - text: the text of the query file.
///   - referenceInputs: names of inputs that are reference data.
/// - Returns: all that is wrong, in the order of the text; empty when the text can be planned. What is wrong
///   beyond the form is looked for only when the form is right.
package func checkQuery(text: String, referenceInputs: [String] = []) -> [QueryError] {
    let (document, errors) = QueryParser.parse(text)
    return errors.isEmpty ? QueryChecker.check(document, referenceInputs: referenceInputs) : errors
}

/// The result of a check in the form that editors read.
package struct QueryCheckReport: Hashable, Sendable {
    package var errors: [QueryError]

    package init(errors: [QueryError]) { self.errors = errors }

    /// A JSON array (RFC 8259), one object an error: `line`, `column` and `endColumn` (from 1, in Unicode
    /// scalars, the end excluded), `severity` (`error`), `message`, `hint` (text or null).
    package var json: String {
        var bytes = Array("[".utf8)
        for (index, error) in errors.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            let suggestion = error.suggestion.map { "did you mean \($0)?" }
            let hints = [suggestion, error.hint].compactMap { $0 }
            let columns = [
                Column("line", .bigint(Int64(error.line))), Column("column", .bigint(Int64(error.column))),
                Column("endColumn", .bigint(Int64(error.column + error.length))),
                Column("severity", .text("error")), Column("message", .text(error.message)),
                Column("hint", hints.isEmpty ? .null : .text(hints.joined(separator: " "))),
            ]
            Column.appendJSON(columns, to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
        return String(decoding: bytes, as: UTF8.self)
    }
}
