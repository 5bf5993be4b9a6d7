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

    init() {}

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

    /// A form in which two expressions are equal that have the same value: columns with their source in
    /// front, constants as they are.
    func comparable(_ expression: Expression) -> String { comparable(expression, isFolded: false) }

    /// The same without regard to the case of columns. A field is found by its exact name first, so this is for
    /// what has no exact match.
    func folded(_ expression: Expression) -> String { comparable(expression, isFolded: true) }

    private func comparable(_ expression: Expression, isFolded: Bool) -> String {
        QueryPrinter.text(of: expression) { path in
            let text = QueryPrinter.text(of: qualified(path))
            return isFolded ? text.lowercased() : text
        }
    }

    /// The path with the source's name in front.
    private func qualified(_ path: [PathElement]) -> [PathElement] {
        guard case .name(let first)? = path.first else { return path }
        if let source = source(first.text),
            path.count > 1 || source.isRecord || source.relation.named(first.text) == nil
        {
            return [.name(source.name)] + path.dropFirst()
        }
        guard let owner = try? owner(of: first) else { return path }
        return [.name(owner.name)] + path
    }
}

/// Values that are there already, by the expressions that they belong to.
struct ReadyValues {
    private var exact: [String: Int] = [:]
    private var folded: [String: Int] = [:]

    var isEmpty: Bool { exact.isEmpty }

    /// The slot of an expression's value: of the very same one, else of one that differs in case only.
    func slot(of expression: Expression, _ scope: PlanScope) -> Int? {
        if exact.isEmpty { return nil }
        return exact[scope.comparable(expression)] ?? folded[scope.folded(expression)]
    }

    /// Of two expressions that differ in case the first is found by a third spelling.
    mutating func add(_ expression: Expression, _ scope: PlanScope, slot: Int) {
        let text = scope.comparable(expression)
        if exact[text] == nil { exact[text] = slot }
        let loose = scope.folded(expression)
        if folded[loose] == nil { folded[loose] = slot }
    }
}
