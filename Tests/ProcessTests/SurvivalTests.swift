import Foundation
import Testing

/// The real hub is killed; what real clients were promised is there when it is back.
@Suite("Sessions over a kill", .ownThread, .timeLimit(.minutes(3)))
struct SurvivalTests {
    private static func words(_ version: String, _ identifier: String, _ hub: HubProcess) -> [String] {
        ["-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-V", version, "-i", identifier, "-c"]
            + (version == "mqttv5" ? ["-x", "3600"] : [])
    }

    private static func subscribe(
        _ hub: HubProcess, _ version: String, _ identifier: String, _ options: [String]
    ) throws -> [String] {
        let ended = try run(Programs.subscriber, words(version, identifier, hub) + options, seconds: 30)
        #expect(ended.status == 0, "\(ended.transcript)")
        return ended.output.split(separator: "\n").map(String.init)
    }

    private static func publish(_ hub: HubProcess, _ options: [String]) throws {
        let ended = try run(
            Programs.publisher, ["-h", "127.0.0.1", "-p", "\(hub.mqttPort)"] + options)
        #expect(ended.status == 0, "\(ended.transcript)")
    }

    @Test(
        "What came for a client that was away is there after kill -9, in order and once",
        arguments: ["mqttv311", "mqttv5"])
    func backlog(_ version: String) throws {
        guard Programs.areInstalled(Programs.publisher, Programs.subscriber) else { return }
        let hub = try HubProcess()
        // Debian's mosquitto_sub now and then stalls as an MQTT 5 subscriber at QoS 2; see ClientTests.
        let qos = version == "mqttv5" ? "1" : "2"
        let filters = ["-q", qos, "-t", "t/#", "-t", "devices/+/telemetry"]
        _ = try Self.subscribe(hub, version, "away", filters + ["-E"])
        _ = try Self.subscribe(hub, version, "member", ["-q", "1", "-t", "$share/g/s/#", "-E"])
        try Self.publish(hub, ["-q", "1", "-r", "-t", "kept/r", "-m", "retained"])
        for number in 1...3 {
            try Self.publish(hub, ["-q", "\(1 + number % 2)", "-t", "t/\(number)", "-m", "m\(number)"])
            try Self.publish(
                hub, ["-q", "1", "-t", "devices/d/telemetry", "-m", #"{"id":"\#(number)","value":1}"#])
            try Self.publish(hub, ["-q", "1", "-t", "s/x", "-m", "s\(number)"])
            hub.kill()
            try hub.start()
        }
        let lines = try Self.subscribe(
            hub, version, "away", filters + ["-C", "6", "-W", "20", "-F", "%t %p"])
        // Each QoS has an order of its own: MQTT 5.0 §4.6.
        #expect(lines.filter { $0.hasPrefix("t/") }.sorted() == (1...3).map { "t/\($0) m\($0)" })
        #expect(lines.filter { ["t/1 m1", "t/3 m3"].contains($0) } == ["t/1 m1", "t/3 m3"])
        #expect(lines.filter { $0.hasPrefix("devices") }.count == 3)
        #expect(
            try Self.subscribe(
                hub, version, "member", ["-q", "1", "-t", "$share/g/s/#", "-C", "3", "-W", "20"])
                == ["s1", "s2", "s3"])
        #expect(
            try Self.subscribe(hub, version, "new", ["-t", "kept/#", "-C", "1", "-W", "20"]) == ["retained"])
        // Nothing more waits: nobody was sent a message that another will come of.
        let isEmpty = poll(seconds: 10) {
            let broker = try? hub.status()["broker"] as? [String: Any]
            return broker?["queued"] as? Int == 0 ? true : nil
        }
        #expect(isEmpty == true)
        let broker = try #require(try hub.status()["broker"] as? [String: Any])
        #expect(broker["droppedQueueFull"] as? Int == 0)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("A journal of a newer program and a damaged one are refused, with the place")
    func refused() throws {
        let hub = try HubProcess()
        let socket = try RawSocket(port: hub.mqttPort)
        // A lasting session of 3.1.1.
        socket.send([0x10, 13, 0, 4] + Array("MQTT".utf8) + [4, 0, 0, 60, 0, 1, 0x61])
        #expect(socket.receive(count: 4) == [0x20, 2, 0, 0])
        hub.kill()
        let path = hub.data + "/sessions/00000000000000000064.journal"
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.seek(toOffset: 8)
        try handle.write(contentsOf: Data([9]))
        try handle.close()
        let ended = try run(
            Programs.headend,
            ["serve", "--data", hub.data, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        #expect(ended.status == 3, "\(ended.transcript)")
        #expect(ended.error.contains(path), "\(ended.transcript)")
    }
}
