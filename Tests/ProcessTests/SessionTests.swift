import Foundation
import Testing

/// MQTT 3.1.1 packets, written out.
private enum Packet {
    static func connect(_ identifier: String, clean: Bool) -> [UInt8] {
        let name = Array(identifier.utf8)
        let body = [0, 4] + Array("MQTT".utf8) + [4, clean ? 2 : 0, 0, 60, 0, UInt8(name.count)] + name
        return [0x10, UInt8(body.count)] + body
    }

    static func publish(
        _ topic: String, _ payload: String, first: UInt8, identifier: UInt8
    ) -> [UInt8] {
        let name = Array(topic.utf8)
        let body = [0, UInt8(name.count)] + name + [0, identifier] + Array(payload.utf8)
        return [first, UInt8(body.count)] + body
    }

    static func subscribe(_ filter: String) -> [UInt8] {
        let name = Array(filter.utf8)
        let body = [0, 9, 0, UInt8(name.count)] + name + [0]
        return [0x82, UInt8(body.count)] + body
    }
}

@Suite("Sessions and the log", .ownThread, .timeLimit(.minutes(2)))
struct SessionTests {
    @Test(
        "A clean start voids QoS 2 state: the same packet identifier with DUP is another message",
        arguments: [false, true])
    func cleanStart(isKilled: Bool) throws {
        let hub = try HubProcess()
        let topic = "devices/q/telemetry"
        let first = try RawSocket(port: hub.mqttPort)
        first.send(Packet.connect("q", clean: false))
        #expect(first.receive(count: 4) == [0x20, 2, 0, 0])
        first.send(Packet.publish(topic, #"{"value":1}"#, first: 0x34, identifier: 1))
        #expect(first.receive(count: 4) == [0x50, 2, 0, 1])
        // No PUBREL. The client starts over; its next message was lost with a connection once, so it has DUP.
        if isKilled {
            hub.kill()
            try hub.start()
        }
        let second = try RawSocket(port: hub.mqttPort)
        second.send(Packet.connect("q", clean: true))
        #expect(second.receive(count: 4) == [0x20, 2, 0, 0])
        second.send(Packet.publish(topic, #"{"value":2}"#, first: 0x3C, identifier: 1))
        #expect(second.receive(count: 4) == [0x50, 2, 0, 1])
        let read = try run(
            Programs.headend,
            ["queue", "read", "--http", "http://127.0.0.1:\(hub.httpPort)", "--device", "q"])
        #expect(read.output.split(separator: "\n").count == 2, "\(read.transcript)")
    }

    @Test("Who is told that there is no session may use a packet identifier again, with DUP and after a kill")
    func noSession() throws {
        let hub = try HubProcess()
        let topic = "devices/n/telemetry"
        let first = try RawSocket(port: hub.mqttPort)
        first.send(Packet.connect("n", clean: true))
        #expect(first.receive(count: 4) == [0x20, 2, 0, 0])
        first.send(Packet.publish(topic, #"{"value":1}"#, first: 0x34, identifier: 1))
        #expect(first.receive(count: 4) == [0x50, 2, 0, 1])
        // Its session ends with the connection, and here the hub does not live to see that.
        hub.kill()
        try hub.start()
        let second = try RawSocket(port: hub.mqttPort)
        second.send(Packet.connect("n", clean: false))
        #expect(second.receive(count: 4) == [0x20, 2, 0, 0])
        second.send(Packet.publish(topic, #"{"value":2}"#, first: 0x3C, identifier: 1))
        #expect(second.receive(count: 4) == [0x50, 2, 0, 1])
        let read = try run(
            Programs.headend,
            ["queue", "read", "--http", "http://127.0.0.1:\(hub.httpPort)", "--device", "n"])
        #expect(read.output.split(separator: "\n").count == 2, "\(read.transcript)")
    }

    @Test("A message re-sent after a kill is stored once, without a message id, at QoS 2")
    func resentAfterKill() throws {
        let hub = try HubProcess()
        let message = { (first: UInt8) in
            Packet.publish("devices/r/telemetry", #"{"value":1}"#, first: first, identifier: 7)
        }
        let first = try RawSocket(port: hub.mqttPort)
        first.send(Packet.connect("r", clean: false) + message(0x34))
        #expect(first.receive(count: 8) == [0x20, 2, 0, 0, 0x50, 2, 0, 7])
        hub.kill()
        try hub.start()
        let second = try RawSocket(port: hub.mqttPort)
        second.send(Packet.connect("r", clean: false) + message(0x3C))
        #expect(second.receive(count: 8) == [0x20, 2, 1, 0, 0x50, 2, 0, 7])
        second.send([0x62, 2, 0, 7])
        #expect(second.receive(count: 4) == [0x70, 2, 0, 7])
        // Released: the identifier's next use is another message, kill or not.
        hub.kill()
        try hub.start()
        let third = try RawSocket(port: hub.mqttPort)
        third.send(Packet.connect("r", clean: false) + message(0x34))
        #expect(third.receive(count: 8) == [0x20, 2, 1, 0, 0x50, 2, 0, 7])
        let read = try run(
            Programs.headend,
            ["queue", "read", "--http", "http://127.0.0.1:\(hub.httpPort)", "--device", "r"])
        #expect(read.output.split(separator: "\n").count == 2, "\(read.transcript)")
    }

    @Test("An empty retained message clears what a telemetry topic retained")
    func retainedTelemetryIsCleared() throws {
        let hub = try HubProcess()
        let topic = "devices/t/telemetry"
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(
            Packet.connect("t", clean: true)
                + Packet.publish(topic, #"{"value":1}"#, first: 0x33, identifier: 1))
        #expect(publisher.receive(count: 8) == [0x20, 2, 0, 0, 0x40, 2, 0, 1])
        let before = try RawSocket(port: hub.mqttPort)
        before.send(Packet.connect("s1", clean: true) + Packet.subscribe(topic))
        let retained = before.receive(count: 9 + 4 + topic.utf8.count + 11)
        #expect(retained.suffix(11) == Array(#"{"value":1}"#.utf8)[...])
        publisher.send(Packet.publish(topic, "", first: 0x33, identifier: 2))
        #expect(publisher.receive(count: 4) == [0x40, 2, 0, 2])
        let after = try RawSocket(port: hub.mqttPort)
        after.send(Packet.connect("s2", clean: true) + Packet.subscribe(topic) + [0xC0, 0])
        #expect(after.receive(count: 11) == [0x20, 2, 0, 0, 0x90, 3, 0, 9, 0, 0xD0, 0])
    }
}
