import Foundation
import Testing

@Suite("The quarantine of the running hub", .ownThread, .timeLimit(.minutes(4)))
struct ReplayTests {
    private static let fixed = "ingest:\n  - topic: devices/{device}/telemetry\n    format: raw\n"

    @Test("kill -9 during a big replay: every message is stored once in the end, without a message id")
    func killDuringReplay() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let count = 60_000
        let hub = try HubProcess(configuration: "registration: open\n")
        let sent = try run(
            "/bin/sh",
            [
                "-c",
                "seq 1 \(count) | sed 's/.*/not json, number &, and some more text to make it longer/' | "
                    + "\(Programs.publisher) -p \(hub.mqttPort) -q 1 -l -t devices/k/telemetry",
            ], seconds: 100)
        #expect(sent.status == 0, "\(sent.transcript)")
        #expect(try hub.status()["quarantined"] as? [String: Int] == ["not_json": count])
        hub.kill()
        _ = try hub.directory.write("hub.yaml", Self.fixed)

        var kills = 0
        var stored = 0
        while stored < count {
            try hub.start()
            stored = try Self.replayed(hub)
            if stored == count {
                // The kill came after the last part was durable, and before anybody was told.
                hub.kill()
                break
            }
            // The first kills come as soon as a part of the replay is durable, the last life may finish.
            let socket = try RawSocket(port: hub.httpPort)
            socket.send(
                Array(
                    "POST /api/v1/quarantine/replay?limit=100000 HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n"
                        .utf8))
            let before = stored
            let progress = try poll(seconds: 60) { () -> Int? in
                let now = try Self.replayed(hub)
                return now > before ? now : nil
            }
            stored = try #require(progress, "nothing is replayed: \(hub.transcript)")
            if stored < count { kills += 1 }
            hub.kill()
        }
        #expect(kills > 0, "no kill came during a replay")

        try hub.start()
        let status = try hub.status()
        #expect(status["stored"] as? Int == count)
        #expect(status["received"] as? Int == count)
        #expect(status["duplicate"] as? Int == 0)
        #expect(status["quarantined"] as? [String: Int] == [:])
        #expect(status["replayed"] as? [String: Int] == ["stored": count, "duplicate": 0])
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        let read = try run(
            Programs.headend,
            ["queue", "read", "--device", "k", "--data", hub.data, "--limit", "\(count + 1)", "--json"],
            seconds: 60)
        var payloads: Set<String> = []
        var origins: Set<Int> = []
        var last = 0
        for line in read.output.split(separator: "\n") {
            let record = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            payloads.insert(try #require(record["payloadBase64"] as? String))
            origins.insert(try #require(record["replayedFrom"] as? Int))
            last += 1
            #expect(record["sequence"] as? Int == last)
        }
        #expect(last == count)
        #expect(payloads.count == count)
        #expect(origins == Set(1...count))
        let check = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 60)
        #expect(check.status == 0, "\(check.transcript)")
    }

    private static func replayed(_ hub: HubProcess) throws -> Int {
        try #require((try hub.status()["replayed"] as? [String: Int])?["stored"])
    }

    @Test("A conflict is read with both bodies, and what is wrong in a request is said")
    func conflicts() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        for value in [1, 2] {
            let body = #"{"id":"x","v":\#(value)}"#
            #expect(try ClientTests.publish(hub, "devices/d/telemetry", body, ["-q", "1"]).status == 0)
        }
        #expect(try ClientTests.publish(hub, "devices/e/telemetry", "oops", ["-q", "1"]).status == 0)
        func check(_ source: [String]) throws {
            let read = try run(
                Programs.headend, ["quarantine", "read", "--reason", "conflict", "--json"] + source)
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(read.output.utf8)) as? [String: Any],
                "\(read.transcript)")
            #expect((object["payload"] as? [String: Any])?["v"] as? Int == 2)
            #expect(((object["kept"] as? [String: Any])?["payload"] as? [String: Any])?["v"] as? Int == 1)
            let list = try run(Programs.headend, ["quarantine", "list", "--device", "e"] + source)
            #expect(list.output.hasPrefix("2  "), "\(list.transcript)")
            #expect(list.error == "1 waiting: not_json 1\n")
        }
        try check(["--http", hub.url])
        let dry = try run(Programs.headend, ["quarantine", "replay", "--dry-run", "--http", hub.url])
        #expect(
            dry.output
                == "examined 2: would be stored 0, duplicate 0, still quarantined 2 (conflict 1, not_json 1)\n",
            "\(dry.transcript)")
        let wrong = try run(Programs.headend, ["quarantine", "list", "--reason", "conflct"])
        #expect(wrong.status == 2 && wrong.error.contains("conflict"), "\(wrong.transcript)")
        #expect(try hub.stop() == 0)
        try check(["--data", hub.data])
    }
}
