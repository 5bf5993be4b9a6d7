/// A whole query text: typed inputs, shared steps, and one or more queries with their outputs.
package struct QueryDocument: Hashable, Sendable {
    package var tables: [TableDeclaration]
    package var steps: [QueryStep]
    package var queries: [Query]
}

/// `CREATE TABLE name (column type, …)`: the types of an input's fields.
package struct TableDeclaration: Hashable, Sendable {
    package var name: Name
    package var columns: [ColumnDeclaration]
}

package struct ColumnDeclaration: Hashable, Sendable {
    package var name: Name
    package var type: SQLType

    package init(name: Name, type: SQLType) {
        self.name = name
        self.type = type
    }
}

/// `WITH name AS (query)`: seen by the steps and queries that follow.
package struct QueryStep: Hashable, Sendable {
    package var name: Name
    package var query: Query
}

/// One or more SELECTs joined by UNION.
package struct Query: Hashable, Sendable {
    /// Where the rows go (`INTO`). Empty in a step, and in a query that names none: its output is then called
    /// `output`.
    package var outputs: [Name]
    package var first: Select
    package var unions: [UnionTerm]

    package var selects: [Select] { [first] + unions.map(\.select) }
}

package struct UnionTerm: Hashable, Sendable {
    package var isAll: Bool
    package var select: Select
}

/// One SELECT.
package struct Select: Hashable, Sendable {
    package var items: [SelectItem]
    package var from: InputSource
    /// JOINs and APPLYs in the order of the text.
    package var relations: [Relation]
    package var condition: Expression?
    package var groupBy: [GroupItem]
    package var having: Expression?
    /// The word SELECT.
    package var span: SourceSpan

    /// The inputs that carry rows: the first and those joined.
    package var inputs: [InputSource] {
        [from]
            + relations.compactMap { relation in
                if case .join(let join) = relation { join.input } else { nil }
            }
    }
}

package enum SelectItem: Hashable, Sendable {
    /// `*` with an empty path, or `input.*`, `record.*`, `input.record.*`.
    case star(of: [Name], SourceSpan)
    case expression(Expression, alias: Name?)
}

/// An input or a step with its alias and time.
package struct InputSource: Hashable, Sendable {
    package var name: Name
    package var alias: Name?
    package var timestampBy: TimestampBy?
    package var partitionBy: PartitionBy?

    /// How the rest of the SELECT calls it.
    package var visibleName: Name { alias ?? name }
}

/// `TIMESTAMP BY expression [OVER key, …]`: event time, and a timeline per key.
package struct TimestampBy: Hashable, Sendable {
    package var time: Expression
    package var over: [Expression]
}

/// `PARTITION BY key, … [INTO n]`.
package struct PartitionBy: Hashable, Sendable {
    package var keys: [Expression]
    package var partitionCount: Int?
}

package enum Relation: Hashable, Sendable {
    case join(Join)
    case apply(Apply)
}

package struct Join: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        case inner = "JOIN"
        case left = "LEFT JOIN"
        /// Reference data only; has no ON.
        case cross = "CROSS JOIN"
    }
    package var kind: Kind
    package var input: InputSource
    package var condition: Expression?
    /// The word JOIN.
    package var span: SourceSpan
}

/// `CROSS APPLY GetArrayElements(…) AS alias`.
package struct Apply: Hashable, Sendable {
    /// OUTER APPLY keeps rows without elements, with NULL.
    package var isOuter: Bool
    package var call: FunctionCall
    package var alias: Name
}

package enum GroupItem: Hashable, Sendable {
    case expression(Expression)
    case window(WindowDefinition)
    /// `System.Timestamp()`: a group of equal timestamps.
    case snapshot(SourceSpan)
}

/// A window of GROUP BY. Azure Stream Analytics, "Windowing functions".
package struct WindowDefinition: Hashable, Sendable {
    package indirect enum Kind: Hashable, Sendable {
        case tumbling(size: TimeSpan, offset: TimeSpan?)
        case hopping(size: TimeSpan, hop: TimeSpan, offset: TimeSpan?)
        case sliding(size: TimeSpan)
        case session(timeout: TimeSpan, longest: TimeSpan, partitionBy: [Expression])
        /// Rows of equal times. As a window of `Windows(…)` only: alone it is `GroupItem.snapshot`.
        case snapshot
        /// The rows of all of them.
        case windows([IdentifiedWindow])
    }
    package var kind: Kind
    /// The function's name.
    package var span: SourceSpan
}

/// A window of `Windows(…)`, with the id that `System.Window().Id` tells.
package struct IdentifiedWindow: Hashable, Sendable {
    package var id: String?
    package var window: WindowDefinition
}
