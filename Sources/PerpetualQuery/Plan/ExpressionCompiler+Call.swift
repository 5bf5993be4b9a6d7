import QueryLanguage
import Telemetry

// Calls of functions.
extension ExpressionCompiler {
    mutating func call(_ call: FunctionCall, _ span: SourceSpan) throws(QueryError) -> Int {
        if let slot = analytics[call.nameSpan.place] { return slot }
        switch call.function.name {
        case "System.Timestamp":
            let result = stage.newSlot()
            stage.readsTime = true
            emit(Instruction(.rowTime, result: result), span)
            return result
        case "System.Window":
            let id = try windowID(span)
            return try makeRecord(["Id"], [id], span)
        case "COALESCE": return try coalesce(call.arguments, span)
        case "GetMetadataPropertyValue": return try metadata(call, span)
        case "DAY", "MONTH", "YEAR":
            let unit: TimeUnit =
                call.function.name == "DAY" ? .day : call.function.name == "MONTH" ? .month : .year
            let number = stage.constant(.bigint(Int64(TimeUnit.allCases.firstIndex(of: unit) ?? 0)))
            return scalar(.datePart, [number, try compile(call.arguments[0])], span)
        default: break
        }
        if call.function.name == "DATEDIFF", let slot = try distance(call, span) { return slot }
        if let function = ScalarFunction.byName[call.function.name] {
            var slots: [Int] = []
            for argument in call.arguments { slots.append(try compile(argument)) }
            return scalar(function, slots, span)
        }
        if call.function.kind == .tableValued {
            throw QueryError(
                call.nameSpan, "\(call.function.name) returns rows: it stands behind APPLY",
                hint: "write CROSS APPLY \(call.function.name)(…) AS element")
        }
        if call.function.kind == .aggregate, isGrouped {
            throw QueryError(call.nameSpan, "\(call.function.name) cannot stand here")
        }
        throw QueryError(
            call.nameSpan, "\(call.function.name) cannot stand here",
            hint: call.function.kind == .analytic
                ? "it looks at the rows of an input: in SELECT, WHERE or GROUP BY"
                : "aggregates stand in SELECT and HAVING, with a window in GROUP BY")
    }

    mutating func scalar(_ function: ScalarFunction, _ slots: [Int], _ span: SourceSpan) -> Int {
        let result = stage.newSlot()
        emit(
            Instruction(
                .call, result: result, left: stage.addOperands(slots), right: slots.count,
                target: function.rawValue), span)
        return result
    }

    mutating func makeRecord(_ names: [String], _ slots: [Int], _ span: SourceSpan) throws(QueryError) -> Int
    {
        let shape = planner.plan.shapes.count
        planner.plan.shapes.append(names)
        let result = stage.newSlot()
        emit(
            Instruction(
                .record, result: result, left: stage.addOperands(slots), right: slots.count, target: shape),
            span)
        return result
    }

    /// DATEDIFF of two sources: of the times of their rows.
    private mutating func distance(_ call: FunctionCall, _ span: SourceSpan) throws(QueryError) -> Int? {
        var sources: [PlanScope.Source] = []
        for argument in call.arguments.dropFirst() {
            guard case .column(let path) = argument.kind, path.count == 1, case .name(let name)? = path.first,
                let source = scope.source(name.text), !source.isRecord
            else { return nil }
            sources.append(source)
        }
        if isGrouped || sources.count != 2 { return nil }
        let unit = try compile(call.arguments[0])
        let from = try time(of: sources[0], span)
        let to = try time(of: sources[1], span)
        return scalar(.dateDifference, [unit, from, to], span)
    }

    private mutating func coalesce(_ arguments: [Expression], _ span: SourceSpan) throws(QueryError) -> Int {
        let result = stage.newSlot()
        let end = stage.newLabel()
        for (index, argument) in arguments.enumerated() {
            let slot =
                index == 0
                ? try compile(argument)
                : try branch { (compiler) throws(QueryError) in try compiler.compile(argument) }
            emit(Instruction(.move, result: result, left: slot), argument.span)
            if index < arguments.count - 1 {
                emit(Instruction(.jumpIfNotNull, left: result, target: end), argument.span)
            }
        }
        block.append(label: end)
        return result
    }
}
