import Foundation
import Testing

/// Each refusal names the place, says what to do, and has the exit status that scripts rely on.
@Suite("Bad input", .ownThread, .timeLimit(.minutes(2)))
struct BadInputTests {
    private static let anyPorts = ["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]

    private func serve(data: String, _ options: [String] = anyPorts) throws -> Ended {
        try run(Programs.headend, ["serve", "--data", data] + options)
    }

    /// One line on standard error that has all the words, and nothing of a success.
    private func expectRefusal(_ ended: Ended, status: Int32, _ words: [String]) {
        #expect(ended.status == status, "\(ended.transcript)")
        #expect(ended.error.split(separator: "\n").count == 1, "one line: \(ended.transcript)")
        for word in words { #expect(ended.error.contains(word), "“\(word)”: \(ended.transcript)") }
        #expect(!ended.output.contains("ready"))
    }

    @Test("A wrong key in a device type: file, line and what was meant", arguments: ["simulate", "run"])
    func deviceKey(_ command: String) throws {
        let folder = try TemporaryDirectory()
        try folder.write(
            "devices/pump.yaml",
            "count: 1\nevery: 1s\nsensors:\n  speed:\n    constant: 3\nconection:\n  qos: 1\n")
        let options = command == "run" ? Self.anyPorts + ["--data", folder.path + "/data"] : []
        let ended = try run(Programs.headend, [command, folder.path + "/devices"] + options)
        expectRefusal(ended, status: 2, ["pump.yaml:6:1", #"did you mean "connection"?"#])
    }

    @Test("A wrong key in the configuration: file, line and what was meant")
    func configurationKey() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write("hub.yaml", "data: \(folder.path)/data\nmqt: 127.0.0.1:0\n")
        let ended = try run(Programs.headend, ["serve", "--config", file])
        expectRefusal(ended, status: 2, ["hub.yaml:2:1", #"did you mean "mqtt"?"#])
    }

    @Test("A configuration that is not there")
    func configurationMissing() throws {
        let ended = try run(Programs.headend, ["serve", "--config", "/nowhere/hub.yaml"])
        expectRefusal(ended, status: 3, ["/nowhere/hub.yaml"])
    }

    @Test("A port in use, and a second hub on the same data directory")
    func inUse() throws {
        let hub = try HubProcess()
        let other = hub.directory.path + "/other"
        let mqtt = "127.0.0.1:\(hub.mqttPort)"
        expectRefusal(
            try serve(data: other, ["--mqtt", mqtt, "--http", "127.0.0.1:0"]), status: 3,
            [mqtt, "in use", "--mqtt"])
        let http = "127.0.0.1:\(hub.httpPort)"
        expectRefusal(
            try serve(data: other, ["--mqtt", "127.0.0.1:0", "--http", http]), status: 3,
            [http, "in use", "--http"])
        expectRefusal(try serve(data: hub.data), status: 3, [hub.data, "another hub", "--data"])
        let read = try run(Programs.headend, ["queue", "read", "--device", "x", "--data", hub.data])
        expectRefusal(read, status: 3, ["--http"])
        #expect(hub.isRunning)
        #expect(try hub.stop() == 0)
    }

    @Test("A data directory that cannot be made")
    func unwritable() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write("file", "")
        // Below a regular file, and in /proc: not even root may.
        for path in [file + "/data", "/proc/data"] {
            expectRefusal(try serve(data: path), status: 3, [path])
        }
    }

    @Test("A data directory of a newer format is left alone")
    func newerFormat() throws {
        let hub = try HubProcess()
        #expect(try hub.stop() == 0)
        let file = URL(filePath: hub.data + "/FORMAT")
        let newer = try String(contentsOf: file, encoding: .utf8).replacingOccurrences(of: "1", with: "9")
        try Data(newer.utf8).write(to: file)
        expectRefusal(try serve(data: hub.data), status: 3, [hub.data, "newer"])
        let read = try run(Programs.headend, ["queue", "list", "--data", hub.data])
        expectRefusal(read, status: 3, [hub.data, "newer"])
        #expect(try String(contentsOf: file, encoding: .utf8) == newer)
    }

    @Test("A segment damaged in its middle: refused with the place and what to do, and nothing is changed")
    func corruptSegment() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        for number in 1...20 {
            #expect(try ClientTests.publish(hub, "devices/c/telemetry", reading("c", number)).status == 0)
        }
        #expect(try hub.stop() == 0)
        let path = hub.data + "/queue/0/00000000000000000000.log"
        var bytes = try Data(contentsOf: URL(filePath: path))
        let place = try #require(
            bytes.range(of: Data(#""c:2""#.utf8)), "the second reading is not in the log")
        bytes[place.lowerBound + 1] ^= 0x20
        try bytes.write(to: URL(filePath: path))
        expectRefusal(try serve(data: hub.data), status: 3, [path, "Restore"])
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data])
        #expect(verify.status != 0 && verify.error.contains(path), "\(verify.transcript)")
        #expect(try Data(contentsOf: URL(filePath: path)) == bytes, "the damaged file was changed")
    }

    @Test("Who follows the advice and moves a damaged segment away has every later reading in its minute")
    func segmentMovedAway() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        for number in 1...20 {
            #expect(try ClientTests.publish(hub, "devices/c/telemetry", reading("c", number)).status == 0)
        }
        // The query must have come that far, and have written down that it has.
        #expect(poll(seconds: 10) { (try? accepted(hub)) == 20 ? true : nil } != nil)
        #expect(try hub.stop() == 0)
        let name = "00000000000000000000.log"
        try FileManager.default.moveItem(
            atPath: hub.data + "/queue/0/" + name, toPath: hub.directory.path + "/" + name)
        try hub.start()
        let before = try accepted(hub)
        for number in 21...25 {
            #expect(try ClientTests.publish(hub, "devices/c/telemetry", reading("c", number)).status == 0)
        }
        let hasCounted = try poll(seconds: 10) { try accepted(hub) == before + 5 ? true : nil }
        let query = try hub.object("/api/v1/queries", at: 0)
        #expect(hasCounted != nil, "readings of the new log are skipped: \(query) \(hub.transcript)")
    }

    private func accepted(_ hub: HubProcess) throws -> Int {
        let counters = try #require(try hub.object("/api/v1/queries", at: 0)["counters"] as? [String: Any])
        return try #require(counters["accepted"] as? Int)
    }

    @Test("An unknown host downstream: said once, and ingestion goes on")
    func unknownDownstream() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess(["--downstream", "mqtt://nohost.invalid:1883"])
        for number in 1...5 {
            #expect(try ClientTests.publish(hub, "devices/u/telemetry", reading("u", number)).status == 0)
        }
        #expect(try hub.status()["stored"] as? Int == 5)
        let isSaid = poll(seconds: 20) { hub.errorOutput.contains("nohost.invalid") ? true : nil }
        #expect(isSaid != nil, "nothing said: \(hub.transcript)")
        // Long enough for a second attempt (a second after the first), which must not be said again.
        _ = poll(seconds: 4) { hub.errorOutput.split(separator: "\n").count > 1 ? true : nil }
        #expect(hub.errorOutput.split(separator: "\n").count == 1, "said more than once: \(hub.transcript)")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test(
        "Every command has help with an example",
        arguments: [
            "", "run", "serve", "simulate", "subscribe", "verify", "queue", "queue list", "queue read",
            "queue verify", "queue tail", "device", "device list",
        ])
    func help(_ command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let ended = try run(Programs.headend, words + ["--help"])
        #expect(ended.status == 0 && ended.error.isEmpty, "\(ended.transcript)")
        #expect(ended.output.contains("USAGE: headend"))
        #expect(!ended.output.contains("Argument("), "a type of the source: \(ended.output)")
        if !["", "queue", "device"].contains(command) { #expect(ended.output.contains("Example: headend")) }
    }

    @Test(
        "What is no option or no command",
        arguments: [
            ["serve", "--bogus"], ["bogus"], ["serve", "--mqtt", "127.0.0.1"], ["queue", "read"],
            ["run", "devices", "--for", "soon"], ["simulate", "devices", "--hub", "http://x"],
        ])
    func usage(_ words: [String]) throws {
        let ended = try run(Programs.headend, words)
        #expect(ended.status == 2, "\(ended.transcript)")
        #expect(!ended.error.isEmpty)
    }
}
