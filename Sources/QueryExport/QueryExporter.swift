package import QueryLanguage

/// Writes a query for a distributed engine: filters, projections, and tumbling and hopping windows, whose rows are
/// then the same; everything else is refused with its place and the reason.
///
/// "The same" holds for events that are out of order by no more than the tolerance: what comes later each engine
/// treats in a way of its own. Azure Stream Analytics windows are `(start, end]`, those of Spark and Flink
/// `[start, end)`: the time attribute is moved by the engine's smallest step.
package struct QueryExporter {
    private let engine: ExportEngine
    private let document: QueryDocument
    private var pieces = ExportPieces()
    /// Columns of steps and of inputs by what the engine calls them, in lower case.
    private var steps: [String: (table: String, columns: [ColumnDeclaration])] = [:]
    private var tables: [String: String] = [:]

    private init(_ document: QueryDocument, _ engine: ExportEngine) {
        self.document = document
        self.engine = engine
    }

    /// - Parameters:
    ///   - document: one that the planner accepts.
    ///   - name: the query's name, for the head of the script.
    ///   - outOfOrder: how far events may be out of order, in ticks of 100 ns.
    /// - Returns: a PySpark script, or statements for Flink's SQL client.
    /// - Throws: the first thing that cannot be carried over, with its place.
    package static func script(
        _ document: QueryDocument, for engine: ExportEngine, name: String, outOfOrder: Int64
    ) throws(QueryError) -> String {
        var exporter = QueryExporter(document, engine)
        exporter.pieces.tolerance = outOfOrder
        for step in document.steps { try exporter.add(step) }
        for query in document.queries { try exporter.add(query) }
        switch engine {
        case .spark: return SparkScript(pieces: exporter.pieces, name: name).text
        case .flink: return FlinkScript(pieces: exporter.pieces, name: name).text
        }
    }

    private func refused(_ span: SourceSpan, _ what: String, _ hint: String? = nil) -> QueryError {
        QueryError(span, "\(engine.title) cannot be given \(what)", hint: hint)
    }

    private mutating func add(_ step: QueryStep) throws(QueryError) {
        if let item = step.query.first.groupBy.first(where: \.isWindow) {
            throw refused(
                item.span, "a window inside a step", "export the step as a query of its own, with INTO")
        }
        let made = try select(only(step.query), isStep: true)
        let table = free(step.name.text)
        pieces.views.append(ExportView(name: table, query: made.query))
        steps[step.name.text.lowercased()] = (
            table,
            made.columns.map { column in
                ColumnDeclaration(name: Name(text: column.name, span: step.name.span), type: column.type)
            }
        )
    }

    private mutating func add(_ query: Query) throws(QueryError) {
        let made = try select(only(query), isStep: false)
        let names = query.outputs.isEmpty ? ["output"] : query.outputs.map(\.text)
        for name in names {
            if pieces.outputs.contains(where: { $0.name.lowercased() == name.lowercased() }) {
                throw refused(query.first.span, "two queries with one output", "give each its own INTO")
            }
            pieces.outputs.append(ExportOutput(name: name, query: made.query, columns: made.columns))
        }
    }

    private func only(_ query: Query) throws(QueryError) -> Select {
        if let union = query.unions.first {
            throw refused(union.select.span, "a UNION", "export each SELECT with its own INTO")
        }
        return query.first
    }

    // MARK: Sources

    /// A name that no table has yet.
    private mutating func free(_ name: String) -> String {
        var made = name
        var number = 2
        while tables[made.lowercased()] != nil {
            made = "\(name)_\(number)"
            number += 1
        }
        tables[made.lowercased()] = name
        return made
    }

    private mutating func source(
        _ from: InputSource
    ) throws(QueryError) -> (table: String, columns: [ColumnDeclaration]) {
        if let key = from.partitionBy?.keys.first { throw refused(key.span, "PARTITION BY") }
        if let step = steps[from.name.text.lowercased()] { return step }
        guard let declared = document.tables.first(where: { $0.name.matches(from.name.text) }) else {
            throw refused(
                from.name.span, "an input without types",
                "declare it: CREATE TABLE \(from.name.text) (column type, …); it stands before the query")
        }
        guard let time = from.timestampBy else {
            throw refused(
                from.name.span, "the time of arrival: it is not in the data",
                "write \(from.name.text) TIMESTAMP BY column")
        }
        if let key = time.over.first {
            throw refused(key.span, "a time for each key: it has one watermark for a stream")
        }
        let columns = declared.columns.filter { engine.name(of: $0.type) != nil }
        let translator = ExportTranslator(engine: engine, source: from.visibleName, columns: columns)
        let value = try translator.translate(time.time)
        guard value.type == .datetime else {
            throw refused(
                time.time.span, "a time of type \(value.type.rawValue)",
                "declare the column as datetime in CREATE TABLE \(from.name.text)")
        }
        if let known = pieces.sources.first(where: { source in
            source.input.lowercased() == from.name.text.lowercased() && source.time == value.text
        }) {
            return (known.table, declared.columns)
        }
        let table = free(declared.name.text)
        pieces.sources.append(
            ExportSource(input: declared.name.text, table: table, columns: columns, time: value.text))
        return (table, declared.columns)
    }

    // MARK: SELECT

    private mutating func select(
        _ select: Select, isStep: Bool
    ) throws(QueryError) -> (query: String, columns: [(name: String, type: SQLType)]) {
        switch select.relations.first {
        case .join(let join)?: throw refused(join.span, "a JOIN")
        case .apply(let apply)?: throw refused(apply.call.nameSpan, "APPLY")
        case nil: break
        }
        let (table, columns) = try source(select.from)
        let shape = ExportShape(
            engine: engine, table: table,
            translator: ExportTranslator(
                engine: engine, source: select.from.visibleName, columns: columns))
        return try shape.write(select, isStep: isStep)
    }
}
