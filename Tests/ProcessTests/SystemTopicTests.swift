import Foundation
import Testing

/// `$SYS/broker/…` of the running hub.
@Suite("System topics of the running hub", .ownThread, .timeLimit(.minutes(1)))
struct SystemTopicTests {
    @Test("Monitors find $SYS/broker under mosquitto's names, clients cannot write there, and 0 turns it off")
    func monitor() throws {
        guard Programs.areInstalled(Programs.subscriber, Programs.publisher) else { return }
        let hub = try HubProcess(configuration: "sys_interval: 1\n")
        let port = String(hub.mqttPort)
        #expect(try read("$SYS/broker/version", port).hasPrefix("headend "))
        #expect(try read("$SYS/broker/uptime", port).hasSuffix(" seconds"))
        let fake = try ChildProcess(
            Programs.publisher,
            ["-V", "5", "-p", port, "-q", "1", "-r", "-t", "$SYS/broker/version", "-m", "fake"],
            directory: hub.directory.path, label: "fake")
        _ = try fake.wait(seconds: 10)
        #expect(try read("$SYS/broker/version", port).hasPrefix("headend "))
        // The count of clients follows.
        let others = try (0..<3).map { try Self.client("other-\($0)", hub.mqttPort) }
        let count = poll(seconds: 10) { () -> Bool? in
            (try? read("$SYS/broker/clients/connected", port)).flatMap { Int($0) }.map {
                $0 >= 3 ? true : nil
            }
                ?? nil
        }
        #expect(count == true)
        #expect(others.count == 3)
        #expect(try hub.stop() == 0)

        let silent = try HubProcess(configuration: "sys_interval: 0\n")
        let socket = try Self.client("silent", silent.mqttPort)
        socket.send([0x82, 11, 0, 1, 0, 6] + Array("$SYS/#".utf8) + [0])
        #expect(socket.receive(count: 5) == [0x90, 3, 0, 1, 0])
        socket.send([0xC0, 0])
        #expect(socket.receive(count: 2) == [0xD0, 0])
        #expect(try silent.stop() == 0)
    }

    private func read(_ topic: String, _ port: String) throws -> String {
        let directory = try TemporaryDirectory()
        let child = try ChildProcess(
            Programs.subscriber, ["-p", port, "-t", topic, "-C", "1", "-W", "10"],
            directory: directory.path, label: "monitor")
        _ = try child.wait(seconds: 15)
        return child.output.trimmingCharacters(in: .newlines)
    }

    private static func client(_ name: String, _ port: UInt16) throws -> RawSocket {
        let socket = try RawSocket(port: port)
        let body = [0, 4] + Array("MQTT".utf8) + [4, 2, 0, 60, 0, UInt8(name.utf8.count)] + Array(name.utf8)
        socket.send([0x10, UInt8(body.count)] + body)
        #expect(socket.receive(count: 4) == [0x20, 2, 0, 0])
        return socket
    }
}
