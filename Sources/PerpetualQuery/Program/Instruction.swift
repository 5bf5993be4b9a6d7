/// One step of a program: an operation on slots of the frame, or an action on the row in hand.
///
/// Operands are slot numbers unless the operation says otherwise; `target` is the number of an instruction,
/// or of a table of the plan.
struct Instruction: Hashable, Sendable {
    var operation: Operation
    var result: Int32 = 0
    var left: Int32 = 0
    var right: Int32 = 0
    var target: Int32 = 0

    init(_ operation: Operation, result: Int = 0, left: Int = 0, right: Int = 0, target: Int = 0) {
        self.operation = operation
        self.result = Int32(result)
        self.left = Int32(left)
        self.right = Int32(right)
        self.target = Int32(target)
    }
}

enum Operation: UInt8, Hashable, Sendable {
    // Where to go on.
    case jump, jumpUnlessTrue, jumpIfTrue, jumpIfNotNull
    /// Compares left with right and goes to the target unless it holds.
    case jumpUnlessEqual, jumpUnlessNotEqual, jumpUnlessLess, jumpUnlessLessOrEqual
    case jumpUnlessGreater, jumpUnlessGreaterOrEqual

    // Values.
    case move
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
    /// Bit of a condition: 1 when it is true, else 0.
    case truth
    case not
    case isNull, isNotNull
    case add, subtract, multiply, divide, remainder, negate
    case bitAnd, bitOr, bitXor, bitNot
    case like
    /// target: the type's number in `SQLType.allCases`.
    case cast, tryCast
    /// Like `cast`, but a value that does not fit drops the row as one that breaks the declared type.
    case conform
    /// target: number of the field's name.
    case field
    /// Element `right` of the array `left`.
    case element
    /// The row's time.
    case rowTime
    /// target: `EventProperty`.
    case property
    /// target: number of the function; left: first operand; right: how many.
    case call
    /// A record of named slots. target: number of the shape; left: first operand; right: how many.
    case record

    // Rows.
    /// Elements of an array, or properties of a record. left: the value; target: number of the loop.
    case applyBegin
    /// result: slot of the record {ArrayIndex, ArrayValue}: index or name in `left`, value in `right`; goes
    /// on behind the loop when there is none.
    case applyNext
    /// Rows of reference data that match. target: number of the join.
    case lookupBegin
    /// Goes on at `left` behind the last match, at `right` with a row without match.
    case lookupNext
    /// The row in hand matches.
    case lookupMatched
    /// target: number of the analytic function.
    case analytic
    /// target: number of the emitted columns.
    case emit
    /// target: number of the operator.
    case aggregate
    case join
    /// Copies slots to another stage and runs it. target: number of the feed.
    case feed
}

/// What the hub knows of an event beside its payload.
enum EventProperty: Int, Hashable, Sendable {
    case device = 0
    case messageID, arrivalTime, eventTime, sequence
    /// A text that names the event among all events, the same in every run.
    case eventID
    /// The payload as a record.
    case payload
    /// All of it as a record.
    case all
    case correlationID
    /// All user properties as a record.
    case user
    /// What Azure has and this hub has not: NULL.
    case unknown

    /// A user property is this and the number of its name.
    static let firstUserNumber = 64

    /// Among the decoded fields of an input, numbers below those of the payload stand for properties.
    var field: Int { Self.field(ofNumber: rawValue) }
    static func field(ofNumber number: Int) -> Int { -2 - number }
    static func number(ofField field: Int) -> Int { -2 - field }
}

/// A program and the frame it runs on.
struct Program: Hashable, Sendable {
    var instructions: [Instruction] = []
    /// Operands of calls and records, referred to by their first index.
    var operands: [Int32] = []
    /// Slots in all.
    var slotCount = 0
    /// Constants and the slots that hold them before the program starts.
    var constants: [ProgramConstant] = []
}

struct ProgramConstant: Hashable, Sendable {
    var slot: Int
    var value: ConstantValue
}

enum ConstantValue: Hashable, Sendable {
    case null
    case bigint(Int64)
    /// Bit pattern, so that it is hashable whatever the number.
    case float(UInt64)
    case text([UInt8])
    case bit(Bool)
}
