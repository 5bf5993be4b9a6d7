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
        try finishBeginnings()
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

    /// Sets aside what a query has, and notes what it is from now on. A crash in between leaves the query of before, or
    /// one that `finishBeginnings` lets begin.
    func beginAnew(_ definition: QueryDefinition, in folder: QueryFolder) throws {
        var pending = definition
        pending.beginsAnew = true
        try folder.save(pending)
        let aside = try folder.setAside()
        try folder.save(definition)
        try QueryFolder(path: aside, results: "", files: place.files).save(definition)
    }

    /// Goes on with what a crash cut off in `beginAnew`.
    private func finishBeginnings() throws {
        let root = place.data + "/query"
        let names = place.files.exists(root) ? try place.files.list(root) : []
        func folder(_ name: String) -> QueryFolder {
            var folder = place.folder(of: name)
            folder.appended = folder.grownFiles
            return folder
        }
        for name in names where !name.contains(".") {
            guard var pending = try place.folder(of: name).loadDefinition(), pending.beginsAnew else {
                continue
            }
            pending.beginsAnew = false
            try beginAnew(pending, in: folder(name))
        }
        var newest: [String: Int] = [:]
        for name in names {
            let parts = name.split(separator: ".", maxSplits: 1)
            guard parts.count == 2, parts[1].hasPrefix("aside-"), let number = Int(parts[1].dropFirst(6))
            else {
                continue
            }
            newest[String(parts[0])] = max(newest[String(parts[0])] ?? 0, number)
        }
        for (name, number) in newest.sorted(by: { $0.key < $1.key }) {
            let aside = QueryFolder(
                path: "\(root)/\(name).aside-\(number)", results: "", files: place.files)
            // What is damaged there is nobody's any more.
            guard var pending = (try? aside.loadDefinition()) ?? nil, pending.beginsAnew else { continue }
            pending.beginsAnew = false
            if !place.files.exists(folder(name).path + "/definition") {
                try folder(name).setFilesAside(number)
                try folder(name).save(pending)
            }
            // Who removes the query's folder later means it.
            try aside.save(pending)
        }
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
