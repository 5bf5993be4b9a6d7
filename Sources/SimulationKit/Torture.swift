import DeviceQueue
import Hub
import PerpetualQuery
import Platform
import ResultSink
import Telemetry

/// One world's whole story: a hub, its devices and everything that can go wrong with them; then the faults
/// stop, everything must drain, and what is stored and counted must be the truth, also after the power goes
/// once more.
package final class Torture {
    /// How a torture went.
    package struct Report: Sendable {
        package var seed: UInt64
        package var traceHash: UInt64
        package var steps: Int
        /// Starts of the hub.
        package var lives: Int
        /// Faults that were done to it.
        package var faults: Int
        /// Messages that devices produced, and those of them that were acknowledged at QoS 1 or 2.
        package var messages: Int
        package var acknowledged: Int
        /// Windows whose values were compared.
        package var windows: Int
        package var reached: [Place: Int]
        package var violation: Violation?
    }

    let world: World
    var disk: SimulatedDisk
    let oracle: Oracle
    let plan: TorturePlan
    let settings: HubSettings
    var hub: SimulatedHub?
    var devices: [SimulatedDevice] = []
    var subscriber: SimulatedSubscriber?
    var lives = 0
    var faultCount = 0
    private var windowCount = 0
    private var lateCount = 0
    private var messageCount = 0
    private var isStartScheduled = false
    private var isDrained = false
    private var isFaulty = true

    /// - Parameters:
    ///   - canary: a deliberate bug.
    ///   - onTrace: gets a line for each event.
    package init(plan: TorturePlan, canary: Canary? = nil, onTrace: ((String) -> Void)? = nil) {
        self.plan = plan
        world = World(seed: plan.seed)
        world.onTrace = onTrace
        disk = SimulatedDisk(random: world.random.split())
        var settings = HubSettings()
        if let seconds = plan.dedupSeconds {
            settings.queue.dedupHorizonTicks = Int64(seconds) * EventTime.ticksPerSecond
            settings.queue.dedupMinimum = plan.dedupMinimum
        }
        oracle = Oracle(
            world: world, dedupHorizonTicks: settings.queue.dedupHorizonTicks,
            dedupMinimum: UInt64(settings.queue.dedupMinimum))
        settings.canary = canary
        switch canary {
        case .forgetsMessageIDs:
            settings.queue.dedupMinimum = 0
            settings.queue.dedupHorizonTicks = 4
        case .skipsFileSync: disk.lie = .skipsFileSync
        case .skipsDirectorySync: disk.lie = .skipsDirectorySync
        case .skipsOutboxSync: disk.lie = .skipsOutboxSync
        case .forgetsPacketIdentifiers: settings.queue.clients = 1
        case .trustsPageCache: disk.lie = .trustsPageCache
        case .acksBeforeSync, nil: break
        }
        self.settings = settings
        world.clock.driftPartsPerMillion = plan.driftPartsPerMillion
    }

    /// Runs the world to its end or to the first invariant that does not hold.
    package func run() -> Report {
        disk.crashAt = plan.crashAtCall
        disk.crashIsKill = plan.powerCutAfterCalls != nil
        start()
        for number in 0..<plan.devices {
            let kind = SimulatedDevice.Kind.allCases[number % SimulatedDevice.Kind.allCases.count]
            let device = SimulatedDevice(number: number, kind: kind, world: world, oracle: oracle) {
                [weak self] in
                self?.hub
            }
            devices.append(device)
            produce(device)
        }
        subscriber = SimulatedSubscriber(world: world, oracle: oracle) { [weak self] in self?.hub }
        scheduleFault()
        world.after(plan.faultNanoseconds, "faults end") { [self] in endFaults() }
        let limit = plan.faultNanoseconds + plan.drainNanosecondsMax
        while !isDrained, world.step(until: limit) { lookAfterHub() }
        if !isDrained { world.fail(.drains, whatWaits()) }
        if world.violation == nil { finish() }
        hub?.die()
        world.end()
        world.reach(.lateRows, lateCount)
        return Report(
            seed: plan.seed, traceHash: world.traceHash, steps: world.stepCount, lives: lives,
            faults: faultCount, messages: messageCount, acknowledged: oracle.acknowledged.count,
            windows: windowCount, reached: world.reached, violation: world.violation)
    }

    private func produce(_ device: SimulatedDevice) {
        world.after(world.random.microseconds(plan.pauseMicroseconds), "produce", device.number) { [self] in
            guard world.now < plan.faultNanoseconds, messageCount < plan.messagesMax else { return }
            messageCount += 1
            device.produce()
            produce(device)
        }
    }

    // MARK: The hub's lives

    /// After each event: whether the hub still lives, and keeps its limits.
    private func lookAfterHub() {
        if disk.isDown { return powerFailed() }
        guard let hub else { return }
        hub.checkLimits()
        guard hub.failure != nil, !isStartScheduled else { return }
        // The operator reads the log and starts the hub again.
        scheduleStart(after: world.random.microseconds(100_000...3_000_000)) { [self] in kill() }
    }

    func scheduleStart(after delay: UInt64, _ before: @escaping () -> Void = {}) {
        guard !isStartScheduled else { return }
        isStartScheduled = true
        world.after(delay, "start", lives) { [self] in
            isStartScheduled = false
            before()
            if hub == nil { start() }
        }
    }

    private func start() {
        lives += 1
        let refusals = disk.refusals
        do {
            try checkCheckpoint()
            let hub = try SimulatedHub(
                world: world, disk: disk, oracle: oracle, settings: settings
            ) { [world] line in
                world.fail(.checkpoint, line)
            }
            self.hub = hub
            hub.run()
            try look(at: hub, isDrained: false)
        } catch {
            hub?.die()
            hub = nil
            if disk.isDown { return world.reach(.cutRecoveries) }
            disk.kill()
            world.note("the start failed: \(error)")
            let isExcused = disk.byteCapacity != nil || disk.refusals != refusals
            if !isExcused { world.fail(.recovery, "the hub does not start: \(error)") }
            scheduleStart(after: 1_000_000_000)
        }
    }

    /// The process is killed; the machine goes on.
    func kill() {
        hub?.die()
        hub = nil
        disk.kill()
    }

    /// The power is off: what was not synced meets its fate.
    private func powerFailed() {
        hub?.die()
        hub = nil
        if disk.crashIsKill {
            world.reach(.kills)
            disk.kill()
            if let calls = plan.powerCutAfterCalls { disk.crashAt = disk.mutatingCalls + calls }
            return scheduleStart(after: world.random.microseconds(1_000...3_000_000))
        }
        let fate = plan.fate ?? world.random.pick(SimulatedDisk.Fate.allCases)
        world.reach(.powerCuts)
        world.note("the power is back; unsynced: \(fate)")
        disk.crash(fate)
        if let call = plan.crashInRecoveryAtCall, lives == 1 { disk.crashAt = disk.mutatingCalls + call }
        if isFaulty, plan.kinds.contains(.crashInRecovery), world.random.chance(30) {
            disk.crashAt = disk.mutatingCalls + world.random.whole(1...20)
        }
        if isFaulty, plan.checksIdempotence, world.random.chance(30) { checkIdempotence() }
        scheduleStart(after: world.random.microseconds(1_000...3_000_000))
    }

    // MARK: The end

    private func endFaults() {
        isFaulty = false
        endOfFaults()
        if hub == nil || hub?.failure != nil { scheduleStart(after: 1_000_000) { [self] in kill() } }
        lookWhetherDrained()
    }

    private func lookWhetherDrained() {
        world.after(1_000_000_000, "drained?") { [self] in
            guard isQuiet() else { return lookWhetherDrained() }
            // The last rows still go from the checkpoint to the sinks.
            world.after(12_000_000_000, "drained") { [self] in
                if isQuiet() { isDrained = true } else { lookWhetherDrained() }
            }
        }
    }

    private func isQuiet() -> Bool {
        guard let hub, hub.failure == nil, devices.allSatisfy(\.isIdle) else { return false }
        let status = hub.status
        return status.consumed == hub.queue.durableEnd && status.failure == nil
            && status.openGroups == 0
    }

    private func whatWaits() -> String {
        guard let hub else { return "there is no hub" }
        let busy = devices.filter { !$0.isIdle }.map { "\($0.number)" }.joined(separator: ", ")
        let status = hub.status
        let complete = status.completeThrough?.description ?? "nothing"
        return "devices with unacknowledged messages: [\(busy)]; storage: \(hub.failure ?? "well"); "
            + "query: \(status.failure ?? "well"), read to \(status.consumed) of \(hub.queue.durableEnd), "
            + "complete through \(complete)"
    }

    /// Everything once more after an orderly stop and a power cut, which must change nothing.
    private func finish() {
        do {
            disk.crashAt = nil
            if let hub { try look(at: hub, isDrained: true) }
            world.reach(.conflicts, oracle.log.count { $0.reason == .conflict })
            world.reach(.notJSON, oracle.log.count { $0.reason == .notJSON })
            try hub?.stop()
            hub = nil
            disk.crash(.dropped)
            start()
            let limit = world.now + 15_000_000_000
            while world.step(until: limit) { lookAfterHub() }
            if let hub { try look(at: hub, isDrained: true) }
        } catch {
            world.fail(.recovery, "the end: \(error)")
        }
        if world.violation == nil, plan.flipsBits { checkDamage() }
    }

    // MARK: Looking

    private func look(at hub: SimulatedHub, isDrained: Bool) throws {
        oracle.check(try hub.queue.storedFrames())
        let truth = WindowOracle(oracle.log, message: oracle.message(of:))
        windowCount = truth.windows.count
        lateCount = truth.late.count
        if isDrained { oracle.checkComplete(hub.status.completeThrough) }
        var check = ResultCheck(truth: truth, world: world)
        check.check(disk: disk, forwarded: oracle.forwardedRows, isDrained: isDrained)
    }

    /// What the disk says before anybody repairs it: sinks are behind the checkpoint.
    private func checkCheckpoint() throws {
        let folder = SimulatedHub.dataPath + "/query/minute/"
        guard let cursor = try SinkCursor(path: folder + "topics.cursor", files: disk).load(), cursor > 0
        else {
            return
        }
        let checkpoint = try CheckpointStore(path: folder + "checkpoint", files: disk).load()
        let delta = try CheckpointDeltaFile(checkpoint: folder + "checkpoint", files: disk).load()
        let saved = max(checkpoint?.resultPosition ?? 0, delta?.resultPosition ?? 0)
        if cursor > saved {
            world.fail(.checkpoint, "the sink is at \(cursor), the checkpoint at \(saved)")
        }
    }
}
