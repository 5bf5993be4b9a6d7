/// A data type of CREATE TABLE, CAST and TRY_CAST. Azure Stream Analytics, "Data Types".
package enum SQLType: String, Hashable, Sendable, CaseIterable {
    case bigint
    case float
    case nvarcharMax = "nvarchar(max)"
    case datetime
    case bit
    case record
    case array

    /// The type to take instead of one that other dialects have.
    static func replacement(for word: String) -> SQLType? {
        switch word.lowercased() {
        case "int", "integer", "smallint", "tinyint", "long": .bigint
        case "real", "double", "decimal", "numeric", "money", "number": .float
        case "varchar", "char", "nchar", "nvarchar", "text", "ntext", "string": .nvarcharMax
        case "datetime2", "datetimeoffset", "timestamp", "date", "time", "smalldatetime": .datetime
        case "bool", "boolean": .bit
        case "struct", "object", "map", "json": .record
        case "list": .array
        default: nil
        }
    }
}
