import Telemetry

/// A function of the language: its canonical spelling and what it takes.
package struct KnownFunction: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case scalar
        case aggregate
        /// Looks at the rows before this one; evaluated before WHERE.
        case analytic
        /// Stands after APPLY.
        case tableValued
        /// `System.Timestamp()` and `System.Window()`.
        case system
    }

    package var name: String
    package var kind: Kind
    /// Arguments, least and most.
    package var argumentCount: ClosedRange<Int>
    /// What stands in the parentheses, for messages.
    package var parameters: String

    /// The first argument is a unit of time.
    var takesUnit: Bool {
        ["DATEADD", "DATEDIFF", "DATENAME", "DATEPART", "ISFIRST"].contains(name)
    }
    var takesStar: Bool { ["COUNT", "LAG", "LAST"].contains(name) }
    var takesDistinct: Bool { name == "COUNT" }
    /// `OVER (ORDER BY …)` is part of the call.
    var needsOrder: Bool {
        ["TopOne", "CollectTop", "Percentile_Cont", "Percentile_Disc"].contains(name)
    }
    /// `OVER (… LIMIT DURATION(…))` is part of the call.
    var needsLimit: Bool { name == "LAG" || name == "LAST" }
    var signature: String { "\(name)(\(parameters))" }
}

/// The functions of tiers 1 and 2, those that are known but not built yet, and words of other dialects.
enum FunctionTable {
    static func find(_ name: String) -> KnownFunction? { byName[name.lowercased()] }

    static func isPlanned(_ name: String) -> Bool {
        let lower = name.lowercased()
        return planned.contains(lower) || lower.hasPrefix("udf.") || lower.hasPrefix("uda.")
            || lower.hasPrefix("anomalydetection_")
    }

    static func suggestion(for name: String) -> String? {
        if let meant = otherDialects[name.lowercased()] { return meant }
        return Suggestion.nearest(to: name, in: all.map(\.name) + windowNames + ["CAST", "TRY_CAST"])
    }

    static let windowNames = [
        "TumblingWindow", "HoppingWindow", "SlidingWindow", "SessionWindow", "Windows", "Tumbling", "Hopping",
        "Sliding", "Session",
    ]

    static func isWindow(_ name: String) -> Bool { windowKeywords.contains(name.uppercased()) }

    private static let windowKeywords = Set(windowNames.map { $0.uppercased() })

    private static let planned: Set<String> = [
        "createlinestring", "createpolygon", "st_overlaps", "st_intersects", "match_recognize",
    ]

    /// What people write who come from elsewhere, and what it is called here.
    private static let otherDialects: [String: String] = [
        "isnull": "COALESCE", "ifnull": "COALESCE", "nvl": "COALESCE", "getdate": "System.Timestamp()",
        "getutcdate": "System.Timestamp()", "sysdatetime": "System.Timestamp()", "now": "System.Timestamp()",
        "length": "LEN", "substr": "SUBSTRING", "ceil": "CEILING", "pow": "POWER", "stddev": "STDEV",
        "stddev_pop": "STDEVP", "stddev_samp": "STDEV", "variance": "VAR", "var_pop": "VARP",
        "var_samp": "VAR",
        "lead": "LAG", "first": "ISFIRST", "first_value": "ISFIRST", "last_value": "LAST",
        "row_number": "CollectTop", "rank": "CollectTop", "dense_rank": "CollectTop", "top": "CollectTop",
        "median": "Percentile_Cont", "iif": "CASE WHEN … THEN … ELSE … END", "convert": "CAST",
        "try_convert": "TRY_CAST", "parse": "CAST", "ucase": "UPPER", "lcase": "LOWER", "instr": "CHARINDEX",
        "mean": "AVG", "average": "AVG", "count_big": "COUNT", "tumble": "TumblingWindow",
        "hop": "HoppingWindow",
    ]

    private static let byName: [String: KnownFunction] = Dictionary(
        all.map { ($0.name.lowercased(), $0) }, uniquingKeysWith: { first, _ in first })

    private static func make(
        _ name: String, _ kind: KnownFunction.Kind, _ count: ClosedRange<Int>, _ parameters: String
    ) -> KnownFunction {
        KnownFunction(name: name, kind: kind, argumentCount: count, parameters: parameters)
    }

    /// More arguments than any text can hold: no limit of its own.
    private static let many = Int.max

    static let all: [KnownFunction] = aggregates + analytics + scalars + records

    private static let aggregates: [KnownFunction] = [
        make("AVG", .aggregate, 1...1, "value"),
        make("COUNT", .aggregate, 1...1, "* | [DISTINCT] value"),
        make("MIN", .aggregate, 1...1, "value"),
        make("MAX", .aggregate, 1...1, "value"),
        make("SUM", .aggregate, 1...1, "value"),
        make("STDEV", .aggregate, 1...1, "value"),
        make("STDEVP", .aggregate, 1...1, "value"),
        make("VAR", .aggregate, 1...1, "value"),
        make("VARP", .aggregate, 1...1, "value"),
        make("TopOne", .aggregate, 0...1, "[value]"),
        make("CollectTop", .aggregate, 1...2, "count [, value]"),
        make("Collect", .aggregate, 0...1, "[value]"),
        make("Percentile_Cont", .aggregate, 1...1, "fraction"),
        make("Percentile_Disc", .aggregate, 1...1, "fraction"),
    ]

    private static let analytics: [KnownFunction] = [
        make("LAG", .analytic, 1...3, "value [, offset [, default]]"),
        make("LAST", .analytic, 1...2, "value [, default]"),
        make("ISFIRST", .analytic, 2...2, "unit, length"),
    ]

    private static let scalars: [KnownFunction] = [
        make("ABS", .scalar, 1...1, "value"), make("CEILING", .scalar, 1...1, "value"),
        make("EXP", .scalar, 1...1, "value"), make("FLOOR", .scalar, 1...1, "value"),
        make("POWER", .scalar, 2...2, "value, exponent"),
        make("ROUND", .scalar, 2...2, "value, digits"),
        make("SIGN", .scalar, 1...1, "value"), make("SQUARE", .scalar, 1...1, "value"),
        make("SQRT", .scalar, 1...1, "value"), make("COALESCE", .scalar, 1...many, "value, …"),
        make("NULLIF", .scalar, 2...2, "value, other"), make("GetType", .scalar, 1...1, "value"),
        make("CHARINDEX", .scalar, 2...3, "find, text [, start]"),
        make("CONCAT", .scalar, 2...many, "text, …"),
        make("CONCAT_WS", .scalar, 3...many, "separator, text, …"),
        make("LEFT", .scalar, 2...2, "text, count"), make("LEN", .scalar, 1...1, "text"),
        make("LOWER", .scalar, 1...1, "text"), make("LTRIM", .scalar, 1...1, "text"),
        make("NCHAR", .scalar, 1...1, "code"), make("PATINDEX", .scalar, 2...2, "pattern, text"),
        make("REGEXMATCH", .scalar, 2...2, "text, pattern"),
        make("REPLACE", .scalar, 3...3, "text, find, by"),
        make("REPLICATE", .scalar, 2...2, "text, count"), make("REVERSE", .scalar, 1...1, "text"),
        make("RIGHT", .scalar, 2...2, "text, count"), make("RTRIM", .scalar, 1...1, "text"),
        make("SPACE", .scalar, 1...1, "count"), make("STUFF", .scalar, 4...4, "text, start, count, by"),
        make("SUBSTRING", .scalar, 3...3, "text, start, count"),
        make("TRANSLATE", .scalar, 3...3, "text, characters, by"), make("TRIM", .scalar, 1...1, "text"),
        make("UNICODE", .scalar, 1...1, "text"), make("UPPER", .scalar, 1...1, "text"),
        make("DATEADD", .scalar, 3...3, "unit, number, time"),
        make("DATEDIFF", .scalar, 3...3, "unit, from, to"), make("DATENAME", .scalar, 2...2, "unit, time"),
        make("DATEPART", .scalar, 2...2, "unit, time"), make("DAY", .scalar, 1...1, "time"),
        make("MONTH", .scalar, 1...1, "time"), make("YEAR", .scalar, 1...1, "time"),
        make(
            "DATETIMEFROMPARTS", .scalar, 7...7, "year, month, day, hour, minute, second, milliseconds"),
    ]

    private static let records: [KnownFunction] = [
        make("GetArrayElement", .scalar, 2...2, "array, index"),
        make("GetArrayLength", .scalar, 1...1, "array"),
        make("GetArrayElements", .tableValued, 1...1, "array"),
        make("GetRecordPropertyValue", .scalar, 2...2, "record, name"),
        make("GetRecordProperties", .tableValued, 1...1, "record"),
        make("JSON_PARSE", .scalar, 1...1, "text"),
        make("GetMetadataPropertyValue", .scalar, 2...2, "input, name"),
        make("CreatePoint", .scalar, 2...2, "latitude, longitude"),
        make("ST_DISTANCE", .scalar, 2...2, "from, to"),
        make("ST_WITHIN", .scalar, 2...2, "inner, outer"),
        make("System.Timestamp", .system, 0...0, ""), make("System.Window", .system, 0...0, ""),
    ]
}
