import BrokerJournal
import FileStoreKit
import MQTTBroker
import MQTTWire
import Platform
import Testing

@testable import Hub

/// Two listeners of one hub with limits of their own: each client hears and meets those of the door it came in by.
@Suite("Limits of a listener's clients")
struct ListenerLimitTests {
    private final class Peer: ConnectionTransport {
        var received: [UInt8] = []
        var isEnded = false

        func send(_ bytes: UnsafeRawBufferPointer) -> Int {
            received += Array(bytes)
            return bytes.count
        }
        func close() { isEnded = true }
        func abort() { isEnded = true }
        func resumeReading() {}
    }

    private struct Client {
        let life: HubLife
        let connection: Connection
        let peer = Peer()

        /// - Parameter listener: 0 is the hub's own limits, 1 the small ones.
        init(_ life: HubLife, listener: UInt16, _ name: String) throws {
            self.life = life
            connection = try #require(
                life.loop.addConnection(now: 1, from: ConnectionOrigin(listener: listener)))
            connection.transport = peer
            var packet = Connect()
            packet.clientIdentifier = name
            send(.connect(packet))
        }

        func send(_ packet: ControlPacket) {
            var bytes: [UInt8] = []
            encodePacket(packet, version: .v5, into: &bytes)
            _ = bytes.withUnsafeBytes { connection.receive($0, now: 1) }
        }

        func publish(_ topic: String, id: UInt16, bytes: Int = 2) {
            var publish = Publish(topic: topic, payload: [UInt8](repeating: 0x20, count: bytes))
            publish.qos = .exactlyOnce
            publish.packetIdentifier = id
            send(.publish(publish))
        }

        /// What came since the last time.
        func packets() throws -> [ControlPacket] {
            try life.settle()
            let bytes = peer.received
            peer.received = []
            var packets: [ControlPacket] = []
            try bytes.withUnsafeBytes { buffer in
                var at = 0
                while at < buffer.count {
                    let rest = UnsafeRawBufferPointer(rebasing: buffer[at...])
                    guard case .frame(let offset, let count) = scanFrame(rest, packetBytesMax: 1 << 20) else {
                        return
                    }
                    let body = UnsafeRawBufferPointer(rebasing: rest[offset..<(offset + count)])
                    packets.append(try decodePacket(firstByte: rest[0], body: body, version: .v5))
                    at += offset + count
                }
            }
            return packets
        }

        /// The reason of the DISCONNECT among the packets.
        func end() throws -> ReasonCode? {
            for case .disconnect(let packet) in try packets() { return packet.reason }
            return nil
        }

        func properties() throws -> Properties {
            for case .connack(let packet) in try packets() { return packet.properties }
            return Properties()
        }
    }

    private func life() throws -> HubLife {
        let life = try HubLife(
            MemoryFileStore(), clock: HubLife.Clock(), journalLimits: JournalLimits(), limits: HubLimits())
        let own = ClientLimits(BrokerLimits())
        var small = own
        small.packetBytesMax = 2_000
        small.receiveMaximum = 3
        small.topicLevels = 4
        life.loop.use([ListenerLimits(), ListenerLimits()], clients: [own, small])
        return life
    }

    @Test("CONNACK announces them, and a larger packet ends the connection by 0x95")
    func announced() throws {
        let life = try life()
        let large = try Client(life, listener: 0, "large")
        let small = try Client(life, listener: 1, "small")
        #expect(try large.properties().maximumPacketSize == 16 << 20)
        let announced = try small.properties()
        #expect(announced.maximumPacketSize == 2_000)
        #expect(announced.receiveMaximum == 3)
        for client in [large, small] { client.publish("x", id: 1, bytes: 2_000) }
        #expect(try large.end() == nil)
        #expect(try small.end() == .packetTooLarge)
    }

    @Test("Readings too: more unfinished ones at QoS 2 than announced end the connection by 0x93")
    func receiveMaximum() throws {
        let life = try life()
        let large = try Client(life, listener: 0, "large")
        let small = try Client(life, listener: 1, "small")
        for client in [large, small] {
            for id in 1...3 as ClosedRange<UInt16> {
                client.publish("devices/d/telemetry", id: id)
                // The same one again is none more.
                client.publish("devices/d/telemetry", id: id)
            }
            #expect(try client.end() == nil)
            client.publish("devices/d/telemetry", id: 4)
        }
        #expect(try large.end() == nil)
        #expect(try small.end() == .receiveMaximumExceeded)
    }

    @Test("A topic deeper than the listener allows ends the connection by 0x90, a reading's as well")
    func levels() throws {
        let life = try life()
        for (listener, expected) in [(UInt16(0), nil), (1, .topicNameInvalid)] as [(UInt16, ReasonCode?)] {
            for (index, topic) in ["devices/d/messages/events/x=1", "a/b/c/d/e"].enumerated() {
                let client = try Client(life, listener: listener, "c\(listener)\(index)")
                client.publish("a/b/c/d", id: 1)
                #expect(try client.end() == nil)
                client.publish(topic, id: 2)
                #expect(try client.end() == expected, "\(topic)")
            }
        }
    }
}
