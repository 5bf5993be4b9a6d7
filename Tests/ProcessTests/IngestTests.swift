import Foundation
import Testing

@Suite("What the hub makes of a message", .ownThread, .timeLimit(.minutes(2)))
struct IngestTests {
    private struct Message {
        var topic = "devices/d/telemetry"
        var body: String
        var options: [String] = []
    }

    private static let messages = [
        Message(body: #"{"id":"1","value":1}"#),
        Message(body: #"{"id":"1","value":1}"#),
        Message(body: #"{"id":"1","value":2}"#),
        Message(body: "not json"),
        Message(body: #"{"id":"2","ts":"yesterday","value":1}"#),
        Message(
            body: #"{"id":"in-body","value":3}"#,
            options: ["-V", "mqttv5", "-D", "publish", "user-property", "message-id", "77"]),
        Message(
            body: #"{"id":"another","value":3}"#,
            options: ["-V", "mqttv5", "-D", "publish", "user-property", "message-id", "77"]),
        Message(
            topic: "devices/d/messages/events/%24.mid=m1&%24.ct=application%2Fjson", body: #"{"value":4}"#),
        Message(
            topic: "devices/d/messages/events/%24.mid=m1&%24.ct=application%2Fjson", body: #"{"value":4}"#),
        Message(body: #"{"value":5,"ts":"2026-01-02T03:04:05.678Z"}"#),
        Message(body: #"{"value":5,"ts":"2026-01-02T03:04:05.678Z"}"#),
        Message(topic: "plain/topic", body: "not telemetry"),
    ]

    @Test("Duplicates are stored once, bad messages are set aside, and the counters add up")
    func ingest() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        for message in Self.messages {
            let ended = try ClientTests.publish(
                hub, message.topic, message.body, ["-q", "1"] + message.options)
            #expect(ended.status == 0, "every one is acknowledged: \(message.body): \(ended.transcript)")
        }
        try checkCounters(hub, received: 11, stored: 5, duplicate: 2)
        let source = ["--http", hub.url]
        try checkCommands(source)
        let running = try output(source)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try checkCommands(["--data", hub.data])
        #expect(
            try output(["--data", hub.data]) == running, "the stopped hub says what the running one said")

        // What was sent before the restart is remembered; a conflict that came before is a duplicate too.
        try hub.start()
        for message in Self.messages.prefix(3) {
            #expect(try ClientTests.publish(hub, message.topic, message.body).status == 0)
        }
        let records = try hub.array("/api/v1/devices/d/records")
        #expect(records.count == 5, "a duplicate was stored after a restart")
        let aside = try hub.array("/api/v1/quarantine")
        #expect(aside.count == 4, "a conflict is set aside once: \(aside)")
    }

    @Test("A device may have any name: with blanks, percent signs and letters beyond ASCII")
    func anyDeviceName() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        let name = "a b%2F?ü"
        let sent = try ClientTests.publish(hub, "devices/\(name)/telemetry", #"{"id":"1","value":1}"#)
        #expect(sent.status == 0)
        for command in [
            ["queue", "read", "--device", name], ["queue", "tail", "--device", name], ["verify"],
        ] {
            let ended = try run(Programs.headend, command + ["--http", hub.url])
            #expect(ended.status == 0, "\(command): \(ended.transcript)")
        }
        #expect(try hub.stop() == 0)
        let read = try run(Programs.headend, ["queue", "read", "--device", name, "--data", hub.data])
        #expect(read.output.hasPrefix("\(name) 1 "), "\(read.transcript)")
    }

    private func checkCounters(_ hub: HubProcess, received: Int, stored: Int, duplicate: Int) throws {
        let status = try hub.status()
        let quarantined = try #require(status["quarantined"] as? [String: Int])
        let rejected = try #require(status["rejected"] as? [String: Int])
        #expect(status["received"] as? Int == received)
        #expect(status["stored"] as? Int == stored)
        #expect(status["duplicate"] as? Int == duplicate)
        #expect(quarantined == ["conflict": 2, "not_json": 1, "bad_timestamp": 1])
        let setAside = quarantined.values.reduce(0, +) + rejected.values.reduce(0, +)
        #expect(
            received == stored + duplicate + setAside,
            "received = stored + duplicate + rejected + quarantined")
        #expect(status["devices"] as? Int == 1)
    }

    private func checkCommands(_ source: [String]) throws {
        let read = try run(Programs.headend, ["queue", "read", "--device", "d", "--json"] + source)
        #expect(read.status == 0, "\(read.transcript)")
        let records = try Self.objects(read.output)
        #expect(records.map { $0["messageId"] as? String } == ["1", "77", "m1", nil, nil])
        #expect(records.map { $0["sequence"] as? Int } == [1, 2, 3, 4, 5])
        #expect(records.last?["eventTime"] as? String == "2026-01-02T03:04:05.678Z")
        #expect((records.first?["payload"] as? [String: Any])?["value"] as? Int == 1, "the first one wins")

        let part = try run(
            Programs.headend,
            ["queue", "read", "--device", "d", "--from", "2", "--limit", "2", "--json"] + source)
        #expect(try Self.objects(part.output).map { $0["sequence"] as? Int } == [2, 3])

        let aside = try run(Programs.headend, ["queue", "read", "--quarantine", "--json"] + source)
        #expect(aside.status == 0, "\(aside.transcript)")
        let reasons = try Self.objects(aside.output).map { $0["reason"] as? String }
        #expect(reasons == ["conflict", "not_json", "bad_timestamp", "conflict"])

        let devices = try run(Programs.headend, ["device", "list", "--json"] + source)
        #expect(
            try Self.objects(devices.output).map { $0["id"] as? String } == ["d"], "\(devices.transcript)")
        let tail = try run(
            Programs.headend, ["queue", "tail", "--device", "d", "--lines", "1", "--json"] + source)
        #expect(try Self.objects(tail.output).map { $0["sequence"] as? Int } == [5], "\(tail.transcript)")
        let unknown = try run(Programs.headend, ["queue", "read", "--device", "nobody"] + source)
        #expect(unknown.status == 2 && unknown.error.contains("nobody"), "\(unknown.transcript)")
    }

    private func output(_ source: [String]) throws -> [String] {
        try [
            ["queue", "read", "--device", "d", "--json"], ["queue", "read", "--quarantine", "--json"],
            ["queue", "list", "--json"], ["device", "list"],
        ].map { try run(Programs.headend, $0 + source).output }
    }

    private static func objects(_ lines: String) throws -> [[String: Any]] {
        try lines.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
        }
    }
}
