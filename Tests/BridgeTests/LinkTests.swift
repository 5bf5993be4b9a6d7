import Bridge
import MQTTWire
import Testing

@Suite("The link of a bridge to its hub")
struct LinkTests {
    @Test(
        "The cursor moves over what is acknowledged at the front, whatever the order of the acknowledgements")
    func window() {
        var window = SendWindow(position: 5)
        window.sent(identifier: 1, nextPosition: 10)
        window.sent(identifier: 2, nextPosition: 20)
        window.sent(identifier: 0, nextPosition: 30)
        window.sent(identifier: 3, nextPosition: 40)
        #expect(window.acknowledged(2) == true)
        #expect(window.position == 5)
        #expect(window.count == 4)
        #expect(window.acknowledged(1) == true)
        #expect(window.position == 30)
        #expect(window.acknowledged(1) == false)
        #expect(window.acknowledged(0) == false)
        #expect(window.acknowledged(3) == true)
        #expect(window.position == 40)
        #expect(window.count == 0)
    }

    @Test("A long run of the window keeps its place and its size")
    func windowRuns() {
        var window = SendWindow(position: 0)
        for number in 1...10_000 {
            window.sent(identifier: Int32(number), nextPosition: UInt64(number))
            if number > 100 { #expect(window.acknowledged(Int32(number - 100)) == true) }
        }
        #expect(window.position == 9_900)
        #expect(window.count == 100)
    }

    @Test("Messages are written as a client's and owed until the hub answers; identifiers are never 0")
    func writes() throws {
        var writer = LinkWriter(packetBytesMax: 1_000)
        for _ in 0..<70_000 {
            #expect(
                writer.publish(topic: "t", payload: [7], qos: 1, retain: false, properties: Properties())
                    == true)
            writer.settle()
        }
        var reader = LinkReader()
        let packets = try reader.read(writer.take())
        let identifiers = packets.compactMap { packet in
            if case .publish(let publish) = packet { publish.packetIdentifier } else { nil }
        }
        #expect(identifiers.count == 70_000)
        #expect(!identifiers.contains(0))
        #expect(Set(identifiers).count == 65_535)
        #expect(writer.owed == 0)
    }

    @Test("A message at QoS 0 has no answer of its own, so a fence asks for one")
    func fence() throws {
        var writer = LinkWriter(packetBytesMax: 1_000)
        #expect(
            writer.publish(topic: "t", payload: [], qos: 0, retain: true, properties: Properties()) == true)
        #expect(writer.owed == 0)
        writer.fence()
        #expect(writer.owed == 1)
        var reader = LinkReader()
        let packets = try reader.read(writer.take())
        #expect(packets.count == 2)
        #expect(packets.last == .pingreq)
    }

    @Test(
        "What the hub would close the connection for is left out",
        arguments: ["", "a/+", "#", "a\u{0}b", String(repeating: "x", count: 65_536)])
    func refusesTopics(_ topic: String) {
        var writer = LinkWriter(packetBytesMax: 1 << 20)
        #expect(
            writer.publish(topic: topic, payload: [], qos: 1, retain: false, properties: Properties())
                == false)
        #expect(writer.owed == 0)
        #expect(writer.bytes.isEmpty)
    }

    @Test("A message over the hub's largest packet is left out, the others stay")
    func refusesLarge() throws {
        var writer = LinkWriter(packetBytesMax: 100)
        #expect(
            writer.publish(topic: "t", payload: [1], qos: 1, retain: false, properties: Properties()) == true)
        let large = [UInt8](repeating: 1, count: 100)
        #expect(
            writer.publish(topic: "t", payload: large, qos: 1, retain: false, properties: Properties())
                == false)
        var reader = LinkReader()
        #expect(try reader.read(writer.take()).count == 1)
        #expect(writer.owed == 1)
    }

    @Test("Packets are found in any pieces", arguments: [1, 2, 3, 7, 1_000])
    func pieces(_ size: Int) throws {
        var bytes: [UInt8] = []
        for number in 1...50 as ClosedRange<UInt16> {
            encodePacket(.puback(Acknowledgement(packetIdentifier: number)), version: .v5, into: &bytes)
            encodePacket(.pingresp, version: .v5, into: &bytes)
        }
        var reader = LinkReader()
        var count = 0
        for start in stride(from: 0, to: bytes.count, by: size) {
            count += try reader.read(Array(bytes[start..<min(start + size, bytes.count)])).count
        }
        #expect(count == 100)
    }
}
