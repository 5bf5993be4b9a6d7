import Telemetry

/// Finds what is well formed but cannot run: the static rejections of the language.
package struct QueryChecker {
    /// Input names in lower case.
    private let referenceInputs: Set<String>
    /// As they were given; streams: nil when any name is one.
    private let inputs: (streams: [String]?, references: [String])
    /// Lower case.
    private var stepNames: Set<String> = []
    /// The declared fields of typed inputs, and those of steps that name all their columns. Lower case.
    private var fields: [String: Set<String>] = [:]
    /// Steps that read reference data only. Lower case.
    private var referenceSteps: Set<String> = []
    private(set) var errors: [QueryError] = []

    private init(referenceInputs: [String], streamInputs: [String]?) {
        inputs = (streamInputs, referenceInputs)
        self.referenceInputs = Set(referenceInputs.map { $0.lowercased() })
    }

    /// Checks a document that was read without errors.
    /// - Parameters:
    ///   - document: the syntax tree.
    ///   - referenceInputs: names of inputs that are reference data: joined without a time bound.
    ///   - streamInputs: the streams that there are; nil: whatever the text names.
    /// - Returns: the errors in the order of the text, at most `QueryLimits.errorsMax`.
    package static func check(
        _ document: QueryDocument, referenceInputs: [String] = [], streamInputs: [String]? = nil
    ) -> [QueryError] {
        var checker = QueryChecker(referenceInputs: referenceInputs, streamInputs: streamInputs)
        checker.stepNames = Set(document.steps.map { $0.name.text.lowercased() })
        for table in document.tables {
            checker.fields[table.name.text.lowercased()] = Set(
                table.columns.map { $0.name.text.lowercased() })
        }
        for step in document.steps {
            for select in step.query.selects { checker.check(select) }
            checker.note(step)
        }
        for query in document.queries {
            for select in query.selects { checker.check(select) }
        }
        let sorted = checker.errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        return Array(sorted.prefix(QueryLimits().errorsMax))
    }

    mutating func report(
        _ span: SourceSpan, _ message: String, hint: String? = nil, suggestion: String? = nil
    ) {
        errors.append(QueryError(span, message, hint: hint, suggestion: suggestion))
    }

    func isReference(_ source: InputSource) -> Bool {
        let name = source.name.text.lowercased()
        return referenceInputs.contains(name) || referenceSteps.contains(name)
    }

    /// Whether there is no stream, reference data or step of the name.
    func isUnknown(_ source: InputSource) -> Bool {
        guard let streams = inputs.streams else { return false }
        let name = source.name.text.lowercased()
        return !streams.contains { $0.lowercased() == name } && !referenceInputs.contains(name)
            && !stepNames.contains(name)
    }

    private mutating func checkInputs(_ select: Select) {
        for source in select.inputs where isUnknown(source) {
            let streams = inputs.streams ?? []
            let references = inputs.references
            report(
                source.name.span, "there is no input \(source.name.text)",
                hint: "the inputs are \(streams.joined(separator: ", "))"
                    + (references.isEmpty
                        ? ", and no reference data; --reference NAME=FILE gives some"
                        : ", and the reference data " + references.joined(separator: ", ")),
                suggestion: Suggestion.nearest(to: source.name.text, in: streams + references))
        }
    }

    /// The fields of a source, or nil when any may come.
    func fields(of source: InputSource) -> Set<String>? { fields[source.name.text.lowercased()] }

    private mutating func note(_ step: QueryStep) {
        let name = step.name.text.lowercased()
        let inputs = step.query.selects.flatMap(\.inputs)
        if inputs.allSatisfy({ isReference($0) }) { referenceSteps.insert(name) }
        var columns: Set<String> = []
        for select in step.query.selects {
            for item in select.items {
                guard case .expression(let value, let alias) = item else {
                    fields[name] = nil
                    return
                }
                if let alias {
                    columns.insert(alias.text.lowercased())
                } else if case .column(let path) = value.kind, case .name(let last)? = path.last {
                    columns.insert(last.text.lowercased())
                }
            }
        }
        fields[name] = columns
    }

    private mutating func check(_ select: Select) {
        let scope = SelectScope(select)
        checkInputs(select)
        checkNames(select, scope)
        checkJoins(select, scope)
        checkWindows(select)
        checkAggregates(select)
        // With an alias among the keys, every column that it stands for would be reported again.
        if checkAliases(select, scope) { checkGrouping(select, scope) }
    }

    // MARK: Names

    private mutating func checkNames(_ select: Select, _ scope: SelectScope) {
        var seen: Set<String> = []
        for name in scope.sources where !seen.insert(name.text.lowercased()).inserted {
            report(
                name.span, "two sources are called \(name.text)",
                hint: "give one an alias: JOIN \(name.text) AS other")
        }
        for case .star(let path, _) in select.items {
            guard path.count == 1, let qualifier = path.first, !scope.isSource(qualifier.text) else {
                continue
            }
            // `record.*` is right too, unless the name looks like that of a source.
            guard Suggestion.nearest(to: qualifier.text, in: scope.sources.map(\.text)) != nil else {
                continue
            }
            report(
                qualifier.span, "there is no source \(qualifier.text) in this SELECT",
                hint: "the sources are " + scope.sources.map(\.text).joined(separator: ", "),
                suggestion: Suggestion.nearest(to: qualifier.text, in: scope.sources.map(\.text)))
        }
    }

    /// WHERE and GROUP BY see the fields of the input, not the columns that this SELECT makes.
    /// - Returns: whether no alias was used.
    private mutating func checkAliases(_ select: Select, _ scope: SelectScope) -> Bool {
        var aliases: [String: Expression] = [:]
        var known: Set<String> = []
        for case .expression(let value, let alias) in select.items {
            known.formUnion(scope.fieldNames(in: value))
            if let alias { aliases[alias.text.lowercased()] = value }
        }
        if aliases.isEmpty { return true }
        let before = errors.count
        for source in select.inputs {
            if let declared = fields(of: source) { known.formUnion(declared) }
            for part in source.timeExpressions { known.formUnion(scope.fieldNames(in: part)) }
        }
        for relation in select.relations {
            for part in relation.expressions { known.formUnion(scope.fieldNames(in: part)) }
        }
        let clauses =
            (select.condition.map { [("WHERE", $0)] } ?? [])
            + select.groupBy.flatMap { item in item.expressions.map { ("GROUP BY", $0) } }
        for (clause, expression) in clauses {
            expression.visit { part in
                guard case .column(let path) = part.kind, path.count == 1,
                    let field = scope.fieldPath(path).first, let value = aliases[field],
                    !known.contains(field)
                else { return true }
                let text = QueryPrinter.text(of: value)
                report(
                    part.span, "\(field) is an alias of this SELECT: \(clause) does not see it",
                    hint: "repeat its expression, \(text.prefix(60)), or compute it in a WITH step")
                return true
            }
        }
        return errors.count == before
    }
}

/// What a SELECT calls its sources.
package struct SelectScope {
    /// The visible names, in the order of the text.
    package let sources: [Name]

    package init(_ select: Select) {
        let applied: [Name] = select.relations.compactMap { relation in
            if case .apply(let apply) = relation { apply.alias } else { nil }
        }
        sources = select.inputs.map(\.visibleName) + applied
    }

    /// Whether a name is that of a source.
    package func isSource(_ name: String) -> Bool { sources.contains { $0.matches(name) } }

    /// A column's path in lower case, without the source in front.
    func fieldPath(_ path: [PathElement]) -> [String] {
        var names = path.map { element in
            switch element {
            case .name(let name): name.text.lowercased()
            case .index(let index): "[\(index)]"
            }
        }
        if names.count > 1, let first = names.first, isSource(first) { names.removeFirst() }
        return names
    }

    /// The fields that an expression reads, in lower case.
    func fieldNames(in expression: Expression) -> Set<String> {
        var names: Set<String> = []
        expression.visit { part in
            if case .column(let path) = part.kind, let first = fieldPath(path).first { names.insert(first) }
            return true
        }
        return names
    }

    /// A form in which two spellings of the same expression are equal: lower case, sources left out.
    package func comparable(_ expression: Expression) -> String {
        if case .column(let path) = expression.kind { return fieldPath(path).joined(separator: ".") }
        var text = QueryPrinter.text(of: expression).lowercased()
        for source in sources {
            text = text.replacing(QueryPrinter.quoted(source).lowercased() + ".", with: "")
        }
        return text
    }
}

extension Expression {
    /// Calls `body` for this and all expressions below while it returns true; false leaves out what is below.
    package func visit(_ body: (Expression) -> Bool) {
        guard body(self) else { return }
        for child in kind.children { child.visit(body) }
    }
}

extension InputSource {
    var timeExpressions: [Expression] {
        (timestampBy.map { [$0.time] + $0.over } ?? []) + (partitionBy?.keys ?? [])
    }
}

extension Relation {
    var expressions: [Expression] {
        switch self {
        case .join(let join): join.condition.map { [$0] } ?? []
        case .apply(let apply): apply.call.arguments
        }
    }
}

extension GroupItem {
    var expressions: [Expression] {
        switch self {
        case .expression(let key): [key]
        case .window(let window):
            if case .session(_, _, let keys) = window.kind { keys } else { [] }
        case .snapshot: []
        }
    }

    /// A window of some kind, not a key.
    package var isWindow: Bool {
        if case .expression = self { false } else { true }
    }

    /// The key, or the window's name.
    package var span: SourceSpan {
        switch self {
        case .expression(let key): key.span
        case .window(let window): window.span
        case .snapshot(let span): span
        }
    }
}
