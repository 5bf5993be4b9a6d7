import Foundation
import Testing

/// Floods and strangers at the real hub: each is bounded and counted, and a client that behaves is served.
@Suite("Limits of the running hub", .ownThread, .timeLimit(.minutes(3)))
struct LimitTests {
    private func limited(_ hub: HubProcess, _ name: String) throws -> Int {
        let all = try #require(try hub.status()["limited"] as? [String: Any])
        return try #require(all[name] as? Int)
    }

    private func client(_ hub: HubProcess, _ name: String) throws -> RawSocket {
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(MQTTPackets.connect(name))
        return socket
    }

    @Test("Sockets that never say who they are: closed in time, though they send a byte now and then")
    func slowloris() throws {
        let hub = try HubProcess(configuration: "limits: { connect_timeout: 1s, pending_connections: 20 }\n")
        let good = try client(hub, "good")
        #expect(good.receive(count: 4) == MQTTPackets.connackAccepted)
        let slow = try RawSocket(port: hub.mqttPort)
        let start = monotonicSeconds()
        var sent = 0
        let connect = MQTTPackets.connect("slow")
        // A byte at a time, always in time for a limit on silence.
        while monotonicSeconds() - start < 5, sent < connect.count - 1 {
            if slow.receiveUntilClosed(seconds: 0.3).isClosed { break }
            slow.send([connect[sent]])
            sent += 1
        }
        #expect(sent < connect.count - 1)
        #expect(monotonicSeconds() - start > 0.9)
        #expect(try limited(hub, "connectTimeout") == 1)
        // Too many of them at once: the oldest goes, and who speaks gets in.
        var crowd: [RawSocket] = []
        for _ in 0..<60 { crowd.append(try RawSocket(port: hub.mqttPort)) }
        #expect(try client(hub, "new").receive(count: 4) == MQTTPackets.connackAccepted)
        #expect(try limited(hub, "pendingConnections") >= 40)
        good.send(MQTTPackets.pingreq)
        #expect(good.receive(count: 2) == [0xD0, 0])
        withExtendedLifetime(crowd) {}
    }

    @Test("Too many connections, and too many at once, of one listener: turned away, the others stay")
    func connections() throws {
        let hub = try HubProcess(configuration: "limits: { connect_rate: 20 }\n")
        let good = try client(hub, "good")
        #expect(good.receive(count: 4) == MQTTPackets.connackAccepted)
        var crowd: [RawSocket] = []
        for _ in 0..<100 { crowd.append(try RawSocket(port: hub.mqttPort)) }
        let isCounted = poll(seconds: 5) { try? limited(hub, "connectRate") >= 50 ? true : nil }
        #expect(isCounted == true)
        good.send(MQTTPackets.pingreq)
        #expect(good.receive(count: 2) == [0xD0, 0])
        crowd = []
        let isBack = poll(seconds: 10) {
            try? client(hub, "again").receive(count: 4) == MQTTPackets.connackAccepted ? true : nil
        }
        #expect(isBack == true)
    }

    @Test("A client above its rate is read more slowly, and nothing of it is lost")
    func rate() throws {
        let hub = try HubProcess(configuration: "limits: { message_rate: 100 }\n")
        let other = try client(hub, "other")
        let fast = try client(hub, "fast")
        #expect(fast.receive(count: 4) == MQTTPackets.connackAccepted)
        #expect(other.receive(count: 4) == MQTTPackets.connackAccepted)
        // Three seconds' worth in pieces, of which the first second's goes through at once.
        let start = monotonicSeconds()
        for number in 1...300 {
            fast.send(
                MQTTPackets.publish(
                    "devices/fast/telemetry", "{\"id\":\"\(number)\",\"v\":1}", qos: 1,
                    identifier: UInt16(number)))
            if number % 10 == 0 {
                let isServed = fast.receive(count: 40).count
                #expect(isServed == 40)
            }
            if number == 200 {
                let asked = monotonicSeconds()
                other.send(MQTTPackets.pingreq)
                #expect(other.receive(count: 2) == [0xD0, 0])
                #expect(monotonicSeconds() - asked < 1)
            }
        }
        let seconds = monotonicSeconds() - start
        #expect(seconds > 1.5)
        #expect(seconds < 10)
        #expect(try hub.status()["stored"] as? Int == 300)
        #expect(try limited(hub, "clientRate") > 0)
    }

    @Test("Huge lengths, deep topics and retained floods: refused or not kept, and others go on")
    func bombs() throws {
        let hub = try HubProcess(
            configuration:
                // The hub's own retained topics would count too.
                "sys_interval: 0\n"
                + "limits: { packet_bytes: 64KiB, topic_levels: 8, retained_per_client: 100, subscriptions: 10 }\n"
        )
        let good = try client(hub, "good")
        #expect(good.receive(count: 4) == MQTTPackets.connackAccepted)
        let huge = try client(hub, "huge")
        huge.send([0x30, 0xFF, 0xFF, 0xFF, 0x7F])
        #expect(huge.receiveUntilClosed(seconds: 5).isClosed)
        let deep = try client(hub, "deep")
        deep.send(MQTTPackets.publish("1/2/3/4/5/6/7/8/9", "x", qos: 1))
        #expect(deep.receiveUntilClosed(seconds: 5).isClosed)
        let bomb = try client(hub, "bomb")
        #expect(bomb.receive(count: 4) == MQTTPackets.connackAccepted)
        for number in 1...500 {
            bomb.send(
                MQTTPackets.publish("bomb/\(number)", "x", qos: 1, identifier: UInt16(number), retain: true))
        }
        #expect(bomb.receive(count: 2_000).count == 2_000)
        for number in 1...20 { bomb.send(MQTTPackets.subscribe("s/\(number)", qos: 0)) }
        let subacks = bomb.receive(count: 100)
        #expect(subacks.count == 100)
        #expect(subacks.enumerated().filter { $0.offset % 5 == 4 && $0.element == 0x80 }.count == 10)
        good.send(MQTTPackets.publish("kept", "x", qos: 1, retain: true))
        #expect(good.receive(count: 4) == MQTTPackets.puback(1))
        let isCounted = poll(seconds: 5) { () -> Bool? in
            guard let broker = try? hub.status()["broker"] as? [String: Any] else { return nil }
            return broker["retained"] as? Int == 101 && broker["retainedRefused"] as? Int == 400 ? true : nil
        }
        #expect(isCounted == true, "\(hub.text("/api/v1/status"))")
    }
}
