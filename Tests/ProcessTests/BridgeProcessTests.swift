import Foundation
import Glibc
import MosquittoClient
import Platform
import Testing

@Suite("A broker that was there before", .ownThread, .timeLimit(.minutes(4)))
struct BridgeProcessTests {
    @Test(
        "Devices of a running mosquitto are stored once and in order, with the hub killed and the broker restarted",
        arguments: ["5", "3.1.1"])
    func ingest(_ version: String) throws {
        guard Programs.areInstalled(Programs.broker) else { return }
        let broker = try UpstreamBroker()
        let hub = try HubProcess(
            configuration: """
                upstream:
                  - name: plant
                    url: \(broker.url)
                    version: \(version)
                    subscribe: [{ filter: devices/+/telemetry, qos: 1 }]

                """)
        #expect(isConnected(hub), "\(hub.transcript)")
        let loop = try MosquittoLoop(name: "devices")
        defer { loop.stop() }
        let devices = try [("a", MosquittoVersion.v5, 1), ("b", .v311, 1), ("c", .v5, 2)].map {
            try LibraryDevice("plant-\($0.0)", loop: loop, version: $0.1, qos: UInt8($0.2), port: broker.port)
        }
        #expect(hasStored(hub, more: 100), "\(hub.text("/api/v1/status"))")
        hub.kill()
        let count = devices[0].state.withLock { $0.count }
        let hasGoneOn = poll(seconds: 20) {
            devices[0].state.withLock { $0.count } > count + 20 ? true : nil
        }
        #expect(hasGoneOn != nil, "the devices need no hub")
        try hub.start()
        #expect(hasStored(hub, more: 50), "\(hub.text("/api/v1/status"))")
        try broker.stop()
        #expect(isConnected(hub, false))
        #expect(try hub.readiness().isReady, "a broker elsewhere is not this hub's health")
        try broker.start()
        for device in devices { device.stop() }
        let sent = try devices.map { try $0.drained(seconds: 60) }
        let total = sent.reduce(0) { $0 + $1.count }
        let isThere = try poll(seconds: 60) { try hub.status()["stored"] as? Int == total ? true : nil }
        #expect(isThere != nil, "\(total) sent: \(hub.text("/api/v1/status"))")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        try StoredReadings.compare(sent, with: hub, segmentCountMin: 1)
    }

    @Test(
        "Mirrored topics cross both ways once, with new names, and come back to nobody",
        arguments: ["5", "3.1.1"])
    func mirror(_ version: String) throws {
        guard Programs.areInstalled(Programs.broker, Programs.publisher, Programs.subscriber) else { return }
        let broker = try UpstreamBroker()
        let hub = try HubProcess(
            configuration: """
                upstream:
                  - name: plant
                    url: \(broker.url)
                    version: \(version)
                    mirror:
                      - { direction: both, filter: cmd/#, qos: 1 }
                      - { direction: both, filter: "#", qos: 1, local_prefix: plant/, remote_prefix: site/ }

                """)
        #expect(isConnected(hub), "\(hub.transcript)")
        let here = try TopicWitness(port: hub.mqttPort, filter: "#")
        let there = try broker.subscriber("#")
        for number in 1...20 {
            #expect(try broker.publish("cmd/a", "from there \(number)").status == 0)
            #expect(try ClientTests.publish(hub, "cmd/a", "from here \(number)").status == 0)
        }
        #expect(try broker.publish("site/x/y", "renamed in").status == 0)
        #expect(try ClientTests.publish(hub, "plant/x/z", "renamed out").status == 0)
        #expect(try ClientTests.publish(hub, "other", "stays").status == 0)
        // The same words from both sides at once are two messages and not an echo.
        #expect(try broker.publish("cmd/b", "equal").status == 0)
        #expect(try ClientTests.publish(hub, "cmd/b", "equal").status == 0)
        #expect(try broker.publish("cmd/end", "end").status == 0)
        #expect(try ClientTests.publish(hub, "cmd/end", "end too").status == 0)
        #expect(here.has("cmd/end 0 end") && here.has("cmd/end 0 end too"))
        #expect(there.has("cmd/end 0 end") && there.has("cmd/end 0 end too"))
        let common = (1...20).flatMap { ["cmd/a 0 from here \($0)", "cmd/a 0 from there \($0)"] }
        let both = common + ["cmd/b 0 equal", "cmd/b 0 equal", "cmd/end 0 end", "cmd/end 0 end too"]
        #expect(
            here.lines.sorted()
                == (both + ["plant/x/y 0 renamed in", "plant/x/z 0 renamed out", "other 0 stays"]).sorted())
        #expect(
            there.lines.sorted() == (both + ["site/x/y 0 renamed in", "site/x/z 0 renamed out"]).sorted())
        let state = try upstream(hub)
        #expect(state["looped"] as? Int == (version == "5" ? 0 : 23), "\(state)")
        #expect(try hub.stop() == 0)
    }

    @Test("In a ring of two hubs and a mosquitto no message runs for ever")
    func ring() throws {
        guard Programs.areInstalled(Programs.broker, Programs.publisher, Programs.subscriber) else { return }
        let broker = try UpstreamBroker()
        func entry(_ name: String, _ url: String) -> String {
            "  - { name: \(name), url: \"\(url)\", mirror: [{ direction: both, filter: ring/#, qos: 1 }] }\n"
        }
        let first = try HubProcess(configuration: "upstream:\n" + entry("m", broker.url))
        let second = try HubProcess(
            configuration: "upstream:\n" + entry("m", broker.url)
                + entry("first", "mqtt://127.0.0.1:\(first.mqttPort)"))
        #expect(isConnected(first) && isConnected(second) && isConnected(second, at: 1))
        let witnesses = try [
            TopicWitness(port: first.mqttPort, filter: "ring/#"),
            TopicWitness(port: second.mqttPort, filter: "ring/#"), broker.subscriber("ring/#"),
        ]
        #expect(try ClientTests.publish(first, "ring/a", "1").status == 0)
        #expect(try broker.publish("ring/b", "2").status == 0)
        #expect(try ClientTests.publish(second, "ring/c", "3").status == 0)
        for witness in witnesses {
            for line in ["ring/a 0 1", "ring/b 0 2", "ring/c 0 3"] { #expect(witness.has(line)) }
        }
        // All has come to rest when the counters of two looks, with traffic between, differ by that traffic alone.
        let isAtRest = try poll(seconds: 10) { () -> Bool? in
            let before = try [upstream(first), upstream(second), upstream(second, at: 1)].map {
                $0["received"] as? Int
            }
            poll(nil, 0, 300)
            let after = try [upstream(first), upstream(second), upstream(second, at: 1)].map {
                $0["received"] as? Int
            }
            return before == after ? true : nil
        }
        #expect(isAtRest != nil, "messages go round and round")
        // Once by each way that leads there, and not more often.
        for witness in witnesses {
            for line in ["ring/a 0 1", "ring/b 0 2", "ring/c 0 3"] {
                #expect(witness.lines.filter { $0 == line }.count <= 3)
            }
        }
        #expect(try second.stop() == 0)
        #expect(try first.stop() == 0)
    }

    @Test("What a broker that is down should have waits on disk over a kill, and arrives in order")
    func buffer() throws {
        guard Programs.areInstalled(Programs.broker, Programs.publisher, Programs.subscriber) else { return }
        let broker = try UpstreamBroker()
        let hub = try HubProcess(
            configuration: """
                upstream:
                  - { name: plant, url: "\(broker.url)", mirror: [{ direction: out, filter: out/#, qos: 1 }] }

                """)
        #expect(isConnected(hub), "\(hub.transcript)")
        // Its session keeps what comes, so it sees all of it in the order of arrival.
        let inbox = ["-i", "inbox", "-c"]
        let made = try run(
            Programs.subscriber,
            ["-h", "127.0.0.1", "-p", "\(broker.port)", "-q", "1", "-t", "out/#", "-E"] + inbox)
        #expect(made.status == 0, "\(made.transcript)")
        try broker.stop()
        #expect(isConnected(hub, false))
        for number in 1...30 {
            #expect(try ClientTests.publish(hub, "out/\(number % 3)", "\(number)").status == 0)
            if number % 10 == 0 {
                let isCollected = try poll(seconds: 10) {
                    try upstream(hub)["collected"] as? Int == 10 ? true : nil
                }
                #expect(isCollected != nil, "\(hub.text("/api/v1/status"))")
                #expect(try hub.readiness().isReady)
                hub.kill()
                try hub.start()
                let isThere = try poll(seconds: 10) {
                    try upstream(hub)["bufferedBytes"] as? Int ?? 0 > 0 ? true : nil
                }
                #expect(isThere != nil, "\(hub.text("/api/v1/status"))")
            }
        }
        try broker.start()
        #expect(isConnected(hub), "\(hub.transcript)")
        let witness = try broker.subscriber("out/#", options: inbox)
        #expect(witness.has("out/0 0 30"))
        #expect(witness.lines == (1...30).map { "out/\($0 % 3) 0 \($0)" })
        let isEmpty = try poll(seconds: 20) { try upstream(hub)["bufferedBytes"] as? Int == 0 ? true : nil }
        #expect(isEmpty != nil, "\(hub.text("/api/v1/status"))")
        let isCounted = try poll(seconds: 10) { try upstream(hub)["forwarded"] as? Int == 30 ? true : nil }
        #expect(isCounted != nil, "\(hub.text("/api/v1/status"))")
        #expect(hub.transcript.contains("bridge plant: cannot connect to 127.0.0.1:\(broker.port)"))
        #expect(try hub.stop() == 0)
    }

    @Test("upstream test says what is wrong and how to mend it, and a user's password stays in its file")
    func probe() throws {
        guard Programs.areInstalled(Programs.broker, "/usr/bin/mosquitto_passwd") else { return }
        let folder = try TemporaryDirectory()
        let users = folder.path + "/users"
        let made = try run("/usr/bin/mosquitto_passwd", ["-c", "-b", users, "hub", "s3cret-word"])
        #expect(made.status == 0, "\(made.transcript)")
        let broker = try UpstreamBroker(["allow_anonymous false", "password_file \(users)"])
        let right = try folder.write("right", "s3cret-word\n")
        let wrong = try folder.write("wrong", "s3cret-wrong\n")
        let address = "127.0.0.1:\(broker.port)"
        let cases: [(line: String, status: Int32, says: String)] = [
            ("url: mqtt://hub@\(address), password_file: \(right)", 0, "may subscribe to \"a/#\" (QoS 1)"),
            ("url: mqtt://hub@\(address), password_file: \(right), version: 3.1.1", 0, "(MQTT 3.1.1)"),
            ("url: mqtt://hub@\(address), password_file: \(wrong)", 1, "does not authorize this client"),
            ("url: mqtt://\(address)", 1, "does not authorize this client"),
            ("url: mqtt://hub@\(address), password_file: \(folder.path)/none", 1, "\(folder.path)/none"),
            ("url: mqtt://127.0.0.1:1", 1, "check that the broker listens there"),
            ("url: mqtt://nowhere.invalid", 1, "check the host name"),
        ]
        for (line, status, says) in cases {
            let file = try folder.write(
                "hub.yaml", "upstream: [{ name: p, \(line), subscribe: [{ filter: a/# }] }]\n")
            let ended = try run(Programs.headend, ["upstream", "test", "--config", file])
            #expect(ended.status == status, "\(line): \(ended.transcript)")
            #expect(ended.transcript.contains(says), "\(line): \(ended.transcript)")
            #expect(!ended.transcript.contains("s3cret"))
        }
        let hub = try HubProcess(
            configuration: """
                upstream: [{ name: p, url: "mqtt://hub@\(address)", password_file: \(right), \
                subscribe: [{ filter: devices/# }] }]

                """)
        #expect(isConnected(hub), "\(hub.transcript)")
        let sent = try broker.publish(
            "devices/d/telemetry", #"{"id":1}"#, ["-q", "1", "-u", "hub", "-P", "s3cret-word"])
        #expect(sent.status == 0, "\(sent.transcript)")
        let isStored = try poll(seconds: 10) { try hub.status()["stored"] as? Int == 1 ? true : nil }
        #expect(isStored != nil, "\(hub.text("/api/v1/status"))")
        // The bridge counts a message when it has its answer, a moment after it is stored.
        let isCounted = poll(seconds: 10) {
            hub.text("/metrics").contains("headend_bridge_stored_total{upstream=\"p\"} 1") ? true : nil
        }
        #expect(isCounted != nil, "\(hub.text("/metrics"))")
        #expect(!(hub.transcript + hub.text("/api/v1/status") + hub.text("/metrics")).contains("s3cret"))
    }

    @Test("A broker with TLS that asks for a certificate gets it, and a wrong authority is refused")
    func tls() throws {
        guard Programs.areInstalled(Programs.broker, "/usr/bin/openssl") else { return }
        let folder = try TemporaryDirectory()
        for name in ["broker", "stranger"] {
            let made = try run(
                "/usr/bin/openssl",
                [
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", "\(folder.path)/\(name).key",
                    "-out",
                    "\(folder.path)/\(name).pem",
                ])
            #expect(made.status == 0, "\(made.transcript)")
        }
        let certificate = folder.path + "/broker.pem"
        let key = folder.path + "/broker.key"
        let broker = try UpstreamBroker([
            "allow_anonymous true", "certfile \(certificate)", "keyfile \(key)", "cafile \(certificate)",
            "require_certificate true",
        ])
        let url = "mqtts://localhost:\(broker.port)"
        let cases: [(line: String, status: Int32)] = [
            ("url: \"\(url)\", ca: \(certificate), certificate: \(certificate), key: \(key)", 0),
            ("url: \"\(url)\", ca: \(folder.path)/stranger.pem, certificate: \(certificate), key: \(key)", 1),
            ("url: \"\(url)\", ca: \(certificate)", 1),
        ]
        for (line, status) in cases {
            let file = try folder.write(
                "hub.yaml", "upstream: [{ name: p, \(line), subscribe: [{ filter: a/# }] }]\n")
            let ended = try run(Programs.headend, ["upstream", "test", "--config", file])
            #expect(ended.status == status, "\(line): \(ended.transcript)")
        }
        let hub = try HubProcess(
            configuration: "upstream: [{ name: p, \(cases[0].line), subscribe: [{ filter: a/# }] }]\n")
        #expect(isConnected(hub), "\(hub.transcript)")
        #expect(try hub.stop() == 0)
    }

    // MARK: What the hub says

    private func upstream(_ hub: HubProcess, at index: Int = 0) throws -> [String: Any] {
        let all = try #require(try hub.status()["upstreams"] as? [[String: Any]])
        return try #require(all.indices.contains(index) ? all[index] : nil)
    }

    private func isConnected(_ hub: HubProcess, _ wanted: Bool = true, at index: Int = 0) -> Bool {
        poll(seconds: 35) {
            (try? upstream(hub, at: index)["connected"] as? Bool) == wanted ? true : nil
        } ?? false
    }

    private func hasStored(_ hub: HubProcess, more: Int) -> Bool {
        let start = (try? hub.status()["stored"] as? Int) ?? 0
        return poll(seconds: 60) {
            (try? hub.status()["stored"] as? Int).flatMap { $0 } ?? 0 >= start + more ? true : nil
        } ?? false
    }
}
