import DeviceQueue
import NIOCore
import NIOPosix
import PerpetualQuery
import Platform
import ResultSink
import Telemetry

/// The path of the data, one line a stage; read the source from here.
///
/// ```
/// device ─MQTT─► MQTTListener ─► Connection ─► BrokerLoop ─► StorageThread ─► QueryRunner ─► sinks
///                 bytes            frames        staging       append, sync,    log → rows    files, topics,
///                                                              answers          → outbox      downstream
/// ```
final class Pipeline: Sendable {
    let queue: DeviceQueue
    let counters: HubCounters
    let storage: StorageThread
    let minute: QueryRunner
    private let loop: BrokerLoop
    private let group: MultiThreadedEventLoopGroup
    private let listener: MQTTListener
    private let segments: SegmentThread
    private let downstream: DownstreamDelivery?
    private let threads: [NamedThread]
    private let ticker: RepeatedTask

    var mqttAddress: HostPort { listener.address }

    /// Recovers what is on disk and opens the doors, last stage first.
    static func start(
        _ configuration: HubConfiguration, directory: DataDirectory, files: any FileStore,
        clock: any HubClock,
        log: @escaping @Sendable (String) -> Void
    ) async throws -> Pipeline {
        let data = configuration.dataDirectory
        var limits = configuration.limits
        // Files of the log and the sinks, and HTTP, must find descriptors however many devices connect.
        limits.connections = max(16, min(limits.connections, ProcessLimits.openFilesMax - 256))
        let counters = HubCounters(startNonce: UInt64(bitPattern: clock.wallTicks()))
        // The log is the only truth: everything else is rebuilt from it or verified against it.
        let queue = try DeviceQueue.open(
            directory: data + "/queue/0", files: files, limits: configuration.queueLimits, mode: .readWrite,
            nowTicks: clock.wallTicks(), seed: .random(in: .min ... .max))
        let storage = StorageThread(queue: queue, clock: clock)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = BrokerLoop(
            eventLoop: group.next(), queue: queue, storage: storage, clock: clock,
            limits: limits,
            counters: counters, seed: UInt64.random(in: .min ... .max))
        // The query goes on where its checkpoint stands and hands rows to the sinks.
        let minute = QueryRunner(queue: queue, storage: storage, clock: clock)
        let downstream = try configuration.downstream.map {
            try DownstreamDelivery(
                url: $0, clientIdentifier: "headend-" + String(queue.identity, radix: 36),
                directory: data + "/query/minute", files: files, log: log)
        }
        try QueryFolder(path: data + "/query/minute", results: data + "/results", files: files)
            .fit(to: queue, log: log)
        let topics = try ResultTopics()
        let openJob: @Sendable () throws -> QueryJob = {
            try QueryJob(
                plan: .perMinute, topics: topics, queue: queue, directory: data + "/query/minute",
                files: files
            ) { outbox in
                var sinks: [any ResultDelivery] = [
                    try FileDelivery(
                        root: data + "/results", directory: data + "/query/minute", log: outbox, files: files),
                    try TopicDelivery(
                        directory: data + "/query/minute", log: outbox, loop: loop, files: files),
                ]
                if let downstream {
                    try downstream.open(outbox)
                    sinks.append(downstream)
                }
                return sinks
            }
        }
        let job = try openJob()
        let segments = SegmentThread(
            queue: queue, segmentBytes: configuration.queueLimits.segmentBytes)
        let threads = [
            NamedThread("headend-storage") {
                storage.run(
                    onDurable: { batches in loop.eventLoop.execute { loop.complete(batches) } },
                    onAdvance: {
                        minute.wake()
                        segments.wake(durableEnd: queue.durableEnd)
                    })
            },
            NamedThread("headend-query") { minute.run(job, reopen: openJob) },
        ]
        let listener: MQTTListener
        do {
            listener = try await MQTTListener.bind(configuration.mqtt, group: group, loop: loop, clock: clock)
        } catch {
            storage.stop()
            minute.stop()
            segments.stop()
            for thread in threads { thread.join() }
            downstream?.stop()
            try? await group.shutdownGracefully()
            throw error
        }
        let ticker = loop.eventLoop.scheduleRepeatedTask(
            initialDelay: .milliseconds(250), delay: .milliseconds(250)
        ) { _ in loop.advance() }
        return Pipeline(
            queue: queue, counters: counters, storage: storage, minute: minute, loop: loop, group: group,
            listener: listener, segments: segments, downstream: downstream, threads: threads, ticker: ticker)
    }

    private init(
        queue: DeviceQueue, counters: HubCounters, storage: StorageThread, minute: QueryRunner,
        loop: BrokerLoop,
        group: MultiThreadedEventLoopGroup, listener: MQTTListener, segments: SegmentThread,
        downstream: DownstreamDelivery?, threads: [NamedThread], ticker: RepeatedTask
    ) {
        self.queue = queue
        self.counters = counters
        self.storage = storage
        self.minute = minute
        self.loop = loop
        self.group = group
        self.listener = listener
        self.segments = segments
        self.downstream = downstream
        self.threads = threads
        self.ticker = ticker
    }

    /// Stops in the order of the data: no more connections, everything staged made durable and answered,
    /// everything durable queried and checkpointed, every sink given its rows.
    func stop() async {
        await listener.close()
        ticker.cancel()
        try? await loop.eventLoop.submit { [loop] in loop.stop() }.get()
        storage.stop()
        threads[0].join()
        // What the storage thread answered last is in the loop's queue before this.
        try? await loop.eventLoop.submit { [loop] in loop.disconnectAll() }.get()
        minute.stop()
        threads[1].join()
        downstream?.stop()
        segments.stop()
        try? await group.shutdownGracefully()
    }
}
