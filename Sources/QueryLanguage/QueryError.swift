/// What is wrong with a query text, where, and what to do. The author of the query can act.
package struct QueryError: Error, Hashable, Sendable {
    /// From 1.
    package var line: Int
    /// From 1, in Unicode scalars.
    package var column: Int
    /// Columns to underline, at least 1.
    package var length: Int
    /// One sentence without a full stop.
    package var message: String
    /// What to do, or why it is so.
    package var hint: String?
    /// The word that was probably meant.
    package var suggestion: String?

    package init(_ span: SourceSpan, _ message: String, hint: String? = nil, suggestion: String? = nil) {
        line = span.line
        column = span.column
        length = span.length
        self.message = message
        self.hint = hint
        self.suggestion = suggestion
    }

    /// The error with its line of the text, a caret below it, and the hint:
    /// ```
    /// minute.sql:2:8: there is no function AVRG
    ///   |
    /// 2 | SELECT AVRG(temperature) AS mean
    ///   |        ^^^^
    ///   did you mean AVG?
    /// ```
    /// - Parameters:
    ///   - source: the text that was checked.
    ///   - name: how to call the text; a file name.
    package func render(source: String, name: String = "query") -> String {
        var text = "\(name):\(line):\(column): \(message)\n"
        let gutter = String(repeating: " ", count: String(line).count)
        if let (shown, before) = Self.line(line, around: column, of: source) {
            let mark = before > 0 ? "…" : ""
            text += "\(gutter) |\n\(line) | \(mark)"
            text.unicodeScalars.append(contentsOf: shown)
            text += "\n\(gutter) | " + (before > 0 ? " " : "")
            // Tabs stay tabs, so that the caret stands below its place at any tab width.
            let start = column - 1 - before
            for scalar in shown.prefix(start) { text += scalar == "\t" ? "\t" : " " }
            let room = max(1, shown.count - start)
            text += String(repeating: "^", count: min(max(1, length), room)) + "\n"
        }
        if let suggestion { text += "\(gutter) did you mean \(suggestion)?\n" }
        if let hint { text += "\(gutter) hint: \(hint)\n" }
        return text
    }

    /// Scalars of a line that are shown: a generated text may hold no line break at all.
    private static let shownMax = 400

    /// The scalars of one line; of a long one the part around a column, and how many stand before it.
    private static func line(
        _ number: Int, around column: Int, of source: String
    ) -> (shown: [Unicode.Scalar], before: Int)? {
        let before = column <= shownMax * 3 / 4 ? 0 : column - shownMax / 2
        var at = 1
        var inLine = 0
        var shown: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            if scalar == "\n" {
                if at == number { break }
                at += 1
            } else if at == number {
                if inLine >= before, shown.count < shownMax { shown.append(scalar) }
                inLine += 1
            }
        }
        guard at == number else { return nil }
        return (shown.last == "\r" ? shown.dropLast() : shown, before)
    }
}
