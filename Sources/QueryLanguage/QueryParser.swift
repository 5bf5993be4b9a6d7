import Telemetry

/// Reads a query text by recursive descent: the Azure Stream Analytics language of tiers 1 and 2.
///
/// One SELECT in error does not hide the next: reading goes on at the next statement, when its start is
/// certain.
package struct QueryParser {
    let tokens: [Token]
    let limits: QueryLimits
    var at = 0
    var nesting = 0

    private init(tokens: [Token], limits: QueryLimits) {
        self.tokens = tokens
        self.limits = limits
    }

    /// Reads a text.
    /// - Parameters:
    ///   - text: one or more statements; `;` between them is optional.
    ///   - limits: what the text may cost.
    /// - Returns: the tree of all statements that could be read, and the errors in the order of the text.
    ///   With errors the tree is incomplete.
    package static func parse(
        _ text: String, limits: QueryLimits = QueryLimits()
    ) -> (document: QueryDocument, errors: [QueryError]) {
        var document = QueryDocument(tables: [], steps: [], queries: [])
        let start = SourceSpan(line: 1, column: 1, endLine: 1, endColumn: 2)
        guard text.utf8.count <= limits.textBytesMax else {
            let message = "the query is longer than \(limits.textBytesMax) bytes"
            return (document, [QueryError(start, message, hint: "split it into several queries")])
        }
        let (tokens, cut) = Lexer.tokens(of: text)
        var parser = QueryParser(tokens: tokens, limits: limits)
        let errors = parser.statements(into: &document, isCut: cut != nil)
        return (document, errors + (cut.map { [$0] } ?? []))
    }

    /// Reads names of fields, separated by commas: `deviceId`, or `plant.name, [line 2]`.
    ///
    /// - Throws: the first thing that is no name of a field, with its place in the text.
    package static func fields(of text: String) throws(QueryError) -> [[PathElement]] {
        let (tokens, cut) = Lexer.tokens(of: text)
        if let cut { throw cut }
        var parser = QueryParser(tokens: tokens, limits: QueryLimits())
        var fields: [[PathElement]] = []
        repeat {
            let field = try parser.expression()
            guard case .column(let path) = field.kind else {
                throw QueryError(
                    field.span, "this is no name of a field", hint: "write deviceId, or plant.line")
            }
            fields.append(path)
        } while parser.accept(",")
        guard parser.current.kind == .end else { throw parser.expected("`,` and another field, or the end") }
        return fields
    }

    /// - Parameter isCut: the tokens stop at a piece that is none, which is reported: what the last statement
    ///   lacks is then an echo.
    private mutating func statements(into document: inout QueryDocument, isCut: Bool) -> [QueryError] {
        var errors: [QueryError] = []
        while true {
            while accept(";") {}
            if current.kind == .end { break }
            let start = at
            do {
                try statement(into: &document)
            } catch {
                nesting = 0
                let goesOn = recover(from: start)
                if goesOn || !isCut { errors.append(error) }
                if errors.count >= limits.errorsMax || !goesOn { break }
            }
        }
        if errors.isEmpty, document.queries.isEmpty, !isCut {
            let place = tokens.last?.span ?? current.span
            errors.append(
                QueryError(place, "there is no query here", hint: "write SELECT … INTO output FROM input"))
        }
        return errors
    }

    private mutating func statement(into document: inout QueryDocument) throws(QueryError) {
        switch current.keyword {
        case "CREATE": document.tables.append(try table())
        case "WITH":
            if !document.steps.isEmpty || !document.queries.isEmpty {
                throw QueryError(
                    current.span, "WITH stands once, before the first SELECT",
                    hint: "add the step to the first WITH, after a comma; all SELECTs share it")
            }
            try steps(into: &document)
            guard isKeyword("SELECT") else { throw expected("SELECT after the steps of WITH") }
        case "SELECT":
            document.queries.append(try query(isStep: false))
            try endOfStatement()
        case "INSERT", "UPDATE", "DELETE", "MERGE", "DECLARE", "SET", "EXEC", "ALTER", "DROP":
            throw QueryError(
                current.span, "there is no \(current.keyword) in a query",
                hint: "a query is SELECT … INTO output FROM input; constants and settings stand outside")
        default:
            throw expected("SELECT, WITH or CREATE TABLE", words: Keywords.statements)
        }
    }

    /// Moves to the next statement.
    /// - Returns: false when no start is certain: an open parenthesis may hide anything.
    private mutating func recover(from start: Int) -> Bool {
        let failed = at
        at = start
        var open = 0
        while current.kind != .end {
            if current.kind == .symbol {
                if current.text == "(" { open += 1 }
                if current.text == ")" { open -= 1 }
            }
            if open < 0 { return false }
            if open == 0, at >= failed, at > start {
                if current.kind == .symbol, current.text == ";" { return true }
                let previous = tokens[at - 1].keyword
                let starts = isKeyword("SELECT") || isKeyword("CREATE")
                if starts, previous != "UNION", previous != "ALL" { return true }
            }
            at += 1
        }
        return false
    }

    /// After a query only the end, `;` or another statement may stand.
    private func endOfStatement() throws(QueryError) {
        if current.kind == .end || isSymbol(";") { return }
        if ["SELECT", "CREATE", "WITH"].contains(current.keyword) { return }
        switch current.keyword {
        case "ORDER":
            throw QueryError(
                current.span, "a stream has no ORDER BY: results come in the order of time",
                hint: "to rank the events of a window use TopOne() or CollectTop(n) OVER (ORDER BY …)")
        case "MATCH_RECOGNIZE", "EMIT":
            throw notSupported(current.span, current.text)
        case "LIMIT":
            throw QueryError(
                current.span, "a stream has no LIMIT: it does not end",
                hint: "to keep the top of a window use CollectTop(n) OVER (ORDER BY …)")
        case "WHERE", "GROUP", "HAVING", "INTO", "FROM", "JOIN":
            throw QueryError(
                current.span, "\(current.keyword) stands in the wrong place or twice",
                hint: "the order is SELECT, INTO, FROM, JOIN, WHERE, GROUP BY, HAVING, UNION")
        case "" where isSymbol(".") && (previous.kind == .word || previous.kind == .bracketed):
            throw QueryError(
                current.span, "the name of an input has one part",
                hint: "if it has a point in it, write [\(previous.text).\(ahead(1).text)]")
        default:
            throw expected("the end of the query or its next clause", words: Keywords.clauses)
        }
    }

    // MARK: CREATE TABLE and WITH

    private mutating func table() throws(QueryError) -> TableDeclaration {
        at += 1
        try expectKeyword("TABLE")
        let name = try name("the input's name")
        try expect("(")
        var columns: [ColumnDeclaration] = []
        repeat {
            let column = try self.name("a column's name")
            if columns.contains(where: { $0.name.matches(column.text) }) {
                throw QueryError(column.span, "the column \(column.text) is declared twice")
            }
            columns.append(ColumnDeclaration(name: column, type: try type()))
        } while accept(",")
        try expect(")", orElse: "`,` and the next column, or `)`")
        return TableDeclaration(name: name, columns: columns)
    }

    private mutating func steps(into document: inout QueryDocument) throws(QueryError) {
        at += 1
        repeat {
            let name = try name("the step's name")
            if document.steps.contains(where: { $0.name.matches(name.text) }) {
                throw QueryError(
                    name.span, "there are two steps with the name \(name.text)", hint: "give one another name"
                )
            }
            try expectKeyword("AS")
            try expect("(")
            guard isKeyword("SELECT") else { throw expected("SELECT") }
            let query = try query(isStep: true)
            if !isSymbol(")") {
                if current.kind == .end { throw missing(")", "to close the step \(name.text)") }
                throw expected("`)` or the step's next clause", words: Keywords.clauses)
            }
            at += 1
            document.steps.append(QueryStep(name: name, query: query))
        } while accept(",")
    }

    /// A data type.
    mutating func type() throws(QueryError) -> SQLType {
        let token = current
        guard token.kind == .word || token.kind == .bracketed else { throw expected("a data type") }
        at += 1
        let hasLength = isSymbol("(")
        if hasLength {
            at += 1
            var length = [current]
            at += current.kind == .end ? 0 : 1
            if accept(","), current.kind != .end {
                length.append(current)
                at += 1
            }
            try expect(")")
            if token.keyword == "NVARCHAR", length[0].keyword == "MAX" { return .nvarcharMax }
            let known = SQLType(rawValue: token.text.lowercased()) ?? SQLType.replacement(for: token.text)
            if let known {
                let spelling = "\(token.text)(\(length.map(\.text).joined(separator: ", ")))"
                throw QueryError(
                    token.span.through(previous.span), "there is no type \(spelling)",
                    hint: "a type has no length here, but for nvarchar(max)", suggestion: known.rawValue)
            }
        }
        if !hasLength, token.keyword != "NVARCHAR", let type = SQLType(rawValue: token.text.lowercased()) {
            return type
        }
        let meant =
            SQLType.replacement(for: token.text)?.rawValue
            ?? Suggestion.nearest(to: token.text, in: SQLType.allCases.map(\.rawValue))
        throw QueryError(
            token.span, "there is no type \(token.text)",
            hint: "the types are bigint, float, nvarchar(max), datetime, bit, record and array",
            suggestion: meant)
    }
}
