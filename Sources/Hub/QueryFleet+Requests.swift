import DeviceQueue
import PerpetualQuery
import Platform
import Telemetry

// What people ask of queries while the hub runs.
extension QueryFleet {
    private func find(_ name: String) throws(QueryRequestError) -> Slot {
        guard let slot = slot(name) else {
            throw QueryRequestError(unknown: name, of: slots.map(\.name))
        }
        return slot
    }

    private func change(_ name: String) throws(QueryRequestError) -> Slot {
        let slot = try find(name)
        if slot.opener.definition.isDefault {
            throw QueryRequestError(.conflict, "minute ships with the hub: it cannot be changed or removed")
        }
        return slot
    }

    /// Makes a query, or changes the one of that name.
    ///
    /// - Parameters:
    ///   - isReset: it may lose its state and begin anew.
    ///   - isTrial: nothing is done.
    /// - Returns: whether it is new, and what was done or would be.
    func put(
        _ wanted: QueryDefinition, isReset: Bool, isTrial: Bool, at place: QueryOpener.Place
    ) throws -> (isNew: Bool, effect: String) {
        var definition = wanted
        // Part of what a state is bound to, as of result ids.
        definition.version = slot(wanted.name)?.opener.definition.version ?? 1
        let plan = try definition.plan(references: place.references.names)
        // At hand already, as a rule: `QueryService.put` has made them.
        let tables = try place.references.tables(plan)
        defer { withExtendedLifetime(tables) {} }
        try place.checkDownstream(of: definition, before: slot(wanted.name)?.opener.definition)
        let catalog = QueryCatalog(place: place)
        let folder = place.folder(of: definition.name)
        guard slot(definition.name) != nil else {
            guard slots.count < Self.queriesMax else {
                throw QueryRequestError(
                    .conflict, "there are \(Self.queriesMax) queries, and there may be no more")
            }
            try catalog.begin(&definition)
            if isTrial { return (true, "a new query, that begins at \(definition.startText)") }
            // A folder of that name is what is left of a query that was taken out of the configuration.
            if place.files.exists(folder.path) { _ = try folder.setAside() }
            let opener = try QueryOpener(definition, at: place)
            try folder.save(definition)
            try add(opener, mustOpen: false)
            return (true, "added; it begins at \(definition.startText)")
        }
        let slot = try change(definition.name)
        let old = slot.opener.definition
        definition.isPaused = slot.isPaused
        definition.isConfigured = old.isConfigured
        let warning = note(edited: &definition, from: old)
        let before = slot.opener.plan ?? (try? old.plan(references: place.references.names))
        let keeps = plan.stateSignature == before?.stateSignature
        if keeps, !isReset {
            if definition.isSame(old) { return (false, "nothing changes") }
            definition.startOffset = old.startOffset
            definition.rowsAfter = old.rowsAfter
            if isTrial { return (false, "keeps its state and goes on where it stands\(warning)") }
            let opener = try QueryOpener(definition, at: place)
            try close(slot, isLast: false)
            try folder.save(definition)
            replace(slot, opener)
            return (false, "keeps its state and goes on where it stands\(warning)")
        }
        let effect = beginning(of: definition, anew: slot)
        guard isReset else {
            let cause =
                before == nil
                ? "the old text cannot be planned any more, so nobody knows whether its state fits the new one"
                : "what the query keeps gets another meaning"
            throw QueryRequestError(
                .conflict,
                "\(definition.name): \(cause): it \(effect). Ask for it with --reset-state (?reset=true)")
        }
        definition.version = old.version + 1
        try catalog.begin(&definition)
        if isTrial { return (false, effect + warning) }
        let opener = try QueryOpener(definition, at: place)
        try close(slot, isLast: true)
        try catalog.beginAnew(definition, in: slot.opener.folder)
        replace(slot, opener)
        return (false, effect + warning)
    }

    /// What is lost when a query begins anew.
    private func beginning(of definition: QueryDefinition, anew slot: Slot) -> String {
        let status = status(of: slot)
        let open = status.openGroups + status.waitingRows + status.joinedRows
        let waiting = status.sinks.first { $0.name == DownstreamDelivery.name }?.outbox ?? 0
        let lost = Counted.text(open, "group or row", "groups and rows")
        let unsent = Counted.text(waiting, "row that waits", "rows that wait")
        return
            "begins anew at \(definition.startText), with new result ids; what is open now (\(lost)) gives "
            + "no result"
            + (waiting > 0
                ? ", and \(unsent) for the downstream \(waiting == 1 ? "is" : "are") not sent" : "")
    }

    /// Notes in a definition that it is not what the configuration says, or is that again.
    ///
    /// - Returns: what to tell whoever edits the query.
    private func note(edited definition: inout QueryDefinition, from old: QueryDefinition) -> String {
        guard old.isConfigured else { return "" }
        if old.overrides(definition) { return "; it is what the configuration of the hub says again" }
        definition.overridden = old.overridden
        if old.isSame(definition) { return "" }
        definition.overridden = old.overridden ?? old.json
        return
            "; the configuration of the hub says otherwise: this edit holds, also after a start, until \(old.name) is "
            + "changed there"
    }

    private func replace(_ slot: Slot, _ opener: QueryOpener) {
        slot.opener = opener
        slot.failure = nil
        slot.isStopped = false
        slot.retryAt = 0
        slot.blockedAttempts = 0
        slot.lookedAt = 0
        slot.savedOffset = 0
        slot.lastStatus = QueryStatus()
        slot.tables = []
    }

    func delete(_ name: String, at place: QueryOpener.Place) throws {
        let slot = try change(name)
        if slot.opener.definition.isConfigured {
            throw QueryRequestError(
                .conflict, "\(name) stands in the configuration of the hub: take it out there, or pause it")
        }
        try? close(slot, isLast: true)
        // Its results stay; its state and definition are kept aside.
        _ = try slot.opener.folder.setAside()
        place.queue.releaseHold(name: QueryJob.holdName(of: name))
        remove(slot)
    }

    func pause(_ name: String, at place: QueryOpener.Place) throws {
        let slot = try change(name)
        if slot.isPaused { return }
        try close(slot, isLast: false)
        try save(slot, isPaused: true)
    }

    func resume(_ name: String, at place: QueryOpener.Place) throws {
        let slot = try change(name)
        slot.isStopped = false
        slot.failure = nil
        slot.retryAt = 0
        slot.blockedAttempts = 0
        if slot.isPaused { try save(slot, isPaused: false) }
    }

    private func save(_ slot: Slot, isPaused: Bool) throws {
        var definition = slot.opener.definition
        definition.isPaused = isPaused
        try slot.opener.folder.save(definition)
        slot.opener = slot.opener.with(definition)
        slot.isPaused = isPaused
    }

    /// Queries of one hub. Each has its files and its part of the thread's time.
    static let queriesMax = 1_000
}
