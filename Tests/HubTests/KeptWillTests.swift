import BrokerJournal
import FileStoreKit
import MQTTBroker
import MQTTWire
import Platform
import Testing

@testable import Hub

/// A client with a lasting session and a will, and a hub that dies at any call to the disk: a will that was accepted
/// and not taken back arrives, at QoS 2 once.
@Suite("Wills over crashes", .timeLimit(.minutes(2)))
struct KeptWillTests {
    private final class World {
        var files = MemoryFileStore()
        let clock = HubLife.Clock()
        let mourner = KeptClient("mourner")
        let subscriber = KeptClient("subscriber", ["t/#", "devices/+/telemetry"])
        let mode: MemoryFileStore.CrashMode
        let qos: QoS
        let topic: String
        var life: HubLife?
        var hasCrashed = false
        /// Wills that were accepted, and that must arrive; those that may, as their CONNACK was not seen.
        var due: Set<String> = []
        private var offered: String?
        private var round = 0

        init(_ mode: MemoryFileStore.CrashMode, _ qos: QoS, _ topic: String) {
            self.mode = mode
            self.qos = qos
            self.topic = topic
        }

        func turn() throws {
            do {
                if life == nil {
                    var limits = HubLimits()
                    limits.stagingBatchBytes = 16_384
                    limits.journalBytesMin = 600
                    limits.journalCleaningBytes = 200
                    var journalLimits = JournalLimits()
                    journalLimits.segmentBytes = 1_000
                    journalLimits.aheadBytes = 256
                    life = try HubLife(files, clock: clock, journalLimits: journalLimits, limits: limits)
                }
                clock.nanoseconds += 300_000_000
                life?.loop.advance()
                try life?.settle()
            } catch {
                guard files.hasCrashed else { throw error }
            }
            if files.hasCrashed { return crash() }
            try mourner.work()
            try subscriber.work()
            if let offered, mourner.isWelcome { due.insert(offered) }
        }

        private func crash() {
            hasCrashed = true
            mourner.drop(isHubDead: true)
            subscriber.drop(isHubDead: true)
            life = nil
            files = files.afterCrash(mode, seed: 5)
        }

        /// The subscriber is there, and then the mourner with a new will.
        func connect() throws {
            try settle()
            round += 1
            guard let life else { return }
            mourner.will = Will(
                topic: topic, payload: Array("{\"v\":\"will-\(round)\"}".utf8), qos: qos, retain: false)
            try mourner.connect(life)
            offered = "{\"v\":\"will-\(round)\"}"
            try settle()
        }

        func leave() throws {
            // Whether the hub has heard of it before it dies is not known.
            if let offered { due.remove(offered) }
            offered = nil
            mourner.send(.disconnect(Disconnect(reason: .success)))
            mourner.drop()
            try settle()
        }

        func lose() throws {
            mourner.drop()
            offered = nil
            try settle()
        }

        /// Until all is quiet, with the subscriber there.
        func settle() throws {
            var idle = 0
            var count = -1
            while idle < 4 {
                if let life, !subscriber.isConnected { try subscriber.connect(life) }
                try turn()
                idle = subscriber.isReady && count == subscriber.applied.count ? idle + 1 : 0
                count = subscriber.applied.count
            }
        }
    }

    /// - Returns: whether the hub died before its end.
    private func run(_ world: World, crashAt: Int?) throws -> Bool {
        try world.settle()
        world.files.crashAt = crashAt.map { world.files.operations + $0 }
        for _ in 0..<3 {
            try world.connect()
            try world.lose()
            try world.connect()
            try world.leave()
        }
        try world.connect()
        try world.settle()
        let hasCrashed = world.hasCrashed
        // What is there now dies with the hub.
        world.files.crashAt = world.files.operations + 1
        world.life?.loop.publish(Message(topic: "t/x", payload: [0x78], qos: .exactlyOnce, retain: false))
        try world.settle()
        world.files.crashAt = nil
        try world.settle()
        return hasCrashed
    }

    @Test(
        "A crash at every call to the disk in turn loses no will, and doubles none at QoS 2",
        arguments: MemoryFileStore.CrashMode.allCases, [QoS.atLeastOnce, .exactlyOnce])
    func everyCall(_ mode: MemoryFileStore.CrashMode, _ qos: QoS) throws {
        for topic in ["t/w", "devices/d/telemetry"] {
            var crash = 0
            var hasCrashed = true
            while hasCrashed {
                crash += 1
                let world = World(mode, qos, topic)
                hasCrashed = try run(world, crashAt: crash)
                let texts = world.subscriber.applied.map(\.text).filter { $0 != "x" }
                #expect(world.due.subtracting(texts) == [], "lost; crash at \(crash), \(mode), \(topic)")
                if qos == .exactlyOnce, topic == "t/w" {
                    #expect(Set(texts).count == texts.count, "\(texts); crash at \(crash), \(mode)")
                }
            }
            #expect(crash > 40)
        }
    }

    @Test("Without a crash each will comes once, and none that was taken back")
    func covered() throws {
        let world = World(.keep, .exactlyOnce, "t/w")
        #expect(try run(world, crashAt: nil) == false)
        let texts = world.subscriber.applied.map(\.text).filter { $0 != "x" }
        #expect(texts == [1, 3, 5, 7].map { "{\"v\":\"will-\($0)\"}" })
    }
}
