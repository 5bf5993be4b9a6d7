import Foundation
import Glibc
import Testing

/// Publishers on libmosquitto and paho run into a disk that is full, a real one of 150 MB.
@Suite("A full disk", .ownThread, .timeLimit(.minutes(4)))
struct DiskFullTests {
    /// RAM of a hub whose disk takes nothing while publishers flood it: what may be staged (64 MiB), the copy of it
    /// that is being committed, and what an idle hub has.
    static let residentBytesMax = 320 << 20

    @Test("Nothing acknowledged is lost, others go on, it starts while full, and resumes by itself")
    func diskFull() throws {
        guard Programs.areInstalled(Programs.python) else { return }
        guard let disk = try SmallDisk(megabytes: 150) else { return }
        let hub = try HubProcess(
            configuration: "queue: { segment_bytes: 18874368 }\n", data: disk.path + "/data",
            launcher: disk.launcher)
        let senders = try Senders(hub, hasCommands: false)
        #expect(senders.hasProgress(by: 20, seconds: 20), "no load: \(hub.transcript)")

        try disk.fill()
        let flood = try flood(hub)
        try expectFull(hub, "at first")
        try expectOthersServed(hub)
        let acked = try settled(senders)

        // Killed and started again while it is full: it starts, and is full again, with nothing lost.
        hub.kill()
        try disk.fill()
        try hub.start()
        let again = try self.flood(hub)
        try expectFull(hub, "after the restart")
        #expect(senders.ackedCount >= acked)
        // Told to stop while it is full: it stops, in time.
        let stopped = monotonicSeconds()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(monotonicSeconds() - stopped < 10)
        try disk.fill()
        try expectNoNewData(disk)
        try hub.start()
        flood.kill()
        again.kill()

        disk.empty()
        let isReady = try poll(seconds: 20) { try hub.readiness().isReady ? true : nil }
        #expect(isReady == true, "not ready after room was made: \(hub.text("/readyz")) \(hub.transcript)")
        #expect(senders.hasProgress(by: 20, seconds: 20), "does not resume: \(hub.transcript)")
        let sent = try senders.drained()
        try expectCaughtUp(hub)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, data: disk.outsidePath + "/data", others: true)
        let verify = try run(
            Programs.headend, ["queue", "verify", "--data", disk.outsidePath + "/data"], seconds: 60)
        #expect(verify.status == 0, "\(verify.transcript)")
    }

    /// Fills what is left of the last segment, and then the hub's memory.
    private func flood(_ hub: HubProcess) throws -> ChildProcess {
        try ChildProcess(
            Programs.headend,
            [
                "load", "--hub", "mqtt://127.0.0.1:\(hub.mqttPort)", "--devices", "20", "--qos", "0",
                "--payload", "2000", "--for", "60s",
            ], directory: hub.directory.path, label: "flood-\(Int.random(in: 1...1_000_000))")
    }

    private func expectFull(_ hub: HubProcess, _ when: String) throws {
        let isFull = try poll(seconds: 30) { try hub.readiness().isReady ? nil : true }
        #expect(isFull == true, "\(when): still ready on a full disk")
        let isHeld = try poll(seconds: 30) { try hub.status()["readsHeld"] as? Int ?? 0 > 0 ? true : nil }
        #expect(isHeld == true, "\(when): publishers are still read: \(hub.text("/api/v1/status"))")
        let readiness = try hub.readiness()
        #expect(readiness.problems.contains("storage waits for room"), "\(when): \(readiness)")
        #expect(readiness.problems.contains(hub.data + "/queue"), "\(when): \(readiness)")
        #expect(try hub.status()["storage"] as? String == "full")
        #expect(hub.errorOutput.contains("No space left"), "\(when): no line for the operator")
        #expect(
            hub.residentBytes < Self.residentBytesMax,
            "\(when): \(hub.residentBytes >> 20) MiB with publishers held")
    }

    /// HTTP answers, clients connect, and messages that are no telemetry pass, at every quality of service.
    private func expectOthersServed(_ hub: HubProcess) throws {
        #expect(try hub.answer("/healthz").status == 200)
        #expect(try hub.answer("/metrics").status == 200)
        let subscriber = try RawSocket(port: hub.mqttPort)
        subscriber.send(MQTTPackets.connect("s") + MQTTPackets.subscribe("plain/#", qos: 1))
        #expect(subscriber.receive(count: 9).count == 9, "a subscriber is not served")
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(MQTTPackets.connect("p") + MQTTPackets.publish("plain/x", "1", qos: 1))
        #expect(publisher.receive(count: 8) == MQTTPackets.connackAccepted + MQTTPackets.puback(1))
        #expect(subscriber.receive(count: 14).count == 14, "a subscriber gets nothing")
        subscriber.send(MQTTPackets.pingreq)
        #expect(subscriber.receive(count: 2) == [0xD0, 0], "no PINGRESP")
    }

    /// Waits until acknowledgements have stopped coming.
    private func settled(_ senders: Senders) throws -> Int {
        var last = senders.ackedCount
        var since = monotonicSeconds()
        let settled = poll(seconds: 20) { () -> Int? in
            if senders.ackedCount != last {
                last = senders.ackedCount
                since = monotonicSeconds()
            }
            return monotonicSeconds() - since > 1 ? last : nil
        }
        return try #require(settled, "acknowledgements go on although the disk is full")
    }

    private func expectNoNewData(_ disk: SmallDisk) throws {
        let words =
            disk.launcher + [
                Programs.headend, "serve", "--data", disk.path + "/new", "--mqtt", "127.0.0.1:0", "--http",
                "127.0.0.1:0",
            ]
        let ended = try run(words[0], Array(words[1...]))
        #expect(ended.status == 3, "\(ended.transcript)")
        #expect(ended.error.contains(disk.path + "/new"), "\(ended.transcript)")
        #expect(ended.error.contains("No space left"), "\(ended.transcript)")
        #expect(ended.error.split(separator: "\n").count == 1, "one line: \(ended.transcript)")
    }

    /// The query has seen everything that is stored, and says nothing is wrong.
    private func expectCaughtUp(_ hub: HubProcess) throws {
        let hasAll = try poll(seconds: 30) { () -> Bool? in
            let query = try hub.object("/api/v1/queries", at: 0)
            let consumed = query["consumedOffset"] as? Int
            return consumed == query["durableOffset"] as? Int && query["failure"] is NSNull ? true : nil
        }
        #expect(hasAll == true, "the query is behind: \(hub.text("/api/v1/queries"))")
    }
}
