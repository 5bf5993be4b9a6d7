import Glibc
import Testing

/// What the hub does with sockets that behave badly.
@Suite("Connections of the running hub", .ownThread, .timeLimit(.minutes(2)))
struct ConnectionTests {
    private static let connect: [UInt8] = [
        0x10, 0x0F, 0x00, 0x04, 0x4D, 0x51, 0x54, 0x54, 0x04, 0x02, 0x00, 0x00, 0x00, 0x03,
    ]
    private static let connack: [UInt8] = [0x20, 0x02, 0x00, 0x00]
    private static let ping: [UInt8] = [0xC0, 0x00]

    /// A client without keep-alive, its name three characters long.
    private func client(_ hub: HubProcess, _ name: String) throws -> RawSocket {
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(Self.connect + Array(name.utf8))
        return socket
    }

    private func number(_ hub: HubProcess, _ name: String) throws -> Int {
        try #require(try hub.status()[name] as? Int)
    }

    @Test("Out of descriptors the hub takes no more, serves those it has, and goes on when some are free")
    func descriptors() throws {
        // It needs some 20 for itself, and allows itself 16 connections at least.
        let hub = try HubProcess(openFilesMax: 30)
        let first = try client(hub, "aaa")
        #expect(first.receive(count: 4) == Self.connack)
        do {
            var crowd: [RawSocket] = []
            for number in 0..<60 { crowd.append(try client(hub, "b\(10 + number)")) }
            first.send(Self.ping)
            #expect(first.receive(count: 2) == [0xD0, 0x00])
            withExtendedLifetime(crowd) {}
        }
        // Those of the crowd that waited are taken in, and seen to be gone, first.
        let isServed = poll(seconds: 10) {
            try? client(hub, "ccc").receive(count: 4) == Self.connack ? true : nil
        }
        #expect(isServed == true)
        first.send(Self.ping)
        #expect(first.receive(count: 2) == [0xD0, 0x00])
        #expect(try number(hub, "acceptPauses") > 0)
    }

    @Test("A peer that never takes its last answer is cut off")
    func stuck() throws {
        let hub = try HubProcess()
        let publisher = try client(hub, "aaa")
        #expect(publisher.receive(count: 4) == Self.connack)
        // Twelve retained megabytes, which the kernel has no room for, for a subscriber that does not read and
        // then breaks the rules.
        let payload = [UInt8](repeating: 0x78, count: 12 << 20)
        publisher.send(MQTTPackets.publish("big", payload, qos: 1, identifier: 1, retain: true))
        #expect(publisher.receive(count: 4) == [0x40, 0x02, 0x00, 0x01])
        let subscriber = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
        subscriber.send(MQTTPackets.connect("bbb"))
        #expect(subscriber.receive(count: 4) == Self.connack)
        // One piece: a peer that takes nothing is soon not read either.
        subscriber.send(MQTTPackets.subscribe("big", qos: 1) + [0x00, 0x00])
        let isRefused = poll(seconds: 10) {
            (try? hub.status()["protocolErrors"] as? [String: Any])?.isEmpty == false ? true : nil
        }
        #expect(isRefused == true)
        let start = monotonicSeconds()
        let isGone = poll(seconds: 20) { try? number(hub, "connections") == 1 ? true : nil }
        #expect(isGone == true, "\(hub.transcript)")
        #expect(monotonicSeconds() - start > 3, "it had time to take its answers")
        publisher.send(Self.ping)
        #expect(publisher.receive(count: 2) == [0xD0, 0x00])
    }
}
