/// Cuts a query text into tokens. Comments (`-- …`, `/* … */`) and white space only separate.
struct Lexer {
    private let scalars: [Unicode.Scalar]
    private var at = 0
    private var line = 1
    private var column = 1
    private(set) var tokens: [Token] = []

    private init(_ text: String) { scalars = Array(text.unicodeScalars) }

    /// - Returns: the tokens, the last of kind `.end`; and the first piece that is no token (an open quote, a
    ///   stray character, a number out of shape), where the tokens then stop.
    static func tokens(of text: String) -> (tokens: [Token], error: QueryError?) {
        var lexer = Lexer(text)
        do {
            while try lexer.next() {}
            return (lexer.tokens, nil)
        } catch {
            let end = Token(kind: .end, text: "", keyword: "", span: lexer.here(), followsSpace: true)
            return (lexer.tokens + [end], error)
        }
    }

    static func isNameStart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "_", "@", "#": true
        default: scalar.value >= 0x80 && !isSpace(scalar) && !isTypographicQuote(scalar)
        }
    }

    static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        isNameStart(scalar) || isDigit(scalar) || scalar == "$"
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\n", "\r", "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}", "\u{2028}", "\u{2029}": true
        default: false
        }
    }

    private static func isTypographicQuote(_ scalar: Unicode.Scalar) -> Bool {
        (0x2018...0x201F).contains(scalar.value)
    }

    private func peek(_ ahead: Int = 0) -> Unicode.Scalar? {
        at + ahead < scalars.count ? scalars[at + ahead] : nil
    }

    private mutating func advance(_ count: Int = 1) {
        for _ in 0..<count where at < scalars.count {
            if scalars[at] == "\n" {
                line += 1
                column = 1
            } else {
                column += 1
            }
            at += 1
        }
    }

    /// The place of the next `length` scalars, all on one line.
    private func here(_ length: Int = 1) -> SourceSpan {
        SourceSpan(line: line, column: column, endLine: line, endColumn: column + length)
    }

    private mutating func next() throws(QueryError) -> Bool {
        let before = at
        try skipSpace()
        let start = here(0)
        let from = at
        func emit(_ lexer: inout Lexer, _ kind: Token.Kind, _ text: String, keyword: String = "") {
            let span = SourceSpan(
                line: start.line, column: start.column, endLine: lexer.line, endColumn: lexer.column)
            lexer.tokens.append(
                Token(kind: kind, text: text, keyword: keyword, span: span, followsSpace: from > before))
        }
        guard let scalar = peek() else {
            emit(&self, .end, "")
            return false
        }
        switch scalar {
        case "'":
            emit(&self, .text, try quoted(open: "'", close: "'", what: "text"))
        case "N" where peek(1) == "'", "n" where peek(1) == "'":
            advance()
            emit(&self, .text, try quoted(open: "'", close: "'", what: "text"))
        case "[":
            let name = try quoted(open: "[", close: "]", what: "name")
            if name.isEmpty { throw QueryError(start, "a name in brackets is empty", hint: "write [name]") }
            emit(&self, .bracketed, name)
        case "\"":
            // Double quotes are for names, as brackets are; for those with brackets in them above all.
            let name = try quoted(open: "\"", close: "\"", what: "name")
            if name.isEmpty {
                throw QueryError(start, "a name in quotes is empty", hint: "write 'text' for text")
            }
            emit(&self, .bracketed, name)
        case "0"..."9":
            let isFloat = try number()
            emit(&self, .number(isFloat: isFloat), spelling(from))
        case "." where peek(1).map(Self.isDigit) == true && !isAfterName(from, before):
            let isFloat = try number()
            emit(&self, .number(isFloat: isFloat), spelling(from))
        case _ where Self.isNameStart(scalar):
            while let part = peek(), Self.isNamePart(part) { advance() }
            let word = spelling(from)
            emit(&self, .word, word, keyword: word.uppercased())
        default:
            let symbol = try self.symbol(scalar)
            advance(symbol.unicodeScalars.count)
            let plain = ["!=": "<>", "!<": ">=", "!>": "<="][symbol] ?? symbol
            emit(&self, .symbol, plain)
        }
        return true
    }

    /// `a.5` is a path out of shape, `.5` a number.
    private func isAfterName(_ from: Int, _ before: Int) -> Bool {
        guard from == before, let last = tokens.last else { return false }
        return last.kind == .word || last.kind == .bracketed || last.text == ")"
    }

    private func spelling(_ from: Int) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[from..<at])
        return String(text)
    }

    private mutating func skipSpace() throws(QueryError) {
        while let scalar = peek() {
            if Self.isSpace(scalar) {
                advance()
            } else if scalar == "-", peek(1) == "-" {
                while let other = peek(), other != "\n" { _ = other; advance() }
            } else if scalar == "/", peek(1) == "*" {
                let start = here(2)
                advance(2)
                while !(peek() == "*" && peek(1) == "/") {
                    guard peek() != nil else {
                        throw QueryError(start, "this comment is never closed", hint: "end it with */")
                    }
                    advance()
                }
                advance(2)
            } else {
                return
            }
        }
    }

    /// Reads up to the closing mark; the mark doubled stands for itself.
    private mutating func quoted(
        open: Unicode.Scalar, close: Unicode.Scalar, what: String
    ) throws(QueryError) -> String {
        let start = here()
        var text = String.UnicodeScalarView()
        advance()
        while let scalar = peek() {
            if scalar == close {
                advance()
                guard peek() == close else { return String(text) }
            } else if scalar == "\n", close != "'" {
                break
            }
            text.append(scalar)
            advance()
        }
        throw QueryError(
            start, "this \(what) is never closed",
            hint: close == "'"
                ? "end it with '; a quote inside the text is written twice: 'it''s'"
                : "end it with \(close) on the same line")
    }

    private mutating func number() throws(QueryError) -> Bool {
        let start = here(0)
        var isFloat = false
        while let digit = peek(), Self.isDigit(digit) { _ = digit; advance() }
        if peek() == "." {
            isFloat = true
            advance()
            while let digit = peek(), Self.isDigit(digit) { _ = digit; advance() }
        }
        if peek() == "e" || peek() == "E" {
            let sign = peek(1) == "+" || peek(1) == "-" ? 1 : 0
            if let digit = peek(1 + sign), Self.isDigit(digit) {
                isFloat = true
                advance(1 + sign)
                while let digit = peek(), Self.isDigit(digit) { _ = digit; advance() }
            }
        }
        guard let wrong = peek(), Self.isNamePart(wrong) else { return isFloat }
        while let part = peek(), Self.isNamePart(part) { _ = part; advance() }
        throw QueryError(
            start.through(here(0)), "this is neither a number nor a name",
            hint: "a name that begins with a digit stands in brackets: [1st]")
    }

    private func symbol(_ scalar: Unicode.Scalar) throws(QueryError) -> String {
        if let second = peek(1) {
            let pair = "\(scalar)\(second)"
            if ["<>", "<=", ">=", "!="].contains(pair) { return pair }
            if pair == "!<" || pair == "!>" { return pair }
            let meant = ["==": "=", "&&": "AND", "||": "OR"][pair]
            if let meant {
                throw QueryError(here(2), "there is no operator `\(pair)`", suggestion: meant)
            }
        }
        if ["(", ")", ",", ".", ";", "+", "-", "*", "/", "%", "=", "<", ">", "&", "|", "^", "~"].contains(
            scalar)
        {
            return String(scalar)
        }
        if scalar == "`" || Self.isTypographicQuote(scalar) {
            throw QueryError(
                here(), "`\(scalar)` does not quote anything here",
                hint: "write 'text' for text and [name] for a name")
        }
        if scalar == "]" {
            throw QueryError(here(), "this ] closes no bracket", hint: "names are quoted as [name]")
        }
        let meant = scalar == "!" ? "NOT" : nil
        throw QueryError(here(), "`\(scalar)` has no meaning in a query", suggestion: meant)
    }
}
