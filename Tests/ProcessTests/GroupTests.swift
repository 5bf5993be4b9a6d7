import Foundation
import Glibc
import MosquittoClient
import Platform
import Testing

@Suite("Consumer groups", .ownThread, .timeLimit(.minutes(5)))
struct GroupTests {
    @Test("what is wrong with a request is said, with the field")
    func wrongRequests() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        try hub.store("a", 1...2)
        #expect(try hub.request("PUT", "/api/v1/groups/g", #"{"devices":["a"]}"#).status == 201)
        #expect(try hub.request("PUT", "/api/v1/groups/g", #"{"devices":["a"]}"#).status == 200)
        let long = String(repeating: "x", count: 200)
        let cases: [(String, String, String, Int, String)] = [
            ("PUT", "g", #"{"devices":["a","b"]}"#, 409, "devices: group"),
            ("PUT", "g", #"{"devices":"a","from":"latest"}"#, 409, "from: group"),
            ("PUT", "g", #"{"devices":"a","mustNotMiss":true}"#, 409, "mustNotMiss: group"),
            ("PUT", "h", #"{"device":"a"}"#, 400, #"did you mean \"devices\"?"#),
            ("PUT", "h", #"{"devices":[1]}"#, 400, "devices: "),
            ("PUT", "h", #"{"devices":[]}"#, 400, "devices: an empty list"),
            ("PUT", "h", #"{"devices":"\#(long)"}"#, 400, "devices: a name has"),
            ("PUT", "h", #"{"devices":true}"#, 400, "devices: "),
            ("PUT", "h", #"{"mustNotMiss":"yes"}"#, 400, "mustNotMiss: "),
            ("PUT", "h", #"{"from":"soon"}"#, 400, "from: "),
            ("PUT", "h", #"{"from":3}"#, 400, "from: a sequence is a place"),
            ("PUT", "h", #"{"devices":"a","from":4}"#, 400, "from: device"),
            ("PUT", "h", "{", 400, "body: "),
            ("PUT", "h", "[]", 400, "body: "),
            ("PUT", ".h", "{}", 400, "group: "),
            ("GET", "h", "", 404, "no group"),
            ("DELETE", "h", "", 404, "no group"),
            ("POST", "h/fetch?member=m", "", 404, "no group"),
            ("POST", "g/fetch", "", 400, "member: missing"),
            ("POST", "g/fetch?member=\(long)", "", 400, "member: a name has"),
            ("POST", "g/fetch?member=mqtt:x", "", 400, "member: "),
            ("POST", "g/fetch?member=m&max=0", "", 400, "max: "),
            ("POST", "g/fetch?member=m&max=10001", "", 400, "max: "),
            ("POST", "g/fetch?member=m&wait=6m", "", 400, "wait: 6m is not between"),
            ("POST", "g/fetch?member=m&lease=1ms", "", 400, "lease: "),
            ("POST", "g/fetch?member=m&mx=1", "", 400, #"did you mean \"max\"?"#),
            ("POST", "g/fetch?member=m&session=-", "", 400, "session: "),
            ("POST", "g/fetch?member=m&session=1", "", 409, "not in group"),
            ("POST", "g/commit", #"{"member":"m"}"#, 400, "commit: missing"),
            ("POST", "g/commit", #"{"commit":"1-1"}"#, 400, "member: missing"),
            ("POST", "g/commit", #"{"member":"m","commit":"x"}"#, 400, "commit: "),
            ("POST", "g/commit", #"{"member":"m","commit":"1-1"}"#, 409, "not in group"),
            ("POST", "g/release", #"{"member":"m"}"#, 409, "not in group"),
            ("POST", "g/seek", "{}", 400, "to: missing"),
            ("POST", "g/seek", #"{"to":"9"}"#, 400, "from: device"),
            ("DELETE", "g/members/m", "", 409, "not in group"),
        ]
        for (method, path, body, status, text) in cases {
            let reply = try hub.request(method, "/api/v1/groups/\(path)", body)
            #expect(reply.status == status, "\(method) \(path) \(body): \(reply)")
            #expect(reply.text.contains(text), "\(method) \(path) \(body): \(reply)")
        }
        #expect(try hub.array("/api/v1/groups").count == 1)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("a request that waits is answered as soon as a record is durable")
    func longPoll() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        #expect(try hub.request("PUT", "/api/v1/groups/g").status == 201)
        let socket = try RawSocket(port: hub.httpPort)
        socket.send(
            Array(
                "POST /api/v1/groups/g/fetch?member=m&wait=60s HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n"
                    .utf8))
        let isThere = try poll(seconds: 10) { () -> Bool? in
            (try hub.group("g")["members"] as? [Any])?.count == 1 ? true : nil
        }
        #expect(isThere == true)
        #expect(socket.receive(count: 1, seconds: 0.2) == [], "answered without a record")
        let start = monotonicSeconds()
        try hub.store("a", 1...1)
        let reply = String(decoding: socket.receive(count: 200, seconds: 10), as: UTF8.self)
        // The time holds a whole mosquitto_pub.
        #expect(monotonicSeconds() - start < 2)
        #expect(reply.contains(#""device":"a""#), "\(reply)")
        // One that waits has its answer when the hub stops, too.
        socket.send(
            Array(
                "POST /api/v1/groups/g/fetch?member=n&wait=60s HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n"
                    .utf8))
        let isWaiting = try poll(seconds: 10) { () -> Bool? in
            (try hub.group("g")["members"] as? [Any])?.count == 2 ? true : nil
        }
        #expect(isWaiting == true)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(String(decoding: socket.receive(count: 20, seconds: 5), as: UTF8.self).contains("503"))
    }

    @Test("headend consume goes on where the last one committed, and a killed one is repeated")
    func commandLine() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        try hub.store("pump-1", 1...3)
        try hub.store("meter-1", 1...2)
        func consume(_ options: String...) throws -> [String] {
            let ended = try run(
                Programs.headend, ["consume", "--http", hub.url, "--group", "g", "--json"] + options)
            #expect(ended.status == 0, "\(ended.transcript)")
            return try ended.output.split(separator: "\n").map {
                try JSONDecoder().decode(GroupRecordLine.self, from: Data($0.utf8)).key
            }
        }
        #expect(try consume("--devices", "pump-*", "--count", "2") == ["pump-1 1", "pump-1 2"])
        #expect(try consume("--count", "1", "--no-commit") == ["pump-1 3"])
        #expect(try hub.group("g")["lagRecords"] as? Int == 1)
        #expect(try consume("--count", "1") == ["pump-1 3"])
        #expect(try hub.group("g")["lagRecords"] as? Int == 0)

        // One that waits is killed while it has records: they come again at once to one that takes its name.
        try hub.store("pump-2", 1...1)
        let fetched = try hub.request("POST", "/api/v1/groups/g/fetch?member=dead")
        #expect(fetched.text.contains(#""device":"pump-2""#))
        #expect(try hub.group("g")["inFlight"] as? Int == 1)
        #expect(try consume("--member", "dead", "--count", "1") == ["pump-2 1"])

        let child = try ChildProcess(
            Programs.headend, ["consume", "--http", hub.url, "--group", "g"], directory: hub.directory.path,
            label: "consume")
        try hub.store("pump-3", 1...1)
        #expect(poll(seconds: 10) { child.output.hasPrefix("pump-3 1 ") ? true : nil } == true)
        child.signal(SIGINT)
        #expect(try child.wait() == 0, "\(child.transcript)")
        #expect((try hub.group("g")["members"] as? [Any])?.count == 0)

        let other = try run(
            Programs.headend,
            ["consume", "--http", hub.url, "--group", "g", "--devices", "x", "--count", "1"])
        #expect(other.status == 2)
        #expect(other.error.contains("is over pump-*"), "\(other.transcript)")
        let moved = try run(
            Programs.headend, ["group", "seek", "g", "--to", "earliest", "--http", hub.url])
        #expect(moved.output.contains("lag           5 records"), "\(moved.transcript)")
        let removed = try run(Programs.headend, ["group", "delete", "g", "--http", hub.url])
        #expect(removed.status == 0, "\(removed.transcript)")
        #expect(try hub.array("/api/v1/groups").isEmpty)
    }

    @Test(
        "mosquitto_sub and paho share a group: every reading reaches one of them, in the order of its device")
    func foreignMembers() throws {
        guard Programs.areInstalled(Programs.publisher, Programs.subscriber, Programs.python) else { return }
        let hub = try HubProcess()
        #expect(try hub.request("PUT", "/api/v1/groups/g").status == 201)
        // A backlog, and more while they read.
        try hub.store("a", 1...10)
        let stop = hub.directory.path + "/stop"
        func member(_ name: String, _ version: String) throws -> ChildProcess {
            try ChildProcess(
                Programs.python,
                [
                    try Programs.script("paho_member"), "\(hub.mqttPort)", version, "g", name,
                    "\(hub.directory.path)/\(name).read", stop,
                ], directory: hub.directory.path, label: name)
        }
        let first = try member("paho-5", "v5")
        let second = try member("paho-3", "v311")
        let subscriber = try ChildProcess(
            Programs.subscriber,
            [
                "-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-V", "mqttv5", "-q", "1", "-t",
                "$share/g/$queue/devices/#", "-F", "%t %p",
            ], directory: hub.directory.path, label: "subscriber")
        let areThere = try poll(seconds: 20) { () -> Bool? in
            (try hub.group("g")["members"] as? [Any])?.count == 3 ? true : nil
        }
        #expect(areThere == true, "\(first.transcript) \(second.transcript) \(subscriber.transcript)")
        for number in 1...10 { for device in ["b", "c", "d"] { try hub.store(device, number...number) } }
        try hub.store("a", 11...20)
        let isRead = try poll(seconds: 20) { try hub.group("g")["lagRecords"] as? Int == 0 ? true : nil }
        let read = try hub.group("g")
        #expect(isRead == true, "\(read)")
        try Data().write(to: URL(filePath: stop))
        #expect(try first.wait() == 0, "\(first.transcript)")
        #expect(try second.wait() == 0, "\(second.transcript)")
        let files = ["paho-5", "paho-3"].map {
            (try? String(contentsOfFile: "\(hub.directory.path)/\($0).read", encoding: .utf8)) ?? ""
        }
        var seen: Set<String> = []
        for output in files + [subscriber.output] {
            var last: [Substring: Int] = [:]
            for line in output.split(separator: "\n") {
                let parts = line.split(separator: ":")
                let device = try #require(parts[1].split(separator: "\"").first)
                let number = try #require(Int(parts[2].prefix { $0.isNumber }))
                #expect(line.hasPrefix("$queue/devices/\(device)/telemetry "), "\(line)")
                #expect(last[device] ?? 0 < number, "\(line)")
                last[device] = number
                #expect(seen.insert("\(device) \(number)").inserted, "\(line) twice, and nobody died")
            }
        }
        #expect(seen.count == 50)
    }

    @Test(
        "what a killed MQTT member did not acknowledge goes to another at once, also when the group was moved",
        arguments: [false, true])
    func killedMember(_ isMoved: Bool) throws {
        guard Programs.areInstalled(Programs.publisher, Programs.subscriber) else { return }
        let hub = try HubProcess()
        // A client that never acknowledges, by hand: CONNECT, SUBSCRIBE, silence.
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send([0x10, 16, 0, 4] + Array("MQTT".utf8) + [4, 2, 0, 60, 0, 4] + Array("mute".utf8))
        #expect(socket.receive(count: 4) == [0x20, 2, 0, 0])
        let filter = Array("$share/g/$queue/#".utf8)
        socket.send([0x82, UInt8(filter.count + 5), 0, 1, 0, UInt8(filter.count)] + filter + [1])
        #expect(socket.receive(count: 5) == [0x90, 3, 0, 1, 1])
        try hub.store("a", 1...1)
        #expect(socket.receive(count: 20).first == 0x32)
        #expect(try hub.group("g")["inFlight"] as? Int == 1)
        #expect(try hub.group("g")["lagRecords"] as? Int == 1)
        if isMoved {
            #expect(try hub.request("POST", "/api/v1/groups/g/seek", #"{"to":"earliest"}"#).status == 200)
            #expect(socket.receive(count: 20).count >= 20, "the record comes again")
        }
        let other = try ChildProcess(
            Programs.subscriber,
            [
                "-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-q", "1", "-t", "$share/g/$queue/#", "-C", "1",
                "-F", "%t %p",
            ], directory: hub.directory.path, label: "other")
        let isThere = try poll(seconds: 10) { () -> Bool? in
            (try hub.group("g")["members"] as? [Any])?.count == 2 ? true : nil
        }
        #expect(isThere == true)
        #expect(other.exitStatus == nil, "the device is with the first member")
        withExtendedLifetime(socket) {}
        try close(socket, hub)
        #expect(try other.wait() == 0, "\(other.transcript)")
        #expect(other.output == "$queue/devices/a/telemetry {\"id\":\"a:1\",\"value\":1}\n")
    }

    /// Ends a connection without a DISCONNECT: a second CONNECT is against the protocol.
    private func close(_ socket: RawSocket, _ hub: HubProcess) throws {
        socket.send([0x10, 16, 0, 4] + Array("MQTT".utf8) + [4, 2, 0, 60, 0, 4] + Array("mute".utf8))
        #expect(socket.receiveUntilClosed().isClosed)
    }

    @Test("hub and consumers killed under load: every reading is delivered, none again after its commit")
    func killed() throws {
        let seed =
            ProcessInfo.processInfo.environment["KILL_TEST_SEED"].flatMap(UInt64.init)
            ?? .random(in: 1...9_999)
        print("group kill test: KILL_TEST_SEED=\(seed)")
        var generator = SeededGenerator(state: seed)
        let hub = try HubProcess(configuration: "queue: { segment_bytes: 18874368 }\n")
        #expect(try hub.request("PUT", "/api/v1/groups/g", #"{"devices":"kill-*"}"#).status == 201)
        let loop = try MosquittoLoop(name: "group-test")
        defer { loop.stop() }
        let devices = try ["kill-1", "kill-2", "kill-3", "other"].map {
            try LibraryDevice($0, loop: loop, version: .v5, qos: 1, port: hub.mqttPort)
        }
        let ledger = Monitor(GroupLedger())
        let consumers = (1...3).map {
            GroupConsumer(
                "c\($0)", group: "g", port: hub.httpPort, seed: seed &+ UInt64($0), ledger: ledger)
        }
        for round in 1...10 {
            // The moment of the kill is what is tested.
            poll(nil, 0, Int32.random(in: 100...600, using: &generator))
            #expect(hub.isRunning, "the hub ended by itself in round \(round): \(hub.transcript)")
            hub.kill()
            try hub.start()
        }
        for device in devices { device.stop() }
        let sent = try devices.map { try $0.drained(seconds: 60) }
        let isDone = try poll(seconds: 60) { try hub.group("g")["lagRecords"] as? Int == 0 ? true : nil }
        let state = try hub.group("g")
        #expect(isDone == true, "\(state)")
        ledger.update { $0.isStopping = true }
        for consumer in consumers { consumer.join() }
        let end = ledger.withLock { $0 }
        #expect(end.violations == [])
        let expected = Set(
            sent.filter { $0.device != "other" }.flatMap { sent in
                (1...sent.count).map { "\(sent.device) \($0)" }
            })
        print(
            "group kill test: \(expected.count) readings, \(end.crashes) consumers lost, \(end.committed.count) commits"
        )
        #expect(expected.count > 300)
        #expect(end.delivered == expected)
        #expect(end.crashes > 0)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }
}
