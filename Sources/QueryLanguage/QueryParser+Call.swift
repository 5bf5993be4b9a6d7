/// CASE, CAST, function calls and OVER.
extension QueryParser {
    mutating func caseExpression() throws(QueryError) -> Expression {
        let start = current.span
        at += 1
        let operand = isKeyword("WHEN") ? nil : try expression()
        var branches: [CaseBranch] = []
        while acceptKeyword("WHEN") {
            let condition = try expression()
            guard acceptKeyword("THEN") else { throw expected("THEN", words: ["THEN"]) }
            branches.append(CaseBranch(condition: condition, result: try expression()))
        }
        if branches.isEmpty { throw expected("WHEN", words: ["WHEN"]) }
        let otherwise = acceptKeyword("ELSE") ? try expression() : nil
        guard acceptKeyword("END") else {
            throw expected(
                otherwise == nil ? "WHEN, ELSE or END" : "END of the CASE", words: ["END", "ELSE"])
        }
        return try node(.caseOf(operand: operand, branches, otherwise: otherwise), start)
    }

    mutating func cast(isTry: Bool) throws(QueryError) -> Expression {
        let start = current.span
        at += 1
        try expect("(")
        let value = try expression()
        guard acceptKeyword("AS") else { throw expected("AS and a data type", words: ["AS"]) }
        let type = try type()
        try expect(")")
        return try node(.cast(value, type, isTry: isTry), start)
    }

    /// A word with `(`, a dotted name with `(`, or the bare `System.Timestamp`.
    func startsCall() -> Bool {
        if ahead(1).kind == .symbol, ahead(1).text == "(" { return true }
        guard ahead(1).kind == .symbol, ahead(1).text == ".",
            ahead(2).kind == .word || ahead(2).kind == .bracketed
        else { return false }
        if current.keyword == "SYSTEM", ["TIMESTAMP", "WINDOW"].contains(ahead(2).keyword) { return true }
        let isPrefix = ["UDF", "UDA", "SYSTEM"].contains(current.keyword)
        return isPrefix && ahead(3).kind == .symbol && ahead(3).text == "("
    }

    mutating func call() throws(QueryError) -> Expression {
        let start = current.span
        var name = current.text
        at += 1
        if accept(".") {
            name += "." + current.text
            at += 1
        }
        let nameSpan = start.through(previous.span)
        let function = try function(name, nameSpan)
        var call = FunctionCall(
            function: function, nameSpan: nameSpan, isDistinct: false, arguments: [], over: nil)
        // System.Timestamp stands with and without parentheses.
        if function.kind != .system || isSymbol("(") {
            try expect("(")
            let open = previous.span
            try arguments(of: &call)
            try close(open, orElse: "`,` or `)`")
        }
        try checkCount(of: call)
        if isKeyword("OVER") {
            guard function.kind == .aggregate || function.kind == .analytic else {
                throw QueryError(
                    current.span, "\(function.name) takes no OVER",
                    hint: "OVER belongs to LAG, LAST, ISFIRST and the aggregates")
            }
            call.over = try over()
        }
        try checkOver(of: call)
        return try node(.call(call), start)
    }

    private func function(_ name: String, _ span: SourceSpan) throws(QueryError) -> KnownFunction {
        if let function = FunctionTable.find(name) { return function }
        if FunctionTable.isPlanned(name) { throw notSupported(span, name) }
        if FunctionTable.isWindow(name) {
            throw QueryError(
                span, "a window stands in GROUP BY only", hint: "GROUP BY key, \(name)(minute, 5)")
        }
        throw QueryError(
            span, "there is no function \(name)", suggestion: FunctionTable.suggestion(for: name))
    }

    private mutating func arguments(of call: inout FunctionCall) throws(QueryError) {
        if isSymbol(")") { return }
        if isKeyword("DISTINCT") {
            guard call.function.takesDistinct else {
                throw QueryError(
                    current.span, "\(call.function.name) takes no DISTINCT", hint: "only COUNT does")
            }
            at += 1
            call.isDistinct = true
        }
        repeat {
            if call.arguments.isEmpty, call.function.takesUnit {
                call.arguments.append(try unitArgument(of: call.function))
            } else if call.arguments.isEmpty, isSymbol("*"), call.function.takesStar, !call.isDistinct {
                at += 1
                call.arguments.append(try node(.star, previous.span))
            } else {
                call.arguments.append(try expression())
            }
        } while accept(",")
    }

    private mutating func unitArgument(of function: KnownFunction) throws(QueryError) -> Expression {
        let token = current
        let unit = try timeUnit(isWindow: function.name == "ISFIRST")
        return try node(.unit(unit), token.span)
    }

    private func checkCount(of call: FunctionCall) throws(QueryError) {
        let function = call.function
        let count = call.arguments.count
        if function.argumentCount.contains(count) { return }
        let least = function.argumentCount.lowerBound
        let most = function.argumentCount.upperBound
        let wanted: String
        if least == most {
            wanted = least == 0 ? "no arguments" : "\(least) argument\(least == 1 ? "" : "s")"
        } else {
            let one = "at least 1 argument"
            wanted =
                most < Int.max
                ? "\(least) to \(most) arguments" : least == 1 ? one : "at least \(least) arguments"
        }
        throw QueryError(
            call.nameSpan, "\(function.name) takes \(wanted), not \(count)",
            hint: "write \(function.signature)")
    }

    private func checkOver(of call: FunctionCall) throws(QueryError) {
        let name = call.function.name
        if call.function.needsOrder, call.over?.orderBy.isEmpty != false {
            throw QueryError(
                call.nameSpan, "\(name) needs an order",
                hint: "write \(call.function.signature) OVER (ORDER BY column DESC)")
        }
        if call.function.needsLimit, call.over?.limit == nil {
            throw QueryError(
                call.nameSpan, "\(name) needs to know how far to look back",
                hint: "write \(name)(…) OVER (PARTITION BY key LIMIT DURATION(minute, 10))")
        }
        guard let over = call.over, call.function.kind == .aggregate, !call.function.needsOrder else {
            return
        }
        if over.limit == nil {
            throw QueryError(
                over.span, "\(name) OVER needs to know how far to look back",
                hint: "add LIMIT DURATION(minute, 10); for one value a window use GROUP BY instead of OVER")
        }
    }

    // MARK: OVER

    private mutating func over() throws(QueryError) -> OverClause {
        let start = current.span
        at += 1
        try expect("(")
        var clause = OverClause(partitionBy: [], orderBy: [], limit: nil, when: nil, span: start)
        if acceptKeyword("PARTITION") {
            try expectKeyword("BY")
            repeat { clause.partitionBy.append(try expression()) } while accept(",")
        }
        if acceptKeyword("ORDER") {
            try expectKeyword("BY")
            repeat {
                let key = try expression()
                var isDescending = false
                if isKeyword("ASC") || isKeyword("DESC") {
                    isDescending = isKeyword("DESC")
                    at += 1
                }
                clause.orderBy.append(OrderKey(expression: key, isDescending: isDescending))
            } while accept(",")
        }
        if acceptKeyword("LIMIT") {
            try expectKeyword("DURATION")
            try expect("(")
            clause.limit = try timeSpan(mayBeNegative: false)
            try expect(")")
        }
        if isKeyword("ROWS") || isKeyword("RANGE") {
            throw QueryError(
                current.span, "OVER has no \(current.keyword)",
                hint: "how far to look back is a time: LIMIT DURATION(minute, 10)")
        }
        if acceptKeyword("WHEN") { clause.when = try expression() }
        try expect(")", orElse: "PARTITION BY, ORDER BY, LIMIT DURATION, WHEN or `)`")
        return clause
    }
}
