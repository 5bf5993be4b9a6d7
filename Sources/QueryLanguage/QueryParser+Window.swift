import Telemetry

/// Windows of GROUP BY and constant stretches of time.
extension QueryParser {
    mutating func window() throws(QueryError) -> WindowDefinition {
        let token = current
        at += 1
        try expect("(")
        let kind: WindowDefinition.Kind
        switch token.keyword {
        case "TUMBLINGWINDOW", "TUMBLING": kind = try tumbling()
        case "HOPPINGWINDOW", "HOPPING": kind = try hopping()
        case "SLIDINGWINDOW", "SLIDING":
            if let size = try part("Duration") {
                kind = .sliding(size: size)
            } else {
                kind = .sliding(size: try timeSpan(mayBeNegative: false))
            }
            try close(token, "one size: SlidingWindow(minute, 5)")
        case "SESSIONWINDOW", "SESSION": kind = try session(token)
        default:
            kind = try windows()
        }
        if isKeyword("OVER") {
            throw QueryError(
                current.span, "only a session window takes OVER",
                hint: "put the key into GROUP BY, after a comma")
        }
        return WindowDefinition(kind: kind, span: token.span)
    }

    /// `Duration(unit, n)` and its kin, or nil when another form stands here.
    private mutating func part(_ word: String, mayBeNegative: Bool = false) throws(QueryError) -> TimeSpan? {
        guard isKeyword(word.uppercased()), ahead(1).text == "(" else { return nil }
        at += 2
        let span = try timeSpan(mayBeNegative: mayBeNegative)
        try expect(")")
        return span
    }

    private mutating func close(_ window: Token, _ takes: String) throws(QueryError) {
        if isSymbol(",") {
            throw QueryError(window.span, "\(window.text) has too many arguments", hint: "it takes \(takes)")
        }
        try expect(")")
    }

    private mutating func tumbling() throws(QueryError) -> WindowDefinition.Kind {
        let window = ahead(-2)
        let takes =
            "a size and an offset: TumblingWindow(minute, 5) or "
            + "TumblingWindow(Duration(minute, 5), Offset(second, -1))"
        if let size = try part("Duration") {
            var offset: TimeSpan?
            if accept(",") {
                offset = try part("Offset", mayBeNegative: true)
                if offset == nil { throw expected("Offset(unit, number)", words: ["Offset"]) }
            }
            try close(window, takes)
            return .tumbling(size: size, offset: offset)
        }
        let size = try timeSpan(mayBeNegative: false)
        let offset = try trailing(size.unit)
        try close(window, takes)
        return .tumbling(size: size, offset: offset)
    }

    /// The further number of the short form, in the same unit.
    private mutating func trailing(_ unit: TimeUnit) throws(QueryError) -> TimeSpan? {
        guard accept(",") else { return nil }
        if let offset = try part("Offset", mayBeNegative: true) { return offset }
        return try amount(of: unit, from: current.span, mayBeNegative: true)
    }

    private mutating func hopping() throws(QueryError) -> WindowDefinition.Kind {
        let window = ahead(-2)
        let takes =
            "a size and a hop: HoppingWindow(minute, 10, 5) or "
            + "HoppingWindow(Duration(minute, 10), Hop(minute, 5))"
        if let size = try part("Duration") {
            guard accept(",") else { throw expected("`,` and Hop(unit, number)") }
            guard let hop = try part("Hop") else { throw expected("Hop(unit, number)", words: ["Hop"]) }
            var offset: TimeSpan?
            if accept(",") {
                offset = try part("Offset", mayBeNegative: true)
                if offset == nil { throw expected("Offset(unit, number)", words: ["Offset"]) }
            }
            try close(window, takes)
            return .hopping(size: size, hop: hop, offset: offset)
        }
        let size = try timeSpan(mayBeNegative: false)
        guard accept(",") else {
            throw QueryError(
                window.span, "a hopping window has a size and a hop",
                hint: "it takes \(takes); for windows that touch use TumblingWindow")
        }
        let hop = try amount(of: size.unit, from: current.span, mayBeNegative: false)
        let offset = try trailing(size.unit)
        try close(window, takes)
        return .hopping(size: size, hop: hop, offset: offset)
    }

    private mutating func session(_ window: Token) throws(QueryError) -> WindowDefinition.Kind {
        let timeout: TimeSpan
        let longest: TimeSpan
        if let first = try part("Timeout") {
            timeout = first
            guard accept(",") else { throw expected("`,` and MaxDuration(unit, number)") }
            guard let second = try part("MaxDuration") else {
                throw expected("MaxDuration(unit, number)", words: ["MaxDuration"])
            }
            longest = second
        } else {
            timeout = try timeSpan(mayBeNegative: false)
            guard accept(",") else {
                throw QueryError(
                    window.span, "a session window has a timeout and a longest duration",
                    hint: "write SessionWindow(\(timeout.unit.rawValue), timeout, maximum)")
            }
            longest = try amount(of: timeout.unit, from: current.span, mayBeNegative: false)
        }
        try close(window, "a timeout and a maximum: SessionWindow(minute, 5, 60)")
        var keys: [Expression] = []
        if acceptKeyword("OVER") {
            try expect("(")
            try expectKeyword("PARTITION")
            try expectKeyword("BY")
            repeat { keys.append(try expression()) } while accept(",")
            try expect(")", orElse: "`,` or `)`")
        }
        return .session(timeout: timeout, longest: longest, partitionBy: keys)
    }

    private mutating func windows() throws(QueryError) -> WindowDefinition.Kind {
        var list: [IdentifiedWindow] = []
        repeat {
            var id: String?
            let hasID = isKeyword("WINDOW") && ahead(1).text == "("
            if hasID {
                at += 2
                guard current.kind == .text else { throw expected("the window's id, a text such as 'Hour'") }
                let text = current.text
                if list.contains(where: { $0.id?.lowercased() == text.lowercased() }) {
                    throw QueryError(current.span, "two windows have the id '\(text)'")
                }
                id = text
                at += 1
                try expect(",")
            }
            if isKeyword("WINDOWS") {
                throw QueryError(current.span, "Windows(…) cannot stand inside Windows(…)")
            }
            let start = current.span
            if let window = try snapshot() {
                list.append(IdentifiedWindow(id: id, window: window))
            } else {
                guard FunctionTable.isWindow(current.text), ahead(1).text == "(" else {
                    throw expected("a window", words: FunctionTable.windowNames)
                }
                list.append(IdentifiedWindow(id: id, window: try window()))
            }
            if hasID { try expect(")") }
            if let first = list.first, (first.id == nil) != (id == nil) {
                throw QueryError(
                    start, "either all windows of Windows(…) have an id or none",
                    hint: "write Window('id', \(QueryPrinter.text(of: list[list.count - 1].window)))")
            }
        } while accept(",")
        try expect(")", orElse: "`,` or `)`")
        return .windows(list)
    }

    /// `System.Timestamp()` as a window, or nil.
    private mutating func snapshot() throws(QueryError) -> WindowDefinition? {
        guard isKeyword("SYSTEM"), ahead(1).text == ".", ahead(2).keyword == "TIMESTAMP" else { return nil }
        let start = current.span
        at += 3
        if accept("(") { try expect(")") }
        return WindowDefinition(kind: .snapshot, span: start.through(previous.span))
    }

    // MARK: Stretches of time

    /// A unit of time; one that can size a window if asked.
    mutating func timeUnit(isWindow: Bool) throws(QueryError) -> TimeUnit {
        let token = current
        guard token.kind == .word || token.kind == .bracketed || token.kind == .text else {
            throw expected("a unit of time: minute, second, …")
        }
        guard token.kind != .text, let unit = TimeUnit(word: token.text) else {
            let known = isWindow ? TimeUnit.windowUnits : TimeUnit.allCases.map(\.rawValue)
            let isQuoted = token.kind == .text && TimeUnit(word: token.text) != nil
            throw QueryError(
                token.span, "\(token.described) is no unit of time",
                hint: isQuoted
                    ? "write the unit without quotes" : "the units are " + known.joined(separator: ", "),
                suggestion: isQuoted ? token.text : Suggestion.nearest(to: token.text, in: known))
        }
        if isWindow, unit.ticks == nil {
            let isMonth = token.keyword == "M" || token.keyword == "MM"
            throw QueryError(
                token.span, "a window cannot be measured in `\(token.text)`",
                hint: "the units are " + TimeUnit.windowUnits.joined(separator: ", "),
                suggestion: isMonth ? "minute" : nil)
        }
        at += 1
        return unit
    }

    /// `unit, number`.
    mutating func timeSpan(mayBeNegative: Bool) throws(QueryError) -> TimeSpan {
        let start = current.span
        let unit = try timeUnit(isWindow: true)
        try expect(",", orElse: "`,` and a number of \(unit.rawValue)s")
        return try amount(of: unit, from: start, mayBeNegative: mayBeNegative)
    }

    private mutating func amount(
        of unit: TimeUnit, from start: SourceSpan, mayBeNegative: Bool
    ) throws(QueryError) -> TimeSpan {
        let first = current
        let isNegative = isSymbol("-")
        if isNegative { at += 1 }
        guard case .number(let isFloat) = current.kind else {
            throw QueryError(
                first.span, "expected a constant number of \(unit.rawValue)s, but found \(first.described)",
                hint: "the size of a window is fixed when the query starts")
        }
        let digits = current.text
        at += 1
        let span = first.span.through(previous.span)
        guard let magnitude = Double(digits.hasSuffix(".") ? digits + "0" : digits), let ticks = unit.ticks,
            magnitude * Double(ticks) < 9e18
        else { throw QueryError(span, "this stretch of time is too long") }
        let sign: Int64 = isNegative ? -1 : 1
        let whole = Int64(digits).map { $0 * ticks } ?? Int64((magnitude * Double(ticks)).rounded())
        if !mayBeNegative, isNegative || whole <= 0 {
            throw QueryError(span, "this must be more than 0")
        }
        let amount: Literal =
            isFloat ? .float(Double(sign) * magnitude) : .bigint(sign * (Int64(digits) ?? 0))
        return TimeSpan(unit: unit, amount: amount, ticks: sign * whole, span: start.through(previous.span))
    }
}
