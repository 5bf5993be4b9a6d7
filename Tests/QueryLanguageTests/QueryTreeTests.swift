import Testing

@testable import QueryLanguage

@Suite struct QueryTreeTests {
    private func select(_ text: String) throws -> Select {
        let (document, errors) = QueryParser.parse(text)
        #expect(errors.map(\.summary) == [])
        return try #require(document.queries.first).first
    }

    private func expression(_ text: String) throws -> Expression {
        let items = try select("SELECT (\(text)) AS x FROM i").items
        guard case .expression(let value, _)? = items.first else { throw QueryError(.start, "no expression") }
        return value
    }

    @Test(
        "operators bind as in T-SQL",
        arguments: [
            ("a + b * c", "a + (b * c)"), ("a - b - c", "(a - b) - c"), ("a OR b AND c", "a OR (b AND c)"),
            ("NOT a = b AND c", "(NOT (a = b)) AND c"), ("-a * b", "(-a) * b"),
            ("a + 1 > b * 2", "(a + 1) > (b * 2)"), ("a LIKE b + c", "a LIKE (b + c)"),
            ("a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"),
            ("a NOT IN (1) OR b IS NULL", "(a NOT IN (1)) OR (b IS NULL)"), ("NOT NOT a", "NOT (NOT a)"),
            ("a % b / c", "(a % b) / c"), ("a = b OR NOT c < d", "(a = b) OR (NOT (c < d))"),
        ])
    func precedence(_ bare: String, _ parenthesized: String) throws {
        #expect(try expression(bare) == expression(parenthesized))
        #expect(QueryPrinter.text(of: try expression(parenthesized)) == bare)
    }

    @Test(
        "windows have their sizes in ticks of 100 ns, in both forms",
        arguments: [
            ("TumblingWindow(minute, 5)", "TumblingWindow(Duration(minute, 5))"),
            ("Tumbling(s, 10, -2)", "TumblingWindow(Duration(second, 10), Offset(second, -2))"),
            ("HoppingWindow(minute, 10, 5)", "HoppingWindow(Duration(minute, 10), Hop(minute, 5))"),
            ("Hopping(hh, 2, 1, 1)", "HoppingWindow(Duration(hour, 2), Hop(hour, 1), Offset(hour, 1))"),
            ("SlidingWindow(ms, 7)", "SlidingWindow(Duration(millisecond, 7))"),
            ("SessionWindow(mi, 2, 60)", "SessionWindow(Timeout(minute, 2), MaxDuration(minute, 60))"),
        ])
    func windows(_ short: String, _ canonical: String) throws {
        let first = try select("SELECT COUNT(*) FROM i GROUP BY \(short)").groupBy
        #expect(try first == select("SELECT COUNT(*) FROM i GROUP BY \(canonical)").groupBy)
        guard case .window(let window)? = first.first else { throw QueryError(.start, "no window") }
        #expect(QueryPrinter.text(of: window) == canonical)
    }

    @Test("a unit's ticks and fractions of it are exact")
    func ticks() throws {
        let item = try select("SELECT COUNT(*) FROM i GROUP BY HoppingWindow(Duration(mi, 1.5), Hop(mcs, 3))")
            .groupBy
        guard case .window(let window)? = item.first, case .hopping(let size, let hop, nil) = window.kind
        else {
            throw QueryError(.start, "no hopping window")
        }
        #expect(size.ticks == 900_000_000)
        #expect(hop.ticks == 30)
    }

    @Test("the clauses of a query land in the tree")
    func clauses() throws {
        let text = """
            SELECT a.*, n = COUNT(*) INTO x, y FROM first f TIMESTAMP BY t OVER k, l PARTITION BY p INTO 4
            LEFT JOIN second AS s ON f.k = s.k OUTER APPLY GetArrayElements(f.list) AS e
            WHERE c > 1 GROUP BY k, TumblingWindow(day, 1) HAVING COUNT(*) > 2 UNION ALL SELECT b FROM j
            """
        let query = try #require(QueryParser.parse(text).document.queries.first)
        #expect(query.outputs.map(\.text) == ["x", "y"])
        #expect(query.unions.map(\.isAll) == [true])
        let select = query.first
        #expect(select.from.visibleName.text == "f")
        #expect(select.from.timestampBy?.over.map { QueryPrinter.text(of: $0) } == ["k", "l"])
        #expect(select.from.partitionBy?.partitionCount == 4)
        #expect(select.inputs.map(\.visibleName.text) == ["f", "s"])
        #expect(select.relations.count == 2)
        #expect(select.condition.map { QueryPrinter.text(of: $0) } == "c > 1")
        #expect(select.groupBy.map(\.isWindow) == [false, true])
        #expect(select.having != nil)
    }

    @Test("columns and lines are exact behind letters, tabs and line breaks of all kinds")
    func positions() throws {
        let text = "SELECT 'ü🙂' AS [ß],\r\n\tAVRG(a)\r\nFROM i"
        let error = try #require(checkQuery(text: text).first)
        #expect(error.summary == "2:2+4 there is no function AVRG | did you mean AVG")
        #expect(
            error.render(source: text, name: "m.sql") == """
                m.sql:2:2: there is no function AVRG
                  |
                2 | \tAVRG(a)
                  | \t^^^^
                  did you mean AVG?

                """)
    }

    @Test("of a line that is too long to show the part around the place is shown")
    func longLine() throws {
        let sum = Array(repeating: "a", count: 450).joined(separator: " + ")
        let error = try #require(checkQuery(text: "SELECT \(sum) AS x FROM i").first)
        #expect(error.message == "this expression has more than 400 levels")
        #expect(error.hint?.hasPrefix("set parentheses around parts of a long chain") == true)
        let lines = error.render(source: "SELECT \(sum) AS x FROM i").split(separator: "\n")
        let caret = try #require(lines[3].firstIndex(of: "^"))
        let place = lines[2].index(
            lines[2].startIndex, offsetBy: lines[3].distance(from: lines[3].startIndex, to: caret))
        #expect(lines[2].hasPrefix("1 | …"))
        #expect(lines[2][..<place].hasSuffix("a + "))
        #expect(lines[2][place...].hasPrefix("a + a"))
        let choice = Array(repeating: "a = 1", count: 450).joined(separator: " OR ")
        let other = try #require(checkQuery(text: "SELECT a FROM i WHERE \(choice)").first)
        #expect(other.hint?.contains("IN (1, 2, …)") == true)
    }

    @Test("the report of an editor is a JSON array with escaped texts")
    func report() {
        let text = "SELECT a FROM 'x\"y'"
        #expect(
            QueryCheckReport(errors: checkQuery(text: text)).json == """
                [{"line":1,"column":15,"endColumn":20,"severity":"error","message":"expected the name of an input or \
                step, but found the text 'x\\"y'","hint":"quotes are for text; a name stands in brackets: [x\\"y]"}]
                """)
        #expect(QueryCheckReport(errors: []).json == "[]")
        let two = QueryCheckReport(errors: checkQuery(text: "SELECT int FROM i; SELECT AVRG(a) FROM i")).json
        #expect(two.contains("\"hint\":\"did you mean AVG?\""))
    }

    @Test("every function takes the arguments that its message shows")
    func functions() {
        for function in FunctionTable.all where function.argumentCount.upperBound < 8 {
            let shown = function.parameters.split(separator: ",").count
            #expect(shown == function.argumentCount.upperBound, "\(function.signature)")
        }
        #expect(Set(FunctionTable.all.map { $0.name.lowercased() }).count == FunctionTable.all.count)
    }
}

extension SourceSpan {
    fileprivate static let start = SourceSpan(line: 1, column: 1, endLine: 1, endColumn: 2)
}
