import BrokerJournal
import FileStoreKit
import MQTTBroker
import MQTTWire
import Platform
import Testing

@testable import Hub

/// Two clients with lasting sessions and a hub that dies at any call to the disk: what was acknowledged arrives, at
/// QoS 2 exactly once.
@Suite("Sessions over crashes", .timeLimit(.minutes(5)))
struct KeptSessionTests {
    private struct Outcome {
        var hasCrashed = false
        var operations = 0
        var cleanings = 0
        var reads = 0
    }

    /// One script over as many lives as the crashes make.
    private final class World {
        var files = MemoryFileStore()
        let clock = HubLife.Clock()
        let publisher = KeptClient("publisher")
        let subscriber = KeptClient("subscriber", ["t/#", "devices/+/telemetry"])
        var life: HubLife?
        var random: SeededRandom
        let mode: MemoryFileStore.CrashMode
        var outcome = Outcome()
        var sent: [(text: String, qos: QoS)] = []

        init(seed: UInt64, mode: MemoryFileStore.CrashMode) {
            random = SeededRandom(seed)
            self.mode = mode
        }

        private var limits: HubLimits {
            var limits = HubLimits()
            limits.stagingBatchBytes = 16_384
            limits.broker.presentMessages = 2
            limits.broker.inflightMax = 4
            limits.journalBytesMin = 2_000
            limits.journalCleaningBytes = 300
            return limits
        }

        private var journalLimits: JournalLimits {
            var limits = JournalLimits()
            limits.segmentBytes = 1_000
            limits.aheadBytes = 256
            return limits
        }

        /// Lets everybody do what is to be done; a dead disk ends the life.
        func turn(commits: Int = .max) throws {
            do {
                if life == nil {
                    life = try HubLife(files, clock: clock, journalLimits: journalLimits, limits: limits)
                }
                try life?.settle(commits: commits)
            } catch {
                guard files.hasCrashed else { throw error }
                crash()
                return
            }
            if files.hasCrashed { return crash() }
            try publisher.work()
            try subscriber.work()
        }

        private func crash() {
            outcome.hasCrashed = true
            note()
            publisher.drop(isHubDead: true)
            subscriber.drop(isHubDead: true)
            life = nil
            files = files.afterCrash(mode, seed: random.next())
        }

        func note() {
            outcome.operations += files.operations
            outcome.cleanings += life?.inbox.cleanings ?? 0
            outcome.reads += life?.inbox.reads ?? 0
            if let life { #expect(life.inbox.unread == []) }
        }

        func step(_ number: Int) throws {
            let qos: QoS = random.below(2) == 0 ? .atLeastOnce : .exactlyOnce
            let isTelemetry = random.below(3) == 0
            sent.append(("\(number)", qos))
            publisher.publish(isTelemetry ? "devices/d/telemetry" : "t/\(number % 3)", "\(number)", qos)
            switch random.below(8) {
            case 0: subscriber.drop()
            case 1: publisher.drop()
            case 2:
                subscriber.answers.toggle()
                // What it did not answer comes again on another line only.
                if subscriber.answers { subscriber.drop() }
            default: break
            }
            if random.below(3) == 0 { try reconnect() }
            try turn(commits: Int(random.below(3)))
        }

        func reconnect() throws {
            guard let life else { return }
            if !publisher.isConnected { try publisher.connect(life) }
            if !subscriber.isConnected { try subscriber.connect(life) }
        }

        /// Until nothing is left to do.
        func drain() throws {
            subscriber.answers = true
            subscriber.drop()
            var idle = 0
            var count = subscriber.applied.count
            var turns = 0
            while idle < 8 {
                turns += 1
                try #require(turns < 10_000, "it never comes to rest")
                try reconnect()
                try turn()
                let isQuiet =
                    publisher.pending.isEmpty && subscriber.isReady && publisher.isReady
                    && count == subscriber.applied.count
                idle = isQuiet ? idle + 1 : 0
                count = subscriber.applied.count
            }
        }
    }

    private func run(
        seed: UInt64, crashes: [Int], mode: MemoryFileStore.CrashMode, messages: Int
    ) throws -> Outcome {
        let world = World(seed: seed, mode: mode)
        let note: Comment = "seed \(seed), crashes \(crashes), \(mode)"
        // Both are there before the disk begins to fail: from here on nothing may be lost.
        try world.drain()
        var left = crashes[...]
        world.files.crashAt = left.popFirst().map { world.files.operations + $0 }
        for number in 1...messages {
            let wasDead = world.files.hasCrashed
            try world.step(number)
            if world.life == nil, !wasDead, world.outcome.hasCrashed, let next = left.popFirst() {
                world.files.crashAt = next
            }
        }
        world.files.crashAt = nil
        try world.drain()
        world.note()
        expect(world, note)
        return world.outcome
    }

    private func expect(_ world: World, _ note: Comment) {
        #expect(!world.publisher.lostSession, note)
        #expect(!world.subscriber.lostSession, note)
        let once = world.subscriber.applied.filter { $0.qos == .exactlyOnce }.map(\.text)
        #expect(Set(once).count == once.count, "twice at QoS 2: \(once), \(note)")
        #expect(Set(once) == Set(world.sent.filter { $0.qos == .exactlyOnce }.map(\.text)), note)
        let all = Set(world.subscriber.applied.map(\.text))
        #expect(Set(world.sent.map(\.text)).subtracting(all) == [], "lost, \(note)")
        guard let life = world.life else { return }
        #expect(life.loop.broker.counters.queued == 0, note)
        #expect(life.loop.broker.counters.keptMessages == 0, note)
        #expect(life.loop.broker.counters.keptBytes == 0, note)
        #expect(life.loop.broker.counters.droppedUnreadable == 0, note)
        #expect(life.loop.broker.counters.protocolErrors == 0, note)
    }

    @Test(
        "A crash at every call to the disk in turn loses nothing acknowledged and doubles nothing at QoS 2",
        arguments: MemoryFileStore.CrashMode.allCases)
    func everyCall(_ mode: MemoryFileStore.CrashMode) throws {
        var crash = 1
        while try run(seed: 3, crashes: [crash], mode: mode, messages: 24).hasCrashed { crash += 1 }
        #expect(crash > 60)
    }

    @Test("Any script and any crashes, those of a start among them", arguments: 1...40 as ClosedRange<UInt64>)
    func seeds(_ seed: UInt64) throws {
        var random = SeededRandom(seed &* 77)
        let crashes = (0..<(1 + random.below(4))).map { _ in Int(1 + random.below(60)) }
        let mode = MemoryFileStore.CrashMode.allCases[Int(random.below(3))]
        _ = try run(seed: seed, crashes: crashes, mode: mode, messages: 40)
    }

    @Test("Without a crash too, the journal is cleaned and the backlog is read from disk")
    func covered() throws {
        let outcome = try run(seed: 5, crashes: [], mode: .keep, messages: 120)
        #expect(outcome.cleanings > 2)
        #expect(outcome.reads > 2)
    }
}
