import DeviceQueue
import Hub
import Platform

/// The turns of the broker's loop.
///
/// `@unchecked Sendable`: confined to the thread that runs the world.
final class SimulatedExecutor: LoopExecutor, @unchecked Sendable {
    private let world: World
    weak var loop: BrokerLoop?
    private var bodies: [@Sendable () -> Void] = []
    private var isTurnScheduled = false
    private var isTurnEndWanted = false
    private var isStopped = false

    init(world: World) { self.world = world }

    func execute(_ body: @escaping @Sendable () -> Void) {
        bodies.append(body)
        schedule()
    }

    func endTurnSoon() {
        isTurnEndWanted = true
        schedule()
    }

    func stop() {
        isStopped = true
        bodies = []
    }

    /// Turns until nothing is left to do.
    func drain() {
        while !bodies.isEmpty || isTurnEndWanted { turn() }
    }

    private func schedule() {
        guard !isTurnScheduled, !isStopped else { return }
        isTurnScheduled = true
        world.after(world.random.microseconds(1...200), "turn") { [self] in
            isTurnScheduled = false
            turn()
        }
    }

    private func turn() {
        guard !isStopped, let loop else { return }
        let due = bodies
        bodies = []
        for body in due { body() }
        if isTurnEndWanted {
            isTurnEndWanted = false
            loop.endTurn()
        }
    }
}

/// The storage thread's turns: a group commit, a sync that takes its time, and then the answers.
///
/// `@unchecked Sendable`: confined to the thread that runs the world.
final class SimulatedStorage: StorageInbox, @unchecked Sendable {
    private let world: World
    private let disk: SimulatedDisk
    private let queue: DeviceQueue
    private let canary: Canary?
    private var writer: StorageWriter
    private var batches: [IngestBatch] = []
    private var isTickWanted = false
    /// From the moment a commit is on its way until its answers are.
    private var isBusy = false
    /// Taken by the writer and not written yet: the disk is full.
    private var isWriting = false
    /// Written, while the answers wait for the sync to take its time.
    private var written: [IngestBatch] = []
    private var isStopped = false
    private(set) var failure: String?
    var onDurable: ([IngestBatch]) -> Void = { _ in }

    init(world: World, disk: SimulatedDisk, queue: DeviceQueue, canary: Canary?) {
        self.world = world
        self.disk = disk
        self.queue = queue
        self.canary = canary
        writer = StorageWriter(queue: queue)
    }

    func submit(_ batch: IngestBatch) {
        batches.append(batch)
        schedule()
    }

    func requestTick() {
        isTickWanted = true
        schedule()
    }

    func stop() { isStopped = true }

    /// Writes everything at once, for a stop.
    func drain() throws {
        if failure != nil { return }
        answer()
        if isWriting { written = try writer.write(nowTicks: world.clock.wallTicks()) }
        isWriting = false
        while !written.isEmpty || !batches.isEmpty {
            answer()
            takeAll()
            written = try writer.write(nowTicks: world.clock.wallTicks())
        }
    }

    private func schedule() {
        guard !isBusy, !isStopped, failure == nil else { return }
        isBusy = true
        world.after(world.random.microseconds(5...100), "commit") { [self] in
            guard !isStopped else { return }
            takeAll()
            write()
        }
    }

    private func takeAll() {
        if canary == .acksBeforeSync { answerTooEarly() }
        writer.take(batches, isTickWanted: isTickWanted)
        batches = []
        isTickWanted = false
    }

    private func write() {
        guard !isStopped else { return }
        do {
            written = try writer.write(nowTicks: world.clock.wallTicks())
            isWriting = false
            world.after(disk.syncNanoseconds(), "durable") { [self] in
                guard !isStopped else { return }
                isBusy = false
                answer()
                if !batches.isEmpty || isTickWanted { schedule() }
            }
        } catch QueueError.full {
            // As the storage thread does: waited out, nothing is lost.
            isWriting = true
            world.reach(.fullDisk)
            world.after(500_000_000, "commit again") { [self] in write() }
        } catch {
            failure = String(describing: error)
            if !disk.isDown { world.reach(.failedStorage) }
            world.note("storage failed: \(error)")
        }
    }

    private func answer() {
        let durable = written
        written = []
        onDurable(durable)
    }

    /// The bug of `acksBeforeSync`: appended, answered, and synced with what comes later.
    private func answerTooEarly() {
        for batch in batches where batch.staging.frameCount > 0 {
            try? queue.append(batch.staging, arrivalTicks: world.clock.wallTicks())
        }
        onDurable(batches)
        batches = []
    }
}
