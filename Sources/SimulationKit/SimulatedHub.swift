import DeviceQueue
import Hub
import Platform
import ResultSink
import Telemetry

/// One life of the real hub: from a start over whatever the disk holds to a stop, a crash or the death of its
/// process.
///
/// Connections, broker, staging, queue, query, outbox, sinks and checkpoint are the real ones; only the
/// threads are events of the world: a turn of the loop, a group commit, a turn of the query, a segment made
/// ahead.
final class SimulatedHub {
    let world: World
    let disk: SimulatedDisk
    let queue: DeviceQueue
    let loop: BrokerLoop
    private let settings: HubSettings
    private let oracle: Oracle
    private let directory: DataDirectory
    private let executor: SimulatedExecutor
    private let storage: SimulatedStorage
    private var query: QueryTurns
    private(set) var status = QueryStatus()
    private(set) var isAlive = true
    private var isQueryScheduled = false
    private var preparedSegment = UInt64.max
    var links: [SimulatedLink] = []

    /// Opens the data directory as `Pipeline` does.
    ///
    /// - Throws: what the disk or a stage refuses.
    init(
        world: World, disk: SimulatedDisk, oracle: Oracle, settings: HubSettings,
        log: @escaping @Sendable (String) -> Void
    ) throws {
        self.world = world
        self.disk = disk
        self.settings = settings
        self.oracle = oracle
        let clock = world.clock
        directory = try DataDirectory.open(Self.dataPath, files: disk)
        queue = try DeviceQueue.open(
            directory: directory.queuePath, files: disk, limits: settings.queue, nowTicks: clock.wallTicks(),
            seed: world.random.next())
        executor = SimulatedExecutor(world: world)
        storage = SimulatedStorage(world: world, disk: disk, queue: queue, canary: settings.canary)
        loop = BrokerLoop(
            executor: executor, queue: queue, storage: storage, clock: clock, limits: settings.hub,
            counters: HubCounters(startNonce: UInt64(bitPattern: clock.wallTicks())),
            seed: world.random.next())
        let opener = try QueryOpener(
            minuteAt: QueryOpener.Place(
                queue: queue, loop: loop, data: Self.dataPath, files: disk, clock: clock,
                outboxLimits: settings.outbox, checkpointLimits: settings.checkpoints, log: log))
        query = try QueryTurns(queue: queue, storage: storage, clock: clock, opener: opener)
    }

    static let dataPath = "data"

    /// Gives every part its first event.
    func run() {
        executor.loop = loop
        storage.onDurable = { [weak self] batches in self?.durable(batches) }
        wakeQuery()
        tick()
        prepareSegment()
    }

    /// The process is gone; nothing of it happens any more.
    func die() {
        guard isAlive else { return }
        isAlive = false
        world.reach(.duplicates, Int(queue.counters.duplicates))
        executor.stop()
        storage.stop()
        let open = links
        links = []
        for link in open { link.hubDied() }
    }

    /// Stops as `Pipeline.stop` does: everything staged made durable and answered, everything durable
    /// queried.
    func stop() throws {
        loop.stop()
        try storage.drain()
        executor.drain()
        loop.disconnectAll()
        executor.drain()
        status = try query.turn(isStopping: true)
        directory.close()
        die()
    }

    /// Why the hub takes nothing any more, if so; an operator has to start it again.
    var failure: String? { storage.failure }

    // MARK: Events

    private func tick() {
        world.after(250_000_000, "advance") { [self] in
            guard isAlive else { return }
            loop.advance()
            tick()
        }
    }

    private func durable(_ batches: [IngestBatch]) {
        if !batches.isEmpty { executor.execute { [loop] in loop.complete(batches) } }
        wakeQuery()
        prepareSegment()
    }

    private func wakeQuery() {
        guard !isQueryScheduled else { return }
        isQueryScheduled = true
        world.after(world.random.microseconds(10...5_000), "query") { [self] in turnQuery() }
    }

    private func turnQuery() {
        isQueryScheduled = false
        guard isAlive else { return }
        do {
            let before = status.completeThrough
            status = try query.turn(isStopping: false)
            oracle.published(completeThrough: status.completeThrough)
            if let before, status.completeThrough.map({ $0 < before }) ?? true {
                world.fail(
                    .watermark, "\(before) was complete, now \(String(describing: status.completeThrough))")
            }
        } catch {
            // As on its thread: given up, opened again from the last checkpoint; the watermark begins anew
            // there.
            status.failure = String(describing: error)
            status.completeThrough = nil
            world.reach(.givenUpQueries)
            world.note("query given up: \(error)")
        }
        isQueryScheduled = true
        world.after(query.isGivenUp ? 1_000_000_000 : 200_000_000, "query") { [self] in turnQuery() }
    }

    private func prepareSegment() {
        let segment = queue.durableEnd.bytes / UInt64(settings.queue.segmentBytes)
        guard segment != preparedSegment else { return }
        preparedSegment = segment
        world.after(world.random.microseconds(10...50_000), "segment") { [self] in
            guard isAlive else { return }
            // Without it the storage makes its own and meets the same error there.
            try? queue.prepareNextSegment()
        }
    }

    /// Compares what is held with the limits.
    func checkLimits() {
        let usage = loop.usage
        if usage.isPaused { world.reach(.heldReads) }
        let limits = settings.hub
        let stagedMax = limits.stagedBytesMax + 2 * limits.stagingBatchBytes + settings.queue.recordBytesMax
        if usage.stagedBytes > stagedMax {
            world.fail(.limits, "\(usage.stagedBytes) bytes are staged, \(stagedMax) may be")
        }
        if usage.outputBytes > limits.outputBytesMax {
            world.fail(.limits, "\(usage.outputBytes) bytes wait for one peer, \(limits.outputBytesMax) may")
        }
        if queue.pendingBytes > settings.queue.pendingBytesMax {
            world.fail(.limits, "\(queue.pendingBytes) bytes wait for a commit")
        }
        let counters = queue.counters
        if counters.rememberedBytes > UInt64(settings.queue.dedupBytesMax) {
            world.fail(.limits, "\(counters.rememberedBytes) bytes of message ids")
        }
        if counters.received != counters.stored + counters.duplicates + counters.quarantined {
            world.fail(.storedOnce, "received is not stored + duplicates + quarantined: \(counters)")
        }
    }
}
