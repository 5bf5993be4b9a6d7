import Telemetry

/// Looking at tokens, and saying what was expected instead.
extension QueryParser {
    var current: Token { tokens[min(at, tokens.count - 1)] }

    func ahead(_ count: Int) -> Token { tokens[min(at + count, tokens.count - 1)] }

    /// The token before this one; the first token when there is none.
    var previous: Token { tokens[min(max(0, at - 1), tokens.count - 1)] }

    func isKeyword(_ word: String) -> Bool { current.kind == .word && current.keyword == word }

    func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol && current.text == symbol }

    mutating func acceptKeyword(_ word: String) -> Bool {
        guard isKeyword(word) else { return false }
        at += 1
        return true
    }

    mutating func accept(_ symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        at += 1
        return true
    }

    mutating func expect(_ symbol: String, orElse: String? = nil) throws(QueryError) {
        guard accept(symbol) else {
            if symbol == ")", current.kind == .end { throw missing(")", "to close the parenthesis") }
            throw expected(orElse ?? "`\(symbol)`")
        }
    }

    /// Closes the parenthesis that stands at `open`.
    mutating func close(_ open: SourceSpan, orElse: String) throws(QueryError) {
        if accept(")") { return }
        var error = current.kind == .end ? missing(")", "to close the parenthesis") : expected(orElse)
        if error.hint == nil {
            error.hint = "the `(` at line \(open.line), column \(open.column) is still open"
        }
        throw error
    }

    mutating func expectKeyword(_ word: String) throws(QueryError) {
        guard acceptKeyword(word) else { throw expected(word, words: [word]) }
    }

    /// A name that is no keyword, or one in brackets.
    mutating func name(_ what: String) throws(QueryError) -> Name {
        let token = current
        if token.kind == .bracketed || (token.kind == .word && !Keywords.reserved.contains(token.keyword)) {
            at += 1
            return Name(text: token.text, span: token.span)
        }
        if token.kind == .word {
            throw QueryError(
                token.span, "expected \(what), but \(token.keyword) is a keyword",
                hint: "if it is the name of something, write [\(token.text)]")
        }
        if token.kind == .text {
            throw QueryError(
                token.span, "expected \(what), but found \(token.described)",
                hint: "quotes are for text; a name stands in brackets: [\(token.text)]")
        }
        throw expected(what)
    }

    /// An error at the current token. A word near one of `words`, here or just before, is taken for a slip.
    func expected(_ what: String, words: [String] = []) -> QueryError {
        let found = current
        // Words of one or two letters are near to everything.
        if found.kind == .word, found.text.utf8.count > 2,
            let meant = Suggestion.nearest(to: found.text, in: words), meant != found.keyword
        {
            return QueryError(found.span, "expected \(what), but found \(found.described)", suggestion: meant)
        }
        // `SELECT a FORM b`: FORM was read as an alias, and the trouble shows one word later.
        if at > 0, previous.kind == .word, previous.text.utf8.count > 2,
            !Keywords.reserved.contains(previous.keyword),
            let meant = Suggestion.nearest(to: previous.text, in: words), meant != previous.keyword
        {
            return QueryError(
                previous.span, "expected \(what), but found \(previous.described)", suggestion: meant)
        }
        var hint: String?
        if found.kind == .symbol, found.text == "-", previous.kind == .word, ahead(1).kind == .word {
            hint = "a name with a - in it stands in brackets: [\(previous.text)-\(ahead(1).text)]"
        }
        if found.kind == .end, at > 0 {
            return QueryError(previous.span.after, "expected \(what), but the query ends here", hint: hint)
        }
        return QueryError(found.span, "expected \(what), but found \(found.described)", hint: hint)
    }

    func missing(_ symbol: String, _ why: String) -> QueryError {
        QueryError(previous.span.after, "a `\(symbol)` is missing here, \(why)")
    }

    func notSupported(_ span: SourceSpan, _ what: String) -> QueryError {
        QueryError(span, "\(what) is not supported yet", hint: Self.alternative(to: what.lowercased()))
    }

    /// What does most of the same.
    private static func alternative(to what: String) -> String {
        switch what {
        case "match_recognize":
            "for events that follow each other write LAG(…) OVER (… LIMIT DURATION(…) WHEN …), or JOIN the input "
                + "with itself ON DATEDIFF(…) BETWEEN … AND …"
        case "emit":
            "results are final and come once, at the end of a window; for more of them write "
                + "HoppingWindow(minute, 10, 1)"
        case "anomalydetection_spikeanddip", "anomalydetection_changepoint":
            "compare with what was before: value > AVG(value) OVER (LIMIT DURATION(…)) "
                + "+ 3 * STDEV(value) OVER (LIMIT DURATION(…))"
        case _ where what.hasPrefix("udf.") || what.hasPrefix("uda."):
            "a query calls functions of the language only: CASE, or a JOIN with reference data, does most of it"
        case "createlinestring", "createpolygon":
            "write GeoJSON: JSON_PARSE('{\"type\":\"Polygon\",\"coordinates\":[[[lon,lat],…]]}'), or keep it in "
                + "reference data"
        case "st_overlaps", "st_intersects":
            "of areas there is ST_WITHIN(point or polygon, polygon), and of points ST_DISTANCE(a, b)"
        default:
            "the language is that of Azure Stream Analytics, without pattern matching, anomaly detection and "
                + "user functions"
        }
    }

    /// An expression node, within the height that every later walk can bear.
    func node(_ kind: Expression.Kind, _ start: SourceSpan) throws(QueryError) -> Expression {
        let expression = Expression(kind, start.through(previous.span))
        guard expression.height <= limits.expressionHeightMax else {
            let isChoice = if case .binary(.or, _, _) = kind { true } else { false }
            throw QueryError(
                previous.span, "this expression has more than \(limits.expressionHeightMax) levels",
                hint: isChoice
                    ? "write a long chain of `x = 1 OR x = 2 …` as x IN (1, 2, …)"
                    : "set parentheses around parts of a long chain, (a + b + …) + (c + d + …), or compute a "
                        + "part of it in a WITH step")
        }
        return expression
    }

    /// Runs `body` one level deeper.
    mutating func nested<Result>(
        _ body: (inout QueryParser) throws(QueryError) -> Result
    ) throws(QueryError) -> Result {
        guard nesting < limits.nestingMax else {
            throw QueryError(
                current.span, "this is nested more than \(limits.nestingMax) levels deep",
                hint: "compute a part of it in a WITH step")
        }
        nesting += 1
        let result = try body(&self)
        nesting -= 1
        return result
    }
}
