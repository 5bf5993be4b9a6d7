import DeviceQueue
import PerpetualQuery
import Platform
import Synchronization
import Telemetry

/// The definitions of a data directory's queries: one file in the folder of each.
struct QueryCatalog {
    let place: QueryOpener.Place

    /// What runs from the start: the configured ones, going on where they stopped, and those added at run time.
    ///
    /// - Throws: `QueryRequestError` when a configured one is wrong, or would lose its state.
    /// - Parameter threads: so many are looked at at once.
    func definitions(configured: [QueryDefinition], threads: Int) throws -> [QueryDefinition] {
        var names: Set<String> = []
        for definition in configured {
            guard !definition.isDefault, names.insert(definition.name).inserted else {
                throw QueryRequestError(
                    .invalid,
                    definition.isDefault
                        ? "minute is the query that ships with the hub; give yours another name"
                        : "two queries are called \(definition.name); names are unique")
            }
        }
        let made = Mutex<[Int: Result<QueryDefinition, any Error>]>([:])
        SideBySide.run(configured.count, threads: threads) { number in
            let result = Result { try merged(configured[number]) }
            made.withLock { $0[number] = result }
        }
        var definitions: [QueryDefinition] = []
        for number in configured.indices {
            if let result = made.withLock({ $0[number] }) { definitions.append(try result.get()) }
        }
        let root = place.data + "/query"
        for name in place.files.exists(root) ? try place.files.list(root) : [] {
            let folder = place.folder(of: name)
            guard !name.contains("."), place.files.exists(folder.path + "/definition"),
                let stored = try folder.loadDefinition(), !stored.isConfigured,
                names.insert(stored.name).inserted
            else { continue }
            definitions.append(stored)
        }
        return definitions
    }

    /// References that queries join with which were added at run time, and no configured one does: what is wrong with
    /// their files is no reason not to start.
    ///
    /// - Parameter names: of all references.
    /// - Returns: names in small letters.
    static func references(
        ofKeptIn data: String, configured: [QueryDefinition], names: [String], files: any FileStore
    ) -> Set<String> {
        func joined(_ definition: QueryDefinition) -> [String] {
            let plan = try? definition.plan(references: names)
            return plan?.references.map { $0.name.lowercased() } ?? []
        }
        let root = data + "/query"
        let kept = ((try? files.list(root)) ?? []).filter { !$0.contains(".") }.compactMap { name in
            // What is damaged is told when it is opened.
            try? QueryFolder(path: "\(root)/\(name)", results: "", files: files).loadDefinition()
        }
        return Set(kept.filter { !$0.isConfigured }.flatMap(joined)).subtracting(configured.flatMap(joined))
    }

    /// A configured query with what is remembered of it.
    private func merged(_ configured: QueryDefinition) throws -> QueryDefinition {
        var definition = configured
        definition.isConfigured = true
        let folder = place.folder(of: definition.name)
        guard let stored = try folder.loadDefinition() else {
            try begin(&definition)
            try folder.save(definition)
            return definition
        }
        if stored.overrides(configured) {
            place.log(
                "the query \(stored.name) runs as it was edited while the hub ran, and not as the configuration says; "
                    + "change it there, or headend query edit it back")
            var edited = stored
            edited.isConfigured = true
            return edited
        }
        definition.version = stored.version
        definition.startOffset = stored.startOffset
        definition.rowsAfter = stored.rowsAfter
        definition.isPaused = stored.isPaused
        if definition == stored { return definition }
        let names = place.references.names
        if try definition.plan(references: names).stateSignature
            != stored.plan(references: names).stateSignature
        {
            throw QueryRequestError(
                .conflict,
                "\(definition.name): what the query keeps has another meaning now, and would be lost; put the old text "
                    + "back, or while the hub runs with it: headend query edit \(definition.name) FILE --reset-state"
            )
        }
        try folder.save(definition)
        return definition
    }

    /// Decides where a query begins that has never run.
    ///
    /// - Throws: `.conflict` when retention no longer covers the start.
    func begin(_ definition: inout QueryDefinition) throws {
        let plan = try definition.plan(references: place.references.names)
        let queue = place.queue
        let reach =
            plan.lookBackTicks + min(definition.timePolicy.outOfOrderToleranceTicks, plan.lookBackTicks)
        let first = queue.retention.removedSegments > 0 ? queue.retention.firstArrivalTime : nil
        definition.rowsAfter = nil
        switch definition.start {
        case .earliest:
            definition.startOffset = 0
            // Windows that began before the oldest record are not whole.
            if let first, plan.hasState { definition.rowsAfter = first.adding(ticks: reach) }
        case .now where !plan.hasState:
            definition.startOffset = queue.durableEnd.bytes
        case .now, .time:
            var time = EventTime(ticks: place.clock.wallTicks())
            if case .time(let wanted) = definition.start { time = wanted }
            let from = time.adding(ticks: -reach)
            if let first, first > from {
                throw QueryRequestError(
                    .conflict,
                    "\(definition.name): a start at \(time) needs records from \(from) on, and retention has removed "
                        + "those before \(first); start at \(first.adding(ticks: reach)) or later, or at earliest"
                )
            }
            definition.startOffset = try queue.offset(arrivedFrom: from).bytes
            definition.rowsAfter = time
        }
    }
}
