import DeviceQueue
import MosquittoClient
import PerpetualQuery
import Platform
import ResultSink
import Synchronization

/// The per-minute query with its folder, its sinks and its thread, ready to start.
final class QueryService: Sendable {
    private let runner: QueryRunner
    private let downstream: DownstreamDelivery?
    private let openJob: @Sendable () throws -> QueryJob
    private let firstJob: Mutex<QueryJob?>
    private let thread = Mutex<NamedThread?>(nil)

    /// Opens the query where its last checkpoint stands.
    ///
    /// - Parameters:
    ///   - data: the data directory.
    ///   - downstream: another broker that gets the rows too.
    ///   - log: gets a line when a checkpoint had to be set aside, and when the other broker comes or goes.
    /// - Throws: what is damaged and how to go on.
    init(
        queue: DeviceQueue, storage: StorageThread, loop: BrokerLoop, data: String,
        downstream url: MosquittoURL?,
        files: any FileStore, clock: any HubClock, log: @escaping @Sendable (String) -> Void
    ) throws {
        runner = QueryRunner(queue: queue, storage: storage, clock: clock)
        let folder = QueryFolder(path: data + "/query/minute", results: data + "/results", files: files)
        try folder.fit(to: queue, log: log)
        let downstream = try url.map {
            try DownstreamDelivery(
                url: $0, clientIdentifier: "headend-" + String(queue.identity, radix: 36),
                directory: folder.path,
                files: files, log: log)
        }
        self.downstream = downstream
        let topics = try ResultTopics()
        openJob = {
            try QueryJob(plan: .perMinute, topics: topics, queue: queue, directory: folder.path, files: files)
            { outbox in
                var sinks: [any ResultDelivery] = [
                    try FileDelivery(root: folder.results, directory: folder.path, log: outbox, files: files),
                    try TopicDelivery(directory: folder.path, log: outbox, loop: loop, files: files),
                ]
                if let downstream {
                    try downstream.open(outbox)
                    sinks.append(downstream)
                }
                return sinks
            }
        }
        do {
            firstJob = Mutex(try openJob())
        } catch {
            downstream?.stop()
            throw error
        }
    }

    var status: QueryRunner.Status { runner.status }

    /// Starts the thread. Once.
    func start() {
        guard
            let job = firstJob.withLock({ stored in
                defer { stored = nil }
                return stored
            })
        else { preconditionFailure("a query starts once") }
        let started = NamedThread("headend-query") { [runner, openJob] in runner.run(job, reopen: openJob) }
        thread.withLock { $0 = started }
    }

    /// The durable end has moved.
    func wake() { runner.wake() }

    /// Returns when everything durable is consumed and checkpointed and the sinks have had their chance.
    func stop() {
        runner.stop()
        thread.withLock { $0 }?.join()
        downstream?.stop()
    }
}
