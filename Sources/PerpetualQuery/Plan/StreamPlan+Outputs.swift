import Telemetry

// What is known of the outputs before a row is there.
extension StreamPlan {
    /// The system output of rows that the time policy set aside.
    package static let lateOutput = "_late"
    /// The system output of what could not be computed.
    package static let errorOutput = "_errors"

    /// Whether all rows of an output are results of tumbling or hopping windows: they then come in portions, each
    /// complete once the time of the query is past its end.
    package func isWindowed(output: Int) -> Bool {
        let windowed = windowedStages
        var isEmitted = false
        for (number, stage) in stages.enumerated() {
            for step in stage.program.instructions
            where step.operation == .emit && emits[Int(step.target)].output == output {
                if !windowed[number] { return false }
                isEmitted = true
            }
        }
        return isEmitted
    }

    /// Ends of windows are multiples of this, in ticks; 1 when nothing better is known.
    var windowStep: Int64 {
        var step: Int64 = 0
        for group in groups {
            for window in group.windows {
                guard case .hopping(_, let hop, let offset) = window.kind else { continue }
                for length in [hop, offset] {
                    var (a, b) = (step, abs(length))
                    while b != 0 { (a, b) = (b, a % b) }
                    step = a
                }
            }
        }
        return max(step, 1)
    }

    /// What the state means, as text: two plans with the same signature can go on with each other's state. The list
    /// of columns above the last operator with state, and conditions there (HAVING), are not in it; of the functions of
    /// the only GROUP BY only what it keeps for them.
    package var stateSignature: String {
        // What another operator keeps of its rows stands in the order of the functions.
        let isAlone =
            groups.count == 1 && joins.isEmpty && analytics.isEmpty && !stages[groups[0].outputStage].isSorted
        var lines = [String(fingerprint)]
        func visit(_ tree: PlanTree, isInside: Bool) {
            let holdsState =
                isInside || tree.children.count > 1 || tree.children.isEmpty
                || Self.statefulLabels.contains { tree.label.hasPrefix($0) }
            if holdsState { lines.append(isAlone ? tree.meaning ?? tree.label : tree.label) }
            for child in tree.children { visit(child, isInside: holdsState) }
        }
        for tree in explanation { visit(tree, isInside: !analytics.isEmpty) }
        return lines.joined(separator: "\n")
    }

    private static let statefulLabels = ["group by", "join", "left join", "inner join", "left outer join"]

    /// Whether anything but the place in the log is remembered.
    package var hasState: Bool { !groups.isEmpty || !joins.isEmpty || !analytics.isEmpty }

    /// How far back in event time a result can reach, in ticks: the longest window, join or LIMIT DURATION.
    package var lookBackTicks: Int64 {
        var ticks: Int64 = 0
        for group in groups {
            for window in group.windows {
                switch window.kind {
                case .hopping(let size, _, _), .sliding(let size): ticks = max(ticks, size)
                case .session(_, let longest, _): ticks = max(ticks, longest)
                case .snapshot: break
                }
            }
        }
        for join in joins { ticks = max(ticks, abs(join.leastDistance), abs(join.greatestDistance)) }
        for analytic in analytics {
            ticks = max(ticks, min(analytic.duration, QueryPlanner.durationTicksMax))
        }
        return ticks
    }

    /// The columns of an output's rows, in order; nil when a `*` makes them depend on the events.
    package func columns(ofOutput output: Int) -> [String]? {
        var names: [String] = []
        for emit in emits where emit.output == output {
            for column in emit.columns {
                guard case .named(let name, _) = column else { return nil }
                if !names.contains(name) { names.append(name) }
            }
        }
        return names
    }

    /// By SELECT that gives rows to an output: which output, and its columns in order; nil of one with a `*`.
    package var columnsByEmit: [(output: Int, columns: [String]?)] {
        emits.map { emit in
            if emit.hasStar { return (emit.output, nil) }
            let names = emit.columns.map { column in
                if case .named(let name, _) = column { name } else { "" }
            }
            return (emit.output, names)
        }
    }

    /// By stage, whether all its rows come of tumbling or hopping windows.
    private var windowedStages: [Bool] {
        var isWindowed = Array(repeating: true, count: stages.count)
        for source in sources { isWindowed[source.stage] = false }
        for join in joins { isWindowed[join.outputStage] = false }
        for group in groups {
            let isHopping = group.windows.allSatisfy { if case .hopping = $0.kind { true } else { false } }
            if !isHopping { isWindowed[group.outputStage] = false }
        }
        // A stage behind another has rows of its kind; stages stand in no order.
        var isChanging = true
        while isChanging {
            isChanging = false
            for (number, stage) in stages.enumerated() where !isWindowed[number] {
                for step in stage.program.instructions where step.operation == .feed {
                    let target = feeds[Int(step.target)].stage
                    if isWindowed[target] { isChanging = true }
                    isWindowed[target] = false
                }
            }
        }
        return isWindowed
    }
}
