import DeviceQueue
import MosquittoClient
import PerpetualQuery
import Platform
import ResultSink
import Synchronization

/// The per-minute query with its folder, its sinks and its thread, ready to start.
final class QueryService: Sendable {
    private let runner = QueryRunner()
    private let downstream: DownstreamDelivery?
    private let first: Mutex<QueryTurns?>
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
        var downstream: DownstreamDelivery?
        do {
            let opener = try QueryOpener(
                queue: queue, loop: loop, data: data, files: files, clock: clock, log: log
            ) { directory in
                downstream = try url.map {
                    try DownstreamDelivery(
                        url: $0, clientIdentifier: "headend-" + String(queue.identity, radix: 36),
                        directory: directory, files: files, log: log)
                }
                return downstream
            }
            first = Mutex(try QueryTurns(queue: queue, storage: storage, clock: clock, opener: opener))
        } catch {
            downstream?.stop()
            throw error
        }
        self.downstream = downstream
    }

    var status: QueryStatus { runner.status }

    /// Starts the thread. Once.
    func start() {
        guard
            let turns = first.withLock({ stored in
                defer { stored = nil }
                return stored
            })
        else { preconditionFailure("a query starts once") }
        let started = NamedThread("headend-query") { [runner] in runner.run(turns) }
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
