/// Why a row could not be computed. The author of the query acts: TRY_CAST, a condition, or the error policy.
package enum RowFailure: String, Hashable, Sendable {
    case cast = "cast_failed"
    /// A value breaks the type that CREATE TABLE declares; the event is dropped and counted.
    case type = "type_mismatch"
    case overflow = "overflow"
    case divisionByZero = "division_by_zero"
    /// An operator or function got a value that it cannot take.
    case operand = "wrong_operand"
    case argument = "wrong_argument"
    case sumOverflow = "sum_overflow"
    /// A limit of the engine.
    case limit = "limit"

    /// One sentence without a full stop.
    package var text: String {
        switch self {
        case .cast: "the value cannot be cast to this type"
        case .type: "the value breaks the declared type"
        case .overflow: "the result is past the range of its type"
        case .divisionByZero: "division by zero"
        case .operand: "the operator cannot take a value of this type"
        case .argument: "the function cannot take this argument"
        case .sumOverflow: "the sum is past the range of its type"
        case .limit: "a limit of the engine is reached"
        }
    }

    package var hint: String {
        switch self {
        case .cast: "TRY_CAST gives NULL instead"
        case .type: "such events are dropped"
        case .overflow: "cast to float first what is a bigint: CAST(x AS float)"
        case .sumOverflow: "cast to float first: SUM(CAST(x AS float))"
        case .divisionByZero: "write x / NULLIF(y, 0)"
        case .operand, .argument: "test GetType(x) in a CASE or WHERE before"
        case .limit: "see the limits of the engine"
        }
    }
}

/// What functions need beside their arguments, and where they put what they make.
final class FunctionContext {
    let arena: ByteArena
    /// The first failure of the row in hand.
    @exclusivity(unchecked) var failure: RowFailure?
    let patterns = PatternCache()
    let textBytesMax: Int

    init(arena: ByteArena, textBytesMax: Int) {
        self.arena = arena
        self.textBytesMax = textBytesMax
    }

    func fail(_ reason: RowFailure) -> Datum {
        failure = failure ?? reason
        return .null
    }
}

/// The arguments of a call: slots of the frame.
struct Arguments {
    let frame: UnsafeMutablePointer<Datum>
    let slots: UnsafePointer<Int32>
    let count: Int

    @inline(__always) subscript(index: Int) -> Datum { frame[Int(slots[index])] }
}
