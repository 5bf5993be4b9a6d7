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
        if let shown = Self.line(line, of: source) {
            text += "\(gutter) |\n\(line) | "
            text.unicodeScalars.append(contentsOf: shown)
            text += "\n\(gutter) | "
            // Tabs stay tabs, so that the caret stands below its place at any tab width.
            for scalar in shown.prefix(column - 1) { text += scalar == "\t" ? "\t" : " " }
            let room = max(1, shown.count - (column - 1))
            text += String(repeating: "^", count: min(max(1, length), room)) + "\n"
        }
        if let suggestion { text += "\(gutter) did you mean \(suggestion)?\n" }
        if let hint { text += "\(gutter) hint: \(hint)\n" }
        return text
    }

    /// The scalars of one line, at most 400 of them: a generated text may hold no line break at all.
    private static func line(_ number: Int, of source: String) -> [Unicode.Scalar]? {
        var at = 1
        var shown: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            if scalar == "\n" {
                if at == number { return shown.last == "\r" ? shown.dropLast() : shown }
                at += 1
            } else if at == number, shown.count < 400 {
                shown.append(scalar)
            }
        }
        return at == number ? shown : nil
    }
}
