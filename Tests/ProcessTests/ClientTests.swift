import Foundation
import Glibc
import Testing

@Suite("Other people's clients", .ownThread, .timeLimit(.minutes(4)))
struct ClientTests {
    @Test("paho-mqtt finds what the standard says", arguments: ["v5", "v311"])
    func paho(_ version: String) throws {
        guard Programs.areInstalled(Programs.python) else { return }
        let hub = try HubProcess()
        var scenarios = [
            "ordinary", "telemetry", "filters", "retained", "will", "session", "takeover",
            "offline_publisher",
        ]
        if version == "v5" { scenarios.append("properties") }
        for scenario in scenarios {
            let ended = try run(
                Programs.python,
                [try Programs.script("paho_scenarios"), "\(hub.mqttPort)", scenario, version], seconds: 90)
            #expect(ended.status == 0, "\(scenario) \(version): \(ended.transcript)")
        }
        #expect(hub.isRunning, "\(hub.transcript)")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("mosquitto_sub prints what mosquitto_pub sends", arguments: ["mqttv5", "mqttv311"])
    func mosquitto(_ version: String) throws {
        guard Programs.areInstalled(Programs.publisher, Programs.subscriber) else { return }
        let hub = try HubProcess()
        // Debian's mosquitto_sub 2.0.11 now and then stalls as an MQTT 5 subscriber at QoS 2, with mosquitto as its
        // broker too; paho is the witness for that.
        let granted = version == "mqttv5" ? 1 : 2
        for topic in ["plain/x", "devices/m/telemetry"] {
            let subscriber = try Subscriber(
                hub, filters: ["plain/#", "devices/#"], options: ["-V", version, "-q", "\(granted)"], count: 3
            )
            for qos in 0...2 {
                let body = #"{"id":"\#(qos)","value":\#(qos)}"#
                let sent = try Self.publish(hub, topic, body, ["-V", version, "-q", "\(qos)"])
                #expect(sent.status == 0, "\(sent.transcript)")
            }
            #expect(
                try subscriber.lines()
                    == (0...2).map {
                        #"\#(topic) \#(min($0, granted)) {"id":"\#($0)","value":\#($0)}"#
                    })
        }
        #expect(try hub.status()["stored"] as? Int == 3)
    }

    @Test("A subscriber hears of telemetry only after it is stored")
    func telemetryIsStoredFirst() throws {
        guard Programs.areInstalled(Programs.publisher, Programs.subscriber) else { return }
        let hub = try HubProcess()
        let subscriber = try Subscriber(hub, filters: ["devices/#"], options: ["-q", "1"], count: 1)
        let sent = try Self.publish(hub, "devices/s/telemetry", #"{"id":"only","value":1}"#, ["-q", "0"])
        #expect(sent.status == 0)
        #expect(try subscriber.lines() == [#"devices/s/telemetry 0 {"id":"only","value":1}"#])
        // QoS 0 has no acknowledgement to wait for: what the subscriber got must outlive this.
        hub.kill()
        let read = try run(
            Programs.headend, ["queue", "read", "--data", hub.data, "--device", "s", "--json"])
        #expect(read.output.contains(#""messageId":"only""#), "\(read.transcript)")
    }

    @Test(
        "A client that goes silent is cut off one and a half keep-alives later", arguments: [4, 5] as [UInt8])
    func keepAlive(_ level: UInt8) throws {
        let hub = try HubProcess()
        let socket = try RawSocket(port: hub.mqttPort)
        let properties: [UInt8] = level == 5 ? [0] : []
        let body = [0, 4] + Array("MQTT".utf8) + [level, 2, 0, 2] + properties + [0, 1, 0x6B]
        socket.send([0x10, UInt8(body.count)] + body)
        let connack = socket.receive(count: 4)
        #expect(connack.starts(with: [0x20]))
        // It pings once within its time, and must not be cut by then.
        #expect(socket.receive(count: 1_000, seconds: 1.5).count < 100)
        socket.send([0xC0, 0])
        let start = monotonicSeconds()
        let (bytes, isClosed) = socket.receiveUntilClosed(seconds: 10)
        let seconds = monotonicSeconds() - start
        #expect(isClosed, "still open after \(seconds) s")
        #expect(bytes.starts(with: [0xD0, 0]), "PINGRESP")
        #expect(seconds > 2.5 && seconds < 4, "cut after \(seconds) s with a keep-alive of 2 s")
        if level == 5 {
            #expect(bytes.count >= 5 && bytes[2] == 0xE0 && bytes[4] == 0x8D, "DISCONNECT 0x8D: \(bytes)")
        } else {
            #expect(bytes.count == 2)
        }
    }

    static func publish(
        _ hub: HubProcess, _ topic: String, _ body: String, _ options: [String] = ["-q", "1"]
    ) throws -> Ended {
        try run(
            Programs.publisher,
            ["-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-t", topic, "-m", body] + options)
    }
}

/// A mosquitto_sub that has its subscriptions when `init` returns, and ends after `count` messages.
private final class Subscriber {
    private let process: ChildProcess

    init(_ hub: HubProcess, filters: [String], options: [String] = [], count: Int) throws {
        process = try ChildProcess(
            Programs.subscriber,
            ["-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-F", "message %t %q %p", "-C", "\(count)"]
                + filters.flatMap { ["-t", $0] } + options,
            directory: hub.directory.path, label: "subscriber")
        let isSubscribed = try poll(seconds: 10) {
            try hub.status()["subscriptions"] as? Int == filters.count ? true : nil
        }
        guard isSubscribed != nil else {
            throw ProcessFailure(description: "no subscription: \(process.transcript)")
        }
    }

    /// `topic QoS payload`, a line a message.
    func lines(seconds: Double = 20) throws -> [String] {
        #expect(try process.wait(seconds: seconds) == 0, "\(process.transcript)")
        return process.output.split(separator: "\n").filter { $0.hasPrefix("message ") }.map {
            String($0.dropFirst("message ".count))
        }
    }
}
