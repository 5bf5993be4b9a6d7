/// Windows, aggregates and grouping keys.
extension QueryChecker {
    mutating func checkWindows(_ select: Select) {
        for case .window(let window) in select.groupBy {
            checkSize(window)
            checkParts(window)
        }
        // System.Timestamp() beside a window is a key like any other.
        let windows = select.groupBy.filter { if case .window = $0 { true } else { false } }
        if windows.count > 1 {
            report(
                windows[1].span, "GROUP BY has two windows",
                hint: "for results of several windows write Windows(Window('id', …), …)")
        }
    }

    private mutating func checkSize(_ window: WindowDefinition) {
        switch window.kind {
        case .tumbling(let size, _): checkSize(size, "window")
        case .hopping(let size, let hop, _):
            checkSize(size, "window")
            checkSize(hop, "hop")
        case .sliding(let size): checkSize(size, "window")
        case .session(let timeout, let longest, _):
            checkSize(timeout, "timeout")
            checkSize(longest, "session")
        case .snapshot: break
        case .windows(let windows):
            for identified in windows { checkSize(identified.window) }
        }
    }

    private mutating func checkSize(_ size: TimeSpan, _ what: String) {
        if size.ticks > TimeSpan.ticksMax {
            report(
                size.span, "this \(what) is longer than 7 days",
                hint: "the largest is 7 days; aggregate to days here and to longer times where the rows go")
        }
    }

    /// Windows that overlap a thousandfold ask for more work and memory than there is.
    private mutating func checkParts(_ window: WindowDefinition) {
        let windows = if case .windows(let list) = window.kind { list.map(\.window) } else { [window] }
        let most = QueryLimits().windowPartsMax
        var total: Int64 = 0
        for case .hopping(let size, let hop, _) in windows.map(\.kind)
        where hop.ticks <= size.ticks && size.ticks <= TimeSpan.ticksMax {
            var (part, rest) = (size.ticks, hop.ticks)
            while rest != 0 { (part, rest) = (rest, part % rest) }
            let parts = size.ticks / part
            total += parts
            if size.ticks / hop.ticks > most {
                let unit = hop.unit.ticks ?? 1
                let least = (size.ticks + most * unit - 1) / (most * unit)
                report(
                    hop.span, "each event would be in \(size.ticks / hop.ticks) windows: more than \(most)",
                    hint: "for a window of this size the hop is at least \(least) \(hop.unit.rawValue)"
                        + (least == 1 ? "" : "s"))
            } else if parts > most {
                report(
                    hop.span,
                    "with this hop a window is made of \(parts) parts, which the size and the hop are both "
                        + "multiples of: more than \(most)",
                    hint: "a hop that divides the size makes the fewest parts")
            } else if total > most {
                report(
                    hop.span, "the windows up to here are made of \(total) parts: more than \(most)",
                    hint: "a longer hop makes fewer parts")
            } else {
                continue
            }
            return
        }
    }

    // MARK: Aggregates

    mutating func checkAggregates(_ select: Select) {
        let inItems = Self.groupAggregates(in: select.itemExpressions)
        let inHaving = Self.groupAggregates(in: select.having.map { [$0] } ?? [])
        for call in inItems + inHaving {
            if let inner = Self.groupAggregates(in: call.arguments).first {
                report(
                    inner.nameSpan, "\(inner.function.name) stands inside \(call.function.name)",
                    hint: "compute the inner one in a WITH step")
            }
        }
        if let call = Self.groupAggregates(in: select.condition.map { [$0] } ?? []).first {
            report(
                call.nameSpan, "\(call.function.name) cannot stand in WHERE: it needs the whole group",
                hint: "put the condition into HAVING, after GROUP BY")
        }
        let before =
            select.groupBy.flatMap(\.expressions) + select.relations.flatMap(\.expressions)
            + select.inputs.flatMap(\.timeExpressions)
        if let call = Self.groupAggregates(in: before).first {
            report(
                call.nameSpan, "\(call.function.name) cannot stand here: the group is not known yet",
                hint: "compute it in a WITH step")
        }
        checkWindowPresent(select, (inItems + inHaving).first)
    }

    private mutating func checkWindowPresent(_ select: Select, _ aggregate: FunctionCall?) {
        if select.groupBy.contains(where: \.isWindow) { return }
        let keys = select.groupBy.compactMap { item in
            if case .expression(let key) = item { QueryPrinter.text(of: key) } else { nil }
        }
        let example = "GROUP BY " + (keys + ["TumblingWindow(minute, 1)"]).joined(separator: ", ")
        if let aggregate {
            report(
                aggregate.nameSpan,
                "\(aggregate.function.name) needs a window in GROUP BY: the stream never ends",
                hint: "write \(example)")
        } else if let first = select.groupBy.first {
            report(first.span, "GROUP BY needs a window: the stream never ends", hint: "write \(example)")
        }
    }

    /// The outermost aggregates over the group.
    private static func groupAggregates(in expressions: [Expression]) -> [FunctionCall] {
        var calls: [FunctionCall] = []
        for expression in expressions {
            expression.visit { part in
                guard case .call(let call) = part.kind, call.isGroupAggregate else { return true }
                calls.append(call)
                return false
            }
        }
        return calls
    }

    // MARK: Keys

    mutating func checkGrouping(_ select: Select, _ scope: SelectScope) {
        guard select.groupBy.contains(where: \.isWindow) else { return }
        let keys = select.groupBy.compactMap { item in
            if case .expression(let key) = item { key } else { nil }
        }
        let comparable = Set(keys.map { scope.comparable($0) })
        let heights = Set(keys.map(\.height))
        for source in select.inputs {
            for key in source.timestampBy?.over ?? [] where !comparable.contains(scope.comparable(key)) {
                let text = QueryPrinter.text(of: key)
                report(
                    key.span, "\(text) of TIMESTAMP BY … OVER is missing from GROUP BY",
                    hint: "each key has a time of its own: write GROUP BY \(text), …")
            }
        }
        for item in select.items {
            switch item {
            case .star(_, let span):
                report(
                    span, "`*` cannot be grouped",
                    hint: "name the columns of GROUP BY, or use Collect() for all rows")
            case .expression(let value, _): checkGrouped(value, comparable, heights, scope)
            }
        }
    }

    /// Outside aggregates only the keys have one value for the group.
    private mutating func checkGrouped(
        _ value: Expression, _ keys: Set<String>, _ heights: Set<Int>, _ scope: SelectScope
    ) {
        value.visit { part in
            // Only trees of equal height can be equal: most parts are not worth printing.
            if heights.contains(part.height), keys.contains(scope.comparable(part)) { return false }
            switch part.kind {
            case .call(let call):
                // Aggregates take any column; analytic functions are computed before the grouping.
                return call.function.kind != .aggregate && call.function.kind != .analytic
            case .column(let path):
                let names = scope.fieldPath(path)
                let isPartOfKey = names.indices.contains {
                    keys.contains(names[...$0].joined(separator: "."))
                }
                if !isPartOfKey {
                    let text = QueryPrinter.text(of: part)
                    report(
                        part.span, "\(text) is neither in GROUP BY nor inside an aggregate",
                        hint: "add it to GROUP BY, or write MAX(\(text)), or LAST over an earlier step")
                }
                return false
            default: return true
            }
        }
    }
}

extension Select {
    var itemExpressions: [Expression] {
        items.compactMap { item in
            if case .expression(let value, _) = item { value } else { nil }
        }
    }
}
