package import QueryLanguage
import Telemetry

/// What a query document computes, ready to run: programs over slots, and the operators between them.
///
/// A source decodes the fields it needs, sets the time and runs its stage's program for each event. Filters,
/// columns, APPLY, reference data and LAG and its kin are instructions of that program; grouping and joins of
/// streams keep state and run a stage of their own with what they give. A value; `StreamEngine` runs it.
package struct StreamPlan: Sendable {
    /// The query's identity in result ids and checkpoints.
    package var name: String
    /// Part of every result id: raise it when the meaning of the rows changes.
    package var version: Int
    package var settings: StreamSettings
    /// The streams, in the order of their first use.
    package internal(set) var inputs: [InputPlan] = []
    /// The reference data, in the order of their first use.
    package internal(set) var references: [ReferencePlan] = []
    /// Where rows go, in the order of the text. An engine adds `_late` and `_errors`.
    package internal(set) var outputs: [String] = []
    /// Whether a result depends on time: without TIMESTAMP BY the arrival times must then be real.
    package internal(set) var needsArrivalTime = false
    /// The plan as a tree, for `query explain`.
    package internal(set) var explanation: [PlanTree] = []

    var sources: [SourcePlan] = []
    var stages: [StagePlan] = []
    var groups: [GroupPlan] = []
    var analytics: [AnalyticPlan] = []
    var joins: [StreamJoinPlan] = []
    var lookups: [LookupPlan] = []
    var emits: [EmitPlan] = []
    var feeds: [FeedPlan] = []
    var loopCount = 0
    /// Names that `field` instructions look for.
    var fieldNames: [String] = []
    /// Column names of records that are made.
    var shapes: [[String]] = []
    /// Places in the text of instructions that can fail, by stage and instruction.
    var sourceText = ""
}

/// What is the job's and not the text's.
package struct StreamSettings: Hashable, Sendable {
    /// Azure's defaults: early 5 minutes, late 5 s, out of order 0 s, adjust.
    package var timePolicy: TimePolicy
    /// Fields, by input name in lower case, whose values name an event: the first of a name counts, the
    /// others are duplicates.
    package var deduplication: [String: [String]] = [:]
    /// How far an input's time must have gone on before a name of an event may be forgotten, in ticks; with events all
    /// the time it is forgotten before twice as much. nil: names are kept for ever, and take 19 to 39 bytes each.
    package var deduplicationHorizonTicks: Int64?
    /// What becomes of a row that cannot be computed: a failed CAST, an overflow, a division by zero.
    package var errorPolicy = ErrorPolicy.stop
    /// With it the time of inputs with TIMESTAMP BY is the least of their devices' times.
    package var minimumWatermark: MinimumWatermark?
    /// Events are taken to arrive at the time that TIMESTAMP BY gives: nothing is then early or late, only
    /// out of order. For files without a field that says when.
    package var arrivesAtEventTime = false

    package enum ErrorPolicy: UInt8, Hashable, Sendable {
        /// The engine throws and the job stops with the event shown.
        case stop = 0
        /// The row goes to `_errors`, counted, and the job goes on.
        case divert = 1
        /// The row is left out, counted, and the job goes on.
        case drop = 2
    }

    package init() {
        timePolicy = TimePolicy()
        timePolicy.lateToleranceTicks = 5 * EventTime.ticksPerSecond
        timePolicy.outOfOrderToleranceTicks = 0
        timePolicy.lateAction = .adjust
    }
}

/// A stream that a plan reads, and the fields of it that are decoded: each once, for all that need it.
package struct InputPlan: Hashable, Sendable {
    package var name: String
    /// Top-level fields, in the order of their first use.
    package var fields: [String] = []
    /// Whether the payload as a whole is used too.
    package var needsPayload = false
    /// The fields that name an event, as positions in `fields`.
    var deduplication: [Int] = []
    /// As in the settings.
    var deduplicationHorizonTicks: Int64?
}

/// Reference data that a plan joins with.
package struct ReferencePlan: Hashable, Sendable {
    package var name: String
    /// Its columns that are used, in the order of their first use.
    package var columns: [String] = []
    /// By column, the type that CREATE TABLE gives it.
    package internal(set) var types: [SQLType?] = []
    /// Columns, as positions, by whose values rows are found; one list for each join that has equalities.
    package internal(set) var indexes: [[Int]] = []
    package internal(set) var needsRow = false
}

/// A copy of a decoded field, or of a slot, into a frame.
struct SlotCopy: Hashable, Sendable {
    var from: Int
    var to: Int
}

/// An input with its event time.
struct SourcePlan: Sendable {
    var input: Int
    var stage: Int
    var loads: [SlotCopy] = []
    /// Computes the time and the timeline's key; runs on the stage's frame.
    var prologue: [Instruction] = []
    /// nil: the arrival time.
    var timeSlot: Int?
    var timelineSlots: [Int] = []
    /// The fields of `MinimumWatermark`.
    var deviceSlots: [Int] = []
    var spans: [SourceSpan] = []
    /// The declared types were checked in the prologue; conform comes first.
    var hasTypes = false
}

/// A program with its frame, and who must know how far its time is.
struct StagePlan: Sendable {
    var program = Program()
    /// By instruction.
    var spans: [SourceSpan] = []
    /// By instruction, where a row goes on that fails there: behind what only the failed rows' reader needs.
    var resumes: [Int32] = []
    /// Rows are put into the order of their times before the program sees them.
    var isSorted = false
    /// Slots that a row brings along: those that sorting must keep.
    var carried: [Int] = []
    /// Operators and stages behind, in the order in which time reaches them.
    var listeners: [StageListener] = []
    /// Where rows and time come from: more than one in a union.
    var feederCount = 0
    /// Runs before the program for the rows of a stream join; the slot says whether they match.
    var condition: [Instruction] = []
    var conditionSpans: [SourceSpan] = []
    var conditionSlot: Int?
}

enum StageListener: Hashable, Sendable {
    case group(Int)
    case join(Int, isRight: Bool)
    case feed(Int)
    case analytic(Int)
}

/// Rows from one stage to another.
struct FeedPlan: Hashable, Sendable {
    var stage: Int
    /// Which of the stage's feeders this is.
    var feeder: Int
    var copies: [SlotCopy]
}

/// Columns of an output.
struct EmitPlan: Hashable, Sendable {
    var output: Int
    var columns: [EmitColumn]
    var hasStar: Bool {
        columns.contains { if case .star = $0 { true } else { false } }
    }
}

enum EmitColumn: Hashable, Sendable {
    case named(String, slot: Int)
    /// All fields of a record, those left out whose names stand before.
    case star(slot: Int)
}

/// A tree of text lines.
package struct PlanTree: Hashable, Sendable {
    package var label: String
    package var children: [PlanTree] = []
    /// Of a GROUP BY, what its groups keep: functions of the same values share it.
    var meaning: String?

    /// The tree with its branches drawn, a line a node.
    package func lines() -> [String] {
        var lines = [label]
        for (index, child) in children.enumerated() {
            let isLast = index == children.count - 1
            for (number, line) in child.lines().enumerated() {
                lines.append((number == 0 ? (isLast ? "└─ " : "├─ ") : (isLast ? "   " : "│  ")) + line)
            }
        }
        return lines
    }
}
