import MosquittoClient
import Platform
import Synchronization
import Telemetry

/// The devices of one loop thread: wakes each when its next action is due, and connects them at a bounded
/// rate.
///
/// `@unchecked Sendable`: everything but `published` is touched on the loop's thread only, apart from `init`,
/// which is over before the loop gets the first command.
final class FleetLane: @unchecked Sendable {
    /// Actions in one turn before sockets and timers get theirs.
    private static let actionsPerTurnMax = 2_000
    /// Between two looks at the connect queue.
    private static let connectTick = Duration.milliseconds(20)
    /// Between two snapshots of the counters and two flushes of the key.
    private static let reportTick = Duration.milliseconds(250)
    /// How far an unpaced device without end looks ahead for its next action before others get their turn.
    private static let lookAheadTicks = 3_600 * EventTime.ticksPerSecond

    let loop: MosquittoLoop
    let hub: MosquittoURL
    let topicPrefix: String
    let limits: FleetRunner.Limits
    let key: AnswerKeyWriter?
    /// Connected, sent …: what devices count by themselves; the rest is summed in `report`.
    var counters = FleetStatistics()
    /// The last snapshot, for other threads.
    let published = Mutex(FleetStatistics())

    private let events: FleetRunner.Events
    private let connectsPerTick: Int
    private let clock: FleetClock
    private var devices: [FleetDevice] = []
    private var due = DueHeap()
    private var pumpTimer: MosquittoLoop.TimerID?
    /// Unpaced devices whose outbox is full, until a message is acknowledged.
    private var parked: Set<Int> = []
    private var connectQueue = Fifo<Int>()
    private var isConnecting = false
    private var isFinishing = false
    private var hasReachedEnd = false
    private var endedCount = 0

    /// - Parameter connectsPerSecond: this lane's share of the fleet's ramp.
    init(
        loop: MosquittoLoop, hub: MosquittoURL, limits: FleetRunner.Limits, key: AnswerKeyWriter?,
        clock: FleetClock, connectsPerSecond: Int, events: FleetRunner.Events
    ) {
        self.loop = loop
        self.hub = hub
        topicPrefix = hub.prefix.map { $0 + "/" } ?? ""
        self.limits = limits
        self.key = key
        self.clock = clock
        connectsPerTick = max(1, connectsPerSecond / 50)
        self.events = events
    }

    var isPaced: Bool { clock.speed != .unpaced }

    /// Before the loop's first command only.
    func add(script: DeviceScript, connection: ConnectionModel, client: MosquittoClient) {
        devices.append(
            FleetDevice(
                index: devices.count, script: script, connection: connection, client: client, lane: self))
    }

    // MARK: on the loop's thread

    func start() {
        counters.devices = devices.count
        for device in devices {
            connectSoon(device.index)
            if let time = device.script.nextTime { due.push(.init(time: time, device: device.index)) }
        }
        report()
        pump()
    }

    /// Ends every script at `time` and disconnects each device when the hub has all it sent.
    func finish(at time: EventTime) {
        guard !isFinishing else { return }
        isFinishing = true
        for device in devices { device.finish(at: time) }
        if devices.isEmpty { events.laneEnded() }
    }

    /// Disconnects what is still connected.
    func abandon() {
        isFinishing = true
        for device in devices where !device.isDone { device.abandon() }
        snapshot()
    }

    private func pump() {
        if let pumpTimer { loop.cancel(pumpTimer) }
        pumpTimer = nil
        guard !isFinishing else { return }
        let now = clock.now(loop.now)
        var actions = 0
        while let item = due.first, item.time <= now, actions < Self.actionsPerTurnMax {
            _ = due.pop()
            actions += 1 + act(devices[item.device], now)
        }
        if let end = clock.end, now >= end, parked.isEmpty, due.first.map({ $0.time > end }) ?? true {
            if !hasReachedEnd { events.laneReachedEnd() }
            hasReachedEnd = true
            return
        }
        guard let next = due.first else { return }
        // At least a millisecond, so that sockets are served in between.
        let soon = loop.now &+ 1_000_000
        pumpTimer = loop.schedule(at: max(soon, clock.monotonic(next.time))) { [weak self] in self?.pump() }
    }

    private func act(_ device: FleetDevice, _ now: EventTime) -> Int {
        var limit = now
        if !isPaced, clock.end == nil, let next = device.script.nextTime, next > clock.start {
            limit = min(now, next.adding(ticks: Self.lookAheadTicks))
        }
        let count = device.act(through: limit, actionsMax: Self.actionsPerTurnMax / 4, untilFull: !isPaced)
        if !isPaced, device.isFull {
            parked.insert(device.index)
        } else if let time = device.script.nextTime {
            due.push(.init(time: time, device: device.index))
        }
        return count
    }

    /// A device's message was acknowledged; a parked device goes on when half of its outbox is free.
    func roomMade(_ index: Int) {
        guard !parked.isEmpty, parked.contains(index), devices[index].isHalfEmpty else { return }
        parked.remove(index)
        guard let time = devices[index].script.nextTime else { return }
        due.push(.init(time: time, device: index))
        if pumpTimer == nil {
            pumpTimer = loop.schedule(after: .milliseconds(1)) { [weak self] in self?.pump() }
        }
    }

    // MARK: connections

    /// Connects a device when its turn has come, at most `connectsPerSecond` of them.
    func connectSoon(_ index: Int) {
        connectQueue.append(index)
        if !isConnecting {
            isConnecting = true
            loop.schedule(after: .zero) { [weak self] in self?.connectSome() }
        }
    }

    private func connectSome() {
        for _ in 0..<connectsPerTick {
            guard let index = connectQueue.popFirst() else { break }
            devices[index].connect()
        }
        isConnecting = !connectQueue.isEmpty
        if isConnecting { loop.schedule(after: Self.connectTick) { [weak self] in self?.connectSome() } }
    }

    func hubAnswered() { events.hubAnswered() }

    func hubFailed(_ error: MosquittoError) { events.hubFailed(error.description) }

    func refusedConnection(of device: String, reason: Int32) {
        events.hubFailed("\(hub) refuses \(device): \(MosquittoReason.text(reason))")
    }

    func refusedMessage(_ publication: Publication, reason: Int32) {
        events.refused("\(hub) refuses \(publication.messageID): \(MosquittoReason.text(reason))")
    }

    func cannotSend(_ publication: Publication, _ error: MosquittoError) {
        events.refused("\(publication.messageID) is not sent: \(error)")
    }

    func deviceEnded() {
        endedCount += 1
        guard endedCount == devices.count else { return }
        snapshot()
        events.laneEnded()
    }

    // MARK: counters

    /// Publishes a snapshot; then again and again while the loop runs.
    private func report() {
        snapshot()
        guard endedCount < devices.count else { return }
        key?.flush()
        loop.schedule(after: Self.reportTick) { [weak self] in self?.report() }
    }

    private func snapshot() {
        var total = counters
        for device in devices {
            total.readings += device.script.readingCount
            total.held += device.script.heldCount
            total.waiting += device.unsentCount
            total.unacknowledged += device.underWayCount
            if !device.isOnline { total.offline += 1 }
        }
        published.withLock { $0 = total }
    }
}

/// Reason codes of MQTT in words.
enum MosquittoReason {
    /// MQTT 5.0 §2.4 for codes from 128, 3.1.1 §3.2.2.3 below.
    static func text(_ reason: Int32) -> String {
        switch reason {
        case 1: "unacceptable protocol version"
        case 2, 0x85: "client identifier not valid"
        case 3, 0x88: "server unavailable"
        case 4, 0x86: "bad user name or password"
        case 5, 0x87: "not authorized"
        case 0x80: "unspecified error"
        case 0x83: "implementation specific error"
        case 0x84: "unsupported protocol version"
        case 0x90: "topic name invalid"
        case 0x95: "packet too large"
        case 0x97: "quota exceeded"
        case 0x99: "payload format invalid"
        default: "reason code \(reason)"
        }
    }
}
