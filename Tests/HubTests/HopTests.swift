import Atomics
import FileStoreKit
import Testing

@testable import Hub

@Suite("The bridge between sockets and the broker's loop")
struct HopTests {
    private static let connack: [UInt8] = [0x20, 2, 0, 0]

    @Test("All that was read in a turn crosses in one hop, and all the answers come back in one")
    func oneHop() throws {
        let bench = try HopBench()
        let peers = (0..<50).map { bench.connect("c\($0)") }
        #expect(bench.loopTurns.wakeUps == 0, "nothing crosses within a turn")
        bench.socketTurn()
        #expect(bench.loopTurns.wakeUps == 1)
        bench.loopTurn()
        #expect(bench.socketTurns.wakeUps == 1)
        bench.socketTurn()
        #expect(peers.allSatisfy { $0.received == Self.connack })
        let origin = bench.loop.slots.compactMap { $0?.origin }.first
        #expect(origin == ConnectionOrigin(listener: 7, certificateName: "me"))
        #expect(bench.counters.connections.load(ordering: .relaxed) == 50)
        for peer in peers { bench.leave(peer) }
        bench.settle()
        #expect(bench.counters.connections.load(ordering: .relaxed) == 0)
        #expect(bench.bridge.sockets.portCount == 0)
    }

    @Test("Packets may be cut anywhere", arguments: [1, 2, 3, 7, 50, 4_096])
    func pieces(_ size: Int) throws {
        let bench = try HopBench()
        let peer = bench.connect("a")
        bench.settle()
        let bytes = (1...40).flatMap {
            HopBench.publish("t/\($0)", byteCount: $0 * 40, identifier: UInt16($0))
        }
        for at in stride(from: 0, to: bytes.count, by: size) {
            bench.give(peer, Array(bytes[at..<min(at + size, bytes.count)]))
            if at % (size * 16) == 0 { bench.socketTurn() }
            if at % (size * 48) == 0 { bench.loopTurn() }
        }
        bench.settle()
        #expect(peer.received == Self.connack + (1...40).flatMap { [0x40, 2, 0, UInt8($0)] })
    }

    @Test("Whom the storage holds is read up to a limit, then no more, and loses nothing")
    func held() throws {
        let bench = try HopBench {
            $0.stagedBytesMax = 100_000
            $0.stagingBatchBytes = 40_000
        }
        let peer = bench.connect("p")
        bench.settle()
        let port = try #require(peer.port)
        var sent: UInt16 = 0
        while bench.bridge.sockets.mayRead(port), sent < 2_000 {
            sent += 1
            bench.give(
                peer,
                HopBench.publish("devices/p/telemetry", byteCount: 1_000, identifier: sent, fill: 0x32))
            bench.settle(isStorageWorking: false)
        }
        #expect(sent > 120 && sent < 260, "\(sent): what is staged, and 64 KiB on the way")
        #expect(peer.received == Self.connack)
        let other = bench.connect("o")
        bench.settle(isStorageWorking: false)
        #expect(other.received == Self.connack, "others are heard")
        bench.settle()
        #expect(bench.bridge.sockets.mayRead(port))
        #expect(peer.resumes == 1)
        #expect(
            peer.received
                == Self.connack + (1...sent).flatMap { [0x40, 2, UInt8($0 >> 8), UInt8($0 & 0xFF)] })
    }

    @Test("A peer that takes nothing has so many bytes at its socket and no more, and gets all when it reads")
    func slowPeer() throws {
        let bench = try HopBench()
        let reader = bench.connect("r")
        let writer = bench.connect("w")
        bench.settle()
        bench.give(reader, [0x82, 6, 0, 9, 0, 1, 0x74, 0])
        bench.settle()
        #expect(reader.received == Self.connack + [0x90, 3, 0, 9, 0])
        reader.received = []
        reader.room = 10_000
        var expected: [UInt8] = []
        for number in 1...100 {
            let packet = HopBench.publish("t", byteCount: 3_000, fill: UInt8(number))
            expected += packet
            bench.give(writer, packet)
            bench.settle()
        }
        #expect(reader.received.count == 10_000)
        #expect(reader.waiting.count <= 64 << 10, "at the socket: \(reader.waiting.count)")
        while reader.received.count < expected.count {
            let before = reader.received.count
            reader.take(50_000, bench)
            if reader.waiting.isEmpty { reader.room = .max }
            bench.settle()
            guard reader.received.count > before else { break }
        }
        #expect(reader.received == expected)
    }

    @Test("What all have on the way is bounded, and everybody goes on when it has arrived")
    func transit() throws {
        var limits = HopLimits()
        limits.transitBytesMax = 100_000
        let bench = try HopBench(limits)
        let peers = (0..<20).map { bench.connect("c\($0)") }
        bench.settle()
        let packet = HopBench.publish("t", byteCount: 30_000)
        var readers = 0
        for peer in peers {
            guard let port = peer.port, bench.bridge.sockets.mayRead(port) else { continue }
            readers += 1
            bench.give(peer, packet)
        }
        #expect(readers == 4)
        bench.settle()
        #expect(peers.reduce(0) { $0 + $1.resumes } == 16)
        #expect(peers.allSatisfy { $0.port.map { bench.bridge.sockets.mayRead($0) } ?? false })
    }

    @Test("What comes late for an earlier connection never reaches the one that has its place")
    func generations() throws {
        let bench = try HopBench()
        let first = bench.connect("a")
        bench.settle()
        // The broker ends it (a second CONNECT), while its bytes and its peer's end are on the way.
        bench.give(first, [0x10, 0])
        bench.socketTurn()
        bench.loopTurn()
        bench.give(first, [0xC0, 0])
        bench.leave(first)
        let second = bench.connect("b")
        bench.settle()
        #expect(!first.isClosed && !first.isAborted, "it was gone by then")
        #expect(second.received == Self.connack)
        #expect(!second.isClosed)
        bench.give(second, [0xC0, 0])
        bench.settle()
        #expect(second.received == Self.connack + [0xD0, 0])
        #expect(bench.counters.connections.load(ordering: .relaxed) == 1)
    }

    @Test("Above the limit of connections a socket is ended at once")
    func turnedAway() throws {
        let bench = try HopBench { $0.connections = 1 }
        let first = bench.connect("a")
        let second = bench.connect("b")
        bench.settle()
        #expect(first.received == Self.connack)
        #expect(second.isAborted && second.received.isEmpty)
        #expect(bench.bridge.sockets.portCount == 1)
    }

    @Test("The last answer is in front of the end")
    func lastWord() throws {
        let bench = try HopBench()
        let peer = bench.connect("a")
        bench.settle()
        bench.give(peer, HopBench.publish("t", byteCount: 10, identifier: 5) + [0xE0, 0])
        bench.settle()
        #expect(peer.received == Self.connack + [0x40, 2, 0, 5])
        #expect(peer.isClosed)
    }
}

/// Turns in any order, reads of any size, kernels that take what they like, peers that go: every peer gets exactly
/// its own answers, in order.
@Suite("The bridge under chance")
struct HopChanceTests {
    private struct Client {
        let peer: HopBench.Peer
        var rest: [UInt8]
        var count: Int
    }

    @Test("Nothing is lost, doubled or mixed up", arguments: 1...30 as ClosedRange<UInt64>)
    func chance(_ seed: UInt64) throws {
        var random = SplitMix(state: seed)
        var limits = HopLimits()
        limits.receivedBytesMax = 200 + random.below(2_000)
        limits.sentBytesMax = 8 + random.below(300)
        limits.transitBytesMax = 1_000 + random.below(10_000)
        let bench = try HopBench(limits) { $0.stagedBytesMax = 20_000 }
        var clients: [Client] = []
        for step in 0..<4_000 {
            switch random.below(8) {
            case 0 where clients.count < 12 && step < 3_000:
                let peer = bench.connect("c\(step)")
                peer.room = 0
                let count = 1 + random.below(60)
                let topic = random.below(2) == 0 ? "devices/d/telemetry" : "t"
                let bytes = (1...count).flatMap {
                    HopBench.publish(topic, byteCount: 10 + random.below(400), identifier: UInt16($0))
                }
                clients.append(Client(peer: peer, rest: bytes, count: count))
            case 1 where !clients.isEmpty && random.below(40) == 0:
                bench.leave(clients.remove(at: random.below(clients.count)).peer)
            case 2: bench.loopTurn()
            case 3: bench.socketTurn()
            case 4:
                let due = bench.storage.batches
                bench.storage.batches = []
                bench.loop.complete(due)
            case 5 where !clients.isEmpty:
                clients[random.below(clients.count)].peer.take(random.below(40), bench)
            default:
                guard !clients.isEmpty else { continue }
                let index = random.below(clients.count)
                guard let port = clients[index].peer.port, bench.bridge.sockets.mayRead(port) else {
                    continue
                }
                let count = min(clients[index].rest.count, random.below(1_500))
                bench.give(clients[index].peer, Array(clients[index].rest[..<count]))
                clients[index].rest.removeFirst(count)
            }
        }
        // The rest goes the straight way.
        for _ in 0..<2_000 where clients.contains(where: { !Self.isDone($0) }) {
            for index in clients.indices {
                clients[index].peer.take(.max, bench)
                guard let port = clients[index].peer.port, bench.bridge.sockets.mayRead(port) else {
                    continue
                }
                bench.give(clients[index].peer, clients[index].rest)
                clients[index].rest = []
            }
            bench.settle()
        }
        for client in clients {
            let answers = (1...client.count).flatMap { [0x40, 2, 0, UInt8($0)] as [UInt8] }
            #expect(client.peer.received.starts(with: [0x20, 2, 0, 0]))
            #expect(Array(client.peer.received.dropFirst(4)) == answers, "seed \(seed)")
            bench.leave(client.peer)
        }
        bench.settle()
        #expect(bench.counters.connections.load(ordering: .relaxed) == 0)
        #expect(bench.bridge.sockets.portCount == 0)
        #expect(bench.loop.partialBytes == 0)
    }

    private static func isDone(_ client: Client) -> Bool {
        client.rest.isEmpty && client.peer.waiting.isEmpty
            && client.peer.received.count == 4 + 4 * client.count
    }

    private struct SplitMix {
        var state: UInt64

        mutating func below(_ end: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((word ^ (word >> 31)) % UInt64(end))
        }
    }
}
