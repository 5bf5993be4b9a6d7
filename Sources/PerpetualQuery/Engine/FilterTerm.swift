/// What a WHERE asks of one field alone: comparisons with constants of one kind, LIKE and IS NULL, joined by AND and
/// OR. A record for which it is not true gives no row.
struct FilterTerm {
    indirect enum Formula {
        /// Orders of the field's value to the constant that hold: 1 less, 2 equal, 4 greater.
        case compare(orders: UInt8, FilterConstant)
        /// The text begins, or does not begin, so.
        case like(prefix: [UInt8], isNegated: Bool)
        case isNull(Bool)
        case all([Formula])
        case any([Formula])
    }

    var slot: Int
    var formula: Formula

    /// Constants of texts, or of numbers, never of both.
    var isText: Bool { Self.isText(formula) }

    private static func isText(_ formula: Formula) -> Bool {
        switch formula {
        case .compare(_, .text), .like: true
        case .compare, .isNull: false
        case .all(let parts), .any(let parts): parts.contains(where: isText)
        }
    }

    var constants: [FilterConstant] { Self.constants(formula) }

    private static func constants(_ formula: Formula) -> [FilterConstant] {
        switch formula {
        case .compare(_, let constant): [constant]
        case .like(let prefix, _): [.text(prefix), .text(FilterConstant.successor(of: prefix))]
        case .isNull: []
        case .all(let parts), .any(let parts): parts.flatMap(constants)
        }
    }

    /// The text of a value that is none can be what LIKE asks for, or an error.
    var hasLike: Bool { Self.hasLike(formula) }

    private static func hasLike(_ formula: Formula) -> Bool {
        switch formula {
        case .like: true
        case .compare, .isNull: false
        case .all(let parts), .any(let parts): parts.contains(where: hasLike)
        }
    }
}

/// A constant that a field is compared with.
enum FilterConstant: Hashable {
    /// A number that a double holds exactly.
    case number(Double)
    case text([UInt8])

    /// The least text above all that begin with this one. UTF-8 has no byte 0xFF.
    static func successor(of prefix: [UInt8]) -> [UInt8] {
        var next = prefix
        if let last = next.popLast() { next.append(last + 1) }
        return next
    }
}

/// Reads the terms off the first instructions of a stage: what stands before them all in the order of evaluation, so
/// that a term that is not true ends the row before anything can fail.
struct FilterTermReader {
    private struct Atom {
        var slot: Int32
        var formula: FilterTerm.Formula
    }
    /// All of them hold.
    private typealias Condition = [Atom]

    let code: StageRuntime.Code
    let frame: UnsafeMutablePointer<Datum>
    /// By slot of the frame, the field that is loaded there.
    let fields: [Int: Int]
    /// Slots of constants.
    let constants: Set<Int>

    /// A longer constant or list is left to the query itself.
    private static let constantBytesMax = 256
    private static let constantsMax = 64

    /// - Returns: terms that must all be true; empty when the row is not decided by fields alone.
    func terms() -> [FilterTerm] {
        var terms: [FilterTerm] = []
        var values: [Int32: Condition] = [:]
        var at = 0
        while at < code.count {
            let step = code.instructions[at]
            if Int(step.target) == code.count, let orders = Self.jumpOrders(step.operation) {
                guard let atom = comparison(step, orders) else { return terms }
                guard append([atom], to: &terms) else { return terms }
            } else if step.operation == .jumpUnlessTrue, Int(step.target) == code.count {
                guard let condition = values[step.left], append(condition, to: &terms) else { return terms }
            } else if let next = read(at, &values) {
                at = next
                continue
            } else {
                return terms
            }
            at += 1
        }
        // Nothing behind the condition: no row ever.
        return terms
    }

    private func append(_ condition: Condition, to terms: inout [FilterTerm]) -> Bool {
        for atom in condition {
            guard let field = fields[Int(atom.slot)] else { return false }
            let term = FilterTerm(slot: field, formula: atom.formula)
            let constants = term.constants
            guard constants.count <= Self.constantsMax,
                term.isText || !constants.contains(where: Self.isText),
                !term.isText || constants.allSatisfy(Self.isText)
            else { return false }
            terms.append(term)
        }
        return true
    }

    private static func isText(_ constant: FilterConstant) -> Bool {
        if case .text = constant { return true }
        return false
    }

    /// Reads one step of a condition.
    ///
    /// - Returns: where to go on; nil when the step is none that a field decides.
    private func read(_ at: Int, _ values: inout [Int32: Condition]) -> Int? {
        let step = code.instructions[at]
        switch step.operation {
        case .truth:
            guard let condition = values[step.left] else { return nil }
            values[step.result] = condition
        case .like:
            guard let atom = like(step) else { return nil }
            values[step.result] = [atom]
        case .isNull, .isNotNull:
            guard fields[Int(step.left)] != nil else { return nil }
            values[step.result] = [Atom(slot: step.left, formula: .isNull(step.operation == .isNull))]
        case .jumpIfTrue, .jumpUnlessTrue:
            let end = Int(step.target)
            guard end > at, end < code.count, let first = values[step.left] else { return nil }
            // The last of a list jumps over nothing.
            if end == at + 1 { return end }
            values[step.left] = nil
            var next = at + 1
            while next < end {
                guard let after = read(next, &values), after <= end else { return nil }
                next = after
            }
            guard let second = values[step.left] else { return nil }
            if step.operation == .jumpUnlessTrue {
                values[step.left] = first + second
            } else {
                guard let joined = Self.any(first, second) else { return nil }
                values[step.left] = joined
            }
            return end
        default:
            guard let orders = Self.orders(step.operation), let atom = comparison(step, orders) else {
                return nil
            }
            values[step.result] = [atom]
        }
        return at + 1
    }

    /// Either of two conditions, when both ask the same field.
    private static func any(_ first: Condition, _ second: Condition) -> Condition? {
        guard let slot = first.first?.slot, (first + second).allSatisfy({ $0.slot == slot }) else {
            return nil
        }
        func whole(_ condition: Condition) -> FilterTerm.Formula {
            condition.count == 1 ? condition[0].formula : .all(condition.map(\.formula))
        }
        return [Atom(slot: slot, formula: .any([whole(first), whole(second)]))]
    }

    private func comparison(_ step: Instruction, _ orders: UInt8) -> Atom? {
        if fields[Int(step.left)] != nil, let constant = constant(step.right) {
            return Atom(slot: step.left, formula: .compare(orders: orders, constant))
        }
        if fields[Int(step.right)] != nil, let constant = constant(step.left) {
            let mirrored = (orders & 1) << 2 | (orders & 2) | (orders & 4) >> 2
            return Atom(slot: step.right, formula: .compare(orders: mirrored, constant))
        }
        return nil
    }

    private func constant(_ slot: Int32) -> FilterConstant? {
        guard constants.contains(Int(slot)) else { return nil }
        let value = frame[Int(slot)]
        switch value.kind {
        case .text: return value.count <= Self.constantBytesMax ? .text(Array(value.bytes)) : nil
        case .bit: return .number(Double(value.bits))
        case .bigint, .float: return value.exactNumber.map { .number($0) }
        default: return nil
        }
    }

    /// A pattern that is a prefix and `%`.
    private func like(_ step: Instruction) -> Atom? {
        guard fields[Int(step.left)] != nil, case .text(var pattern)? = constant(step.right),
            pattern.popLast() == 0x25, !pattern.isEmpty,
            !pattern.contains(where: { $0 == 0x25 || $0 == 0x5F || $0 == 0x5B })
        else { return nil }
        return Atom(slot: step.left, formula: .like(prefix: pattern, isNegated: step.target == 1))
    }

    private static func orders(_ operation: Operation) -> UInt8? {
        switch operation {
        case .equal: 2
        case .notEqual: 5
        case .less: 1
        case .lessOrEqual: 3
        case .greater: 4
        case .greaterOrEqual: 6
        default: nil
        }
    }

    private static func jumpOrders(_ operation: Operation) -> UInt8? {
        switch operation {
        case .jumpUnlessEqual: 2
        case .jumpUnlessNotEqual: 5
        case .jumpUnlessLess: 1
        case .jumpUnlessLessOrEqual: 3
        case .jumpUnlessGreater: 4
        case .jumpUnlessGreaterOrEqual: 6
        default: nil
        }
    }
}

extension Datum {
    /// A number as a double, when it is one and a double holds it exactly; nil for all else.
    @inline(__always)
    var exactNumber: Double? {
        if kind == .float { return double }
        if kind == .bigint, integer.magnitude < 1 << 53 { return Double(integer) }
        return nil
    }
}
