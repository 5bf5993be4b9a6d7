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
