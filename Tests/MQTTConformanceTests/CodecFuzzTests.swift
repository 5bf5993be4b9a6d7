import ConformanceKit
import MQTTBroker
import MQTTWire
import Testing

@testable import Hub

/// Any bytes at all: nothing traps, what is read is written again the same, and a neighbour notices nothing.
@Suite("Fuzzing the codec and connections with bytes")
struct CodecFuzzTests {
    /// Packets that clients send in the vectors, and those that the hub sends.
    private static let corpus = Result { () throws -> [[UInt8]] in
        let hub = try MemoryHub()
        for (index, vector) in try Vector.all().enumerated() {
            for version in vector.versions {
                try VectorRunner(host: hub, version: version, run: "f\(index)v\(version)").run(vector)
            }
        }
        let all = hub.heard + hub.sent.map(\.packet)
        return Array(Set(all.filter { $0.count < 400 })).sorted { $0.lexicographicallyPrecedes($1) }
    }

    private static func mutate(_ packet: [UInt8], _ corpus: [[UInt8]], _ random: inout FuzzRandom) -> [UInt8]
    {
        var bytes = packet
        for _ in 0..<(1 + random.below(4)) {
            let at = random.below(bytes.count)
            switch random.below(9) {
            case 0 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8(random.below(8))
            case 1 where !bytes.isEmpty: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
            case 3 where !bytes.isEmpty: bytes.remove(at: at)
            case 4 where !bytes.isEmpty: bytes.removeSubrange(at...)
            case 5: bytes = Array(bytes[..<at]) + random.element(corpus).suffix(random.below(20))
            case 6 where !bytes.isEmpty: bytes[at] = random.element([0, 1, 0x7F, 0x80, 0xFF])
            case 7 where bytes.count > 1: bytes[1] = UInt8(truncatingIfNeeded: bytes.count - 2)
            case 8: bytes += random.element(corpus)
            default: break
            }
        }
        if random.chance(2), bytes.count > 1, bytes.count < 130 { bytes[1] = UInt8(bytes.count - 2) }
        return bytes
    }

    @Test("The decoder reads or refuses any bytes; what it reads is written and read again the same")
    func codec() throws {
        let corpus = try Self.corpus.get()
        #expect(corpus.count > 300)
        var readCount = 0
        let seeds = FuzzSeeds.run(40) { seed in
            var random = FuzzRandom(seed: seed)
            for _ in 0..<400 {
                let bytes =
                    random.chance(10)
                    ? (0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                    : Self.mutate(random.element(corpus), corpus, &random)
                for version in [ProtocolVersion.v311, .v5] where Self.isStable(bytes, version, seed) {
                    readCount += 1
                }
            }
        }
        // Not everything is refused: the mutations are small enough to say something.
        #expect(readCount > 25 * seeds)
    }

    /// Reads a packet, and what it wrote of it again.
    /// - Returns: whether it was one.
    private static func isStable(_ bytes: [UInt8], _ version: ProtocolVersion, _ seed: UInt64) -> Bool {
        bytes.withUnsafeBytes { all -> Bool in
            guard case .frame(let offset, let count) = scanFrame(all, packetBytesMax: 1 << 20) else {
                return false
            }
            let body = UnsafeRawBufferPointer(rebasing: all[offset..<(offset + count)])
            if all[0] >> 4 == 3 { _ = try? PublishView(firstByte: all[0], body: body, version: version) }
            _ = connectVersion(body: body)
            guard let packet = try? decodePacket(firstByte: all[0], body: body, version: version) else {
                return false
            }
            var spoken = version
            if case .connect(let connect) = packet { spoken = connect.version }
            var again: [UInt8] = []
            encodePacket(packet, version: spoken, into: &again)
            let second = again.withUnsafeBytes { bytes -> ControlPacket? in
                guard case .frame(let offset, let count) = scanFrame(bytes, packetBytesMax: 1 << 20) else {
                    return nil
                }
                let body = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
                return try? decodePacket(firstByte: bytes[0], body: body, version: spoken)
            }
            #expect(second == packet, "seed \(seed): \(bytes)")
            return true
        }
    }

    @Test("Connections that send anything are served or closed, in whatever pieces, and leave nothing behind")
    func connections() throws {
        let corpus = try Self.corpus.get()
        _ = try FuzzSeeds.run(7) { seed in
            var random = FuzzRandom(seed: seed)
            let hub = try MemoryHub()
            let neighbour = try VectorNeighbour(hub)
            for round in 0..<25 {
                let socket = try hub.open()
                if !random.chance(8) {
                    socket.send(VectorNeighbour.connect("f\(round)", version: random.element([4, 5])))
                }
                for _ in 0..<random.below(12) {
                    var bytes = random.element(corpus)
                    if !random.chance(3) { bytes = Self.mutate(bytes, corpus, &random) }
                    // In one piece or in several.
                    while !bytes.isEmpty {
                        let count = random.chance(3) ? 1 + random.below(bytes.count) : bytes.count
                        socket.send(Array(bytes[..<count]))
                        bytes.removeFirst(count)
                    }
                    if random.chance(6) { hub.wait(seconds: Double(random.below(5))) }
                }
                _ = socket.receive()
                socket.drop()
                try neighbour.check("seed \(seed), round \(round)")
            }
            neighbour.leave()
            #expect(hub.loop.usage.connections == 0, "seed \(seed)")
            #expect(hub.loop.broker.counters.connected == 0, "seed \(seed)")
        }
    }
}

/// A client that publishes to itself while others misbehave.
final class VectorNeighbour {
    private let socket: any VectorSocket
    private let hub: MemoryHub
    private var next: UInt8 = 0

    init(_ hub: MemoryHub) throws {
        self.hub = hub
        socket = try hub.open()
        socket.send(Self.connect("the-neighbour-of-all", version: 4))
        #expect(socket.receive() == [0x20, 2, 0, 0])
        socket.send([0x82, 20, 0, 1, 0, 15] + Array("quiet-topic/n/x".utf8) + [0])
        #expect(socket.receive() == [0x90, 3, 0, 1, 0])
    }

    static func connect(_ identifier: String, version: UInt8) -> [UInt8] {
        var body: [UInt8] = [0, 4] + Array("MQTT".utf8) + [version, 2, 0, 0]
        if version == 5 { body.append(0) }
        body += [0, UInt8(identifier.utf8.count)] + Array(identifier.utf8)
        return [0x10, UInt8(body.count)] + body
    }

    func check(_ place: String) throws {
        next &+= 1
        _ = socket.receive()
        let publish = [0x30, 18, 0, 15] + Array("quiet-topic/n/x".utf8) + [next]
        socket.send(publish)
        #expect(socket.receive() == publish, "\(place)")
    }

    func leave() { socket.drop() }
}
