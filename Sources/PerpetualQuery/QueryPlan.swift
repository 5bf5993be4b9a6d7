import Telemetry

/// What a perpetual query computes, as operators: time policy → field expansion → windowed aggregates →
/// projection. A value; the engine runs it, a front end for the query language builds it.
package struct QueryPlan: Hashable, Sendable {
    /// The query's identity in result ids and checkpoints.
    package var name: String
    /// Part of every result id: raise it when the meaning of the rows changes.
    package var version: Int
    /// The name of the windowed output (`INTO minute`). Names that begin with `_` belong to the system.
    package var output: String
    package var timePolicy: TimePolicy
    package var expansion: FieldExpansion
    package var window: Window
    /// The SELECT list, in order.
    package var projection: [ProjectedColumn]

    package init(
        name: String, version: Int, output: String, timePolicy: TimePolicy, expansion: FieldExpansion,
        window: Window, projection: [ProjectedColumn]
    ) {
        self.name = name
        self.version = version
        self.output = output
        self.timePolicy = timePolicy
        self.expansion = expansion
        self.window = window
        self.projection = projection
    }

    /// The system output of rows that the time policy set aside.
    package static let lateOutput = "_late"
    /// The system output of what could not be computed.
    package static let errorOutput = "_errors"

    /// The query that ships with the product: one row per device, numeric field and minute of event time.
    package static let perMinute = QueryPlan(
        name: "minute", version: 1, output: "minute", timePolicy: TimePolicy(),
        expansion: FieldExpansion(
            excludedNames: ["messageId", "id", "ts", "timestamp", "deviceId", "device"]),
        window: .tumbling(sizeTicks: EventTime.ticksPerMinute),
        projection: [
            ProjectedColumn("device", .device), ProjectedColumn("field", .field),
            ProjectedColumn("windowStart", .windowStart), ProjectedColumn("windowEnd", .windowEnd),
            ProjectedColumn("count", .aggregate(.count)), ProjectedColumn("min", .aggregate(.min)),
            ProjectedColumn("max", .aggregate(.max)), ProjectedColumn("avg", .aggregate(.avg)),
            ProjectedColumn("sum", .aggregate(.sum)),
        ])
}

/// `CROSS APPLY GetRecordProperties(…) WHERE GetType(value) IN ('bigint', 'float')`: each numeric top-level
/// field of a JSON object becomes a row of its own. A name that comes twice in one object counts once, with
/// its last value.
package struct FieldExpansion: Hashable, Sendable {
    /// Exact names that are not expanded.
    package var excludedNames: [String]

    package init(excludedNames: [String]) { self.excludedNames = excludedNames }
}

/// How event time is cut into groups.
package enum Window: Hashable, Sendable {
    /// `(end − size, end]`, ends at multiples of the size since the epoch. Size in ticks of 100 ns, 1 tick to
    /// 7 days.
    case tumbling(sizeTicks: Int64)

    /// The largest window of the query language: 7 days, in ticks.
    package static let sizeTicksMax: Int64 = 7 * 86_400 * EventTime.ticksPerSecond

    var sizeTicks: Int64 {
        switch self {
        case .tumbling(let sizeTicks): sizeTicks
        }
    }

    /// The window kind as it stands in result ids.
    var kind: String {
        switch self {
        case .tumbling: "tumbling"
        }
    }
}

/// One column of a windowed output.
package struct ProjectedColumn: Hashable, Sendable {
    package var name: String
    package var source: Source

    package init(_ name: String, _ source: Source) {
        self.name = name
        self.source = source
    }

    /// Where a column's value comes from.
    package enum Source: Hashable, Sendable {
        case device
        case field
        /// The moment before the window's first; the window itself is `(start, end]`.
        case windowStart
        case windowEnd
        case aggregate(Aggregate)
    }
}

/// An aggregate function over a group's values.
package enum Aggregate: String, Hashable, Sendable {
    /// A bigint.
    case count
    /// The least value; a bigint when that value was one.
    case min
    /// The greatest value; a bigint when that value was one.
    case max
    /// Always a float.
    case avg
    /// A bigint while all values are bigints, else a float.
    case sum
}
