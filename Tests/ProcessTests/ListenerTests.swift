import Foundation
import Glibc
import Testing

/// Doors other than plain TCP, and more than one event loop, with other people's clients.
@Suite("Listeners", .ownThread, .timeLimit(.minutes(3)))
struct ListenerTests {
    private static func secure(_ folder: TemporaryDirectory) throws -> (TestCertificates, [String]) {
        let certificates = try TestCertificates(in: folder)
        return (
            certificates,
            ["--certificate", certificates.certificate("hub"), "--key", certificates.key("hub")]
        )
    }

    private func publish(_ port: UInt16, _ options: [String]) throws -> Ended {
        try run(
            Programs.publisher,
            [
                "-h", "localhost", "-p", "\(port)", "-t", "devices/t/telemetry", "-m", #"{"id":"1","v":1}"#,
                "-q", "1",
            ]
                + options)
    }

    @Test("paho makes its round trip over every door, and a megabyte over WebSocket takes no second")
    func everyDoor() throws {
        guard Programs.areInstalled(Programs.python, TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, options) = try Self.secure(folder)
        let hub = try HubProcess(
            ["--mqtts", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0"] + options)
        for (door, transport, version) in [
            ("mqtts", "tcp", "v5"), ("ws", "websockets", "v5"), ("wss", "websockets", "v5"),
            ("mqtts", "tcp", "v311"), ("ws", "websockets", "v311"),
        ] {
            let ended = try run(
                Programs.python,
                [
                    try Programs.script("paho_listener"), "\(try hub.port(of: door))", transport,
                    door == "ws" ? "-" : certificates.authority, version, "\(1 << 20)",
                ], seconds: 60)
            #expect(ended.status == 0, "\(door) \(version): \(ended.transcript)")
            let seconds = Double(ended.output.trimmingCharacters(in: .whitespacesAndNewlines))
            // Most of it is paho's own: it masks a megabyte in Python.
            #expect(try #require(seconds) < 1.5, "1 MiB over \(door)")
        }
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(!hub.errors.contains("error"), "\(hub.errors)")
    }

    @Test("Over TLS a device is believed by its certificate, and nobody comes in without one")
    func mutualTLS() throws {
        guard Programs.areInstalled(Programs.publisher, TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, options) = try Self.secure(folder)
        try certificates.make("device", subject: "/O=Plant/CN=device-1")
        try certificates.make("nameless", subject: "/O=Plant")
        let hub = try HubProcess(
            ["--mqtts", "127.0.0.1:0", "--client-ca", certificates.authority] + options)
        let port = try hub.port(of: "mqtts")
        func attempt(_ name: String?) throws -> Int32 {
            let own = name.map { ["--cert", certificates.certificate($0), "--key", certificates.key($0)] }
            return try publish(port, ["--cafile", certificates.authority] + (own ?? [])).status
        }
        #expect(try attempt("device") == 0)
        #expect(try attempt(nil) != 0, "no certificate")
        #expect(try attempt("nameless") != 0, "a certificate without a common name")
        #expect(try publish(port, []).status != 0, "no TLS")
        #expect(try hub.status()["stored"] as? Int == 1)
        let failures = try #require(try hub.status()["handshakesFailed"] as? [String: Int])
        #expect(failures["failed"] ?? 0 >= 3, "\(failures)")
        let old = try run(
            TestCertificates.openssl, ["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1"], seconds: 20)
        #expect(old.status != 0, "TLS 1.1")
        #expect(!hub.transcript.contains("PRIVATE"))
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("SIGHUP reads certificates again; a bad file changes nothing and is named")
    func reload() throws {
        guard Programs.areInstalled(Programs.publisher, TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, options) = try Self.secure(folder)
        let hub = try HubProcess(["--mqtts", "127.0.0.1:0"] + options)
        let port = try hub.port(of: "mqtts")
        let trusting = ["--cafile", certificates.authority]
        #expect(try publish(port, trusting).status == 0)
        try "no key".write(toFile: certificates.key("hub"), atomically: true, encoding: .utf8)
        hub.reload()
        let isTold = poll(seconds: 10) { hub.errorOutput.contains("the old ones stay") ? true : nil }
        #expect(isTold == true, "\(hub.transcript)")
        #expect(hub.errorOutput.contains(certificates.key("hub")), "\(hub.transcript)")
        #expect(try publish(port, trusting).status == 0, "the old certificate still serves")

        let other = try TestCertificates(in: try TemporaryDirectory())
        for kind in ["crt", "key"] {
            try FileManager.default.removeItem(atPath: "\(folder.path)/hub.\(kind)")
            try FileManager.default.copyItem(
                atPath: "\(other.folder.path)/hub.\(kind)", toPath: "\(folder.path)/hub.\(kind)")
        }
        hub.reload()
        let isNew = poll(seconds: 10) { hub.errorOutput.contains("read again") ? true : nil }
        #expect(isNew == true, "\(hub.transcript)")
        #expect(try publish(port, trusting).status != 0, "the new one is signed by somebody else")
        #expect(try publish(port, ["--cafile", other.authority]).status == 0)
    }

    @Test("A certificate that is of no use keeps the hub from starting, and the message says which")
    func badCertificate() throws {
        guard Programs.areInstalled(TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, _) = try Self.secure(folder)
        try certificates.make("device", subject: "/CN=x")
        let hub = certificates.certificate("hub")
        for (certificate, key, expected, status) in [
            (hub, certificates.key("device"), "does not belong to the certificate", 2),
            (certificates.key("hub"), certificates.key("hub"), "holds no certificate", 2),
            (hub, hub, "holds no key", 2), (folder.path + "/none", certificates.key("hub"), "none", 3),
        ] {
            let ended = try run(
                Programs.headend,
                [
                    "serve", "--data", folder.path + "/data", "--mqtt", "127.0.0.1:0", "--http",
                    "127.0.0.1:0", "--mqtts", "127.0.0.1:0", "--certificate", certificate, "--key", key,
                ])
            #expect(ended.status == Int32(status), "\(ended.transcript)")
            #expect(ended.transcript.contains("--mqtts: "), "\(ended.transcript)")
            #expect(ended.transcript.contains(expected), "\(ended.transcript)")
        }
    }

    @Test("Who pings over WebSocket and never reads costs next to nothing", arguments: ["ws", "wss"])
    func unreadPongs(_ door: String) throws {
        guard Programs.areInstalled(Programs.python, TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, options) = try Self.secure(folder)
        let hub = try HubProcess(["--\(door)", "127.0.0.1:0"] + (door == "ws" ? [] : options))
        let authority = door == "ws" ? "-" : certificates.authority
        let port = "\(try hub.port(of: door))"
        let before = hub.residentBytes
        let flood = try ChildProcess(
            Programs.python, [try Programs.script("ws_pings"), port, authority, "2"],
            directory: folder.path, label: "flood")
        let honest = try run(
            Programs.python,
            [try Programs.script("paho_listener"), port, "websockets", authority, "v5", "1000"])
        #expect(honest.status == 0, "\(honest.transcript)")
        var most = 0
        let status = poll(seconds: 20) { () -> Int32? in
            most = max(most, hub.residentBytes - before)
            return flood.exitStatus
        }
        #expect(status == 0, "\(flood.transcript)")
        let sent = Int(flood.output.trimmingCharacters(in: .whitespacesAndNewlines))
        #expect(try #require(sent) > 1 << 20, "so few pings test nothing")
        // 1.5 GB over TLS, 50 MB and more without it, when each ping had its own pong.
        #expect(most < 32 << 20, "\(most >> 20) MiB")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("Whoever asks the WebSocket door for something else is told what it is")
    func otherRequests() throws {
        let hub = try HubProcess(["--ws", "127.0.0.1:0"])
        let port = try hub.port(of: "ws")
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n", "404"), ("GET /mqtt HTTP/1.1\r\nHost: h\r\n", "426"),
            ("POST /mqtt HTTP/1.1\r\nHost: h\r\n", "405"),
            ("GET /mqtt HTTP/1.1\r\nHost: h\r\n" + upgrade + key, "400"),
            ("GET /mqtt HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: amqp\r\n" + upgrade + key, "400"),
            ("GET /mqtt HTTP/1.1\r\nHost: h\r\nCookie: \(String(repeating: "x", count: 20_000))\r\n", "4"),
        ] {
            let socket = try RawSocket(port: port)
            socket.send(Array((request + "\r\n").utf8))
            let (bytes, isClosed) = socket.receiveUntilClosed()
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 \(expected)"), "\(request.prefix(60)): \(text)")
            #expect(isClosed)
        }
        let socket = try RawSocket(port: port)
        socket.send(
            Array(
                ("GET /mqtt HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n" + upgrade + key
                    + "\r\n").utf8))
        let head = String(decoding: socket.receive(upTo: 4_096, seconds: 10), as: UTF8.self)
        #expect(head.hasPrefix("HTTP/1.1 101"), "\(head)")
        let lines = head.lowercased().split(separator: "\r\n")
        #expect(lines.filter { $0 == "sec-websocket-protocol: mqtt" }.count == 1, "\(head)")
        #expect(lines.filter { $0 == "upgrade: websocket" }.count == 1, "\(head)")
        #expect(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "\(head)")
        // A text frame is no MQTT: a close frame with status 1003, and the end.
        socket.send([0x81, 0x81, 0, 0, 0, 0, 0x61])
        let (bytes, isClosed) = socket.receiveUntilClosed()
        #expect(bytes.first == 0x88 && bytes.dropFirst(2).starts(with: [0x03, 0xEB]), "\(bytes)")
        #expect(isClosed)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("With two loops clients find everything as with one", arguments: ["v5", "v311"])
    func twoLoops(_ version: String) throws {
        guard Programs.areInstalled(Programs.python) else { return }
        let hub = try HubProcess(["--loops", "2"])
        for scenario in ["ordinary", "telemetry", "will", "session", "takeover"] {
            let ended = try run(
                Programs.python,
                [try Programs.script("paho_scenarios"), "\(hub.mqttPort)", scenario, version], seconds: 90)
            #expect(ended.status == 0, "\(scenario) \(version): \(ended.transcript)")
        }
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("Two loops take a crowd that comes, sends in bursts and is cut, and count every message once")
    func crowdOnTwoLoops() throws {
        let hub = try HubProcess(["--loops", "2"])
        var acknowledged = 0
        for round in 0..<6 {
            let sockets = try (0..<100).map { number in
                let socket = try RawSocket(port: hub.mqttPort)
                var bytes = MQTTPackets.connect("c\(number)")
                for index in 1...20 {
                    bytes += MQTTPackets.publish(
                        "devices/c\(number)/telemetry", Array(#"{"id":"\#(round)-\#(index)","v":1}"#.utf8),
                        qos: 1, identifier: UInt16(index), retain: false)
                }
                socket.send(bytes)
                return socket
            }
            // Every third goes without a word; the others wait for their answers.
            var expected: [UInt8] = [0x20, 2, 0, 0]
            for index in 1...20 { expected += [0x40, 2, 0, UInt8(index)] }
            for (number, socket) in sockets.enumerated() where number % 3 != 0 {
                let answers = socket.receive(count: expected.count)
                #expect(answers == expected, "client \(number)")
                acknowledged += 20
            }
        }
        let isQuiet = poll(seconds: 10) { try? hub.status()["connections"] as? Int == 0 ? true : nil }
        #expect(isQuiet == true, "every connection that ended is forgotten")
        let status = try hub.status()
        #expect(try #require(status["stored"] as? Int) >= acknowledged)
        #expect(status["duplicate"] as? Int == 0)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("The fleet, subscribe and a certificate of one's own speak to the hub over TLS")
    func ownClients() throws {
        guard Programs.areInstalled(Programs.publisher, TestCertificates.openssl) else { return }
        let folder = try TemporaryDirectory()
        let (certificates, options) = try Self.secure(folder)
        try certificates.make("device", subject: "/CN=device-1")
        let hub = try HubProcess(
            ["--mqtts", "127.0.0.1:0", "--client-ca", certificates.authority] + options)
        let address = "mqtts://localhost:\(try hub.port(of: "mqtts"))"
        let own = [
            "--ca", certificates.authority, "--client-certificate", certificates.certificate("device"),
            "--client-key", certificates.key("device"),
        ]
        let subscriber = try ChildProcess(
            Programs.headend, ["subscribe", "devices/#", "--hub", address, "--count", "1"] + own,
            directory: folder.path, label: "subscribe")
        let isSubscribed = poll(seconds: 10) { try? hub.status()["subscriptions"] as? Int == 1 ? true : nil }
        #expect(isSubscribed == true)
        let fleet = try run(
            Programs.headend,
            [
                "simulate", Programs.repository.appending(path: "devices").path, "--hub", address, "--for",
                "2s",
                "--answer-key", folder.path + "/key.jsonl",
            ] + own, seconds: 60)
        #expect(fleet.status == 0, "\(fleet.transcript)")
        #expect(try subscriber.wait(seconds: 10) == 0, "\(subscriber.transcript)")
        #expect(subscriber.output.hasPrefix("devices/"), "\(subscriber.transcript)")
        let refused = try run(
            Programs.headend, ["subscribe", "x", "--hub", address, "--count", "1", "--client-key", "x"])
        #expect(refused.status == 2, "\(refused.transcript)")
    }
}
