import BrokerJournal
import DeviceQueue
import FileStoreKit
import MQTTBroker
import MQTTWire
import Platform
import Synchronization
import Telemetry
import Testing

@testable import Hub

/// One life of a hub over a disk in memory: loop, log and journal are the real ones, turns and commits the test's.
final class HubLife {
    final class Turns: LoopExecutor {
        // Queries that are saved side by side hand their rows over from several threads.
        private let waiting = Mutex<[@Sendable () -> Void]>([])

        var bodies: [@Sendable () -> Void] {
            get { waiting.withLock { $0 } }
            set { waiting.withLock { $0 = newValue } }
        }

        func execute(_ body: @escaping @Sendable () -> Void) { waiting.withLock { $0.append(body) } }
        func endTurnSoon() {}
    }

    final class Storage: StorageInbox, @unchecked Sendable {
        // Guard: one thread, the test's.
        var batches: [IngestBatch] = []

        func submit(_ batch: IngestBatch) { batches.append(batch) }
        func requestTick() {}
    }

    final class Clock: HubClock, @unchecked Sendable {
        // Guard: one thread, the test's.
        var nanoseconds: UInt64 = 1_000_000_000

        func wallTicks() -> Int64 { 17_000_000_000_000_000 + Int64(nanoseconds / 100) }
        func monotonicNanoseconds() -> UInt64 { nanoseconds }
    }

    /// Reads at once, and cleans when the test's disk lets it.
    final class Inbox: JournalInbox, @unchecked Sendable {
        // Guard: one thread, the test's.
        let journal: JournalLog
        let wallOffset: Int64
        var unread: [JournalError] = []
        var reads = 0
        var cleanings = 0

        init(_ journal: JournalLog, _ wallOffset: Int64) {
            self.journal = journal
            self.wallOffset = wallOffset
        }

        func read(_ request: BacklogRequest, _ completion: @escaping @Sendable (sending [Message?]) -> Void) {
            reads += 1
            completion(
                JournalBodies.read(request, from: journal, wallOffset: wallOffset) { unread.append($0) })
        }

        func clean(_ cleaned: JournalCleaned) {
            cleanings += 1
            try? journal.clean(before: cleaned.cut, keeping: cleaned.blocks)
        }
    }

    let turns = Turns()
    let storage = Storage()
    let inbox: Inbox
    let loop: BrokerLoop
    let queue: DeviceQueue
    let journal: JournalLog
    private var writer: StorageWriter

    init(
        _ files: MemoryFileStore, clock: Clock, journalLimits: JournalLimits, limits: HubLimits
    ) throws {
        queue = try DeviceQueue.open(
            directory: "/data/queue/0", files: files, limits: Self.queueLimits, nowTicks: clock.wallTicks(),
            seed: 7)
        let wallOffset = clock.wallTicks() * 100 - Int64(clock.monotonicNanoseconds())
        var restored = BrokerRestore(wallOffset: wallOffset)
        journal = try JournalLog.open(
            directory: "/data/sessions", files: files, limits: journalLimits
        ) { kind, body, position in
            restored.take(kind: kind, body: body, position: position)
        }
        #expect(restored.unknown == nil)
        writer = StorageWriter(queue: queue, journal: journal)
        inbox = Inbox(journal, wallOffset)
        loop = BrokerLoop(
            executor: turns, queue: queue, storage: storage, clock: clock, limits: limits,
            counters: HubCounters(startNonce: 1), seed: 1)
        try loop.restore(restored, journal: journal, inbox: inbox)
    }

    static var queueLimits: QueueLimits {
        var limits = QueueLimits()
        limits.segmentBytes = 4_096
        limits.recordBytesMax = 1_024
        limits.deviceNameBytesMax = 64
        limits.clientNameBytesMax = 64
        limits.devices = 100
        limits.clients = 100
        limits.chunkBytes = 4_096
        limits.recentBytes = 32_768
        limits.readBytes = 4_096
        limits.dedupSlots = 64
        limits.dedupBytesMax = 1 << 20
        limits.snapshotBytes = 8_192
        return limits
    }

    /// Turns, and commits of what is staged.
    ///
    /// - Throws: when the disk is dead.
    func settle(commits: Int = .max) throws {
        var commits = commits
        while true {
            let due = turns.bodies
            turns.bodies = []
            for body in due { body() }
            loop.endTurn()
            if !turns.bodies.isEmpty { continue }
            guard !storage.batches.isEmpty, commits > 0 else { return }
            commits -= 1
            writer.take(storage.batches, isTickWanted: false)
            storage.batches = []
            loop.complete(try writer.write(nowTicks: 1_000))
        }
    }
}

/// A client over many lives of the hub, with the half of the session that MQTT has it keep.
final class KeptClient {
    struct Pending {
        var publish: Publish
        var isReleased = false
    }

    private final class Peer: ConnectionTransport {
        var received: [UInt8] = []
        func send(_ bytes: UnsafeRawBufferPointer) -> Int {
            received += Array(bytes)
            return bytes.count
        }
        func close() {}
        func abort() {}
        func resumeReading() {}
    }

    let name: String
    private let filters: [String]
    private var life: HubLife?
    private var connection: Connection?
    private var peer = Peer()
    private(set) var isWelcome = false
    private(set) var isReady = false
    /// The hub said once that there is a session.
    private var hasSession = false
    private(set) var lostSession = false
    private(set) var pending: [Pending] = []
    private var unreleased: Set<UInt16> = []
    /// What was taken, in order; at QoS 2 once each.
    private(set) var applied: [(text: String, qos: QoS, duplicate: Bool)] = []
    /// Acknowledges nothing while false.
    var answers = true
    /// Of the next connection.
    var will: Will?

    init(_ name: String, _ filters: [String] = []) {
        self.name = name
        self.filters = filters
    }

    var isConnected: Bool { connection != nil }

    func connect(_ life: HubLife) throws {
        self.life = life
        let connection = try #require(life.loop.addConnection(now: 1))
        peer = Peer()
        connection.transport = peer
        self.connection = connection
        var packet = Connect()
        packet.version = .v311
        packet.cleanStart = false
        packet.clientIdentifier = name
        packet.will = will
        send(.connect(packet))
    }

    /// The line breaks; what is on it is lost.
    func drop(isHubDead: Bool = false) {
        if let connection, !isHubDead { life?.loop.removeConnection(connection) }
        connection = nil
        isWelcome = false
        isReady = false
    }

    func publish(_ topic: String, _ text: String, _ qos: QoS) {
        var publish = Publish(topic: topic, payload: Array(text.utf8))
        publish.qos = qos
        publish.packetIdentifier = (1...100).first { id in
            !pending.contains { $0.publish.packetIdentifier == id }
        }
        pending.append(Pending(publish: publish))
        if isWelcome { send(.publish(publish)) }
    }

    /// Takes what came and answers it.
    func work() throws {
        guard isConnected else { return }
        let bytes = peer.received
        peer.received = []
        var at = 0
        try bytes.withUnsafeBytes { buffer in
            while at < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[at...])
                guard case .frame(let offset, let count) = scanFrame(rest, packetBytesMax: 1 << 20) else {
                    return
                }
                let body = UnsafeRawBufferPointer(rebasing: rest[offset..<(offset + count)])
                take(try decodePacket(firstByte: rest[0], body: body, version: .v311))
                at += offset + count
            }
        }
    }

    private func take(_ packet: ControlPacket) {
        switch packet {
        case .connack(let connack): welcome(connack)
        case .suback: isReady = true
        case .puback(let answer), .pubcomp(let answer):
            pending.removeAll { $0.publish.packetIdentifier == answer.packetIdentifier }
        case .pubrec(let answer):
            for index in pending.indices
            where pending[index].publish.packetIdentifier == answer.packetIdentifier {
                pending[index].isReleased = true
            }
            send(.pubrel(Acknowledgement(packetIdentifier: answer.packetIdentifier)))
        case .publish(let publish): take(publish)
        case .pubrel(let answer):
            unreleased.remove(answer.packetIdentifier)
            if answers { send(.pubcomp(Acknowledgement(packetIdentifier: answer.packetIdentifier))) }
        default: break
        }
    }

    private func welcome(_ connack: Connack) {
        isWelcome = true
        if hasSession, !connack.sessionPresent { lostSession = true }
        if !connack.sessionPresent {
            unreleased = []
            for (index, filter) in filters.enumerated() {
                send(
                    .subscribe(
                        Subscribe(
                            packetIdentifier: UInt16(index + 1),
                            filters: [Subscribe.Filter(filter, qos: .exactlyOnce)])))
            }
        }
        isReady = isReady || connack.sessionPresent || filters.isEmpty
        hasSession = true
        for index in pending.indices {
            if pending[index].isReleased {
                send(
                    .pubrel(
                        Acknowledgement(packetIdentifier: pending[index].publish.packetIdentifier ?? 0)))
            } else {
                var again = pending[index].publish
                again.duplicate = true
                send(.publish(again))
            }
        }
    }

    private func take(_ publish: Publish) {
        let identifier = publish.packetIdentifier ?? 0
        let text = String(decoding: publish.payload, as: UTF8.self)
        let isNew = publish.qos != .exactlyOnce || unreleased.insert(identifier).inserted
        if isNew { applied.append((text, publish.qos, publish.duplicate)) }
        guard answers, publish.qos != .atMostOnce else { return }
        let answer = Acknowledgement(packetIdentifier: identifier)
        send(publish.qos == .exactlyOnce ? .pubrec(answer) : .puback(answer))
    }

    func send(_ packet: ControlPacket) {
        guard let connection else { return }
        var bytes: [UInt8] = []
        encodePacket(packet, version: .v311, into: &bytes)
        _ = bytes.withUnsafeBytes { connection.receive($0, now: 1) }
    }
}
