import QueryLanguage
import Telemetry

/// What the names of a SELECT mean.
struct PlanScope {
    struct Source {
        var name: Name
        var relation: Relation
        /// The source is one record: its columns are reached through its name only.
        var isRecord: Bool
    }

    private(set) var sources: [Source] = []
    /// For comparing expressions with the keys of GROUP BY.
    var names: SelectScope?

    init() {}

    init(_ select: Select) { names = SelectScope(select) }

    mutating func add(_ name: Name, _ relation: Relation, isRecord: Bool = false) {
        sources.append(Source(name: name, relation: relation, isRecord: isRecord))
    }

    func source(_ name: String) -> Source? {
        sources.first { $0.name.text.lowercased() == name.lowercased() }
    }

    /// The source of a field that stands without one.
    func owner(of field: Name) throws(QueryError) -> Source {
        let rows = sources.filter { !$0.isRecord }
        let knowing = rows.filter { $0.relation.knows(field.text) }
        if let first = knowing.first, knowing.count == 1 { return first }
        let open = rows.filter { $0.relation.isOpen }
        if knowing.isEmpty, let only = open.first, open.count == 1 { return only }
        if knowing.isEmpty, open.isEmpty {
            let known = rows.flatMap(\.relation.names)
            throw QueryError(
                field.span, "there is no column \(field.text) here",
                hint: "the columns are " + known.prefix(12).joined(separator: ", "),
                suggestion: Suggestion.nearest(to: field.text, in: known))
        }
        throw QueryError(
            field.span,
            "\(field.text) could be a field of \(rows.map(\.name.text).joined(separator: " or of "))",
            hint: "write \(rows.first?.name.text ?? "input").\(field.text)")
    }

    /// Whether GROUP BY, or a part of it, is meant by an expression.
    func comparable(_ expression: Expression) -> String {
        names?.comparable(expression) ?? QueryPrinter.text(of: expression).lowercased()
    }
}
