/// What of an input's events can be found out ahead, by who decodes them: their time, and the key of their group.
struct PlainEvents: Hashable, Sendable {
    /// The field that is the time.
    let timeField: Int
    /// The group that events go to as they are: no condition, nothing computed, one kind of windows that are made of
    /// panes; nil when there is more to it.
    let group: Int?
    /// The fields that are its key.
    let keyFields: [Int]

    /// - Returns: nil when the time hangs on more than one field: on a program, on declared types, on timelines, on
    ///   the turn of other rows; when several parts of the query read the input, or more than fields of it.
    init?(_ plan: StreamPlan, input: Int) {
        let sources = plan.sources.filter { $0.input == input }
        guard sources.count == 1, let source = sources.first, source.prologue.isEmpty,
            source.timelineSlots.isEmpty, source.deviceSlots.isEmpty, !plan.stages[source.stage].isSorted,
            source.loads.allSatisfy({ $0.from >= 0 })
        else { return nil }
        func field(_ slot: Int) -> Int? { source.loads.first { $0.to == slot }?.from }
        guard let timeField = source.timeSlot.flatMap(field) else { return nil }
        self.timeField = timeField
        let program = plan.stages[source.stage].program.instructions
        guard program.count == 1, program[0].operation == .aggregate else {
            group = nil
            keyFields = []
            return
        }
        let grouped = plan.groups[Int(program[0].target)]
        let fields = grouped.keySlots.compactMap(field)
        let isPlain =
            fields.count == grouped.keySlots.count && grouped.windows.count == 1
            && grouped.windows.allSatisfy(\.isMadeOfPanes)
        group = isPlain ? Int(program[0].target) : nil
        keyFields = isPlain ? fields : []
    }
}

extension WindowPlan {
    fileprivate var isMadeOfPanes: Bool {
        switch kind {
        case .hopping, .snapshot: true
        case .sliding, .session: false
        }
    }
}
