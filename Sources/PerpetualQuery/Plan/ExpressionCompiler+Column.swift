import QueryLanguage
import Telemetry

// Fields, and steps into values.
extension ExpressionCompiler {
    mutating func column(_ path: [PathElement], _ span: SourceSpan) throws(QueryError) -> Int {
        guard case .name(let first)? = path.first else {
            throw QueryError(span, "an element of what?", hint: "write field[0]")
        }
        if isGrouped, let slot = try grouped(path, span) { return slot }
        if path.count > 1, let source = scope.source(first.text) {
            return try field(Array(path.dropFirst()), of: source, span)
        }
        if path.count == 1, let source = scope.source(first.text),
            source.isRecord || source.relation.named(first.text) == nil
        {
            return try whole(source, span)
        }
        if isGrouped { throw notGrouped(first.text, span) }
        return try field(path, of: scope.owner(of: first), span)
    }

    /// Behind GROUP BY: a part of a key, or in HAVING a column of the list.
    private mutating func grouped(_ path: [PathElement], _ span: SourceSpan) throws(QueryError) -> Int? {
        for count in (1...path.count).reversed() {
            let prefix = Expression(.column(Array(path[..<count])), span)
            guard let slot = ready.slot(of: prefix, scope) else { continue }
            return try steps(from: slot, Array(path[count...]), span)
        }
        if path.count == 1, case .name(let name)? = path.first, let value = aliases[name.text.lowercased()] {
            let outer = aliases
            aliases = [:]
            defer { aliases = outer }
            return try compile(value)
        }
        return nil
    }

    private func notGrouped(_ name: String, _ span: SourceSpan) -> QueryError {
        QueryError(
            span, "\(name) is neither in GROUP BY nor inside an aggregate",
            hint: "add it to GROUP BY, or write MAX(\(name))")
    }

    private mutating func field(
        _ path: [PathElement], of source: PlanScope.Source, _ span: SourceSpan
    ) throws(QueryError) -> Int {
        guard case .name(let name)? = path.first else {
            throw QueryError(span, "\(source.name.text) is no array", hint: "write \(source.name.text).field")
        }
        if isGrouped { throw notGrouped("\(source.name.text).\(name.text)", span) }
        if case .side(let side, _) = source.relation.open {
            return try side.fetch(path, of: source.name, span)
        }
        if source.relation.source != nil, path.count > 1, case .name(let property)? = path.dropFirst().first,
            ["iothub", "eventhub"].contains(name.text.lowercased())
        {
            return try self.property(property.text, property.span, source.relation)
        }
        let base = try field(name, of: source)
        return try steps(from: base, Array(path.dropFirst()), span)
    }

    private mutating func field(_ name: Name, of source: PlanScope.Source) throws(QueryError) -> Int {
        let relation = source.relation
        if let slot = relation.named(name.text) { return slot }
        switch relation.open {
        case .input(let draft):
            return draft.slot(ofField: planner.field(name.text, of: draft.input))
        case .record(let slot):
            return try steps(from: slot, [.name(name)], name.span)
        case .lookup(let draft): return draft.slot(of: name.text)
        case nil, .side:
            throw QueryError(
                name.span, "\(source.name.text) has no column \(name.text)",
                hint: "its columns are " + relation.names.prefix(12).joined(separator: ", "),
                suggestion: Suggestion.nearest(to: name.text, in: relation.names))
        }
    }

    mutating func access(
        _ base: Expression, _ path: [PathElement], _ span: SourceSpan
    ) throws(QueryError) -> Int {
        if case .call(let call) = base.kind, call.function.name == "System.Window" {
            guard case .name(let name)? = path.first, path.count == 1, name.text.lowercased() == "id" else {
                throw QueryError(
                    span, "System.Window() has the field Id only", hint: "write System.Window().Id")
            }
            return try windowID(span)
        }
        return try steps(from: try compile(base), path, span)
    }

    func windowID(_ span: SourceSpan) throws(QueryError) -> Int {
        guard let windowIDSlot else {
            throw QueryError(
                span, "System.Window() stands in the SELECT list of a query with a window",
                hint: "write GROUP BY …, Windows(Window('id', …), …)")
        }
        return windowIDSlot
    }

    mutating func steps(
        from base: Int, _ path: [PathElement], _ span: SourceSpan
    ) throws(QueryError) -> Int {
        var slot = base
        for element in path {
            let text: String
            let instruction: (Int) -> Instruction
            switch element {
            case .name(let name):
                let number = planner.fieldName(name.text)
                text = "\(slot).\(name.text)"
                instruction = { [slot] in Instruction(.field, result: $0, left: slot, target: number) }
            case .index(let index):
                let number = stage.constant(.bigint(Int64(index)))
                text = "\(slot)[\(index)]"
                instruction = { [slot] in Instruction(.element, result: $0, left: slot, right: number) }
            }
            if let found = block.slot(of: text) {
                slot = found
            } else {
                let result = stage.newSlot()
                emit(instruction(result), span)
                remember(text, result)
                slot = result
            }
        }
        return slot
    }

    // MARK: Whole rows

    /// The event, or the row of a step, as one record.
    mutating func whole(_ source: PlanScope.Source, _ span: SourceSpan) throws(QueryError) -> Int {
        if isGrouped { throw notGrouped(source.name.text, span) }
        if case .side(let side, _) = source.relation.open { return try side.fetch([], of: source.name, span) }
        return try record(of: source.relation, span)
    }

    /// The time of a source's row.
    mutating func time(of source: PlanScope.Source, _ span: SourceSpan) throws(QueryError) -> Int {
        if case .side(let side, _) = source.relation.open { return try side.time(of: source.name, span) }
        let slot = stage.newSlot()
        stage.readsTime = true
        emit(Instruction(.rowTime, result: slot), span)
        return slot
    }

    mutating func record(of relation: Relation, _ span: SourceSpan) throws(QueryError) -> Int {
        if relation.columns.count == 1 {
            if case .open(.input(let draft)) = relation.columns[0] {
                return planner.payload(of: draft, relation)
            }
            if case .open(.record(let slot)) = relation.columns[0] { return slot }
            if case .open(.lookup(let draft)) = relation.columns[0] { return draft.row() }
        }
        var names: [String] = []
        var slots: [Int] = []
        for column in relation.columns {
            switch column {
            case .named(let name, let slot):
                names.append(name)
                slots.append(slot)
            case .open(let open):
                // A name of nothing stands for all fields of the record.
                names.append("")
                switch open {
                case .record(let slot): slots.append(slot)
                case .input(let draft): slots.append(planner.payload(of: draft, relation))
                case .lookup(let draft): slots.append(draft.row())
                case .side: break
                }
            }
        }
        let shape = planner.plan.shapes.count
        planner.plan.shapes.append(names)
        let result = stage.newSlot()
        emit(
            Instruction(
                .record, result: result, left: stage.addOperands(slots), right: slots.count, target: shape),
            span)
        return result
    }

    /// The columns that `*`, `source.*` or `record.*` stands for.
    mutating func star(_ path: [Name], _ span: SourceSpan) throws(QueryError) -> [Relation.Column] {
        if let qualifier = path.first {
            guard path.count == 1, let source = scope.source(qualifier.text) else {
                // A record's fields as columns.
                return [.open(.record(slot: try column(path.map { .name($0) }, span)))]
            }
            return try columns(of: source, span)
        }
        var columns: [Relation.Column] = []
        for source in scope.sources {
            if source.isRecord {
                columns.append(.named(source.name.text, slot: try record(of: source.relation, span)))
            } else {
                columns += try self.columns(of: source, span)
            }
        }
        return columns
    }

    private mutating func columns(
        of source: PlanScope.Source, _ span: SourceSpan
    ) throws(QueryError) -> [Relation.Column] {
        switch source.relation.open {
        case .lookup(let draft): return [.open(.record(slot: draft.row()))]
        case .side(let side, let relation):
            var columns: [Relation.Column] = []
            for column in relation.columns {
                switch column {
                case .named(let name, _):
                    let path = [PathElement.name(Name(text: name, span: span))]
                    columns.append(.named(name, slot: try side.fetch(path, of: source.name, span)))
                case .open:
                    columns.append(.open(.record(slot: try side.fetch([], of: source.name, span))))
                }
            }
            return columns
        default: return source.relation.columns
        }
    }

    // MARK: What is known of the event

    private static let properties: [(name: String, property: EventProperty)] = [
        ("ConnectionDeviceId", .device), ("MessageId", .messageID), ("CorrelationId", .correlationID),
        ("EnqueuedTime", .arrivalTime), ("EventTime", .eventTime), ("SequenceNumber", .sequence),
        ("EventId", .eventID),
    ]

    /// Other names of these, and of what Azure has and this hub has not.
    private static let otherProperties: [String: EventProperty] = [
        "iotconnectiondeviceid": .device, "enqueuetime": .arrivalTime, "eventenqueuedutctime": .arrivalTime,
        "eventprocessedutctime": .arrivalTime, "iotenqueuetime": .arrivalTime, "authmethod": .unknown,
        "iotauthmethod": .unknown, "authgenerationid": .unknown, "iotauthgenerationid": .unknown,
        "connectiondevicegenerationid": .unknown, "messagesource": .unknown, "iotmessagesource": .unknown,
        "connectionmoduleid": .unknown, "iotconnectionmoduleid": .unknown, "interfacename": .unknown,
        "iotinterfacename": .unknown, "streamid": .unknown, "partitionid": .unknown,
        "partitionkey": .unknown, "offset": .unknown, "publisher": .unknown,
    ]

    mutating func property(
        _ name: String, _ span: SourceSpan, _ relation: Relation
    ) throws(QueryError) -> Int {
        let names = Self.properties.map(\.name)
        let known = Self.properties.first { $0.name.lowercased() == name.lowercased() }?.property
        guard let property = known ?? Self.otherProperties[name.lowercased()] else {
            throw QueryError(
                span, "\(name) of the message is not known here",
                hint: "known are \(names.joined(separator: ", ")); what the sender added is [User].[\(name)]",
                suggestion: Suggestion.nearest(to: name, in: names))
        }
        return value(of: property, span, relation)
    }

    /// A property is a field of the event like any other: it is there when the row comes, sorted or not.
    func value(of property: EventProperty, _ span: SourceSpan, _ relation: Relation) -> Int {
        guard let source = relation.source else { return stage.constant(.null) }
        if property == .payload { return planner.payload(of: source, relation) }
        return source.slot(ofField: property.field)
    }

    mutating func metadata(_ call: FunctionCall, _ span: SourceSpan) throws(QueryError) -> Int {
        guard case .column(let path) = call.arguments[0].kind, path.count == 1,
            case .name(let name)? = path.first, let source = scope.source(name.text)
        else {
            throw QueryError(
                call.arguments[0].span, "GetMetadataPropertyValue takes the name of an input first",
                hint: "write GetMetadataPropertyValue(input, 'EventId')")
        }
        guard source.relation.source != nil else {
            throw QueryError(
                call.arguments[0].span, "\(name.text) is a step: only inputs have metadata",
                hint: "read the property in the step and give it a name")
        }
        guard case .literal(.text(let text)) = call.arguments[1].kind else {
            throw QueryError(
                call.arguments[1].span, "the property's name is a constant text", hint: "write 'EventId'")
        }
        let parts = Self.propertyPath(text)
        guard let first = parts.first, let last = parts.last else {
            throw QueryError(call.arguments[1].span, "the property has no name", hint: "write 'EventId'")
        }
        if first.lowercased() == "user" {
            guard parts.count > 1 else { return value(of: .user, span, source.relation) }
            guard let draft = source.relation.source else { return stage.constant(.null) }
            let number =
                EventProperty.firstUserNumber + planner.fieldName(parts.dropFirst().joined(separator: "."))
            return draft.slot(ofField: EventProperty.field(ofNumber: number))
        }
        if ["iothub", "eventhub"].contains(last.lowercased()) {
            return value(of: .all, span, source.relation)
        }
        return try property(last, call.arguments[1].span, source.relation)
    }

    /// The parts of `[User].[my.key]`, `IoTHub.MessageId`: points inside brackets belong to the name.
    private static func propertyPath(_ text: String) -> [String] {
        var parts = [""]
        var isInside = false
        for character in text {
            switch character {
            case "[" where !isInside: isInside = true
            case "]" where isInside: isInside = false
            case "." where !isInside: parts.append("")
            default: parts[parts.count - 1].append(character)
            }
        }
        return parts.filter { !$0.isEmpty }
    }
}
