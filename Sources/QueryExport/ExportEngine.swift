import QueryLanguage

/// The engines that a query can be written for.
package enum ExportEngine: String, Hashable, Sendable, CaseIterable {
    /// Spark Structured Streaming, as a PySpark script.
    case spark
    /// Flink SQL, as DDL and DML.
    case flink

    /// How people call it.
    var title: String { self == .spark ? "Spark" : "Flink" }

    /// A name, quoted. Both engines take backquotes, doubled inside.
    func quoted(_ name: String) -> String { "`" + name.replacing("`", with: "``") + "`" }

    /// A text constant. A backslash escapes in Spark's texts, and stands for itself in Flink's.
    func text(_ value: String) -> String {
        if self == .flink { return "'" + value.replacing("'", with: "''") + "'" }
        return "'" + value.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    /// The engine's name of a type; nil when a declaration of it needs more than its name.
    func name(of type: SQLType) -> String? {
        switch type {
        case .bigint: "BIGINT"
        case .float: "DOUBLE"
        case .nvarcharMax: "STRING"
        case .datetime: self == .spark ? "TIMESTAMP" : "TIMESTAMP_LTZ(3)"
        case .bit: "BOOLEAN"
        case .record, .array: nil
        }
    }

    /// A constant stretch of time.
    func interval(_ ticks: Int64) -> String {
        if self == .spark { return "\(ticks / 10) microseconds" }
        // `SECOND` alone takes two digits there, and no more by its precision.
        let milliseconds = ticks / 10_000
        let parts = [
            milliseconds / 3_600_000 % 24, milliseconds / 60_000 % 60, milliseconds / 1_000 % 60,
        ].map { $0 < 10 ? "0\($0)" : "\($0)" }
        let rest = String(String(1_000 + milliseconds % 1_000).dropFirst())
        let days = milliseconds / 86_400_000
        return "INTERVAL '\(days) \(parts.joined(separator: ":")).\(rest)' DAY TO SECOND"
    }

    /// The shortest time that the engine tells apart, in ticks of 100 ns.
    var tickResolution: Int64 { self == .spark ? 10 : 10_000 }
}

/// A piece of the engine's SQL with the type of its value.
struct ExportedExpression {
    var text: String
    var type: SQLType
    /// A condition that is never NULL.
    var isCertain = false

    /// A condition's truth: NULL is false.
    var truth: String { isCertain ? text : "COALESCE(\(text), FALSE)" }
}
