import Foundation
import Glibc
import Testing

/// Killed at a chosen call instead of at a random time, and with a clock that steps.
@Suite("Odd moments", .ownThread, .timeLimit(.minutes(4)))
struct OddMomentTests {
    /// Where the fatal call is: what the file's path has, within how many such calls, and how often.
    enum Place: String, CaseIterable {
        case log = "/queue/"
        /// The next segment, while it is made and taken into use.
        case nextSegment = ".next"
        /// Outbox and checkpoint, written every ten seconds.
        case query = "/query/"

        var callsMax: Int { self == .query ? 3 : 40 }
        var rounds: Int { self == .query ? 4 : 10 }
    }

    @Test(
        "Killed at any write, sync or rename: nothing acknowledged is lost, nothing is twice, it starts again",
        arguments: Place.allCases)
    func killed(_ place: Place) throws {
        guard Programs.areInstalled(Programs.python) else { return }
        guard let disk = try FaultyDisk(path: place.rawValue) else { return }
        let seed = UInt64.random(in: 1...9_999)
        print("odd moments: \(place): seed \(seed)")
        var generator = SeededGenerator(state: seed)
        let hub = try HubProcess(
            configuration: "queue: { segment_bytes: 18874368 }\n", launcher: disk.launcher)
        let senders = try Senders(hub, hasCommands: false)
        #expect(senders.hasProgress(by: 5, seconds: 20), "no load: \(hub.transcript)")
        var kills = 0
        for round in 1...place.rounds {
            disk.kill(atCall: Int.random(in: 1...place.callsMax, using: &generator))
            // Segments fill in a second or two.
            let flood = try ChildProcess(
                Programs.headend,
                [
                    "load", "--hub", "mqtt://127.0.0.1:\(hub.mqttPort)", "--devices", "4", "--qos", "1",
                    "--payload", "4000", "--rate", "6000", "--for", "20s",
                ], directory: hub.directory.path, label: "flood-\(round)")
            let isKilled = poll(seconds: 20) { hub.isRunning ? nil : true }
            flood.kill()
            if isKilled == true { kills += 1 }
            disk.kill(atCall: 0)
            hub.kill()
            try hub.start()
            #expect(senders.hasProgress(by: 1, seconds: 20), "round \(round): \(hub.transcript)")
        }
        #expect(kills > place.rounds / 2, "only \(kills) of \(place.rounds) rounds met such a call")
        let sent = try senders.drained()
        let hasAll = try poll(seconds: 30) { () -> Bool? in
            let query = try hub.object("/api/v1/queries", at: 0)
            let consumed = query["consumedOffset"] as? Int
            return consumed == query["durableOffset"] as? Int && query["failure"] is NSNull ? true : nil
        }
        #expect(hasAll == true, "the query is behind: \(hub.text("/api/v1/queries"))")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, segmentCountMin: 1, others: true)
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 60)
        #expect(verify.status == 0, "\(verify.transcript)")
    }

    @Test(
        "The wall clock steps back and forth by hours: everything is taken in, in order, and it starts again")
    func clock() throws {
        guard Programs.areInstalled(Programs.python) else { return }
        guard let disk = try FaultyDisk() else { return }
        let hub = try HubProcess(launcher: disk.launcher)
        let senders = try Senders(hub, hasCommands: false)
        #expect(senders.hasProgress(by: 20, seconds: 20), "no load: \(hub.transcript)")
        for seconds in [-3_600, 7_200, -86_400] {
            disk.moveClock(seconds: seconds)
            #expect(senders.hasProgress(by: 20, seconds: 20), "\(seconds) s: \(hub.transcript)")
            #expect(try hub.readiness().isReady, "\(seconds) s: \(hub.text("/readyz"))")
        }
        let sent = try senders.drained()
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try hub.start()
        #expect(try hub.readiness().isReady)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, segmentCountMin: 1)
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 60)
        #expect(verify.status == 0, "\(verify.transcript)")
    }

    @Test("Nothing is acknowledged into a data directory that was removed")
    func removedData() throws {
        let hub = try HubProcess()
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(
            MQTTPackets.connect("x") + MQTTPackets.publish("devices/x/telemetry", "{}", qos: 1, identifier: 1)
        )
        #expect(socket.receive(count: 8) == MQTTPackets.connackAccepted + MQTTPackets.puback(1))
        try FileManager.default.removeItem(atPath: hub.data)
        socket.send(MQTTPackets.publish("devices/x/telemetry", "{}", qos: 1, identifier: 2))
        let isSeen = try poll(seconds: 10) { try hub.readiness().isReady ? nil : true }
        #expect(isSeen == true, "still ready")
        #expect(try hub.readiness().problems.contains("was removed"), "\(hub.text("/readyz"))")
        #expect(hub.errorOutput.contains("was removed"), "\(hub.transcript)")
        socket.send(MQTTPackets.pingreq)
        #expect(socket.receive(count: 2) == [0xD0, 0], "a PINGRESP and no PUBACK")
        #expect(try hub.stop() == 0)
    }

    @Test("Names that only bad messages claimed do not hide the devices behind them")
    func listing() throws {
        let hub = try HubProcess()
        let socket = try RawSocket(port: hub.mqttPort)
        var bytes = MQTTPackets.connect("names")
        for number in 1...1_500 {
            bytes += MQTTPackets.publish("devices/a\(number)/telemetry", "not json")
        }
        bytes += MQTTPackets.publish("devices/b/telemetry", "{}", qos: 1)
        socket.send(bytes)
        #expect(socket.receive(count: 8) == MQTTPackets.connackAccepted + MQTTPackets.puback(1))
        #expect(try hub.status()["devices"] as? Int == 1)
        for source in [["--http", hub.url], ["--data", hub.data]] {
            if source[0] == "--data" { #expect(try hub.stop() == 0) }
            let list = try run(Programs.headend, ["queue", "list"] + source)
            #expect(list.output.hasPrefix("b  1  "), "\(source[0]): \(list.transcript)")
        }
    }
}
