/// A word of the query text.
struct Token: Sendable {
    enum Kind: Hashable, Sendable {
        /// A bare name or keyword.
        case word
        /// A name in brackets, without them.
        case bracketed
        /// Quoted text, its quotes resolved.
        case text
        /// Digits, with a point or exponent: a float.
        case number(isFloat: Bool)
        /// An operator or a punctuation mark.
        case symbol
        case end
    }

    var kind: Kind
    /// The name, the text or the spelling.
    var text: String
    /// A word in capitals; empty for all else.
    var keyword: String
    var span: SourceSpan
    /// White space or a comment stands before it.
    var followsSpace: Bool

    /// How an error calls it.
    var described: String {
        switch kind {
        case .end: "the end of the query"
        case .text: "the text '\(text.count > 24 ? String(text.prefix(24)) + "…" : text)'"
        case .bracketed: "[\(text)]"
        case .word, .number, .symbol: "`\(text)`"
        }
    }
}

/// Words that stand for themselves only: as names they need brackets.
enum Keywords {
    static let reserved: Set<String> = [
        "ALL", "AND", "AS", "BETWEEN", "BY", "CASE", "CAST", "CREATE", "CROSS", "DISTINCT", "ELSE", "END",
        "EXISTS", "FALSE", "FROM", "FULL", "GROUP", "HAVING", "IN", "INNER", "INTO", "IS", "JOIN", "LEFT",
        "LIKE", "NOT", "NULL", "ON", "OR", "ORDER", "OUTER", "OVER", "RIGHT", "SELECT", "THEN", "TRUE",
        "TRY_CAST", "UNION", "WHEN", "WHERE", "WITH",
    ]

    /// The clauses a mistyped word may have meant.
    static let clauses = [
        "FROM", "INTO", "WHERE", "GROUP", "HAVING", "UNION", "JOIN", "LEFT", "INNER", "CROSS", "OUTER",
        "APPLY",
        "TIMESTAMP", "PARTITION", "ON", "AS", "AND", "OR", "BETWEEN", "LIKE", "OVER", "LIMIT", "WHEN", "THEN",
        "ELSE", "END",
    ]

    static let statements = ["SELECT", "WITH", "CREATE"]

    /// Bare in the canonical text.
    static func isPlainName(_ text: String) -> Bool {
        guard let first = text.unicodeScalars.first, Lexer.isNameStart(first) else { return false }
        return text.unicodeScalars.allSatisfy(Lexer.isNamePart) && !reserved.contains(text.uppercased())
    }
}
