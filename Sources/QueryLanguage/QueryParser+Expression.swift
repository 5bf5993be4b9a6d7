/// Expressions, by precedence climbing.
extension QueryParser {
    /// How tightly an operator binds, loosest first. T-SQL, "Operator Precedence".
    private enum Level: Int {
        case or = 1
        case and, not, comparison, additive, multiplicative, unary
    }

    private enum Infix {
        case binary(BinaryOperator)
        case like, isIn, between, isNull
    }

    mutating func expression() throws(QueryError) -> Expression {
        try nested { (parser) throws(QueryError) in try parser.expression(atLeast: Level.or.rawValue) }
    }

    private mutating func expression(atLeast least: Int) throws(QueryError) -> Expression {
        let start = current.span
        var left: Expression
        if isKeyword("NOT"), least <= Level.not.rawValue {
            at += 1
            let operand = try nested { (parser) throws(QueryError) in
                try parser.expression(atLeast: Level.not.rawValue)
            }
            left = try node(.unary(.not, operand), start)
        } else {
            left = try unary()
        }
        var hasComparison = false
        while let (infix, level) = infix(), level >= least {
            if level == Level.comparison.rawValue {
                if hasComparison {
                    throw QueryError(
                        current.span, "comparisons do not chain",
                        hint: "write a < b AND b < c, or set parentheses")
                }
                hasComparison = true
            }
            left = try apply(infix, level: level, to: left, from: start)
        }
        return left
    }

    private func infix() -> (Infix, level: Int)? {
        switch current.kind {
        case .symbol:
            guard let symbol = BinaryOperator(rawValue: current.text) else { return nil }
            let level: Level =
                switch symbol {
                case .add, .subtract, .bitAnd, .bitOr, .bitXor: .additive
                case .multiply, .divide, .remainder: .multiplicative
                default: .comparison
                }
            return (.binary(symbol), level.rawValue)
        case .word:
            let comparison = Level.comparison.rawValue
            let word = isKeyword("NOT") ? ahead(1).keyword : current.keyword
            switch word {
            case "OR" where !isKeyword("NOT"): return (.binary(.or), Level.or.rawValue)
            case "AND" where !isKeyword("NOT"): return (.binary(.and), Level.and.rawValue)
            case "IS" where !isKeyword("NOT"): return (.isNull, comparison)
            case "LIKE": return (.like, comparison)
            case "IN": return (.isIn, comparison)
            case "BETWEEN": return (.between, comparison)
            default: return nil
            }
        default: return nil
        }
    }

    private mutating func apply(
        _ infix: Infix, level: Int, to left: Expression, from start: SourceSpan
    ) throws(QueryError) -> Expression {
        if case .binary(let symbol) = infix {
            at += 1
            let right = try expression(atLeast: level + 1)
            return try node(.binary(symbol, left, right), start)
        }
        if case .isNull = infix {
            at += 1
            let isNegated = acceptKeyword("NOT")
            guard acceptKeyword("NULL") else {
                throw expected(isNegated ? "NULL" : "NULL or NOT NULL", words: ["NULL", "NOT"])
            }
            return try node(.isNull(left, isNegated: isNegated), start)
        }
        let isNegated = acceptKeyword("NOT")
        at += 1
        switch infix {
        case .like:
            let pattern = try expression(atLeast: Level.additive.rawValue)
            if isKeyword("ESCAPE"), ahead(1).kind == .text {
                throw QueryError(
                    current.span, "LIKE has no ESCAPE here",
                    hint: "a mark stands for itself in brackets: '50[%]', '[_]', '[[]'")
            }
            return try node(.like(left, pattern: pattern, isNegated: isNegated), start)
        case .between:
            let low = try expression(atLeast: Level.additive.rawValue)
            guard acceptKeyword("AND") else { throw expected("AND and the upper bound of BETWEEN") }
            let high = try expression(atLeast: Level.additive.rawValue)
            return try node(.between(left, low: low, high: high, isNegated: isNegated), start)
        default:
            try expect("(", orElse: "`(` and the list of IN")
            if isKeyword("SELECT") { throw subquery() }
            var list: [Expression] = []
            repeat { list.append(try expression()) } while accept(",")
            try expect(")", orElse: "`,` or `)`")
            return try node(.isIn(left, list, isNegated: isNegated), start)
        }
    }

    private func subquery() -> QueryError {
        QueryError(
            current.span, "a query inside an expression is not part of the language",
            hint: "name it as a step with WITH and JOIN it")
    }

    private mutating func unary() throws(QueryError) -> Expression {
        let start = current
        guard isSymbol("-") || isSymbol("+") || isSymbol("~") else { return try postfix() }
        at += 1
        // The least bigint has no positive twin: sign and digits are one constant.
        if start.text == "-", current.kind == .number(isFloat: false), current.text == "9223372036854775808" {
            at += 1
            return try node(.literal(.bigint(.min)), start.span)
        }
        let operand = try nested { (parser) throws(QueryError) in try parser.unary() }
        let symbol: UnaryOperator = start.text == "-" ? .minus : start.text == "~" ? .complement : .plus
        return try node(.unary(symbol, operand), start.span)
    }

    private mutating func postfix() throws(QueryError) -> Expression {
        let start = current.span
        let base = try primary()
        guard isSymbol(".") || isElement() else { return base }
        switch base.kind {
        case .call, .cast, .caseOf, .binary, .unary, .column, .access:
            let path = try pathElements()
            return try node(.access(base, path), start)
        default:
            throw expected("an operator or the end of the expression")
        }
    }

    private mutating func primary() throws(QueryError) -> Expression {
        let token = current
        switch token.kind {
        case .text:
            at += 1
            return try node(.literal(.text(token.text)), token.span)
        case .number(let isFloat):
            let value = try number(token, isFloat: isFloat)
            at += 1
            return try node(.literal(value), token.span)
        case .bracketed:
            return try column()
        case .word:
            return try word(token)
        case .symbol where token.text == "(":
            at += 1
            if isKeyword("SELECT") { throw subquery() }
            let inner = try expression()
            try close(token.span, orElse: "an operator or `)`")
            return inner
        case .symbol where token.text == "*":
            throw QueryError(
                token.span, "expected an expression, but found `*`",
                hint: "`*` stands alone in the SELECT list, after `input.`, or in COUNT(*)")
        case .symbol, .end:
            throw expected("an expression")
        }
    }

    private func number(_ token: Token, isFloat: Bool) throws(QueryError) -> Literal {
        if !isFloat {
            if let value = Int64(token.text) { return .bigint(value) }
            throw QueryError(
                token.span, "this number is too large for a bigint",
                hint: "the largest is 9223372036854775807; write \(token.text).0 for a float")
        }
        let spelling = token.text.hasSuffix(".") ? token.text + "0" : token.text
        if let value = Double(spelling), value.isFinite { return .float(value) }
        throw QueryError(token.span, "this number is too large for a float")
    }

    private mutating func word(_ token: Token) throws(QueryError) -> Expression {
        switch token.keyword {
        case "NULL", "TRUE", "FALSE":
            at += 1
            let literal: Literal = token.keyword == "NULL" ? .null : .boolean(token.keyword == "TRUE")
            return try node(.literal(literal), token.span)
        case "CASE": return try caseExpression()
        case "CAST", "TRY_CAST": return try cast(isTry: token.keyword == "TRY_CAST")
        case "LEFT", "RIGHT":
            if ahead(1).kind == .symbol, ahead(1).text == "(" { return try call() }
        case "EXISTS":
            throw QueryError(
                token.span, "EXISTS is not part of the language",
                hint: "use LEFT JOIN … and test for IS NOT NULL")
        case "SELECT": throw subquery()
        case "NOT":
            throw QueryError(
                token.span, "NOT binds looser than the operator before it", hint: "set parentheses: (NOT …)")
        default: break
        }
        if Keywords.reserved.contains(token.keyword) {
            throw QueryError(
                token.span, "expected an expression, but found the keyword \(token.keyword)",
                hint: "if it is the name of something, write [\(token.text)]")
        }
        if startsCall() { return try call() }
        return try column()
    }

    // MARK: Fields

    private mutating func column() throws(QueryError) -> Expression {
        let token = current
        at += 1
        var path: [PathElement] = [.name(Name(text: token.text, span: token.span))]
        if isSymbol(".") || isElement() { path += try pathElements() }
        return try node(.column(path), token.span)
    }

    /// `[3]` right behind a value is an element; behind a space it would be an alias.
    private func isElement() -> Bool {
        current.kind == .bracketed && !current.followsSpace && Self.isDigits(current.text)
    }

    private static func isDigits(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private mutating func pathElements() throws(QueryError) -> [PathElement] {
        var path: [PathElement] = []
        while true {
            if isElement() {
                path.append(try element())
                continue
            }
            guard isSymbol(".") else { return path }
            at += 1
            if current.kind == .bracketed, Self.isDigits(current.text) {
                path.append(try element())
            } else if current.kind == .word || current.kind == .bracketed {
                // Behind a point a keyword is a field like any other.
                path.append(.name(Name(text: current.text, span: current.span)))
                at += 1
            } else if isSymbol("*") {
                throw QueryError(
                    previous.span.through(current.span), "`.*` stands only behind the name of an input",
                    hint: "in the SELECT list, as an item of its own: input.*")
            } else {
                throw expected("a field's name after `.`")
            }
            if path.count > limits.nestingMax {
                throw QueryError(previous.span, "this path has more than \(limits.nestingMax) steps")
            }
        }
    }

    private mutating func element() throws(QueryError) -> PathElement {
        guard let index = Int32(current.text) else {
            throw QueryError(current.span, "this index is too large", hint: "the first element is [0]")
        }
        at += 1
        return .index(Int(index))
    }
}
