import QueryLanguage
package import Telemetry

/// Runs one plan: events and ticks in, result rows out.
///
/// Sans-I/O: time comes in with the events and ticks, so that the same input gives the same rows with the
/// same ids, and a replay from a checkpoint goes on exactly where it stood. Not thread-safe: one owner
/// calls it.
package final class StreamEngine {
    package let plan: StreamPlan
    package let limits: StreamLimits
    let policy: TimePolicy
    let arrivesAtEventTime: Bool
    let arena = ByteArena()
    let context: FunctionContext
    let inputs: [InputRuntime]
    private let firstInput: Kept<InputRuntime>?
    let stages: [StageRuntime]
    let sources: [SourceRuntime]
    let groups: [GroupRuntime]
    let analytics: [AnalyticOperator]
    let joins: [StreamJoinOperator]
    @exclusivity(unchecked) private(set) var references: [ReferenceTable]
    let fieldNames: [UnsafeMutableRawBufferPointer]
    // One caller at a time: exclusivity need not be checked at run time for each access.
    @exclusivity(unchecked) var loops: [LoopState]
    @exclusivity(unchecked) var lookups: [LoopState]
    @exclusivity(unchecked) var totals = StreamCounters()
    /// By `TimePolicy.Refusal`, the last event of that kind since the engine was made: for status.
    @exclusivity(unchecked) var lastMisplaced = Array<MisplacedEvent?>(repeating: nil, count: 3)
    @exclusivity(unchecked) var key = KeyBuffer()
    private let start: ByteArena.Mark

    /// Where rows go during a call.
    let rows: RowBuffer
    /// The event in hand; its bytes are valid during the call.
    @exclusivity(unchecked) var event: StreamEvent?
    /// Name of a device, for rows and `IoTHub.ConnectionDeviceId`.
    package var deviceName: (UInt32) -> DeviceID {
        get { rows.deviceName }
        set { rows.deviceName = newValue }
    }
    /// Names of devices once asked for.
    @exclusivity(unchecked) var knownDevices: [UInt32: UnsafeMutableRawBufferPointer] = [:]
    /// The last row that was left out because it could not be computed: for status.
    @exclusivity(unchecked) package var lastDropped: QueryFailure?
    /// What stopped the engine, in a box: rows ask for it, and it is a large value.
    @exclusivity(unchecked) var firstFailure: FirstFailure?
    @inline(__always) var hasFailed: Bool { firstFailure != nil }
    /// The instruction of the failure in `context`.
    @exclusivity(unchecked) var failedAt = 0
    /// Events of the batch in hand that were taken.
    @exclusivity(unchecked) package var takenOfBatch = 0
    /// Takes rows out of the buffer while windows close: whenever there are `rowsPerDrain`.
    @exclusivity(unchecked) package var drain: ((RowBuffer) -> Void)?
    /// Whether the payload that a source read itself was a JSON object.
    @exclusivity(unchecked) var isDirectJSON = true
    /// `flush` was called: nothing may follow.
    @exclusivity(unchecked) private(set) var isFinished = false

    /// - Parameters:
    ///   - references: the data that the plan names.
    ///   - rows: gets the rows.
    /// - Throws: when reference data is missing, is no JSON, or has other types than CREATE TABLE says.
    package convenience init(
        plan: StreamPlan, references: [ReferenceData] = [], rows: RowBuffer,
        limits: StreamLimits = StreamLimits()
    ) throws(QueryFailure) {
        let tables = try ReferenceTable.all(of: plan, limits: limits) { name in
            references.first { $0.name.lowercased() == name.lowercased() }
        }
        self.init(plan: plan, tables: tables, rows: rows, limits: limits)
    }

    /// - Parameter tables: by the plan's reference.
    init(plan: StreamPlan, tables: [ReferenceTable], rows: RowBuffer, limits: StreamLimits) {
        self.plan = plan
        self.limits = limits
        self.rows = rows
        policy = plan.settings.timePolicy
        arrivesAtEventTime = plan.settings.arrivesAtEventTime
        let arena = arena
        context = FunctionContext(arena: arena, textBytesMax: limits.textBytesMax)
        stages = plan.stages.enumerated().map { StageRuntime(number: $0, plan: $1, limits: limits) }
        let stages = stages
        let groups = plan.groups.map { GroupRuntime($0, limits: limits, arena: arena) }
        self.groups = groups
        let sources = plan.sources.map { source in
            SourceRuntime(
                source, plan.settings, runtime: stages[source.stage],
                grouping: PropertyGrouping(
                    stage: stages[source.stage], plan: plan.stages[source.stage], source: source,
                    groups: groups, limits: limits),
                leaf: Self.leaf(stages[source.stage], stages, groups), limits: limits)
        }
        self.sources = sources
        let inputs = plan.inputs.enumerated().map { number, input in
            InputRuntime(
                input,
                InputDecoder(
                    fields: input.fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey,
                    arena: arena),
                sources.filter { $0.plan.input == number }, PlainEvents(plan, input: number), groups)
        }
        self.inputs = inputs
        firstInput = inputs.first.map { Kept($0) }
        analytics = plan.analytics.map { AnalyticOperator(plan: $0, limits: limits, arena: arena) }
        joins = plan.joins.map { StreamJoinOperator(plan: $0, limits: limits) }
        loops = Array(repeating: LoopState(), count: plan.loopCount)
        lookups = Array(repeating: LoopState(), count: plan.lookups.count)
        fieldNames = plan.fieldNames.map { name in
            let bytes = UnsafeMutableRawBufferPointer.allocate(
                byteCount: max(name.utf8.count, 1), alignment: 8)
            bytes.copyBytes(from: name.utf8)
            return UnsafeMutableRawBufferPointer(rebasing: bytes[..<name.utf8.count])
        }
        start = arena.mark
        precondition(tables.count == plan.references.count, "a table for each reference")
        references = tables
    }

    /// The windows that alone listen to a stage, when their rows go nowhere but out.
    private static func leaf(_ stage: StageRuntime, _ stages: [StageRuntime], _ groups: [GroupRuntime])
        -> PaneWindows?
    {
        guard stage.sort == nil, stage.listeners.count == 1, case .group(let number) = stage.listeners[0]
        else { return nil }
        let output = stages[groups[number].plan.outputStage]
        return output.listeners.isEmpty && output.sort == nil ? groups[number].onlyPanes : nil
    }

    deinit {
        key.deallocate()
        for name in fieldNames { name.baseAddress?.deallocate() }
        for name in knownDevices.values { name.deallocate() }
    }

    /// Joins what comes from now on with other rows.
    func replace(reference: Int, by table: ReferenceTable) { references[reference] = table }

    // MARK: In

    /// Takes one event, in the order of the log.
    ///
    /// - Returns: false when the payload is no JSON object.
    /// - Throws: when a row cannot be computed and the policy is to stop, or at a limit.
    @discardableResult
    package func process(_ event: StreamEvent) throws(QueryFailure) -> Bool {
        let isJSON: Bool
        if event.input == 0, let firstInput {
            isJSON = firstInput.use { take(event, $0) }
        } else {
            isJSON = take(event, inputs[event.input])
        }
        if let firstFailure { throw firstFailure.failure }
        return isJSON
    }

    private func take(_ event: StreamEvent, _ input: InputRuntime) -> Bool {
        var isJSON = true
        isDirectJSON = true
        if input.isDirect {
            take(event, input, input.decoder.slots, name: .none, isJSON: true)
            if !isDirectJSON { totals.notJSON += 1 }
            return isDirectJSON
        }
        if input.needsDecoding { isJSON = input.decoder.decode(event.payload) }
        var name = DuplicateFilter.Name.none
        if input.duplicates != nil, isJSON {
            key.removeAll()
            for field in input.names { GroupKey.append(input.decoder.slots[field], to: &key) }
            name = DuplicateFilter.name(key.bytes)
        }
        take(event, input, input.decoder.slots, name: name, isJSON: isJSON)
        return isJSON
    }

    func process(
        _ event: StreamEvent, _ input: InputRuntime, _ slots: UnsafeMutablePointer<Datum>,
        name: DuplicateFilter.Name,
        isJSON: Bool
    ) throws(QueryFailure) {
        take(event, input, slots, name: name, isJSON: isJSON)
        if let firstFailure { throw firstFailure.failure }
    }

    private func take(
        _ event: StreamEvent, _ input: InputRuntime, _ slots: UnsafeMutablePointer<Datum>,
        name: DuplicateFilter.Name, isJSON: Bool
    ) {
        if isFinished { return stop(QueryFailure(text: "the input has ended", hint: "make another engine")) }
        totals.events += 1
        if !isJSON { totals.notJSON += 1 }
        self.event = event
        if isJSON, let filter = input.keptDuplicates, isDuplicate(name, filter) { return releaseArena() }
        if let source = input.onlySource {
            source.use { take(event, $0, slots, isJSON: isJSON) }
        } else {
            for source in input.sources { take(event, source, slots, isJSON: isJSON) }
        }
        arena.release(to: start)
    }

    /// Whether an event of this name came before; or there is no room for another name, which stops the engine.
    @inline(__always)
    func isDuplicate(_ name: DuplicateFilter.Name, _ filter: Kept<DuplicateFilter>) -> Bool {
        switch filter.use({ $0.insert(name, limit: limits.deduplicationMax) }) {
        case .new: return false
        case .known:
            totals.duplicates += 1
            return true
        case .full:
            stop(
                QueryFailure(
                    text: "more than \(limits.deduplicationMax) names of events to remember",
                    hint: "the limit is deduplicationMax"))
            return true
        }
    }

    /// Gives back the texts that the event in hand made.
    @inline(__always)
    func releaseArena() { arena.release(to: start) }

    /// The clock says it is `arrival`: every timeline's time is now at least that less the late tolerance.
    /// A tick that goes back does nothing. Without TIMESTAMP BY, time is at least that of arrival.
    package func tick(arrival: EventTime) throws(QueryFailure) {
        event = nil
        for source in sources {
            source.minimum?.arrive(at: arrival.ticks)
            raise(source, to: floor(of: source, at: arrival.ticks))
        }
        arena.release(to: start)
        if let firstFailure { throw firstFailure.failure }
    }

    /// The end of the input: everything that waits goes on, and every window closes.
    package func flush() throws(QueryFailure) {
        event = nil
        isFinished = true
        for source in sources { raise(source, to: Int64.max) }
        arena.release(to: start)
        if let firstFailure { throw firstFailure.failure }
    }

    /// The least time of all timelines of all sources; nil before the first tick.
    var floor: Int64? {
        let floor = sources.reduce(Int64.max) { min($0, $1.floor) }
        return floor == Int64.min ? nil : floor
    }

    /// The least time that any event can still have, whatever comes: `floor`, or what the events of sources of one
    /// timeline have moved further; nil before there is one. With an unlimited late tolerance ticks never move
    /// `floor`.
    var settled: Int64? {
        var least = Int64.max
        for source in sources {
            let isAlone = !source.isPartitioned && source.greatest[0] != Int64.min
            let own =
                isAlone ? TimePolicy.saturatingSubtract(source.greatest[0], source.tolerance) : Int64.min
            least = min(least, max(source.floor, own))
        }
        return least == Int64.min ? nil : least
    }

    /// What `floor` would be after a tick.
    func floor(ifTickedAt now: EventTime) -> Int64 {
        sources.reduce(Int64.max) { least, source in
            min(least, max(source.floor, floor(of: source, at: now.ticks)))
        }
    }

    /// How far a source's time is at a time of the clock, whatever its events say; with `MinimumWatermark` at least
    /// that far.
    private func floor(of source: SourceRuntime, at arrival: Int64) -> Int64 {
        if source.plan.timeSlot == nil { return arrival }
        let floor = policy.lateFloor(arrival: arrival)
        guard let minimum = source.minimum else { return floor }
        return max(
            floor, TimePolicy.saturatingSubtract(minimum.leastAtMost(at: arrival), source.tolerance))
    }

    /// Whether a tick at `now` would close a window or let a row go on.
    package func needsTick(now: EventTime) -> Bool {
        for source in sources {
            let floor = floor(of: source, at: now.ticks)
            if floor > source.floor, floor > earliestDue { return true }
        }
        return false
    }

    /// The earliest time at which any window can close.
    var earliestDue: Int64 {
        var earliest = Int64.max
        for group in groups {
            for window in group.windows { earliest = min(earliest, window.earliest(-1)) }
        }
        if stages.contains(where: { ($0.sort?.count ?? 0) > 0 }) || joins.contains(where: { $0.rowCount > 0 })
        {
            earliest = Int64.min
        }
        return earliest
    }

    package var counters: StreamCounters { totals }

    /// Bytes of timelines, groups and rows that wait or are kept, about: for status, not for each batch.
    var stateBytes: Int {
        var bytes = 0
        for source in sources {
            bytes +=
                source.keys.byteCount + source.greatest.capacity * 8 + source.timelineOfDevice.capacity * 4
                + (source.minimum?.byteCount ?? 0)
        }
        for group in groups { bytes += group.windows.reduce(0) { $0 + $1.stateBytes } }
        let open = openState
        return bytes + (open.waiting + open.joined) * Self.keptRowBytes
    }

    /// A row that waits: its context, and a few values.
    private static let keptRowBytes = 256

    /// Open groups of all windows, rows that wait for their turn, and rows that joins keep.
    package var openState: (groups: Int, waiting: Int, joined: Int) {
        (
            groups.reduce(0) { sum, group in sum + group.windows.reduce(0) { $0 + $1.openGroups } },
            stages.reduce(0) { $0 + ($1.sort?.count ?? 0) }, joins.reduce(0) { $0 + $1.rowCount }
        )
    }
}

/// A failure as an object.
final class FirstFailure {
    let failure: QueryFailure

    init(_ failure: QueryFailure) { self.failure = failure }
}
