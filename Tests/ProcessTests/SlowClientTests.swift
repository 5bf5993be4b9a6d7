import Foundation
import Glibc
import Testing

/// Clients that do not read what they are sent.
@Suite("Clients that never read", .ownThread, .timeLimit(.minutes(2)))
struct SlowClientTests {
    /// Messages of 100 KB that nobody takes away: far more than any limit of one connection.
    private static let messages = 1_000
    private static let messageBytes = 100_000

    /// Bytes of RAM that a subscriber which never reads may cost: 1 MiB in flight, 64 MiB waiting, and 1 MiB or so
    /// in sockets.
    private static let residentBytesMax = 110 << 20

    @Test(
        "A subscriber that never reads costs bounded memory, and no other anything",
        arguments: [0, 1], ["plain/busy", "devices/busy/telemetry"])
    func subscriber(_ qos: UInt8, topic: String) throws {
        let hub = try HubProcess()
        let silent = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
        silent.send(MQTTPackets.connect("silent") + MQTTPackets.subscribe(topic, qos: qos))
        #expect(silent.receive(count: 9).count == 9)
        let reader = try RawSocket(port: hub.mqttPort)
        reader.send(MQTTPackets.connect("reader") + MQTTPackets.subscribe(topic, qos: 0))
        #expect(reader.receive(count: 9).count == 9)
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(MQTTPackets.connect("publisher"))
        #expect(publisher.receive(count: 4) == MQTTPackets.connackAccepted)
        let before = hub.residentBytes
        var slowest = 0.0
        for number in 1...Self.messages {
            let packet = MQTTPackets.publish(topic, Self.body(number), qos: 1, identifier: UInt16(number))
            let start = monotonicSeconds()
            publisher.send(packet)
            try #require(publisher.receive(count: 4) == MQTTPackets.puback(UInt16(number)))
            // The same, without a packet identifier: to be there means it was read in time.
            let got = reader.receive(count: packet.count - 2)
            try #require(got.count == packet.count - 2, "\(number): the reader got \(got.count) bytes")
            slowest = max(slowest, monotonicSeconds() - start)
        }
        let bytes = hub.residentBytes - before
        print("never reads: QoS \(qos), \(topic): \(bytes >> 20) MiB, slowest \(slowest) s")
        #expect(bytes < Self.residentBytesMax, "\(bytes >> 20) MiB more")
        #expect(slowest < 2, "a publisher waited \(slowest) s")
        let isCounted = try poll(seconds: 5) {
            try hub.status()["droppedForSubscribers"] as? Int ?? 0 > 0 ? true : nil
        }
        #expect(isCounted == true, "\(hub.text("/api/v1/status"))")
        #expect(hub.isRunning, "\(hub.transcript)")
    }

    @Test(
        "A subscriber that pings but never reads is cut off by its keep-alive", arguments: [0, 1] as [UInt8])
    func keepAlive(_ qos: UInt8) throws {
        let hub = try HubProcess()
        let silent = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
        silent.send(MQTTPackets.connect("silent", keepAlive: 2) + MQTTPackets.subscribe("busy", qos: qos))
        #expect(silent.receive(count: 9).count == 9)
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(MQTTPackets.connect("publisher"))
        #expect(publisher.receive(count: 4) == MQTTPackets.connackAccepted)
        let start = monotonicSeconds()
        var number = 0
        let isCut = try poll(seconds: 20) { () -> Bool? in
            number += 1
            silent.send(MQTTPackets.pingreq)
            publisher.send(MQTTPackets.publish("busy", Self.body(number)))
            return try hub.status()["keepAliveTimeouts"] as? Int == 1 ? true : nil
        }
        #expect(
            isCut == true, "still there after \(monotonicSeconds() - start) s: \(hub.text("/api/v1/status"))")
        let isGone = try poll(seconds: 10) { try hub.status()["connections"] as? Int == 1 ? true : nil }
        #expect(isGone == true, "its socket is never given back")
    }

    @Test("A subscriber that reads slowly is not cut off")
    func slowReader() throws {
        let hub = try HubProcess()
        let slow = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
        slow.send(MQTTPackets.connect("slow", keepAlive: 2) + MQTTPackets.subscribe("busy", qos: 0))
        #expect(slow.receive(count: 9).count == 9)
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(MQTTPackets.connect("publisher"))
        #expect(publisher.receive(count: 4) == MQTTPackets.connackAccepted)
        let end = monotonicSeconds() + 8
        var wasHeld = false
        var number = 0
        while monotonicSeconds() < end {
            number += 1
            publisher.send(MQTTPackets.publish("busy", Self.body(number)))
            slow.send(MQTTPackets.pingreq)
            // 40 KB ten times a second, and 1 MB and more waiting.
            #expect(!slow.receive(upTo: 40_000, seconds: 0.1).isEmpty)
            if try hub.status()["readsHeld"] as? Int == 1 { wasHeld = true }
        }
        #expect(wasHeld, "the hub never waited for it: nothing is tested here")
        #expect(try hub.status()["keepAliveTimeouts"] as? Int == 0)
        #expect(try hub.status()["connections"] as? Int == 2)
    }

    @Test("A publisher that never reads its acknowledgements is not read either, until it does")
    func publisher() throws {
        let hub = try HubProcess()
        let socket = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
        socket.send(MQTTPackets.connect("deaf"))
        #expect(socket.receive(count: 4) == MQTTPackets.connackAccepted)
        let before = hub.residentBytes
        let packet = MQTTPackets.publish("plain", "", qos: 1)
        let block = Array(repeatElement(packet, count: 5_000).joined())
        var sent = 0
        let end = monotonicSeconds() + 60
        while monotonicSeconds() < end {
            let count = socket.send(upTo: block, from: sent % block.count, seconds: 2)
            if count == 0 { break }
            sent += count
        }
        #expect(
            monotonicSeconds() < end, "\(sent / packet.count) publishes are read, and none of the answers is")
        #expect(try hub.status()["readsHeld"] as? Int == 1)
        let bytes = hub.residentBytes - before
        print("deaf publisher: \(sent / packet.count) publishes, \(bytes >> 20) MiB")
        #expect(bytes < 24 << 20, "\(bytes >> 20) MiB")
        // It reads now: everything comes, and the rest goes.
        let rest = Array(block[(sent % block.count)...])
        let missing = rest.count % packet.count
        socket.send(upTo: Array(rest[..<missing]), from: 0, seconds: 0)
        let answers = socket.receive(count: sent / packet.count * 4, seconds: 30)
        #expect(answers.count >= sent / packet.count * 4, "\(answers.count / 4) of \(sent / packet.count)")
        let isRead = try poll(seconds: 5) { try hub.status()["readsHeld"] as? Int == 0 ? true : nil }
        #expect(isRead == true)
    }

    @Test("Whoever subscribes to everything that is retained gets it, as fast as it reads and no faster")
    func retained() throws {
        let count = 20_000
        let hub = try HubProcess()
        let publisher = try RawSocket(port: hub.mqttPort)
        publisher.send(MQTTPackets.connect("publisher"))
        let filling = String(repeating: "x", count: 1_000)
        for start in stride(from: 0, to: count, by: 1_000) {
            publisher.send(
                (start..<start + 1_000).flatMap {
                    MQTTPackets.publish("kept/\(100_000 + $0)", filling, retain: true)
                })
        }
        publisher.send(MQTTPackets.pingreq)
        #expect(publisher.receive(count: 6, seconds: 20).count == 6)
        let before = hub.residentBytes
        let slow = try (0..<20).map { number in
            let socket = try RawSocket(port: hub.mqttPort, receiveBytes: 4_096)
            socket.send(MQTTPackets.connect("slow-\(number)") + MQTTPackets.subscribe("kept/#", qos: 0))
            return socket
        }
        // All twenty are subscribed, and 400 MB are theirs.
        let isSubscribed = try poll(seconds: 10) {
            try hub.status()["subscriptions"] as? Int == 20 ? true : nil
        }
        #expect(isSubscribed == true)
        #expect(slow[0].receive(count: 200_000).count >= 200_000)
        let bytes = hub.residentBytes - before
        print("retained: \(bytes >> 20) MiB for twenty slow subscribers")
        #expect(bytes < 80 << 20, "\(bytes >> 20) MiB for what twenty subscribers do not read")
        let reader = try RawSocket(port: hub.mqttPort)
        reader.send(MQTTPackets.connect("reader") + MQTTPackets.subscribe("kept/#", qos: 0))
        let packet = MQTTPackets.publish("kept/100000", filling).count
        let got = reader.receive(count: 9 + count * packet, seconds: 30)
        #expect(got.count == 9 + count * packet, "\((got.count - 9) / packet) of \(count)")
        #expect(try hub.status()["droppedForSubscribers"] as? Int == 0)
    }

    @Test("Many connections with a large packet each that never ends cost bounded memory")
    func unfinishedPackets() throws {
        let hub = try HubProcess()
        let before = hub.residentBytes
        // 16 MB and a little more are announced, 15 MB come.
        let beginning: [UInt8] = [0x30, 0x80, 0x80, 0xFF, 0x07]
        let part = beginning + [UInt8](repeating: 0, count: 15 << 20)
        var sockets: [RawSocket] = []
        var residentBytes = 0
        for number in 0..<40 {
            let socket = try RawSocket(port: hub.mqttPort)
            socket.send(MQTTPackets.connect("part-\(number)"))
            #expect(socket.receive(count: 4) == MQTTPackets.connackAccepted)
            socket.send(part)
            sockets.append(socket)
            residentBytes = max(residentBytes, hub.residentBytes - before)
        }
        print("unfinished packets: \(residentBytes >> 20) MiB")
        #expect(residentBytes < 600 << 20, "\(residentBytes >> 20) MiB")
        let status = try hub.status()
        #expect(try #require(status["partialsRefused"] as? Int) > 15, "\(status)")
        #expect(try #require(status["partialBytes"] as? Int) <= 256 << 20, "\(status)")
        let neighbour = try RawSocket(port: hub.mqttPort)
        neighbour.send(MQTTPackets.connect("n") + MQTTPackets.publish("devices/n/telemetry", "{}", qos: 1))
        #expect(neighbour.receive(count: 8) == MQTTPackets.connackAccepted + MQTTPackets.puback(1))
        sockets = []
        let isGiven = try poll(seconds: 10) { try hub.status()["partialBytes"] as? Int == 0 ? true : nil }
        #expect(isGiven == true, "\(hub.text("/api/v1/status"))")
    }

    private static func body(_ number: Int) -> [UInt8] {
        let text = #"{"id":"\#(number)","value":1,"text":""#
        return Array(text.utf8) + [UInt8](repeating: 0x78, count: messageBytes - text.utf8.count - 2)
            + Array(#""}"#.utf8)
    }
}
