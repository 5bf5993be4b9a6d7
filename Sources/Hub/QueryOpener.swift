package import DeviceQueue
import PerpetualQuery
package import Platform
package import ResultSink

/// Opens the per-minute query with its folder and its sinks: at the start, and again after a failure.
package struct QueryOpener: Sendable {
    private let queue: DeviceQueue
    private let loop: BrokerLoop
    private let folder: QueryFolder
    private let topics: ResultTopics
    private let downstream: DownstreamDelivery?
    private let files: any FileStore
    private let clock: any HubClock
    private let outboxLimits: ResultLogLimits

    /// - Parameters:
    ///   - data: the data directory.
    ///   - log: gets a line when a checkpoint had to be set aside.
    /// - Throws: what is damaged and how to go on.
    package init(
        queue: DeviceQueue, loop: BrokerLoop, data: String, files: any FileStore, clock: any HubClock,
        outboxLimits: ResultLogLimits = ResultLogLimits(), log: @escaping @Sendable (String) -> Void
    ) throws {
        try self.init(
            queue: queue, loop: loop, data: data, files: files, clock: clock, outboxLimits: outboxLimits,
            log: log
        ) { _ in nil }
    }

    /// - Parameter makeDownstream: gets the query's folder.
    init(
        queue: DeviceQueue, loop: BrokerLoop, data: String, files: any FileStore, clock: any HubClock,
        outboxLimits: ResultLogLimits = ResultLogLimits(), log: @escaping @Sendable (String) -> Void,
        makeDownstream: (String) throws -> DownstreamDelivery?
    ) throws {
        self.queue = queue
        self.loop = loop
        self.files = files
        self.clock = clock
        self.outboxLimits = outboxLimits
        folder = QueryFolder(path: data + "/query/minute", results: data + "/results", files: files)
        try folder.fit(to: queue, log: log)
        topics = try ResultTopics()
        downstream = try makeDownstream(folder.path)
    }

    package func open() throws -> QueryJob {
        try QueryJob(
            plan: try DefaultQuery.plan(), topics: topics, queue: queue, directory: folder.path, files: files,
            outboxLimits: outboxLimits
        ) { outbox in
            var sinks: [any ResultDelivery] = [
                try FileDelivery(
                    root: folder.results, directory: folder.path, log: outbox, files: files, clock: clock),
                try TopicDelivery(directory: folder.path, log: outbox, loop: loop, files: files),
            ]
            if let downstream {
                try downstream.open(outbox)
                sinks.append(downstream)
            }
            return sinks
        }
    }
}
