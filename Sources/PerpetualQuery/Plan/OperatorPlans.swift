import QueryLanguage

/// GROUP BY: rows of a stage into groups, and a row of another stage for each group and window.
struct GroupPlan: Hashable, Sendable {
    var stage: Int
    var outputStage: Int
    var keySlots: [Int]
    /// Slots of the output stage.
    var keyResults: [Int]
    var windows: [WindowPlan]
    var measures: [MeasurePlan]
    var results: [AggregateResult]
    /// Slot of the output stage for `System.Window().Id`; nil when nothing asks.
    var windowIDResult: Int?
}

/// A window in ticks of 100 ns.
struct WindowPlan: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// `(e − size, e]` for every e = offset + k · hop; tumbling when the two are equal.
        case hopping(size: Int64, hop: Int64, offset: Int64)
        /// `(t − size, t]` when an event enters or leaves.
        case sliding(size: Int64)
        /// Ends when the gap exceeds the timeout, or at a multiple of `longest`. Slots: what has sessions
        /// of its own.
        case session(timeout: Int64, longest: Int64, partition: [Int])
        /// Equal times.
        case snapshot
    }
    var kind: Kind
    var id: String?

    /// As it stands in result ids.
    var name: String {
        switch kind {
        case .hopping(let size, let hop, _): size == hop ? "tumbling" : "hopping"
        case .sliding: "sliding"
        case .session: "session"
        case .snapshot: "snapshot"
        }
    }
}

/// State of a group that one or more aggregates share.
struct MeasurePlan: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// Count, sum, least and greatest of a value's numbers.
        case numeric
        /// Values that are not NULL.
        case count
        /// Mean and squared deviations, after Welford.
        case moments
        case distinct
        /// Values, or whole events, with their times, in the order of `order`.
        case collection
    }
    var kind: Kind
    /// Slot of the value; −1 when there is none.
    var argument: Int
    /// Slots of ORDER BY, for the collection.
    var order: [OrderSlot] = []
    /// Values kept of the collection, `Int.max` for all.
    var kept = Int.max
}

struct OrderSlot: Hashable, Sendable {
    var slot: Int
    var isDescending: Bool
}

/// A column of the output stage and where its value comes from.
struct AggregateResult: Hashable, Sendable {
    enum Function: Hashable, Sendable {
        case countRows
        case count, sum, average, minimum, maximum
        case countValues
        case standardDeviation, standardDeviationOfAll, variance, varianceOfAll
        case countDistinct
        case collect, collectTop, topOne
        /// Bit pattern of the fraction.
        case percentileContinuous(UInt64), percentileDiscrete(UInt64)
    }
    var function: Function
    /// Number of the measure; −1 for the count of rows.
    var measure: Int
    var result: Int
}

/// LAG, LAST, ISFIRST or an aggregate OVER.
struct AnalyticPlan: Hashable, Sendable {
    enum Function: Hashable, Sendable {
        case lag(offset: Int)
        case last
        case isFirst(size: Int64)
        case aggregate(AggregateResult.Function)
    }
    var function: Function
    var partition: [Int]
    /// −1: none.
    var argument: Int
    var standIn: Int?
    var condition: Int?
    var duration: Int64
    var order: [OrderSlot] = []
    var kept = Int.max
    var result: Int
}

/// A join of two streams within a distance in time.
struct StreamJoinPlan: Hashable, Sendable {
    struct Side: Hashable, Sendable {
        var stage: Int
        var keys: [Int]
        /// Columns that go to the output stage.
        var copies: [SlotCopy]
        /// Slot of the output stage for the row's time.
        var timeResult: Int
    }
    var left: Side
    var right: Side
    var outputStage: Int
    var isLeftOuter: Bool
    /// The right row's time less the left row's lies between these, in ticks, or there is no match.
    var leastDistance: Int64
    var greatestDistance: Int64
    /// What a left row without match adds to its time.
    var missDelay: Int64
}

/// A join with reference data.
struct LookupPlan: Hashable, Sendable {
    var reference: Int
    /// Number of the reference's index; nil when all rows are looked at.
    var index: Int?
    /// Slots with the values to find, in the order of the index.
    var keys: [Int]
    /// Columns of the reference to slots.
    var loads: [SlotCopy]
    /// Slot of the whole row.
    var rowSlot: Int?
    /// Slots that are NULL in a row without match.
    var cleared: [Int] = []
    var isLeftOuter: Bool
}
