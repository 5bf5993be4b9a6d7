package import MosquittoClient
package import Platform
import Synchronization
package import Telemetry

/// Why a fleet could not start.
package enum FleetRunError: Error, Sendable, CustomStringConvertible {
    /// The answer key's file cannot be written: an operator is needed.
    case answerKey(FileError)
    /// A client or a loop could not be made: the process is short of descriptors or memory.
    case client(MosquittoError)

    package var description: String {
        switch self {
        case .answerKey(let error): "the answer key: \(error)"
        case .client(let error): "\(error)"
        }
    }
}

/// Runs a fleet against any MQTT broker: every device has a connection of its own, on one or two shared
/// threads.
///
/// `start()`, then `waitUntilOver` (the duration has passed), then `stop(drain:)`, once each. Until the hub
/// can be reached devices make their readings and keep them, at most `Limits.keepMax` each.
package final class FleetRunner: Sendable {
    package struct Limits: Sendable {
        /// New connections a second over the whole fleet; default 500: no backlog of a listener overflows.
        package var connectsPerSecondMax = 500
        /// Readings a device without `offline: { keep }` holds while the hub is away; default 10,000.
        package var keepMax = 10_000
        /// Devices on one loop thread before there is a second; default 500.
        package var devicesPerLoop = 500
        /// Loop threads; default 2: one core's worth of devices is some 50,000 messages a second.
        package var loopsMax = 2

        package init() {}
    }

    package struct Options: Sendable {
        package var hub: MosquittoURL
        /// PEM with the authorities to trust for `mqtts`; nil: the system's.
        package var authorityFile: String?
        /// PEM files with a certificate that every device shows over `mqtts`, and its key; nil: none.
        package var certificate: (file: String, keyFile: String)?
        /// Time of the fleet after which nothing new is made; nil: until `stop`.
        package var duration: Duration?
        /// nil: the plan's.
        package var seed: UInt64?
        /// The fleet's own time at the start; nil: the plan's, else now. Cut to milliseconds.
        package var start: EventTime?
        /// nil: the plan's, else 1x.
        package var speed: FleetSpeed?
        /// nil: the plan's, else there is no key.
        package var answerKeyPath: String?
        package var limits = Limits()

        package init(hub: MosquittoURL) { self.hub = hub }
    }

    private struct State {
        var hasStarted = false
        var lanesAtEnd = 0
        var lanesEnded = 0
        var isStopping = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        /// nil: not known yet.
        var isHubThere: Bool?
        var hasToldRefusal = false
    }

    /// What lanes tell the runner, from their threads.
    struct Events: Sendable {
        let laneReachedEnd: @Sendable () -> Void
        let laneEnded: @Sendable () -> Void
        let hubAnswered: @Sendable () -> Void
        let hubFailed: @Sendable (String) -> Void
        let refused: @Sendable (String) -> Void
    }

    /// The seed in force.
    package let seed: UInt64
    /// The fleet's own time at the start.
    package let startTime: EventTime
    package let speed: FleetSpeed
    /// nil: no key is written.
    package let answerKeyPath: String?
    private let clock: any HubClock
    private let fleetClock: FleetClock
    private let lanes: [FleetLane]
    private let key: AnswerKeyWriter?
    private let state: Monitor<State>

    /// Creates the answer key's file, the threads and all clients; nothing is sent before `start()`.
    ///
    /// - Parameter log: gets a line when the hub goes away or comes back and at the first refusal; any
    ///   thread.
    package init(
        plan: FleetPlan, options: Options, clock: any HubClock = SystemClock(),
        files: any FileStore = PosixFileStore(), log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(FleetRunError) {
        seed = options.seed ?? plan.seed
        let wanted = options.start ?? plan.start ?? EventTime(ticks: clock.wallTicks())
        startTime = wanted.adding(ticks: -(wanted.ticks % EventTime.ticksPerMillisecond))
        speed = options.speed ?? plan.speed ?? .times(1)
        answerKeyPath = options.answerKeyPath ?? plan.answerKeyPath
        self.clock = clock
        do throws(FileError) {
            key = try answerKeyPath.map { path throws(FileError) in
                try AnswerKeyWriter(path: path, files: files)
            }
        } catch {
            throw .answerKey(error)
        }
        let state = Monitor(State())
        self.state = state
        fleetClock = FleetClock(
            start: startTime, origin: clock.monotonicNanoseconds(), speed: speed,
            end: options.duration.map { [startTime] in startTime.adding(ticks: $0.ticks) })
        let count = plan.devices.count
        let loopCount = min(options.limits.loopsMax, max(1, (count - 1) / options.limits.devicesPerLoop + 1))
        let events = Self.events(state, loopCount: loopCount, hub: options.hub, log: log)
        do throws(MosquittoError) {
            lanes = try Self.makeLanes(
                loopCount, plan: plan, options: options, seed: seed, fleetClock: fleetClock, clock: clock,
                key: key, events: events)
        } catch {
            throw .client(error)
        }
    }

    /// Starts all devices. Once.
    package func start() {
        let isFirst = state.update { state in
            defer { state.hasStarted = true }
            return !state.hasStarted
        }
        precondition(isFirst, "a fleet starts once")
        for lane in lanes { lane.loop.perform { lane.start() } }
    }

    /// Counts so far, at most a quarter of a second old. From any thread.
    package func statistics() -> FleetStatistics {
        var total = FleetStatistics()
        for lane in lanes { total.add(lane.published.withLock { $0 }) }
        return total
    }

    /// Blocks until the duration has passed or `stop` was called; for named threads.
    ///
    /// - Returns: false when the timeout came first.
    @discardableResult
    package func waitUntilOver(timeout: Duration? = nil) -> Bool {
        let count = lanes.count
        return state.wait(
            timeoutNanoseconds: timeout?.nanoseconds,
            until: { $0.isStopping || $0.lanesAtEnd >= count },
            then: { $0.isStopping || $0.lanesAtEnd >= count })
    }

    /// As `waitUntilOver`, without blocking a thread.
    package func untilOver() async {
        let count = lanes.count
        await withCheckedContinuation { continuation in
            let isOver = state.update { state in
                if state.isStopping || state.lanesAtEnd >= count { return true }
                state.waiters.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    /// Makes no new readings, sends what was held back, waits until the hub has acknowledged everything,
    /// but not
    /// longer than `drain`, then disconnects in order, completes the answer key and ends the threads.
    /// Blocks; a
    /// second call returns at once. Readings that were never handed to a connection are not in the key.
    ///
    /// - Returns: the last counts; `unacknowledged` and `waiting` are 0 when everything was acknowledged.
    /// - Throws: when the answer key could not be written completely.
    @discardableResult
    package func stop(drain: Duration) throws(FleetRunError) -> FleetStatistics {
        let (isFirst, hasStarted) = state.update { state in
            defer { state.isStopping = true }
            return (!state.isStopping, state.hasStarted)
        }
        guard isFirst else { return statistics() }
        resumeWaiters(state)
        if hasStarted {
            let now = stopTime()
            for lane in lanes { lane.loop.perform { lane.finish(at: now) } }
            waitForLanes(drain)
            for lane in lanes { lane.loop.perform { lane.abandon() } }
            waitForLanes(.seconds(2))
        }
        for lane in lanes { lane.loop.stop() }
        if let key {
            do throws(FileError) {
                try key.close()
            } catch {
                throw .answerKey(error)
            }
        }
        return statistics()
    }

    /// Unpaced without an end, devices stop where they are; else at the fleet's time, cut to milliseconds.
    private func stopTime() -> EventTime {
        if speed == .unpaced, fleetClock.end == nil { return startTime }
        let now = fleetClock.now(clock.monotonicNanoseconds())
        return now.adding(ticks: -(now.ticks % EventTime.ticksPerMillisecond))
    }

    private func waitForLanes(_ timeout: Duration) {
        let count = lanes.count
        state.wait(
            timeoutNanoseconds: timeout.nanoseconds, until: { $0.lanesEnded >= count }, then: { _ in })
    }
}

// MARK: the parts

extension FleetRunner {
    private static func makeLanes(
        _ count: Int, plan: FleetPlan, options: Options, seed: UInt64, fleetClock: FleetClock,
        clock: any HubClock, key: AnswerKeyWriter?, events: Events
    ) throws(MosquittoError) -> [FleetLane] {
        var lanes: [FleetLane] = []
        for index in 0..<count {
            let loop = try MosquittoLoop(name: "fleet-\(index)", clock: clock)
            lanes.append(
                FleetLane(
                    loop: loop, hub: options.hub, limits: options.limits, key: key, clock: fleetClock,
                    connectsPerSecond: options.limits.connectsPerSecondMax / count, events: events))
        }
        for (index, identity) in plan.devices.enumerated() {
            let lane = lanes[index % count]
            let connection = plan.types[identity.typeIndex].connection
            let client = try makeClient(identity, connection, lane.loop, options: options, seed: seed)
            lane.add(
                script: plan.script(device: index, seed: seed, start: fleetClock.start),
                connection: connection,
                client: client)
        }
        return lanes
    }

    /// The session is kept (clean start false), so that the hub knows the device after a reconnect.
    private static func makeClient(
        _ identity: DeviceIdentity, _ connection: ConnectionModel, _ loop: MosquittoLoop, options: Options,
        seed: UInt64
    ) throws(MosquittoError) -> MosquittoClient {
        let client = try MosquittoClient(
            loop: loop, identifier: identity.id, cleanStart: connection.sessionExpirySeconds == 0,
            version: connection.version == .v5 ? .v5 : .v311,
            sessionExpirySeconds: UInt32(clamping: connection.sessionExpirySeconds),
            inflightMax: UInt16(FleetDevice.windowMax))
        if let user = options.hub.user {
            try client.setCredentials(user: user, password: options.hub.password)
        }
        if options.hub.isSecure {
            if let (file, keyFile) = options.certificate {
                try client.useMutualTLS(
                    authorityFile: options.authorityFile, certificateFile: file, keyFile: keyFile)
            } else {
                try client.useTLS(authorityFile: options.authorityFile)
            }
        }
        var random = RandomStream(seed: seed, device: identity.id, purpose: "reconnect")
        // Never exactly 0, which would mean no jitter.
        client.backoff = MosquittoBackoff(
            initial: .milliseconds(500), maximum: .seconds(5), jitter: 0.001 + random.unit() * 0.998)
        return client
    }

    private static func events(
        _ state: Monitor<State>, loopCount: Int, hub: MosquittoURL, log: @escaping @Sendable (String) -> Void
    ) -> Events {
        Events(
            laneReachedEnd: {
                let isLast = state.update { state in
                    state.lanesAtEnd += 1
                    return state.lanesAtEnd == loopCount
                }
                if isLast { resumeWaiters(state) }
            },
            laneEnded: { state.update { $0.lanesEnded += 1 } },
            hubAnswered: {
                let wasAway = state.withLock { state in
                    defer { state.isHubThere = true }
                    return state.isHubThere == false
                }
                if wasAway { log("\(hub) is back") }
            },
            hubFailed: { message in
                let isNews = state.withLock { state in
                    defer { state.isHubThere = false }
                    return state.isHubThere != false && !state.isStopping
                }
                if isNews { log("\(message); devices keep their readings and try again") }
            },
            refused: { message in
                let isFirst = state.withLock { state in
                    defer { state.hasToldRefusal = true }
                    return !state.hasToldRefusal
                }
                if isFirst { log("\(message) (said once)") }
            })
    }

    private static func resumeWaiters(_ state: Monitor<State>) {
        let waiters = state.update { state in
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func resumeWaiters(_ state: Monitor<State>) { Self.resumeWaiters(state) }
}

extension Duration {
    /// Ticks of 100 ns; 0 when negative, at most some 10,000 years.
    fileprivate var ticks: Int64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return min(seconds, 300_000_000_000) * 10_000_000 + attoseconds / 100_000_000_000
    }

    /// Whole nanoseconds; 0 when negative, at most some 9,500 years.
    fileprivate var nanoseconds: UInt64 { UInt64(ticks) * 100 }
}
