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
        let log: @Sendable (String) -> Void

        /// - Parameters:
        ///   - data: the data directory.
        ///   - log: gets a line when a checkpoint had to be set aside.
        package init(
            queue: DeviceQueue, loop: BrokerLoop, data: String, files: any FileStore, clock: any HubClock,
            outboxLimits: ResultLogLimits = ResultLogLimits(),
            checkpointLimits: CheckpointLimits = CheckpointLimits(),
            references: ReferenceShelf = ReferenceShelf(),
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
    let plan: StreamPlan
    let folder: QueryFolder
    private let topics: ResultTopics
    private let downstream: DownstreamDelivery?

    /// Opens the query that ships with the product.
    package init(minuteAt place: Place) throws {
        try self.init(.minute, at: place, downstream: nil)
    }

    /// - Throws: `QueryRequestError` for a definition that cannot be, or what is damaged and how to go on.
    init(_ definition: QueryDefinition, at place: Place, downstream: DownstreamDelivery?) throws {
        self.place = place
        self.definition = definition
        self.downstream = downstream
        plan = try definition.plan(references: place.references.names)
        topics = try ResultTopics(definition, plan)
        var folder = place.folder(of: definition.name)
        folder.appended = Set(
            plan.outputs.indices.filter { [plan] in !plan.isWindowed(output: $0) }.map { [plan] in
                plan.outputs[$0]
            })
        self.folder = folder
        try folder.fit(to: place.queue, log: place.log)
    }

    /// The same query with another note of whether it is paused.
    func with(_ definition: QueryDefinition) -> QueryOpener {
        var opener = self
        opener.definition = definition
        return opener
    }

    package func open() throws -> QueryJob {
        let excluded = Set(definition.outputs.filter { !$0.isFile }.map(\.name))
        return try QueryJob(
            definition: definition, plan: plan, topics: topics, queue: place.queue,
            references: place.references, directory: folder.path, files: place.files,
            outboxLimits: place.outboxLimits, checkpointLimits: place.checkpointLimits
        ) { reader in
            var sinks: [any ResultDelivery] = [
                try FileDelivery(
                    root: folder.results, directory: folder.path, reader: reader, appended: folder.appended,
                    excluded: excluded, files: place.files, clock: place.clock),
                try TopicDelivery(
                    directory: folder.path, reader: reader, retained: topics.retained, loop: place.loop,
                    files: place.files),
            ]
            if let downstream {
                try downstream.open(reader.log)
                sinks.append(downstream)
            }
            return sinks
        }
    }
}
