import Foundation
import Glibc
import Platform
import Telemetry
import Testing

@Suite("Killed under load", .ownThread, .timeLimit(.minutes(5)))
struct KillTests {
    static let kills = 20

    @Test("What was acknowledged is stored once, in order, in its minute, after 20 kills under load")
    func killedUnderLoad() throws {
        guard Programs.areInstalled(Programs.python, Programs.publisher) else { return }
        let seed =
            ProcessInfo.processInfo.environment["KILL_TEST_SEED"].flatMap(UInt64.init)
            ?? .random(in: 1...9_999)
        print("kill test: KILL_TEST_SEED=\(seed)")
        var generator = SeededGenerator(state: seed)
        // The smallest segments there are, so that kills meet the change from one to the next too, and the
        // compression of each once it is full.
        let hub = try HubProcess(configuration: "queue: { segment_bytes: 18874368, plain_bytes: 0 }\n")
        let load = try Senders(hub, hasCommands: true)
        var roundsWithAcks = 0
        for round in 1...Self.kills {
            let before = load.ackedCount
            // The one sleep of these tests: the moment of the kill is what is tested.
            poll(nil, 0, Int32.random(in: 150...900, using: &generator))
            #expect(hub.isRunning, "the hub ended by itself in round \(round): \(hub.transcript)")
            hub.kill()
            if load.ackedCount > before { roundsWithAcks += 1 }
            try hub.start()
        }
        // On a slow machine the kills are over before the first segment is.
        let hasRolled = try poll(seconds: 120) { () -> Bool? in
            let names = try PosixFileStore().list(hub.data + "/queue/0")
            return names.contains { $0.hasSuffix(".logz") } ? true : nil
        }
        #expect(hasRolled != nil, "no segment was full, and compressed, within two minutes")
        let sent = try load.drained()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        print("kill test: \(sent.map { "\($0.device) \($0.acked.count)" }.joined(separator: ", "))")
        #expect(roundsWithAcks >= Self.kills / 2, "too few rounds had any load")
        for device in sent { #expect(device.acked.count >= 20, "\(device.device) sent next to nothing") }

        let lastEvent = try StoredReadings.compare(sent, with: hub, isCompressed: true)
        try hub.start()
        try waitForMinutes(hub, through: lastEvent)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, isCompressed: true)
        try checkResults(sent, of: hub)
    }

    // MARK: The minutes

    /// Waits until every minute up to the last reading's is closed, and kills the hub whenever one has just been.
    /// Behind it there is nothing to complete, and the hub's clock for it stands.
    private func waitForMinutes(_ hub: HubProcess, through lastEvent: EventTime) throws {
        var seen: String?
        let done = try poll(seconds: 150) { () -> Bool? in
            guard let text = try hub.completeThrough(), text != seen else { return nil }
            seen = text
            hub.kill()
            try hub.start()
            let through = try #require(EventTime.parse(text), "completeThrough is no time: \(text)")
            return through >= lastEvent ? true : nil
        }
        #expect(done != nil, "completeThrough stays at \(seen ?? "nothing") for 150 s: \(hub.transcript)")
    }

    private func checkResults(_ sent: [Sent], of hub: HubProcess) throws {
        let proof = try run(Programs.headend, ["verify", "--data", hub.data], seconds: 60)
        #expect(proof.status == 0, "\(proof.transcript)")
        var keys: Set<String> = []
        var counts: [String: Int] = [:]
        for row in try ResultRows.read(hub.data + "/results/minute") {
            #expect(keys.insert(row.key).inserted, "twice in the result files: \(row.key)")
            counts[row.device, default: 0] += row.count
        }
        for device in sent {
            #expect(counts[device.device] == device.count, "readings in the minutes of \(device.device)")
        }
    }
}
