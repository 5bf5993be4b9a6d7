import Foundation
import Glibc
import Testing

/// A disk that fails or dawdles, made so in front of libc.
@Suite("A failing disk, and a slow one", .ownThread, .timeLimit(.minutes(4)))
struct DiskFaultTests {
    enum Failure: String, CaseIterable {
        case sync, write
    }

    @Test(
        "A failed sync or write ends acknowledgements, says so, and what was acknowledged outlives a restart",
        arguments: Failure.allCases)
    func failure(_ failure: Failure) throws {
        guard Programs.areInstalled(Programs.python) else { return }
        guard let disk = try FaultyDisk(path: "/queue/") else { return }
        let hub = try HubProcess(launcher: disk.launcher)
        let senders = try Senders(hub, hasCommands: false)
        #expect(senders.hasProgress(by: 20, seconds: 20), "no load: \(hub.transcript)")
        try #require(disk.syncCalls > 0, "the hub does not call libc's fdatasync: nothing is tested here")
        try #require(disk.writeCalls > 0, "the hub does not call libc's pwrite: nothing is tested here")

        switch failure {
        case .sync: disk.failSyncs(EIO)
        case .write: disk.failWrites(EIO)
        }
        let isSeen = try poll(seconds: 20) { try hub.readiness().isReady ? nil : true }
        #expect(isSeen == true, "still ready although the disk fails")
        let readiness = try hub.readiness()
        #expect(readiness.problems.contains("storage failed"), "\(readiness)")
        #expect(readiness.problems.contains("Input/output error"), "\(readiness)")
        #expect(readiness.problems.contains(hub.data + "/queue"), "\(readiness)")
        #expect(try hub.status()["storage"] as? String == "failed")
        #expect(hub.errorOutput.contains("Input/output error"), "no line for the operator")
        // The disk is well again; what it dropped meanwhile nobody knows, so nothing may be acknowledged.
        disk.failSyncs(0)
        disk.failWrites(0)
        let acked = senders.ackedCount
        let isAcking = poll(seconds: 1.5) { senders.ackedCount > acked ? true : nil }
        #expect(isAcking == nil, "acknowledges after a failed \(failure.rawValue)")
        #expect(try hub.readiness().isReady == false)
        #expect(try hub.answer("/healthz").status == 200)

        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try hub.start()
        #expect(try hub.readiness().isReady)
        let sent = try senders.drained()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, segmentCountMin: 1)
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data])
        #expect(verify.status == 0, "\(verify.transcript)")
    }

    @Test("No room at the next segment is waited out, wherever it is met")
    func noRoom() throws {
        guard Programs.areInstalled(Programs.python) else { return }
        guard let disk = try FaultyDisk() else { return }
        let hub = try HubProcess(
            configuration: "queue: { segment_bytes: 18874368 }\n", launcher: disk.launcher)
        let senders = try Senders(hub, hasCommands: false)
        #expect(senders.hasProgress(by: 20, seconds: 20), "no load: \(hub.transcript)")
        for round in 1...3 {
            disk.failWrites(ENOSPC)
            let isFull = try poll(seconds: 20) { try hub.readiness().isReady ? nil : true }
            #expect(isFull == true, "round \(round): still ready")
            #expect(try hub.status()["storage"] as? String != "failed", "\(hub.transcript)")
            disk.failWrites(0)
            let isReady = try poll(seconds: 20) { try hub.readiness().isReady ? true : nil }
            #expect(isReady == true, "round \(round): \(hub.text("/readyz"))")
            #expect(senders.hasProgress(by: 5, seconds: 20), "round \(round): does not resume")
        }
        let sent = try senders.drained()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, segmentCountMin: 1)
    }

    // MARK: A slow disk

    /// RAM of a hub whose disk cannot follow: what may be staged (64 MiB), the copy of it that is being
    /// committed, and what an idle hub has.
    private static let residentBytesMax = 320 << 20

    @Test(
        "A slow disk makes acknowledgements slow, not memory large, and kicks nobody",
        arguments: [200, 2_000], [0, 1])
    func slow(_ milliseconds: Int, floodQoS: Int) throws {
        guard let disk = try FaultyDisk(path: "/queue/") else { return }
        let hub = try HubProcess(launcher: disk.launcher)
        let quick = try latency(hub, "before")
        try #require(disk.syncCalls > 0, "the hub does not call libc's fdatasync: nothing is tested here")
        #expect(quick < 0.2, "\(quick) s for an acknowledgement on an idle hub")
        disk.delaySyncs(milliseconds: milliseconds)
        let late = try latency(hub, "slow")
        #expect(late >= Double(milliseconds) / 1_000, "acknowledged after \(late) s: before the sync")

        let flood = try flood(hub, qos: floodQoS)
        // A client with a keep-alive of one second that the hub does not read when it is a publisher too many.
        let held = try RawSocket(port: hub.mqttPort)
        held.send(MQTTPackets.connect("held", keepAlive: 1))
        #expect(held.receive(count: 4) == MQTTPackets.connackAccepted)
        var residentBytes = 0
        var wasHeld = false
        let end = monotonicSeconds() + 10
        var number: UInt16 = 0
        while monotonicSeconds() < end {
            number += 1
            held.send(
                MQTTPackets.publish(
                    "devices/held/telemetry", reading("held", Int(number)), qos: 1,
                    identifier: number))
            held.send(MQTTPackets.pingreq)
            residentBytes = max(residentBytes, hub.residentBytes)
            if try hub.status()["readsHeld"] as? Int ?? 0 > 0 { wasHeld = true }
            poll(nil, 0, 100)
        }
        print("slow disk: \(milliseconds) ms, QoS \(floodQoS): \(residentBytes >> 20) MiB, held: \(wasHeld)")
        #expect(residentBytes < Self.residentBytesMax, "\(residentBytes >> 20) MiB")
        if milliseconds >= 1_000 { #expect(wasHeld, "no socket was held: \(hub.text("/api/v1/status"))") }
        #expect(try hub.status()["keepAliveTimeouts"] as? Int == 0, "\(hub.text("/api/v1/status"))")

        disk.delaySyncs(milliseconds: 0)
        flood.kill()
        // An answer to each, and a PINGRESP or two more for asking on.
        var answers: [UInt8] = []
        let hasAll = poll(seconds: 20) { () -> Bool? in
            held.send(MQTTPackets.pingreq)
            answers += held.receive(count: 1_000, seconds: 0.1)
            return answers.count >= Int(number) * 6 ? true : nil
        }
        #expect(hasAll == true, "a held client got \(answers.count / 6) of \(number) answers")
        #expect(try hub.status()["keepAliveTimeouts"] as? Int == 0)
        let recovered = try poll(seconds: 20) { try latency(hub, "after") < 0.5 ? true : nil }
        #expect(recovered == true, "acknowledgements stay slow")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 60)
        #expect(verify.status == 0, "\(verify.transcript)")
    }

    /// 50 publishers as fast as they may; at QoS 1 up to 200 MB are on their way.
    private func flood(_ hub: HubProcess, qos: Int) throws -> ChildProcess {
        try ChildProcess(
            Programs.headend,
            [
                "load", "--hub", "mqtt://127.0.0.1:\(hub.mqttPort)", "--devices", "50", "--qos", "\(qos)",
                "--payload", "4000", "--window", "1000", "--for", "60s",
            ], directory: hub.directory.path, label: "flood")
    }

    /// Seconds from a publish to its acknowledgement.
    private func latency(_ hub: HubProcess, _ name: String) throws -> Double {
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(MQTTPackets.connect("latency-" + name))
        #expect(socket.receive(count: 4) == MQTTPackets.connackAccepted)
        let start = monotonicSeconds()
        socket.send(
            MQTTPackets.publish("devices/latency/telemetry", #"{"value":1}"#, qos: 1, identifier: 1))
        #expect(socket.receive(count: 4, seconds: 30) == MQTTPackets.puback(1))
        return monotonicSeconds() - start
    }
}
