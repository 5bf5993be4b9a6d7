import QueryLanguage
import Telemetry

/// A join of two streams while it is planned: code of either side runs before the join, and what later code
/// asks for is carried over.
final class StreamJoinDraft {
    /// One side: its rows, and the slots that go along.
    final class Side {
        var compiler: ExpressionCompiler
        let output: StageDraft
        private(set) var copies: [SlotCopy] = []
        let timeResult: Int
        /// How far apart in time the rows can be of which a row of this side was made.
        var spread: Int64 = 0
        /// The same of the joined rows.
        var spreadOfOutput: Int64 = 0

        init(compiler: ExpressionCompiler, output: StageDraft) {
            self.compiler = compiler
            self.output = output
            timeResult = output.newCarriedSlot()
        }

        /// A field, or with an empty path the whole row, of one of the side's sources.
        func fetch(_ path: [PathElement], of source: Name, _ span: SourceSpan) throws(QueryError) -> Int {
            copy(try compiler.column([.name(source)] + path, span))
        }

        /// The time of one of the side's sources.
        func time(of source: Name, _ span: SourceSpan) throws(QueryError) -> Int {
            guard let known = compiler.scope.source(source.text) else { return timeResult }
            return copy(try compiler.time(of: known, span))
        }

        /// The slot of the joined rows for one of the side's.
        func copy(_ slot: Int) -> Int {
            if let known = copies.first(where: { $0.from == slot }) { return known.to }
            let made = SlotCopy(from: slot, to: output.newCarriedSlot())
            copies.append(made)
            return made.to
        }
    }

    private let planner: QueryPlanner
    private let join: Join
    private let left: Relation
    private let right: Relation

    init(planner: QueryPlanner, join: Join, left: Relation, right: Relation) {
        self.planner = planner
        self.join = join
        self.left = left
        self.right = right
    }

    /// - Parameters:
    ///   - compiler: of the left side; afterwards of the joined rows.
    ///   - right: the right side's only source.
    func plan(_ compiler: inout ExpressionCompiler, right scope: PlanScope) throws(QueryError) -> Relation {
        guard let condition = join.condition else {
            throw QueryError(join.span, "this JOIN of streams has no bound in time")
        }
        let output = planner.newStage()
        output.feederCount = 2
        let leftSide = Side(compiler: prepared(compiler, left), output: output)
        let rightSide = Side(
            compiler: prepared(
                ExpressionCompiler(planner: planner, stage: right.stage, block: right.block, scope: scope),
                right),
            output: output)
        leftSide.spread = Self.spread(compiler.scope)
        var joined = PlanScope()
        for (side, sources) in [(leftSide, compiler.scope.sources), (rightSide, scope.sources)] {
            for source in sources {
                let relation = Relation(
                    stage: output, block: output.root, columns: [.open(.side(side, source.relation))],
                    tree: PlanTree(label: ""))
                joined.add(source.name, relation, isRecord: source.isRecord)
            }
        }
        var test = ExpressionCompiler(planner: planner, stage: output, block: output.condition, scope: joined)
        // What was computed of the rows before the left one goes along with it.
        for (place, slot) in compiler.analytics.sorted(by: { $0.key < $1.key }) {
            test.analytics[place] = leftSide.copy(slot)
        }
        var keys: (left: [Int], right: [Int]) = ([], [])
        var rest: [Expression] = []
        for term in condition.terms {
            // An equality finds the row by its key, and is tested with the rest: '5' and '5.0' share a key.
            rest.append(term)
            guard case .binary(.equal, let a, let b) = term.kind else { continue }
            switch (sides(a, joined, leftSide), sides(b, joined, leftSide)) {
            case (.left, .right):
                keys.left.append(try leftSide.compiler.compile(a))
                keys.right.append(try rightSide.compiler.compile(b))
            case (.right, .left):
                keys.left.append(try leftSide.compiler.compile(b))
                keys.right.append(try rightSide.compiler.compile(a))
            default: break
            }
        }
        try compileTest(rest, &test, output)
        let bound = try JoinBound(condition, right: join.input.visibleName, span: join.span)
        let number = planner.plan.joins.count
        planner.plan.joins.append(
            StreamJoinPlan(
                left: .init(
                    stage: left.stage.number, keys: keys.left, copies: [], timeResult: leftSide.timeResult),
                right: .init(
                    stage: right.stage.number, keys: keys.right, copies: [], timeResult: rightSide.timeResult),
                outputStage: output.number, isLeftOuter: join.kind == .left,
                leastDistance: bound.least - leftSide.spread, greatestDistance: bound.greatest,
                missDelay: max(bound.miss, 0)))
        planner.joinDrafts.append((number, leftSide, rightSide))
        left.block.append(Instruction(.join, left: 0, target: number), join.span)
        right.block.append(Instruction(.join, left: 1, target: number), join.span)
        left.stage.listeners.append(.join(number, isRight: false))
        right.stage.listeners.append(.join(number, isRight: true))
        let spread = max(abs(bound.least), abs(bound.greatest)) + leftSide.spread
        leftSide.spreadOfOutput = spread
        rightSide.spreadOfOutput = spread
        compiler = ExpressionCompiler(planner: planner, stage: output, block: output.root, scope: joined)
        compiler.analytics = test.analytics
        return Relation(
            stage: output, block: output.root, columns: [],
            tree: PlanTree(
                label: "\(join.kind.rawValue.lowercased()) on " + QueryPrinter.text(of: condition),
                children: [left.tree, right.tree]))
    }

    /// A compiler that writes before the join.
    private func prepared(_ compiler: ExpressionCompiler, _ relation: Relation) -> ExpressionCompiler {
        var prepared = compiler
        let before = CodeBlock(inside: relation.block)
        relation.block.append(before)
        prepared.block = before
        return prepared
    }

    private func compileTest(
        _ terms: [Expression], _ test: inout ExpressionCompiler, _ output: StageDraft
    ) throws(QueryError) {
        guard let first = terms.first else { return }
        var whole = first
        for term in terms.dropFirst() { whole = Expression(.binary(.and, whole, term), first.span) }
        output.conditionSlot = try test.compile(whole)
    }

    private enum Owner { case none, left, right, both }

    private func sides(_ expression: Expression, _ scope: PlanScope, _ left: Side) -> Owner {
        var isLeft = false
        var isRight = false
        expression.visit { part in
            guard case .column(let path) = part.kind, case .name(let first)? = path.first else { return true }
            let source = path.count > 1 ? scope.source(first.text) : nil
            guard let owner = source ?? (try? scope.owner(of: first)),
                case .side(let side, _)? = owner.relation.open
            else {
                isLeft = true
                isRight = true
                return true
            }
            if side === left { isLeft = true } else { isRight = true }
            return true
        }
        return isLeft && isRight ? .both : isLeft ? .left : isRight ? .right : .none
    }

    private static func spread(_ scope: PlanScope) -> Int64 {
        for source in scope.sources {
            if case .side(let side, _)? = source.relation.open { return side.spreadOfOutput }
        }
        return 0
    }
}

/// How far the right row's time may lie behind that of a left one, from the DATEDIFFs of ON.
struct JoinBound {
    var least = Int64.min
    var greatest = Int64.max
    /// When a left row is known to have no match: this much behind it.
    var miss: Int64 = 0

    init(_ condition: Expression, right: Name, span: SourceSpan) throws(QueryError) {
        for term in condition.terms { add(term, right) }
        guard least != Int64.min, greatest != Int64.max else {
            throw QueryError(
                span, "this JOIN of streams has no bound in time",
                hint: "write DATEDIFF(second, a, b) BETWEEN 0 AND 10 with the names of the two inputs")
        }
    }

    private mutating func add(_ term: Expression, _ right: Name) {
        switch term.kind {
        case .between(let value, let low, let high, isNegated: false):
            guard let (unit, isTurned) = Self.distance(value, right), let from = Self.constant(low),
                let to = Self.constant(high)
            else { return }
            limit(from, to, unit, isTurned)
        case .binary(let symbol, let left, let other):
            if let (unit, isTurned) = Self.distance(left, right), let bound = Self.constant(other) {
                compare(symbol, bound, unit, isTurned)
            } else if let (unit, isTurned) = Self.distance(other, right), let bound = Self.constant(left) {
                compare(Self.mirrored(symbol), bound, unit, isTurned)
            }
        default: break
        }
    }

    private mutating func compare(_ symbol: BinaryOperator, _ bound: Double, _ unit: Int64, _ isTurned: Bool)
    {
        switch symbol {
        case .equal: limit(bound, bound, unit, isTurned)
        case .less: limit(nil, bound.rounded(.up) - 1, unit, isTurned)
        case .lessOrEqual: limit(nil, bound, unit, isTurned)
        case .greater: limit(bound.rounded(.down) + 1, nil, unit, isTurned)
        case .greaterOrEqual: limit(bound, nil, unit, isTurned)
        default: break
        }
    }

    /// DATEDIFF counts boundaries: n of them lie within (n − 1, n + 1) units.
    private mutating func limit(_ low: Double?, _ high: Double?, _ unit: Int64, _ isTurned: Bool) {
        let a = isTurned ? high.map { -$0 } : low
        let b = isTurned ? low.map { -$0 } : high
        if let a { least = max(least, Int64(a * Double(unit)) - unit) }
        if let b, Int64(b * Double(unit)) + unit < greatest {
            greatest = Int64(b * Double(unit)) + unit
            miss = Int64(b * Double(unit))
        }
    }

    private static func mirrored(_ symbol: BinaryOperator) -> BinaryOperator {
        switch symbol {
        case .less: .greater
        case .lessOrEqual: .greaterOrEqual
        case .greater: .less
        case .greaterOrEqual: .lessOrEqual
        default: symbol
        }
    }

    /// The unit of a DATEDIFF between a source and the right one, and whether the right one comes first.
    private static func distance(_ expression: Expression, _ right: Name) -> (Int64, Bool)? {
        guard case .call(let call) = expression.kind, call.function.name == "DATEDIFF",
            case .unit(let unit)? = call.arguments.first?.kind, call.arguments.count == 3,
            let from = name(call.arguments[1]), let to = name(call.arguments[2])
        else { return nil }
        let day: Int64 = 864_000_000_000
        let ticks: Int64 =
            switch unit {
            case .dayofyear, .weekday: day
            case .week: 7 * day
            case .month: 31 * day
            case .quarter: 92 * day
            case .year: 366 * day
            default: unit.ticks ?? day
            }
        if to.matches(right.text) { return (ticks, false) }
        return from.matches(right.text) ? (ticks, true) : nil
    }

    private static func name(_ expression: Expression) -> Name? {
        guard case .column(let path) = expression.kind, path.count == 1, case .name(let name)? = path.first
        else {
            return nil
        }
        return name
    }

    private static func constant(_ expression: Expression) -> Double? {
        switch expression.kind {
        case .literal(.bigint(let value)): Double(value)
        case .literal(.float(let value)): value
        case .unary(.minus, let operand): constant(operand).map { -$0 }
        case .unary(.plus, let operand): constant(operand)
        default: nil
        }
    }
}
