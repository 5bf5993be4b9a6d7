import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// Crash at every write, then anywhere by seed: what was acknowledged is there once, whatever the disk kept.
@Suite struct CrashTests {
    /// Forty messages of three devices and the commits between them: repetitions, conflicts, QoS 2 without
    /// ids.
    struct Script {
        var batches: [[Message]] = []

        init(seed: UInt64, messages: Int = 40) {
            var random = SeededRandom(seed)
            var sent: [Message] = []
            var batch: [Message] = []
            for number in 0..<messages {
                var message = Message(
                    device: "d\(random.below(3))", id: "id-\(number)",
                    payload: String(repeating: "x", count: Int(random.below(90))) + "\(number)")
                switch random.below(8) {
                case 0:
                    // QoS 2: its packet identifier is its only name.
                    message.id = nil
                    message.client = "client-\(random.below(2))"
                    message.packetIdentifier = UInt16(number + 1)
                case 1: if let old = sent.last { message = old }
                default: break
                }
                sent.append(message)
                batch.append(message)
                if random.below(3) == 0 || number == messages - 1 {
                    batches.append(batch)
                    batch = []
                }
            }
        }

        /// What must be stored in the end, per device in order.
        var expected: [String: [String]] {
            var seen: Set<String> = []
            var result: [String: [String]] = [:]
            for message in batches.joined() where seen.insert(message.payload).inserted {
                result[message.device, default: []].append(message.payload)
            }
            return result
        }
    }

    /// Sends the batches from the first unacknowledged on; returns how many are acknowledged.
    private func run(_ script: Script, from start: Int, on files: MemoryFileStore) -> Int {
        var acknowledged = start
        do {
            let queue = try openQueue(files)
            while acknowledged < script.batches.count {
                try store(script.batches[acknowledged], in: queue, at: Int64(acknowledged) * 10)
                acknowledged += 1
                if acknowledged % 3 == 0 { try queue.prepareNextSegment() }
            }
        } catch {}
        return acknowledged
    }

    private func verify(_ script: Script, _ files: MemoryFileStore, acknowledged: Int, _ note: Comment) throws
    {
        let queue = try openQueue(files)
        let found = try payloads(scanned(queue))
        #expect(Set(found).count == found.count, note)
        let promised = Set(script.batches.prefix(acknowledged).joined().map(\.payload))
        #expect(promised.isSubset(of: Set(found)), note)
        try expectGapless(queue, note)
    }

    /// One life after the other, each but the last with a crash.
    private func live(
        _ script: Script, crashes: [Int], mode: MemoryFileStore.CrashMode, seed: UInt64
    ) throws -> Bool {
        var files = MemoryFileStore()
        var acknowledged = 0
        var everCrashed = false
        for (life, crash) in crashes.enumerated() {
            files.crashAt = crash
            acknowledged = run(script, from: acknowledged, on: files)
            everCrashed = everCrashed || files.hasCrashed
            files = files.afterCrash(mode, seed: seed &+ UInt64(life))
            let note: Comment = "seed \(seed), crash at \(crashes), life \(life), \(mode)"
            // On a copy: looking must not repair what the next life is to find.
            try verify(script, files.afterCrash(.keep, seed: 0), acknowledged: acknowledged, note)
        }
        files.crashAt = nil
        acknowledged = run(script, from: acknowledged, on: files)
        let note: Comment = "seed \(seed), crash at \(crashes), drained, \(mode)"
        #expect(acknowledged == script.batches.count, note)
        try verify(script, files, acknowledged: acknowledged, note)
        let queue = try openQueue(files)
        for (device, wanted) in script.expected.sorted(by: { $0.key < $1.key }) {
            #expect(try payloads(records(of: device, in: queue)) == wanted, note)
        }
        return everCrashed
    }

    @Test(
        "a crash at every write in turn loses nothing acknowledged and stores nothing twice",
        arguments: MemoryFileStore.CrashMode.allCases)
    func everyWrite(_ mode: MemoryFileStore.CrashMode) throws {
        let script = Script(seed: 1)
        var crash = 1
        while try live(script, crashes: [crash], mode: mode, seed: UInt64(crash)) { crash += 1 }
        #expect(crash > 60)
    }

    @Test("recovery that is itself cut short at every write comes out the same", arguments: [11, 37, 52, 80])
    func crashInRecovery(_ first: Int) throws {
        let script = Script(seed: 2)
        for second in 1...12 {
            _ = try live(
                script, crashes: [first, second, second], mode: .torn, seed: UInt64(first * 100 + second))
        }
    }

    @Test("any script, any crashes", arguments: 0..<60 as Range<UInt64>)
    func seeds(_ seed: UInt64) throws {
        var random = SeededRandom(seed &* 977)
        let crashes = (0..<(1 + random.below(4))).map { _ in Int(1 + random.below(90)) }
        let mode = MemoryFileStore.CrashMode.allCases[Int(random.below(3))]
        _ = try live(Script(seed: seed), crashes: crashes, mode: mode, seed: seed)
    }
}
