import BrokerJournal
import DeviceQueue
import MQTTBroker
import Platform
import ReferenceFiles
import Telemetry
import Transport

/// The path of the data, one line a stage; read the source from here.
///
/// ```
/// device ─MQTT─► Listeners ─► Connection ─► BrokerLoop ─► StorageThread ─► QueryService ─► sinks
///                 bytes            frames        staging       append, sync,    log → rows     files, topics,
///                                                              answers          → outbox       downstream
/// ```
final class Pipeline: Sendable {
    let queue: DeviceQueue
    let counters: HubCounters
    let journal: JournalLog
    let storage: StorageThread
    let queries: QueryService
    let references: ReferenceService
    let groups: GroupService
    let loop: BrokerLoop
    let bridges: BridgeService
    private let thread: EventThread
    private let segments: SegmentThread
    private let compression: CompressionThread
    private let journalThread: JournalThread
    private let listeners: Listeners
    /// In the order of the configuration.
    let open: [OpenListener]

    /// What the threads behind the ingest path cannot do at the moment; each is tried again.
    var upkeepFailures: [String] {
        [
            segments.failure.map { "log segments (sidecars, states, retention): " + $0 },
            compression.failure.map { "compression of the log: " + $0 },
        ].compactMap { $0 }
    }

    /// Recovers what is on disk and opens the doors, last stage first.
    init(
        _ configuration: HubConfiguration, files: any FileStore, clock: any HubClock,
        log: @escaping @Sendable (String) -> Void
    ) async throws {
        let data = configuration.dataDirectory
        var limits = configuration.limits
        limits.systemTopicsNanoseconds = UInt64(configuration.systemTopicsSeconds) * 1_000_000_000
        // Files of the log and the sinks, and HTTP, must find descriptors however many devices connect.
        let filesMax = ProcessLimits.raiseOpenFilesMax()
        if filesMax - 256 < limits.connections {
            let isAskedFor = limits.connections != HubLimits().connections
            limits.connections = max(16, filesMax - 256)
            // The default is for big machines: only who asked for more, or has next to nothing, wants to know.
            if isAskedFor || limits.connections < 1_000 {
                log(
                    "this process may have \(filesMax) files open, so \(limits.connections) connections at most; "
                        + "for more raise its hard limit (ulimit -Hn, LimitNOFILE= of systemd)")
            }
        }
        limits.pendingConnections = max(8, min(limits.pendingConnections, limits.connections / 2))
        counters = HubCounters(startNonce: UInt64(bitPattern: clock.wallTicks()))
        thread = try EventThread(clock: clock)

        // The log is the only truth: everything else is rebuilt from it or verified against it.
        queue = try DeviceQueue.open(
            directory: data + "/queue/0", files: files, limits: configuration.queueLimits, mode: .readWrite,
            nowTicks: clock.wallTicks(), seed: .random(in: .min ... .max))
        // What sessions and subscriptions were, beside it.
        let wallOffset = clock.wallTicks() * 100 - Int64(clamping: clock.monotonicNanoseconds())
        var restored = BrokerRestore(wallOffset: wallOffset)
        journal = try JournalLog.open(directory: data + "/sessions", files: files) { kind, body, position in
            restored.take(kind: kind, body: body, position: position)
        }
        journalThread = JournalThread(journal: journal, wallOffset: wallOffset, log: log)
        // One thread writes it, another has its next segment ready and removes what is past keeping.
        storage = StorageThread(queue: queue, journal: journal, clock: clock)
        segments = SegmentThread(queue: queue, limits: configuration.queueLimits, clock: clock, log: log)
        // A third makes what is older smaller when there is time.
        compression = CompressionThread(queue: queue, clock: clock, log: log)
        // Connections and the broker's state live on the event loop; telemetry is staged there.
        loop = BrokerLoop(
            executor: thread, queue: queue, storage: storage, clock: clock, limits: limits,
            counters: counters, seed: .random(in: .min ... .max), ingest: configuration.ingestTable)
        let own = ClientLimits(limits.broker)
        loop.use(
            configuration.allListeners.map { limits.listener.with($0.limits) },
            clients: configuration.allListeners.map { $0.limits.applied(to: own) })
        loop.use(
            AccessControl(
                configuration.access, listeners: configuration.listenerAccess, ingest: configuration.ingest,
                secret: (0..<32).map { _ in .random(in: .min ... .max) }))
        if let unknown = restored.unknown { throw JournalError.unknownRecord(position: unknown) }
        try loop.restore(restored, journal: journal, inbox: journalThread)
        // Sockets live on that thread, or on others that have a bridge to it.
        listeners = try Listeners(configuration, on: thread, of: loop, clock: clock, files: files)
        references = try ReferenceService(
            configuration.references, queue: queue, data: data, files: files, clock: clock,
            mayLack: QueryCatalog.references(
                ofKeptIn: data, configured: configuration.queries,
                names: configuration.references.map(\.name),
                files: files), log: log)
        // The queries read what is durable, from where their checkpoints stand, and hand rows to the sinks.
        let downstream = try configuration.downstream.map { [queue] in
            try DownstreamBroker(url: $0, hub: "headend-" + String(queue.identity, radix: 36), log: log)
        }
        queries = try QueryService(
            QueryOpener.Place(
                queue: queue, loop: loop, data: data, files: files, clock: clock,
                references: references.shelf, downstream: downstream, log: log),
            storage: storage, runsMinute: configuration.runsMinuteQuery, queries: configuration.queries)

        // Consumer groups read what is durable too, each from its own place.
        groups = try GroupService(
            queue: queue, directory: data + "/groups", files: files, clock: clock, log: log)
        loop.groups = groups

        // Brokers that were there before, as clients of this one.
        bridges = try BridgeService(
            configuration.upstreams, hub: String(queue.identity, radix: 36), brokerLoop: loop,
            directory: data + "/bridges", below: data, files: files, clock: clock, log: log)

        // Before anything new is stored: that is joined with the files as they are now.
        references.lookAtAll { [queries] in try queries.adoptBeforeStart($0, $1) }
        // Only now: who must not miss anything holds his place.
        segments.start()
        journalThread.start()
        queries.start()
        references.start { [queries] in try queries.adopt($0, $1) }
        groups.start()
        storage.start(
            onDurable: { [loop] batches in loop.executor.execute { loop.complete(batches) } },
            onAdvance: { [queries, groups, segments, compression, queue] in
                queries.wake()
                groups.wake()
                if segments.wake(durableEnd: queue.durableEnd) { compression.wake() }
            }, log: log)
        thread.start("headend-mqtt", handler: loop)
        do {
            open = try await listeners.open()
        } catch {
            await listeners.stop()
            thread.stop()
            storage.stop()
            references.stop()
            queries.stop()
            groups.stop()
            segments.stop()
            compression.stop()
            journalThread.stop()
            throw error
        }
        bridges.start()
    }

    /// Other users and rules, from the next message on.
    func replaceAccess(_ settings: AccessSettings) async {
        await loop.executor.run { [loop] in loop.replaceAccess(settings) }
    }

    /// Reads certificates again.
    ///
    /// - Returns: a line for the log for each listener whose files are of no use, or one that says that all is well.
    func reload() -> [String] {
        guard listeners.hasCertificates else { return [] }
        let problems = listeners.reload()
        if problems.isEmpty { return ["certificates: read again, new connections use them"] }
        return problems.map { "certificates: the old ones stay: \($0)" }
    }

    /// Stops in the order of the data: no more connections, everything staged made durable and answered,
    /// everything durable queried and checkpointed, every sink given its rows.
    func stop() async {
        await listeners.close()
        bridges.stop()
        await loop.executor.run { [loop] in loop.stop() }
        loop.logins.stop()
        storage.stop()
        // What the storage thread answered last is in the loop's queue before this.
        await loop.executor.run { [loop] in loop.disconnectAll() }
        // Whoever gets a last word gets it in the turn that ends before this.
        await loop.executor.run {}
        await listeners.stop()
        references.stop()
        queries.stop()
        groups.stop()
        thread.stop()
        segments.stop()
        compression.stop()
        journalThread.stop()
    }
}
