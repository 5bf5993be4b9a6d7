package import PerpetualQuery
package import Platform
import QueryLanguage
package import ReferenceFiles
import Telemetry

/// Runs a query over files, from their first event to their last, and closes what is open at the end.
package struct QueryReplay {
    /// A named file: `NAME=FILE`, or `FILE` alone when there is one input.
    package struct NamedFile: Hashable, Sendable {
        package var name: String?
        package var path: String

        package init(name: String?, path: String) {
            self.name = name
            self.path = path
        }

        /// `NAME=FILE` or `FILE`.
        package init(argument: String) {
            if let split = argument.firstIndex(of: "="), !argument[..<split].contains("/") {
                name = String(argument[..<split])
                path = String(argument[argument.index(after: split)...])
            } else {
                name = nil
                path = argument
            }
        }
    }

    /// The query's text and name; the name is part of result ids.
    package var text: String
    package var name: String
    package var inputs: [NamedFile] = []
    package var references: [ReferenceSource] = []
    package var settings = StreamSettings()
    /// Fields whose values name an event; the first of a name counts.
    package var deduplication: [String] = []
    /// The field with the time of arrival; nil: events arrive at their own time.
    package var arrivalField: String?
    package var limits = StreamLimits()
    /// Events that are taken together, `EventBatch.eventsMax` at most: between them a checkpoint can be made.
    package var eventsPerStretch = EventBatch.eventsMax
    package let files: any FileStore

    package init(text: String, name: String, files: any FileStore) {
        self.text = text
        self.name = name
        self.files = files
    }

    /// What a replay did.
    package struct Summary: Hashable, Sendable {
        package var counters = StreamCounters()
    }

    /// The plan of the query, with the settings of this replay.
    ///
    /// - Parameter title: how errors call the text; a file name.
    package func plan(title: String) throws(ReplayError) -> StreamPlan {
        var settings = settings
        settings.arrivesAtEventTime = arrivalField == nil
        let names = references.map(\.name)
        var (plan, errors) = QueryPlanner.plan(
            text: text, name: name, settings: settings, referenceInputs: names)
        if let made = plan, !deduplication.isEmpty {
            for input in made.inputs { settings.deduplication[input.name.lowercased()] = deduplication }
            (plan, errors) = QueryPlanner.plan(
                text: text, name: name, settings: settings, referenceInputs: names)
        }
        guard let plan else {
            throw ReplayError(
                .input,
                errors.map { $0.render(source: text, name: title) }.joined(separator: "\n"))
        }
        return plan
    }

    /// Rows that are handed on together.
    static let batchRows = 1_024

    /// Runs the plan.
    ///
    /// - Parameter body: gets rows after each stretch of the input, on the caller's thread; it reads them and need not
    ///   empty the buffer, which may be another one each time.
    package func run(
        _ plan: StreamPlan, title: String, _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) -> Summary {
        let rows = RowBuffer(plan: plan)
        let engine = try engine(plan, try referenceContents().map(\.data), rows, title)
        var feeds = try open(plan, title)
        return try run(&feeds, plan, engine, rows, title, saving: nil, body)
    }

    /// The checkpoints of a run, and what makes one of a snapshot, on the caller's thread.
    struct Saving {
        let checkpoints: ReplayCheckpoints
        let save: (ReplaySnapshot) throws(ReplayError) -> Void
    }

    /// Runs the plan over the rest of the inputs.
    func run(
        _ feeds: inout [Feed], _ plan: StreamPlan, _ engine: StreamEngine, _ rows: RowBuffer,
        _ title: String, saving: Saving?, _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) -> Summary {
        if feeds.count == 1 {
            try runBatches(feeds[0], plan, engine, rows, title, saving, body)
            return Summary(counters: engine.counters)
        }
        let result = Result { () throws(ReplayError) in
            try runInTurn(&feeds, engine, rows, title, saving, body)
        }
        // The rows before a failure are right: they go out first.
        if !rows.isEmpty {
            try body(rows)
            rows.removeAll()
        }
        try result.get()
        return Summary(counters: engine.counters)
    }

    /// Runs the plan over several inputs, always the event that comes first.
    private func runInTurn(
        _ feeds: inout [Feed], _ engine: StreamEngine, _ rows: RowBuffer, _ title: String,
        _ saving: Saving?, _ body: (RowBuffer) throws(ReplayError) -> Void
    ) throws(ReplayError) {
        var count = 0
        while let index = try Feed.next(&feeds, engine) {
            try feed(&feeds[index], engine, title)
            count += 1
            var snapshot: ReplaySnapshot?
            if let saving, count % eventsPerStretch == 0 {
                snapshot = try saving.checkpoints.snapshotIfDue {
                    (feeds.map(\.place), engine.snapshotPieces())
                }
            }
            if snapshot != nil || rows.count + rows.systemRows.count >= Self.batchRows {
                // Whatever becomes of these, they are not given again.
                defer { rows.removeAll() }
                try body(rows)
            }
            if let snapshot { try saving?.save(snapshot) }
        }
        do throws(QueryFailure) { try engine.flush() } catch { throw failed(error, nil, title) }
    }

    func referenceContents() throws(ReplayError) -> [ReferenceContents] {
        var tables: [ReferenceContents] = []
        var limits = ReferenceLimits()
        limits.rowsMax = self.limits.referenceRowsMax
        let reader = ReferenceReader(files: files, limits: limits)
        for source in references {
            do throws(ReferenceError) { tables.append(try reader.read(source)) } catch {
                throw ReplayError(error.kind == .input ? .input : .environment, error.description)
            }
        }
        return tables
    }

    func engine(
        _ plan: StreamPlan, _ tables: [ReferenceData], _ rows: RowBuffer, _ title: String
    ) throws(ReplayError) -> StreamEngine {
        do throws(QueryFailure) {
            return try StreamEngine(plan: plan, references: tables, rows: rows, limits: self.limits)
        } catch {
            let hint = error.hint.map { " (\($0))" } ?? ""
            throw ReplayError(.input, error.description + hint)
        }
    }

    // MARK: Inputs

    func open(_ plan: StreamPlan, _ title: String) throws(ReplayError) -> [Feed] {
        if plan.needsArrivalTime, arrivalField == nil {
            throw ReplayError(
                .input,
                "\(title): the query has no TIMESTAMP BY, and its result depends on time; "
                    + "say which field is the time: --arrival FIELD")
        }
        var feeds: [Feed] = []
        for named in inputs {
            let input: Int
            if let name = named.name {
                guard let found = plan.inputs.firstIndex(where: { $0.name.lowercased() == name.lowercased() })
                else {
                    let known = plan.inputs.map(\.name)
                    let hint = Suggestion.nearest(to: name, in: known).map { "; did you mean \($0)?" } ?? ""
                    throw ReplayError(
                        .input,
                        "the query has no input \(name): its inputs are \(known.joined(separator: ", "))\(hint)"
                    )
                }
                input = found
            } else if plan.inputs.count == 1 {
                input = 0
            } else {
                throw ReplayError(
                    .input,
                    "\(named.path): the query has \(plan.inputs.count) inputs, "
                        + "\(plan.inputs.map(\.name).joined(separator: ", ")); write --input NAME=\(named.path)"
                )
            }
            feeds.append(
                Feed(
                    input: input, file: try EventFile(path: named.path, files: files),
                    arrival: arrivalField.map { FieldReader($0) }, isAlone: inputs.count == 1)
            )
        }
        for (index, input) in plan.inputs.enumerated() where !feeds.contains(where: { $0.input == index }) {
            throw ReplayError(.input, "no file for the input \(input.name); write --input \(input.name)=FILE")
        }
        return feeds
    }

    private func feed(_ feed: inout Feed, _ engine: StreamEngine, _ title: String) throws(ReplayError) {
        guard let event = feed.event else { return }
        feed.event = nil
        do throws(QueryFailure) {
            if try !engine.process(event) {
                throw QueryFailure(notJSON: feed.file.place)
            }
        } catch {
            if error.reason == nil, error.span == nil, error.text.hasPrefix(feed.file.place) {
                throw ReplayError(.input, error.text)
            }
            throw failed(error, feed.file.place, title)
        }
    }

    func failed(_ failure: QueryFailure, _ place: String?, _ title: String) -> ReplayError {
        var message = ""
        if let span = failure.span {
            message = QueryError(span, failure.text, hint: failure.hint).render(source: text, name: title)
        } else {
            message = "\(title): \(failure.text)\n"
            if let hint = failure.hint { message += "  hint: \(hint)\n" }
        }
        if failure.payload != nil, let place {
            message += "  at \(place)"
        } else if failure.sequence > 0 {
            message += "  at event \(failure.sequence)"
        } else if let place {
            message += "  while reading \(place)"
        }
        if let group = failure.group { message += ", group \(group)" }
        if let payload = failure.payload { message += ": \(payload)" }
        return ReplayError(.failed, message)
    }
}
