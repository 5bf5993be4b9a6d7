import Foundation
import Glibc
import Testing

/// Users and rules on the real hub.
@Suite("Access to the running hub", .ownThread, .timeLimit(.minutes(3)))
struct AccessTests {
    /// A folder with a users' file in which each user's password is `secret-` and the name.
    private struct Users {
        let folder: TemporaryDirectory
        var path: String { folder.path + "/users" }

        init(_ names: [String], cost: Int = 10) throws {
            folder = try TemporaryDirectory()
            for name in names { try add(name, cost: cost) }
        }

        func add(_ name: String, cost: Int = 10) throws {
            let words =
                "printf 'secret-\(name)\\n' | \(Programs.headend) user add \(name) --file \(path) --cost \(cost)"
            let ended = try run("/bin/sh", ["-c", words])
            guard ended.status == 0 else { throw ProcessFailure(description: ended.transcript) }
        }
    }

    private func connect(
        _ hub: HubProcess, _ client: String, user: String?, password: String? = nil
    ) throws -> RawSocket {
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(MQTTPackets.connect(client, user: user, password: password ?? "secret-\(user ?? "")"))
        return socket
    }

    private func denied(_ hub: HubProcess, _ name: String) throws -> Int {
        let all = try #require(try hub.status()["denied"] as? [String: Any])
        return try #require(all[name] as? Int)
    }

    @Test("Who is let in, what he may publish, and that no secret is told")
    func letIn() throws {
        let users = try Users(["d1", "d2"])
        let hub = try HubProcess(configuration: "users: \(users.path)\n")
        #expect(try connect(hub, "x", user: nil).receive(count: 4) == [0x20, 2, 0, 5])
        #expect(try connect(hub, "d1", user: "d1", password: "hunter2").receive(count: 4) == [0x20, 2, 0, 4])
        #expect(try connect(hub, "x", user: "nobody").receive(count: 4) == [0x20, 2, 0, 4])
        #expect(try connect(hub, "d2", user: "d1").receive(count: 4) == [0x20, 2, 0, 2])
        // What comes with the CONNECT waits until the password is checked.
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(
            MQTTPackets.connect("d1", user: "d1", password: "secret-d1")
                + MQTTPackets.publish("devices/d1/telemetry", "{\"id\":\"1\",\"v\":1}", qos: 1, identifier: 1)
                + MQTTPackets.publish("devices/d2/telemetry", "{\"id\":\"2\",\"v\":1}", qos: 1, identifier: 2)
                + MQTTPackets.publish("any", "x", qos: 1, identifier: 3)
                + MQTTPackets.subscribe("devices/+/telemetry", qos: 1))
        let answers = socket.receive(count: 4 + 12 + 5)
        #expect(Array(answers.prefix(4)) == MQTTPackets.connackAccepted)
        for identifier in 1...3 {
            let puback = MQTTPackets.puback(UInt16(identifier))
            #expect(answers.chunks(of: puback), "\(answers)")
        }
        #expect(answers.chunks(of: [0x90, 3, 0, 9, 0x80]), "\(answers)")
        let status = try hub.status()
        #expect(status["stored"] as? Int == 1)
        #expect((status["rejected"] as? [String: Any])?["not_authorized"] as? Int == 1)
        #expect(try denied(hub, "publish") == 2)
        #expect(try denied(hub, "connectPassword") == 2)
        #expect(try denied(hub, "connectAnonymous") == 1)
        #expect(try denied(hub, "connectClientIdentifier") == 1)
        let told = hub.transcript + hub.text("/metrics") + hub.text("/api/v1/status")
        for secret in ["secret-", "hunter2", "$scrypt"] { #expect(!told.contains(secret), "\(secret)") }
        #expect(try !String(contentsOfFile: users.path, encoding: .utf8).contains("secret-"))
    }

    @Test(
        "SIGHUP puts other users and rules in force for those who are connected; a bad file changes nothing")
    func reload() throws {
        let users = try Users(["d1"])
        let rules = try users.folder.write("rules.yaml", "- { allow: both, user: d1, topic: plant/# }\n")
        let hub = try HubProcess(configuration: "users: \(users.path)\nacl: \(rules)\n")
        let socket = try connect(hub, "c", user: "d1")
        #expect(socket.receive(count: 4) == MQTTPackets.connackAccepted)
        socket.send(MQTTPackets.subscribe("plant/#", qos: 0))
        #expect(socket.receive(count: 5) == [0x90, 3, 0, 9, 0])
        let message = MQTTPackets.publish("plant/a", "1")
        socket.send(message)
        #expect(socket.receive(count: message.count) == message)

        _ = try users.folder.write("rules.yaml", "- { allow: both, topic: a/#/b }\n")
        hub.reload()
        let isTold = poll(seconds: 10) { hub.errorOutput.contains("rules.yaml:1:25: topic: #") ? true : nil }
        #expect(isTold == true, "\(hub.errorOutput)")
        socket.send(message)
        #expect(socket.receive(count: message.count) == message)

        _ = try users.folder.write("rules.yaml", "- { allow: publish, user: d1, topic: plant/# }\n")
        try users.add("d2")
        hub.reload()
        let isRead = poll(seconds: 10) { hub.errorOutput.contains("read again") ? true : nil }
        #expect(isRead == true, "\(hub.errorOutput)")
        // The old connection publishes and gets nothing any more; a new user is known.
        socket.send(message + MQTTPackets.pingreq)
        #expect(socket.receive(count: 2) == [0xD0, 0])
        #expect(try connect(hub, "d2", user: "d2").receive(count: 4) == MQTTPackets.connackAccepted)
        // Subscribed before the change, and kept back now.
        let isCounted = poll(seconds: 5) { try? denied(hub, "deliver") > 0 ? true : nil }
        #expect(isCounted == true)
    }

    @Test("A flood of wrong passwords delays nobody who was here before, and little who is new")
    func flood() throws {
        let users = try Users(["d1", "d2"], cost: 14)
        let hub = try HubProcess(configuration: "users: \(users.path)\n")
        #expect(try connect(hub, "d1", user: "d1").receive(count: 4) == MQTTPackets.connackAccepted)
        var flood: [RawSocket] = []
        for number in 0..<200 {
            flood.append(
                try connect(hub, "f", user: number % 2 == 0 ? "d1" : "u\(number)", password: "w\(number)"))
        }
        // Known since a moment ago: at once. New: after one or two of the flood, not after all.
        let start = monotonicSeconds()
        #expect(try connect(hub, "d1", user: "d1").receive(count: 4) == MQTTPackets.connackAccepted)
        #expect(try connect(hub, "d2", user: "d2").receive(count: 4) == MQTTPackets.connackAccepted)
        #expect(monotonicSeconds() - start < 5)
        // Of each name some wait, the others come back later.
        let isCounted = poll(seconds: 10) { try? denied(hub, "connectBusy") > 100 ? true : nil }
        #expect(isCounted == true)
        withExtendedLifetime(flood) {}
    }

    @Test("`headend acl test` says yes or no, which rule decides, and has the exit status")
    func test() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write(
            "hub.yaml",
            "acl:\n  - { deny: publish, client: bad, topic: devices/# }\n  - { allow: both, topic: p/%c }\n")
        func ask(_ words: [String]) throws -> Ended {
            try run(Programs.headend, ["acl", "test", "--config", file] + words)
        }
        let own = try ask(["--client", "d1", "--publish", "devices/d1/telemetry"])
        #expect(own.status == 0)
        #expect(own.output.hasPrefix("yes  built in"), "\(own.transcript)")
        let denied = try ask(["--client", "bad", "--publish", "devices/bad/telemetry"])
        #expect(denied.status == 1)
        #expect(denied.output.hasPrefix("no  \(file):2: deny publish client bad"), "\(denied.transcript)")
        let rule = try ask(["--client", "d1", "--subscribe", "p/d1"])
        #expect(rule.status == 0)
        #expect(rule.output.contains("\(file):3"), "\(rule.transcript)")
        let none = try ask(["--client", "d1", "--publish", "devices/d2/telemetry"])
        #expect(none.status == 1)
        #expect(none.output.hasPrefix("no  no rule"), "\(none.transcript)")
        #expect(try ask(["--client", "d1"]).status == 2)
    }
}

extension [UInt8] {
    /// Whether the bytes stand somewhere in these.
    fileprivate func chunks(of bytes: [UInt8]) -> Bool {
        count >= bytes.count
            && (0...(count - bytes.count)).contains { Array(self[$0..<($0 + bytes.count)]) == bytes }
    }
}

extension MQTTPackets {
    /// A CONNECT of 3.1.1 with a user.
    fileprivate static func connect(_ identifier: String, user: String?, password: String) -> [UInt8] {
        guard let user else { return connect(identifier) }
        func field(_ text: String) -> [UInt8] {
            [UInt8(text.utf8.count >> 8), UInt8(text.utf8.count & 0xFF)] + Array(text.utf8)
        }
        let body =
            [0, 4] + Array("MQTT".utf8) + [4, 0xC2, 0, 0] + field(identifier) + field(user) + field(password)
        return [0x10, UInt8(body.count)] + body
    }
}
