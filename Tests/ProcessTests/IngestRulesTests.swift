import Foundation
import Testing

@Suite("Ingest rules on the running hub", .ownThread, .timeLimit(.minutes(3)))
struct IngestRulesTests {
    private static let rules = """
        ingest:
          - topic: plant/{line}/{device}/t
            device: "{line}-{device}"
            id: { json: header.id }
            time: { json: header.at }
          - topic: site/#
            device: { json: from.name }
            id: { property: key }
          - topic: raw/{device}
            format: raw
            payload_max: 8B
          - preset: thingsboard

        """

    @Test("Rules of the configuration find device, id and time, over both versions of MQTT")
    func rules() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess(configuration: Self.rules)
        func send(_ topic: String, _ body: String, _ options: [String] = []) throws {
            let ended = try ClientTests.publish(hub, topic, body, ["-q", "1"] + options)
            #expect(ended.status == 0, "\(ended.transcript)")
        }
        for _ in 0..<2 {
            try send("plant/a/p1/t", #"{"header":{"id":7,"at":1772323200},"v":1}"#)
            try send(
                "site/any/where", #"{"from":{"name":"s1"},"v":1}"#,
                ["-V", "mqttv5", "-D", "publish", "user-property", "key", "k1"])
            try send("raw/r1", "12345678")
            try send("v1/devices/me/telemetry", #"{"id":"x","v":1}"#, ["-i", "board-1"])
        }
        try send("raw/r1", "123456789")
        try send("site/any", #"{"v":1}"#)
        // The default rules are replaced: this is broker traffic.
        try send("devices/d/telemetry", #"{"id":"x"}"#)

        for (device, id, copies) in [("a-p1", "7", 1), ("s1", "k1", 1), ("r1", nil, 2), ("board-1", "x", 1)] {
            let records = try hub.array("/api/v1/devices/\(device)/records")
            #expect(records.count == copies, "\(device): \(records)")
            #expect(records.first?["messageId"] as? String == id)
            #expect(records.first?["duplicateCount"] as? Int == 2 - copies)
            let counts = try hub.object("/api/v1/devices/\(device)")
            #expect(counts["received"] as? Int == 2 + (device == "r1" ? 1 : 0))
            #expect(counts["duplicate"] as? Int == 2 - copies)
        }
        #expect(
            try hub.object("/api/v1/devices/a-p1/records", at: 0)["eventTime"] as? String
                == "2026-03-01T00:00:00Z")
        let status = try hub.status()
        #expect(status["quarantined"] as? [String: Int] == ["oversize": 1, "bad_device": 1])
        #expect(status["received"] as? Int == 10)

        // What was counted is counted for good.
        hub.kill()
        try hub.start()
        let again = try hub.status()
        for name in ["received", "stored", "duplicate"] {
            #expect(again[name] as? Int == status[name] as? Int, "\(name)")
        }
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("A will with a message-id property is stored once, however often its client dies")
    func wills() throws {
        let hub = try HubProcess()
        for life in 0..<2 {
            let client = try RawSocket(port: hub.mqttPort)
            client.send(Self.connectWithWill(client: "dying-\(life)"))
            let answer = client.receive(count: 4)
            #expect(answer.first == 0x20 && answer.dropFirst(3).first == 0, "CONNACK: \(answer)")
            // Closed without DISCONNECT at the end of its scope.
        }
        // Durable, and not only taken in: what the records say.
        let records = poll(seconds: 10) { () -> [[String: Any]]? in
            let found = try? hub.array("/api/v1/devices/w/records")
            return found?.first?["duplicateCount"] as? Int == 1 ? found : nil
        }
        #expect(records?.map { $0["messageId"] as? String } == ["last-words"], "\(hub.transcript)")
    }

    /// MQTT 5.0 §3.1: clean start, will at QoS 1 with one user property.
    private static func connectWithWill(client: String) -> [UInt8] {
        func text(_ text: String) -> [UInt8] { [0, UInt8(text.utf8.count)] + Array(text.utf8) }
        let property = [0x26] + text("message-id") + text("last-words")
        let body =
            text("MQTT") + [5, 0b0000_1110, 0, 60, 0] + text(client) + [UInt8(property.count)] + property
            + text("devices/w/telemetry") + text(#"{"v":1}"#)
        return [0x10, UInt8(body.count)] + body
    }

    @Test(
        "With registration closed strangers wait in the quarantine, and a replay takes them in once it is open"
    )
    func registration() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess(configuration: "registration: open\n")
        #expect(try ClientTests.publish(hub, "devices/known/telemetry", #"{"id":"1"}"#).status == 0)
        #expect(try hub.stop() == 0)
        _ = try hub.directory.write("hub.yaml", "registration: closed\n")
        try hub.start()
        for (device, id) in [("known", "2"), ("stranger", "1"), ("stranger", "2")] {
            let body = #"{"id":"\#(id)","v":1}"#
            #expect(
                try ClientTests.publish(hub, "devices/\(device)/telemetry", body, ["-q", "1"]).status == 0)
        }
        #expect(try hub.status()["quarantined"] as? [String: Int] == ["unregistered": 2])
        #expect(try hub.status()["devices"] as? Int == 1)
        let early = try run(Programs.headend, ["quarantine", "replay", "--http", hub.url])
        #expect(early.output == "examined 2: stored 0, duplicate 0, still quarantined 2 (unregistered 2)\n")
        #expect(try hub.stop() == 0)
        _ = try hub.directory.write("hub.yaml", "registration: open\n")
        try hub.start()
        let one = try run(
            Programs.headend,
            ["quarantine", "replay", "--device", "stranger", "--limit", "1", "--http", hub.url])
        #expect(one.output == "examined 1: stored 1, duplicate 0, still quarantined 0\n", "\(one.transcript)")
        // The other one came again by itself meanwhile.
        #expect(try ClientTests.publish(hub, "devices/stranger/telemetry", #"{"id":"2","v":1}"#).status == 0)
        let rest = try run(Programs.headend, ["quarantine", "replay", "--http", hub.url, "--json"])
        let answer = try #require(
            try JSONSerialization.jsonObject(with: Data(rest.output.utf8)) as? [String: Any],
            "\(rest.transcript)")
        #expect(answer["stored"] as? Int == 0)
        #expect(answer["duplicate"] as? Int == 1)
        let status = try hub.status()
        #expect(status["quarantined"] as? [String: Int] == [:])
        #expect(status["replayed"] as? [String: Int] == ["stored": 1, "duplicate": 1])
        #expect(status["received"] as? Int == 5)
        #expect(status["stored"] as? Int == 4)
        #expect(status["duplicate"] as? Int == 1)
    }
}
