import QueryLanguage

/// One SELECT over one table in the engine's SQL.
struct ExportShape {
    let engine: ExportEngine
    let table: String
    let translator: ExportTranslator

    private var at: String { engine.quoted(ExportPieces.time) }

    /// The event's own time, from the moved attribute.
    private var eventTime: String {
        engine == .spark ? "(\(at) + INTERVAL 1 MICROSECOND)" : "(\(at) + \(engine.interval(10_000)))"
    }

    func write(
        _ select: Select, isStep: Bool
    ) throws(QueryError) -> (query: String, columns: [(name: String, type: SQLType)]) {
        let window = try window(select)
        var rows = translator
        rows.time = eventTime
        var results = translator
        results.isGrouped = window != nil
        results.time = window == nil ? eventTime : engine == .spark ? "window.end" : "window_end"
        var columns: [(name: String, type: SQLType)] = []
        var list: [String] = []
        for item in select.items {
            for (value, name, span) in try self.columns(item, results) {
                guard !columns.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
                    throw translator.refused(
                        span, "two columns called \(name)", "give one another name with AS")
                }
                columns.append((name, value.type))
                list.append("\(value.text) AS \(engine.quoted(name))")
            }
        }
        if isStep { list.append(at) }
        var text = "SELECT " + list.joined(separator: ",\n  ")
        text += "\nFROM " + (engine == .flink ? window ?? engine.quoted(table) : engine.quoted(table))
        if let condition = select.condition { text += "\nWHERE \(try self.condition(condition, rows))" }
        if let window {
            var keys = engine == .flink ? ["window_start", "window_end"] : [window]
            for case .expression(let key) in select.groupBy { keys.append(try rows.translate(key).text) }
            text += "\nGROUP BY " + keys.joined(separator: ", ")
        }
        if let having = select.having {
            results.aliases = aliases(of: select)
            let isFirst = window == nil && select.condition == nil
            text += (window != nil ? "\nHAVING " : isFirst ? "\nWHERE " : "\n  AND ")
            text += try condition(having, results)
        }
        return (text, columns)
    }

    private func condition(
        _ expression: Expression, _ translator: ExportTranslator
    ) throws(QueryError) -> String {
        let value = try translator.translate(expression)
        guard value.type == .bit else {
            throw translator.refused(expression.span, "a condition of type \(value.type.rawValue)")
        }
        return value.text
    }

    /// HAVING sees the names of the list, but for those that are keys.
    private func aliases(of select: Select) -> [String: Expression] {
        var aliases: [String: Expression] = [:]
        for case .expression(let value, let alias?) in select.items {
            let isKey = select.groupBy.contains { item in
                guard case .expression(let key) = item, case .column(let path) = key.kind,
                    case .name(let last)? = path.last
                else { return false }
                return last.matches(alias.text)
            }
            if !isKey { aliases[alias.text.lowercased()] = value }
        }
        return aliases
    }

    private func columns(
        _ item: SelectItem, _ translator: ExportTranslator
    ) throws(QueryError) -> [(ExportedExpression, String, SourceSpan)] {
        switch item {
        case .star(let path, let span):
            guard path.isEmpty || path.count == 1 && path[0].matches(translator.source.text) else {
                throw translator.refused(span, "the fields of a record", "declare plain columns")
            }
            if let nested = translator.columns.first(where: { engine.name(of: $0.type) == nil }) {
                throw translator.refused(
                    span, "`*` with \(nested.name.text), which is a \(nested.type.rawValue)",
                    "name the columns")
            }
            var all: [(ExportedExpression, String, SourceSpan)] = []
            for column in translator.columns {
                all.append((try translator.column([.name(column.name)], span), column.name.text, span))
            }
            return all
        case .expression(let value, let alias):
            let made = try translator.translate(value)
            if let alias { return [(made, alias.text, alias.span)] }
            guard case .column(let path) = value.kind, case .name(let last)? = path.last else {
                throw translator.refused(value.span, "a column without a name", "add AS name")
            }
            return [(made, last.text, value.span)]
        }
    }

    // MARK: Windows

    /// What stands in GROUP BY for Spark, in FROM for Flink; nil without a window.
    private func window(_ select: Select) throws(QueryError) -> String? {
        for item in select.groupBy {
            switch item {
            case .expression: continue
            case .snapshot(let span): throw translator.refused(span, "a window of equal times")
            case .window(let window):
                switch window.kind {
                case .tumbling(let size, let offset): return try call(size, size, offset, select)
                case .hopping(let size, let hop, let offset): return try call(size, hop, offset, select)
                case .sliding:
                    throw translator.refused(
                        window.span, "a sliding window", "it has windows at fixed times only: HoppingWindow")
                case .session:
                    throw translator.refused(
                        window.span, "a session window: its sessions have no longest duration")
                case .snapshot, .windows: throw translator.refused(window.span, "several windows at once")
                }
            }
        }
        return nil
    }

    private func call(
        _ size: TimeSpan, _ hop: TimeSpan, _ offset: TimeSpan?, _ select: Select
    ) throws(QueryError) -> String {
        for span in [size, hop] + (offset.map { [$0] } ?? []) where span.ticks % engine.tickResolution != 0 {
            throw translator.refused(
                span.span,
                "this size: its times have \(engine == .spark ? "microseconds" : "milliseconds")")
        }
        if size.ticks % hop.ticks != 0, engine == .flink {
            throw translator.refused(hop.span, "a hop that does not divide the size")
        }
        // Both engines count offsets forward from the epoch.
        let rest = (offset?.ticks ?? 0) % hop.ticks
        let from = rest < 0 ? rest + hop.ticks : rest
        let start =
            from == 0 ? "" : ", " + (engine == .spark ? "'\(engine.interval(from))'" : engine.interval(from))
        if engine == .spark {
            return "window(\(at), '\(engine.interval(size.ticks))', '\(engine.interval(hop.ticks))'\(start))"
        }
        let table = "TABLE \(engine.quoted(table)), DESCRIPTOR(\(at))"
        if size.ticks == hop.ticks {
            return "TABLE(TUMBLE(\(table), \(engine.interval(size.ticks))\(start)))"
        }
        return "TABLE(HOP(\(table), \(engine.interval(hop.ticks)), \(engine.interval(size.ticks))\(start)))"
    }
}
