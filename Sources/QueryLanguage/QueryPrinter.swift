/// Writes a syntax tree as text: keywords in capitals, one clause a line, brackets and parentheses only where
/// they are needed. Reading the text back gives an equal tree.
package struct QueryPrinter {
    private(set) var text = ""
    /// Writes columns in another form than that of the text.
    private(set) var column: (([PathElement]) -> String)?

    /// The canonical text of a document.
    package static func text(of document: QueryDocument) -> String {
        var printer = QueryPrinter()
        for table in document.tables {
            let columns = table.columns.map { "\(quoted($0.name)) \($0.type.rawValue)" }
            printer.text += "CREATE TABLE \(quoted(table.name)) (\(columns.joined(separator: ", ")));\n"
        }
        for (index, step) in document.steps.enumerated() {
            printer.text += index == 0 ? "WITH " : ",\n"
            printer.text += "\(quoted(step.name)) AS (\n"
            printer.write(step.query)
            printer.text += ")"
        }
        if !document.steps.isEmpty { printer.text += "\n" }
        for (index, query) in document.queries.enumerated() {
            if index > 0 { printer.text += ";\n" }
            printer.write(query)
        }
        return printer.text
    }

    /// The canonical text of an expression.
    package static func text(of expression: Expression) -> String {
        var printer = QueryPrinter()
        printer.write(expression)
        return printer.text
    }

    /// The canonical text of an expression with its columns in a form of the caller's.
    package static func text(
        of expression: Expression, column: @escaping ([PathElement]) -> String
    ) -> String {
        var printer = QueryPrinter()
        printer.column = column
        printer.write(expression)
        return printer.text
    }

    /// The canonical text of a path.
    package static func text(of path: [PathElement]) -> String {
        var printer = QueryPrinter()
        printer.write(path)
        return printer.text
    }

    /// The text of a part, its columns in the form that this printer has for them.
    func inner(_ expression: Expression) -> String {
        var printer = QueryPrinter()
        printer.column = column
        printer.write(expression)
        return printer.text
    }

    /// The canonical text of a window.
    package static func text(of window: WindowDefinition) -> String {
        var printer = QueryPrinter()
        printer.write(window)
        return printer.text
    }

    static func quoted(_ name: Name) -> String { quoted(name.text) }

    static func quoted(_ name: String) -> String {
        if Keywords.isPlainName(name) { return name }
        return "[" + name.replacing("]", with: "]]") + "]"
    }

    static func quotedText(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }

    mutating func append(_ piece: String) { text += piece }

    mutating func list<Element>(_ elements: [Element], _ write: (inout QueryPrinter, Element) -> Void) {
        for (index, element) in elements.enumerated() {
            if index > 0 { text += ", " }
            write(&self, element)
        }
    }

    // MARK: Queries

    private mutating func write(_ query: Query) {
        write(query.first, outputs: query.outputs)
        for term in query.unions {
            text += term.isAll ? "UNION ALL\n" : "UNION\n"
            write(term.select, outputs: [])
        }
    }

    private mutating func write(_ select: Select, outputs: [Name]) {
        text += "SELECT "
        list(select.items) { printer, item in
            switch item {
            case .star(let path, _):
                printer.text += (path.map(Self.quoted) + ["*"]).joined(separator: ".")
            case .expression(let value, let alias):
                // A bare comparison would be read back as `alias = expression`.
                if case .binary(.equal, _, _) = value.kind {
                    printer.text += "(\(Self.text(of: value)))"
                } else {
                    printer.write(value)
                }
                if let alias { printer.text += " AS \(Self.quoted(alias))" }
            }
        }
        text += "\n"
        if !outputs.isEmpty { text += "INTO \(outputs.map(Self.quoted).joined(separator: ", "))\n" }
        text += "FROM "
        write(select.from)
        text += "\n"
        for relation in select.relations { write(relation) }
        if let condition = select.condition { line("WHERE ", condition) }
        if !select.groupBy.isEmpty {
            text += "GROUP BY "
            list(select.groupBy) { printer, item in
                switch item {
                case .expression(let key): printer.write(key)
                case .window(let window): printer.write(window)
                case .snapshot: printer.text += "System.Timestamp()"
                }
            }
            text += "\n"
        }
        if let having = select.having { line("HAVING ", having) }
    }

    private mutating func line(_ keyword: String, _ expression: Expression) {
        text += keyword
        write(expression)
        text += "\n"
    }

    private mutating func write(_ source: InputSource) {
        text += Self.quoted(source.name)
        if let alias = source.alias { text += " AS \(Self.quoted(alias))" }
        if let time = source.timestampBy {
            text += " TIMESTAMP BY "
            write(time.time)
            if !time.over.isEmpty { text += " OVER " }
            list(time.over) { $0.write($1) }
        }
        if let partition = source.partitionBy {
            text += " PARTITION BY "
            list(partition.keys) { $0.write($1) }
            if let count = partition.partitionCount { text += " INTO \(count)" }
        }
    }

    private mutating func write(_ relation: Relation) {
        switch relation {
        case .join(let join):
            text += join.kind.rawValue + " "
            write(join.input)
            if let condition = join.condition {
                text += " ON "
                write(condition)
            }
        case .apply(let apply):
            text += apply.isOuter ? "OUTER APPLY " : "CROSS APPLY "
            write(apply.call)
            text += " AS \(Self.quoted(apply.alias))"
        }
        text += "\n"
    }
}
