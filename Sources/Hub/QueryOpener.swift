package import DeviceQueue
import PerpetualQuery
package import Platform
package import ResultSink
import Telemetry

/// Opens one query with its folder and its sinks: at the start, and again after a failure or a change.
package struct QueryOpener: Sendable {
    /// What all queries of a hub have in common.
    package struct Place: Sendable {
        let queue: DeviceQueue
        let loop: BrokerLoop
        let data: String
        let files: any FileStore
        let clock: any HubClock
        let outboxLimits: ResultLogLimits
        let checkpointLimits: CheckpointLimits
        /// What queries may join with.
        let references: ReferenceShelf
        /// Another broker that rows can be forwarded to.
        let downstream: DownstreamBroker?
        let log: @Sendable (String) -> Void

        /// - Parameters:
        ///   - data: the data directory.
        ///   - downstream: another broker, if the hub has one.
        ///   - log: gets a line when a checkpoint had to be set aside.
        package init(
            queue: DeviceQueue, loop: BrokerLoop, data: String, files: any FileStore, clock: any HubClock,
            outboxLimits: ResultLogLimits = ResultLogLimits(),
            checkpointLimits: CheckpointLimits = CheckpointLimits(),
            references: ReferenceShelf = ReferenceShelf(), downstream: DownstreamBroker? = nil,
            log: @escaping @Sendable (String) -> Void
        ) {
            self.queue = queue
            self.loop = loop
            self.data = data
            self.files = files
            self.clock = clock
            self.outboxLimits = outboxLimits
            self.checkpointLimits = checkpointLimits
            self.references = references
            self.downstream = downstream
            self.log = log
        }

        func folder(of name: String) -> QueryFolder {
            QueryFolder(
                path: data + "/query/" + name,
                results: data + "/results" + (name == DefaultQuery.name ? "" : "/" + name), files: files)
        }
    }

    let place: Place
    private(set) var definition: QueryDefinition
    /// Nil while the query cannot be planned.
    let plan: StreamPlan?
    let folder: QueryFolder
    private let topics: ResultTopics?

    /// Opens the query that ships with the product.
    package init(minuteAt place: Place) throws {
        try self.init(.minute, at: place)
    }

    /// - Throws: `QueryRequestError` for a definition that cannot be, or what is damaged and how to go on.
    init(_ definition: QueryDefinition, at place: Place) throws {
        self.place = place
        self.definition = definition
        let plan = try Self.plan(definition, at: place)
        self.plan = plan
        topics = try ResultTopics(definition, plan)
        try place.checkDownstream(of: definition)
        var folder = place.folder(of: definition.name)
        folder.appended = Set(
            plan.outputs.indices.filter { !plan.isWindowed(output: $0) }.map { plan.outputs[$0] })
        self.folder = folder
        try folder.fit(to: place.queue, log: place.log)
    }

    private static func plan(
        _ definition: QueryDefinition, at place: Place
    ) throws(QueryRequestError) -> StreamPlan {
        do throws(QueryRequestError) {
            return try definition.plan(references: place.references.names)
        } catch {
            guard !definition.isConfigured else { throw error }
            // It was right when it was added: the hub has other inputs now.
            let text = error.description
            throw QueryRequestError(
                error.kind,
                text + (text.hasSuffix("\n") ? "" : "\n")
                    + "  it was added to this hub before: start the hub with what it joins with "
                    + "(--reference NAME=FILE, or references: in its configuration), or edit or remove the query"
            )
        }
    }

    /// A query that this hub knows and that cannot be opened as things are: what it has is kept for when it can.
    init(waiting definition: QueryDefinition, at place: Place) {
        self.place = place
        self.definition = definition
        plan = nil
        topics = nil
        var folder = place.folder(of: definition.name)
        folder.appended = folder.grownFiles
        self.folder = folder
    }

    /// Up to here it has read the log, or where it begins; 0 when that cannot be told.
    var savedOffset: QueueOffset {
        do {
            return QueueOffset(try folder.savedOffset ?? definition.startOffset ?? 0)
        } catch {
            return QueueOffset(0)
        }
    }

    /// The same query with another note of whether it is paused.
    func with(_ definition: QueryDefinition) -> QueryOpener {
        var opener = self
        opener.definition = definition
        return opener
    }

    /// - Throws: what is missing or damaged, and how to go on.
    package func open() throws -> QueryJob {
        guard let plan, let topics else {
            preconditionFailure("\(definition.name) is planned before it is opened")
        }
        let excluded = Set(definition.outputs.filter { !$0.isFile }.map(\.name))
        return try QueryJob(
            definition: definition, plan: plan, topics: topics, queue: place.queue,
            references: place.references, directory: folder.path, files: place.files,
            outboxLimits: place.outboxLimits, checkpointLimits: place.checkpointLimits
        ) { reader in
            var sinks: [any ResultDelivery] = [
                try FileDelivery(
                    root: folder.results, directory: folder.path, reader: reader, appended: folder.appended,
                    excluded: excluded, files: place.files, clock: place.clock, log: place.log),
                try TopicDelivery(
                    directory: folder.path, reader: reader, retained: topics.retained, loop: place.loop,
                    files: place.files),
            ]
            let outputs = definition.downstreamOutputs
            if let broker = place.downstream, definition.isDefault || !outputs.isEmpty {
                sinks.append(
                    try DownstreamDelivery(
                        to: broker, of: definition, outputs: definition.isDefault ? nil : Set(outputs),
                        directory: folder.path, log: reader.log, files: place.files))
            }
            return sinks
        }
    }
}

extension QueryOpener.Place {
    /// - Parameter before: the query as it runs now.
    /// - Throws: `.invalid` when rows are to go downstream and the hub has no other broker, `.conflict` when too many
    ///   queries have some.
    func checkDownstream(
        of definition: QueryDefinition, before: QueryDefinition? = nil
    ) throws(QueryRequestError) {
        if let downstream, !definition.downstreamOutputs.isEmpty, before?.downstreamOutputs.isEmpty ?? true {
            guard downstream.hasRoom else { throw DownstreamBroker.full }
        }
        guard downstream == nil, let output = definition.downstreamOutputs.first else { return }
        throw QueryRequestError(
            .invalid,
            "\(definition.name): the rows of \(output) go downstream, and this hub was started without another "
                + "broker: start it with --downstream mqtt://HOST:PORT, or write downstream: into its configuration"
        )
    }
}
