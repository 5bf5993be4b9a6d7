import Foundation
import Glibc
import Testing

@Suite("Retention on the real hub", .ownThread, .timeLimit(.minutes(5)))
struct RetentionProcessTests {
    private func removed(_ hub: HubProcess) throws -> Int {
        let log = try #require(try hub.status()["log"] as? [String: Any])
        return log["removedRecords"] as? Int ?? 0
    }

    /// Sends so many messages of ten devices.
    private func load(_ hub: HubProcess, _ count: Int) throws {
        let load = try run(
            Programs.headend,
            ["load", "--hub", "mqtt://127.0.0.1:\(hub.mqttPort)", "--devices", "10", "--count", "\(count)"],
            seconds: 120)
        #expect(load.status == 0, "\(load.transcript)")
    }

    @Test("the log stays small, the proof knows what went, and kills while it goes change nothing")
    func bytes() throws {
        // The smallest segments there are: four of them, and the query's place, are left.
        let hub = try HubProcess(
            configuration: "queue: { segment_bytes: 18874368 }\nretention: { bytes: 60MB }\n")
        try load(hub, 300_000)
        // The query lets go a checkpoint later, at most ten seconds.
        let first = try poll(seconds: 60) { () -> Int? in
            let count = try removed(hub)
            return count > 0 ? count : nil
        }
        let before = try #require(first, "nothing was removed: \(hub.transcript)")
        let running = try run(Programs.headend, ["verify", "--http", hub.url], seconds: 120)
        #expect(running.status == 0, "\(running.transcript)")
        #expect(running.output.contains("removed by retention"))

        for round in 1...3 {
            try load(hub, 100_000)
            hub.kill()
            try hub.start()
            #expect(try hub.status()["stored"] as? Int == 300_000 + round * 100_000)
        }
        let later = try poll(seconds: 60) { () -> Bool? in try removed(hub) > before ? true : nil }
        #expect(later == true, "nothing more was removed: \(hub.transcript)")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(!hub.transcript.contains("not used"), "\(hub.transcript)")

        let proof = try run(Programs.headend, ["verify", "--data", hub.data], seconds: 120)
        #expect(proof.status == 0, "\(proof.transcript)")
        #expect(proof.output.contains("windows not checked"))
        let check = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 120)
        #expect(check.status == 0, "\(check.transcript)")
        try refusals(hub)
    }

    @Test("what retention cannot do stands in /readyz, the status and the metrics until it can")
    func failing() throws {
        guard let disk = try FaultyDisk(path: ".state") else { return }
        let hub = try HubProcess(
            configuration: "queue: { segment_bytes: 18874368 }\nretention: { bytes: 40MB }\n",
            launcher: disk.launcher)
        disk.failWrites(EIO)
        try load(hub, 300_000)
        let told = poll(seconds: 30) { () -> String? in
            let text = hub.text("/readyz")
            return text.contains("log segments (sidecars, states, retention)") ? text : nil
        }
        #expect(told != nil, "\(hub.text("/readyz")) \(hub.transcript)")
        #expect(try hub.readiness().isReady, "the hub itself works")
        let warnings = try #require(try hub.status()["warnings"] as? [String])
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains(".state") == true)
        #expect(hub.text("/metrics").contains("headend_queue_upkeep_failures 1\n"))
        disk.failWrites(0)
        let isOver = try poll(seconds: 30) { () -> Bool? in
            (try hub.status()["warnings"] as? [String])?.isEmpty == true ? true : nil
        }
        #expect(isOver == true, "\(hub.text("/readyz"))")
        #expect(try poll(seconds: 30) { try removed(hub) > 0 ? true : nil } == true)
        // More may be removed between the two answers.
        let isEqual = try poll(seconds: 30) {
            hub.text("/metrics").contains("headend_queue_removed_total \(try removed(hub))\n") ? true : nil
        }
        #expect(isEqual == true, "\(hub.text("/metrics"))")
    }

    /// Without what speaks of the removed records the log is not opened, and the file is named.
    private func refusals(_ hub: HubProcess) throws {
        let queue = hub.data + "/queue/0"
        let names = try FileManager.default.contentsOfDirectory(atPath: queue).sorted()
        let segment = try #require(names.first { $0.hasSuffix(".log") })
        try FileManager.default.moveItem(atPath: "\(queue)/\(segment)", toPath: hub.data + "/aside")
        let lost = try run(Programs.headend, ["verify", "--data", hub.data], seconds: 60)
        #expect(lost.status == 3, "\(lost.transcript)")
        #expect(lost.error.contains("restore"))
        try FileManager.default.moveItem(atPath: hub.data + "/aside", toPath: "\(queue)/\(segment)")
        for name in names where name.hasSuffix(".state") || name.hasSuffix(".copy") {
            try FileManager.default.removeItem(atPath: "\(queue)/\(name)")
        }
        let blind = try run(
            Programs.headend,
            ["serve", "--data", hub.data, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"], seconds: 60)
        #expect(blind.status == 3, "\(blind.transcript)")
        #expect(blind.error.contains("*.state"))
        #expect(blind.error.contains("from a backup"))
    }
}
