/// SELECT, its list, its sources and clauses.
extension QueryParser {
    /// SELECTs joined by UNION.
    mutating func query(isStep: Bool) throws(QueryError) -> Query {
        var outputs: [Name] = []
        let first = try select(outputs: &outputs, isStep: isStep, isFirst: true)
        var query = Query(outputs: [], first: first, unions: [])
        while isKeyword("UNION") {
            at += 1
            let isAll = acceptKeyword("ALL")
            let next: Select
            if isKeyword("SELECT") {
                next = try select(outputs: &outputs, isStep: isStep, isFirst: false)
            } else if case .star(let path, _)? = first.items.first, path.isEmpty, isName(current) {
                // `SELECT * FROM a UNION b` has the rows of b too.
                next = Select(
                    items: first.items, from: try inputSource(), relations: [], condition: nil, groupBy: [],
                    having: nil, span: previous.span)
            } else {
                throw expected("SELECT after UNION")
            }
            query.unions.append(UnionTerm(isAll: isAll, select: next))
        }
        if isKeyword("EXCEPT") || isKeyword("INTERSECT") {
            throw QueryError(
                current.span, "streams have no \(current.keyword)",
                hint:
                    "LEFT JOIN … ON … DATEDIFF(…) BETWEEN … AND … WHERE other.key IS NULL finds what is missing"
            )
        }
        query.outputs = outputs
        return query
    }

    private mutating func select(
        outputs: inout [Name], isStep: Bool, isFirst: Bool
    ) throws(QueryError) -> Select {
        let span = current.span
        at += 1
        if isKeyword("DISTINCT") {
            throw QueryError(
                current.span, "a stream has no SELECT DISTINCT",
                hint: "group by the columns and a window: each group comes once")
        }
        if isKeyword("TOP"), case .number = ahead(1).kind {
            throw QueryError(
                current.span, "a stream has no SELECT TOP",
                hint: "use CollectTop(\(ahead(1).text)) OVER (ORDER BY …) and a window in GROUP BY")
        }
        let items = try selectList()
        if isKeyword("INTO") {
            if isStep {
                throw QueryError(
                    current.span, "a step of WITH has no INTO",
                    hint: "write SELECT … INTO output FROM step after the WITH")
            }
            if !isFirst {
                throw QueryError(
                    current.span, "INTO stands in the first SELECT of a UNION",
                    hint: "all rows of a UNION go to the same output")
            }
            at += 1
            repeat { outputs.append(try name("the output's name")) } while accept(",")
        }
        guard isKeyword("FROM") else {
            throw expected(outputs.isEmpty ? "`,`, INTO or FROM" : "FROM", words: ["FROM", "INTO", "AS"])
        }
        at += 1
        var select = Select(
            items: items, from: try inputSource(), relations: [], condition: nil, groupBy: [], having: nil,
            span: span)
        select.relations = try relations()
        if acceptKeyword("WHERE") { select.condition = try expression() }
        if acceptKeyword("GROUP") {
            try expectKeyword("BY")
            repeat { select.groupBy.append(try groupItem()) } while accept(",")
        }
        if acceptKeyword("HAVING") { select.having = try expression() }
        return select
    }

    private mutating func selectList() throws(QueryError) -> [SelectItem] {
        var items: [SelectItem] = []
        repeat {
            if items.isEmpty == false, isKeyword("FROM") || isKeyword("INTO") {
                throw QueryError(
                    previous.span, "the SELECT list ends with a comma", hint: "take the comma away")
            }
            items.append(try selectItem())
        } while accept(",")
        return items
    }

    private mutating func selectItem() throws(QueryError) -> SelectItem {
        let start = current
        if accept("*") { return .star(of: [], start.span) }
        if isName(start), ahead(1).kind == .symbol {
            if let path = starPath() { return .star(of: path, start.span.through(previous.span)) }
            if ahead(1).text == "=" {
                at += 2
                return .expression(try expression(), alias: Name(text: start.text, span: start.span))
            }
        }
        if isKeyword("FROM") {
            throw QueryError(current.span, "nothing is selected", hint: "write SELECT * or name some columns")
        }
        let value = try expression()
        if acceptKeyword("AS") {
            // `AS 'name'` is a name too, as T-SQL has it.
            if current.kind == .text, !current.text.isEmpty {
                at += 1
                return .expression(value, alias: Name(text: previous.text, span: previous.span))
            }
            return .expression(value, alias: try name("a name after AS"))
        }
        guard isName(current) else { return .expression(value, alias: nil) }
        return .expression(value, alias: try name("a name"))
    }

    /// The names before `.*`, when that is what stands here.
    private mutating func starPath() -> [Name]? {
        var path: [Name] = []
        var count = 0
        while ahead(count).kind == .word || ahead(count).kind == .bracketed {
            path.append(Name(text: ahead(count).text, span: ahead(count).span))
            guard ahead(count + 1).kind == .symbol, ahead(count + 1).text == ".",
                path.count <= limits.nestingMax
            else { return nil }
            count += 2
        }
        guard ahead(count).kind == .symbol, ahead(count).text == "*" else { return nil }
        at += count + 1
        return path
    }

    private func isName(_ token: Token) -> Bool {
        token.kind == .bracketed || (token.kind == .word && !Keywords.reserved.contains(token.keyword))
    }

    // MARK: FROM

    private mutating func inputSource() throws(QueryError) -> InputSource {
        if isSymbol("(") {
            throw QueryError(
                current.span, "a source in parentheses is not part of the language",
                hint: "name it as a step: WITH step AS (SELECT …) SELECT … FROM step")
        }
        var source = InputSource(name: try name("the name of an input or step"))
        source.alias = try sourceAlias()
        // The two stand in either order.
        for _ in 0..<2 {
            if isKeyword("TIMESTAMP"), source.timestampBy == nil { source.timestampBy = try timestampBy() }
            if isKeyword("PARTITION"), source.partitionBy == nil { source.partitionBy = try partitionBy() }
        }
        if source.alias == nil { source.alias = try sourceAlias() }
        if isKeyword("MATCH_RECOGNIZE") { throw notSupported(current.span, "MATCH_RECOGNIZE") }
        if isSymbol(",") {
            throw QueryError(
                current.span, "FROM takes one source", hint: "write JOIN other ON DATEDIFF(…) BETWEEN … AND …"
            )
        }
        return source
    }

    private mutating func timestampBy() throws(QueryError) -> TimestampBy {
        at += 1
        try expectKeyword("BY")
        var time = TimestampBy(time: try expression(), over: [])
        if acceptKeyword("OVER") {
            repeat { time.over.append(try expression()) } while accept(",")
        }
        return time
    }

    private mutating func partitionBy() throws(QueryError) -> PartitionBy {
        at += 1
        try expectKeyword("BY")
        var partition = PartitionBy(keys: [])
        repeat { partition.keys.append(try expression()) } while accept(",")
        if acceptKeyword("INTO") { partition.partitionCount = try positiveInteger("a number of partitions") }
        return partition
    }

    private mutating func sourceAlias() throws(QueryError) -> Name? {
        if acceptKeyword("AS") { return try name("a name after AS") }
        guard isName(current) else { return nil }
        switch current.keyword {
        case "TIMESTAMP" where ahead(1).keyword == "BY": return nil
        case "PARTITION" where ahead(1).keyword == "BY": return nil
        case "TIMESTAMP" where isName(ahead(1)) && ahead(1).keyword != "PARTITION":
            throw QueryError(
                ahead(1).span, "expected BY after TIMESTAMP, but found \(ahead(1).described)",
                hint: "write TIMESTAMP BY \(ahead(1).text)")
        case "APPLY" where isName(ahead(1)) && ahead(2).text == "(":
            throw QueryError(
                current.span, "APPLY needs CROSS or OUTER before it",
                hint: "CROSS APPLY leaves out rows without elements, OUTER APPLY keeps them with NULL")
        case "MATCH_RECOGNIZE" where ahead(1).text == "(": return nil
        case "LIMIT" where ahead(1).kind == .number(isFloat: false): return nil
        case "EMIT" where ahead(1).kind == .word: return nil
        case "EXCEPT" where ahead(1).keyword == "SELECT": return nil
        case "INTERSECT" where ahead(1).keyword == "SELECT": return nil
        default: return try name("a name")
        }
    }

    private mutating func positiveInteger(_ what: String) throws(QueryError) -> Int {
        guard current.kind == .number(isFloat: false), let value = Int(current.text), value > 0 else {
            throw expected(what)
        }
        at += 1
        return value
    }

    private mutating func relations() throws(QueryError) -> [Relation] {
        var relations: [Relation] = []
        while let relation = try relation() { relations.append(relation) }
        return relations
    }

    private mutating func relation() throws(QueryError) -> Relation? {
        let start = current
        switch start.keyword {
        case "CROSS", "OUTER":
            at += 1
            if start.keyword == "CROSS", isKeyword("JOIN") {
                let span = current.span
                at += 1
                return .join(Join(kind: .cross, input: try inputSource(), condition: nil, span: span))
            }
            guard isKeyword("APPLY") else {
                throw expected(
                    start.keyword == "CROSS" ? "APPLY or JOIN" : "APPLY", words: ["APPLY", "JOIN"])
            }
            at += 1
            return .apply(try apply(isOuter: start.keyword == "OUTER"))
        case "LEFT", "INNER", "JOIN":
            if start.keyword != "JOIN" { at += 1 }
            if start.keyword == "LEFT" { _ = acceptKeyword("OUTER") }
            let span = current.span
            try expectKeyword("JOIN")
            let input = try inputSource()
            guard acceptKeyword("ON") else { throw expected("ON and the join's condition", words: ["ON"]) }
            let kind = start.keyword == "LEFT" ? Join.Kind.left : .inner
            return .join(Join(kind: kind, input: input, condition: try expression(), span: span))
        case "RIGHT", "FULL":
            throw QueryError(
                start.span, "there is no \(start.keyword) JOIN on streams",
                hint: start.keyword == "RIGHT" ? "swap the inputs and use LEFT JOIN" : "use LEFT JOIN or JOIN"
            )
        default:
            return nil
        }
    }

    private mutating func apply(isOuter: Bool) throws(QueryError) -> Apply {
        let start = current
        let value = try expression()
        guard case .call(let call) = value.kind, call.function.kind == .tableValued else {
            throw QueryError(
                start.span.through(previous.span), "APPLY takes a function that returns rows",
                hint: "use GetArrayElements(array) or GetRecordProperties(record)")
        }
        _ = acceptKeyword("AS")
        return Apply(
            isOuter: isOuter, call: call, alias: try name("a name for the rows of \(call.function.name)"))
    }

    // MARK: GROUP BY

    private mutating func groupItem() throws(QueryError) -> GroupItem {
        if current.kind == .word, ahead(1).kind == .symbol, ahead(1).text == "(",
            FunctionTable.isWindow(current.text)
        {
            return .window(try window())
        }
        let value = try expression()
        if case .call(let call) = value.kind, call.function.name == "System.Timestamp" {
            return .snapshot(value.span)
        }
        return .expression(value)
    }
}
