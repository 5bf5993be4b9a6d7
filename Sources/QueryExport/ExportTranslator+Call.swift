import QueryLanguage

// Functions and aggregates that both engines have with the same values.
extension ExportTranslator {
    func call(_ call: FunctionCall, _ span: SourceSpan) throws(QueryError) -> ExportedExpression {
        let name = call.function.name
        if name == "System.Timestamp" {
            guard let time else { throw refused(span, "System.Timestamp() here") }
            return ExportedExpression(text: time, type: .datetime)
        }
        if call.function.kind == .aggregate, call.over == nil { return try aggregate(call) }
        if call.over != nil || call.function.kind == .analytic {
            throw refused(
                call.nameSpan, "\(name) over the rows before", "it has no such state in a stream's SQL")
        }
        var values: [ExportedExpression] = []
        for argument in call.arguments {
            if case .unit = argument.kind { throw refused(call.nameSpan, "the function \(name)") }
            values.append(try translate(argument))
        }
        guard let made = scalar(name, values) else {
            let types = values.map(\.type.rawValue).joined(separator: ", ")
            throw refused(call.nameSpan, "the function \(name) of \(types.isEmpty ? "nothing" : types)")
        }
        return made
    }

    private func scalar(_ name: String, _ values: [ExportedExpression]) -> ExportedExpression? {
        let texts = values.map(\.text).joined(separator: ", ")
        func made(_ text: String, _ type: SQLType) -> ExportedExpression {
            ExportedExpression(text: text, type: type)
        }
        guard let first = values.first else { return nil }
        switch (name, first.type) {
        case ("ABS", .bigint), ("ABS", .float): return made("ABS(\(texts))", first.type)
        case ("FLOOR", .bigint), ("CEILING", .bigint): return first
        case ("FLOOR", .float): return made("CAST(FLOOR(\(texts)) AS DOUBLE)", .float)
        case ("CEILING", .float): return made("CAST(CEIL(\(texts)) AS DOUBLE)", .float)
        case ("SQUARE", .bigint), ("SQUARE", .float):
            return made("(CAST(\(first.text) AS DOUBLE) * CAST(\(first.text) AS DOUBLE))", .float)
        case ("UPPER", .nvarcharMax), ("LOWER", .nvarcharMax): return made("\(name)(\(texts))", .nvarcharMax)
        case ("REPLACE", .nvarcharMax) where values.allSatisfy { $0.type == .nvarcharMax }:
            return made("REPLACE(\(texts))", .nvarcharMax)
        case ("LEN", .nvarcharMax):
            let trimmed = engine == .spark ? "RTRIM(\(texts))" : "TRIM(TRAILING ' ' FROM \(texts))"
            return made("CAST(CHAR_LENGTH(\(trimmed)) AS BIGINT)", .bigint)
        case ("CONCAT", _) where values.allSatisfy { $0.type == .nvarcharMax || $0.type == .bigint }:
            let parts = values.map { "CAST(\($0.text) AS STRING)" }.joined(separator: ", ")
            return made("CONCAT_WS('', \(parts))", .nvarcharMax)
        case ("COALESCE", _) where values.allSatisfy { $0.type == first.type }:
            return made("COALESCE(\(texts))", first.type)
        case ("NULLIF", _) where values.allSatisfy { $0.type == first.type }:
            return made("NULLIF(\(texts))", first.type)
        case ("YEAR", .datetime), ("MONTH", .datetime):
            return made("CAST(\(name)(\(texts)) AS BIGINT)", .bigint)
        case ("DAY", .datetime): return made("CAST(DAYOFMONTH(\(texts)) AS BIGINT)", .bigint)
        default: return nil
        }
    }

    // MARK: Aggregates

    private func aggregate(_ call: FunctionCall) throws(QueryError) -> ExportedExpression {
        let name = call.function.name
        guard isGrouped else { throw refused(call.nameSpan, "\(name) here") }
        if name == "COUNT", case .star? = call.arguments.first?.kind {
            return ExportedExpression(text: "COUNT(*)", type: .bigint)
        }
        guard let argument = call.arguments.first else {
            throw refused(call.nameSpan, "\(name) of whole events")
        }
        var inner = self
        inner.isGrouped = false
        let value = try inner.translate(argument)
        let isNumber = value.type == .bigint || value.type == .float
        let double = "CAST(\(value.text) AS DOUBLE)"
        switch name {
        case "COUNT" where call.isDistinct && engine == .spark:
            throw refused(call.nameSpan, "COUNT(DISTINCT …) of a stream")
        case "COUNT":
            let distinct = call.isDistinct ? "DISTINCT " : ""
            return ExportedExpression(text: "COUNT(\(distinct)\(value.text))", type: .bigint)
        case "SUM" where isNumber, "MIN" where isNumber || value.type == .datetime,
            "MAX" where isNumber || value.type == .datetime:
            return ExportedExpression(text: "\(name)(\(value.text))", type: value.type)
        case "AVG" where isNumber: return ExportedExpression(text: "AVG(\(double))", type: .float)
        case "STDEV" where isNumber: return ExportedExpression(text: "STDDEV_SAMP(\(double))", type: .float)
        case "STDEVP" where isNumber: return ExportedExpression(text: "STDDEV_POP(\(double))", type: .float)
        case "VAR" where isNumber: return ExportedExpression(text: "VAR_SAMP(\(double))", type: .float)
        case "VARP" where isNumber: return ExportedExpression(text: "VAR_POP(\(double))", type: .float)
        default: throw refused(call.nameSpan, "\(name) of a value of type \(value.type.rawValue)")
        }
    }
}
