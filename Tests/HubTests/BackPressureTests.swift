import Atomics
import DeviceQueue
import Foundation
import Platform
import Testing

@testable import Hub

/// The broker loop without threads and sockets: what is read when the storage does not follow.
@Suite("Back-pressure")
struct BackPressureTests {
    /// A loop whose turns, storage and time are the test's.
    final class Bench {
        final class Turns: LoopExecutor, @unchecked Sendable {
            // Guard: one thread, the test's.
            var bodies: [@Sendable () -> Void] = []

            func execute(_ body: @escaping @Sendable () -> Void) { bodies.append(body) }
            func endTurnSoon() {}
        }

        final class Storage: StorageInbox, @unchecked Sendable {
            // Guard: one thread, the test's.
            var batches: [IngestBatch] = []

            func submit(_ batch: IngestBatch) { batches.append(batch) }
            func requestTick() {}
        }

        final class Clock: HubClock, @unchecked Sendable {
            // Guard: one thread, the test's.
            var nanoseconds: UInt64 = 1_000_000_000

            func wallTicks() -> Int64 { 17_000_000_000_000_000 + Int64(nanoseconds / 100) }
            func monotonicNanoseconds() -> UInt64 { nanoseconds }
        }

        /// A peer: what it got, and whether it is asked for more.
        final class Peer: ConnectionTransport {
            var received: [UInt8] = []
            var isResumed = false
            var isEnded = false
            /// Takes nothing while false.
            var takes = true

            func send(_ bytes: UnsafeRawBufferPointer) -> Int {
                guard takes else { return 0 }
                received += Array(bytes)
                return bytes.count
            }

            func close() { isEnded = true }
            func abort() { isEnded = true }
            func resumeReading() { isResumed = true }
        }

        let turns = Turns()
        let storage = Storage()
        let clock = Clock()
        let counters = HubCounters(startNonce: 1)
        let loop: BrokerLoop
        private let directory: URL

        init(_ change: (inout HubLimits) -> Void) throws {
            directory = FileManager.default.temporaryDirectory.appending(path: "headend-\(UUID())")
            var limits = HubLimits()
            change(&limits)
            var queueLimits = QueueLimits()
            queueLimits.segmentBytes = 18 << 20
            queueLimits.dedupSlots = 1_024
            let queue = try DeviceQueue.open(
                directory: directory.path, files: PosixFileStore(), limits: queueLimits,
                nowTicks: clock.wallTicks())
            loop = BrokerLoop(
                executor: turns, queue: queue, storage: storage, clock: clock, limits: limits,
                counters: counters, seed: 1)
        }

        deinit { try? FileManager.default.removeItem(at: directory) }

        func client(_ name: String, keepAlive: UInt8 = 0) throws -> (connection: Connection, peer: Peer) {
            let connection = try #require(loop.addConnection(now: clock.nanoseconds))
            let peer = Peer()
            connection.transport = peer
            let body = [0, 4] + Array("MQTT".utf8) + [4, 2, 0, keepAlive, 0, UInt8(name.utf8.count)]
            give(connection, [0x10, UInt8(body.count + name.utf8.count)] + body + Array(name.utf8))
            loop.endTurn()
            #expect(peer.received == [0x20, 2, 0, 0])
            return (connection, peer)
        }

        func give(_ connection: Connection, _ bytes: [UInt8]) {
            _ = bytes.withUnsafeBytes { connection.receive($0, now: clock.nanoseconds) }
        }

        func publish(_ connection: Connection, _ topic: String, byteCount: Int) {
            let payload = [UInt8](repeating: 0x31, count: byteCount)
            let body = [0, UInt8(topic.utf8.count)] + Array(topic.utf8) + payload
            var head: [UInt8] = [0x30]
            var length = body.count
            repeat {
                head.append(UInt8(length & 0x7F) | (length > 127 ? 0x80 : 0))
                length >>= 7
            } while length > 0
            give(connection, head + body)
        }

        /// Everything that waits is durable.
        func complete() {
            while !storage.batches.isEmpty {
                let batches = storage.batches
                storage.batches = []
                loop.complete(batches)
                loop.endTurn()
            }
        }

        /// One turn: what was handed in before it.
        func turn() {
            let due = turns.bodies
            turns.bodies = []
            for body in due { body() }
            loop.endTurn()
        }
    }

    @Test(
        "A storage that is behind holds publishers of telemetry and nobody else, and none of them times out")
    func held() throws {
        let bench = try Bench { $0.stagedBytesMax = 1_000_000 }
        let (publisher, peer) = try bench.client("p", keepAlive: 10)
        let (other, otherPeer) = try bench.client("o")
        bench.publish(publisher, "devices/p/telemetry", byteCount: 1_100_000)
        bench.loop.endTurn()
        #expect(bench.counters.pauses.load(ordering: .relaxed) == 1)
        #expect(!bench.loop.mayRead(publisher))
        #expect(bench.loop.mayRead(other))
        bench.give(other, [0xC0, 0])
        bench.loop.endTurn()
        #expect(otherPeer.received.suffix(2) == [0xD0, 0])

        bench.clock.nanoseconds += 3_600_000_000_000
        bench.loop.advance()
        #expect(!peer.isEnded, "the hub did not read it: it was not silent")
        #expect(bench.counters.loopGauges.readsHeld == 1)
        bench.complete()
        #expect(peer.isResumed)
        #expect(bench.loop.mayRead(publisher))
        bench.loop.advance()
        #expect(!peer.isEnded, "its silence begins now")
        bench.clock.nanoseconds += 15_300_000_000
        bench.loop.advance()
        #expect(peer.isEnded)
    }

    @Test("At twice the limit everybody is held, strangers too, and nobody times out")
    func everybody() throws {
        let bench = try Bench { $0.stagedBytesMax = 1_000_000 }
        let (publisher, _) = try bench.client("p")
        let (other, otherPeer) = try bench.client("o", keepAlive: 10)
        let stranger = try #require(bench.loop.addConnection(now: bench.clock.nanoseconds))
        let strangerPeer = Bench.Peer()
        stranger.transport = strangerPeer
        bench.publish(publisher, "devices/p/telemetry", byteCount: 2_200_000)
        bench.loop.endTurn()
        #expect(!bench.loop.mayRead(other))
        #expect(!bench.loop.mayRead(stranger))
        bench.clock.nanoseconds += 3_600_000_000_000
        bench.loop.advance()
        #expect(!otherPeer.isEnded)
        #expect(!strangerPeer.isEnded)
        bench.complete()
        #expect(otherPeer.isResumed)
        #expect(strangerPeer.isResumed)
    }

    @Test(
        "After a stall connections go on some a turn, the longest held first, and those that left are forgotten"
    )
    func herd() throws {
        let bench = try Bench {
            $0.stagedBytesMax = 1_000_000
            $0.resumedConnections = 3
        }
        let clients = try (0..<10).map { try bench.client("c\($0)") }
        for (connection, _) in clients {
            bench.publish(connection, "devices/c/telemetry", byteCount: 150_000)
        }
        bench.loop.endTurn()
        for (connection, _) in clients { #expect(!bench.loop.mayRead(connection)) }
        bench.loop.removeConnection(clients[1].connection)
        bench.complete()
        #expect(clients.map(\.peer.isResumed) == [true, false, true] + [Bool](repeating: false, count: 7))
        bench.turn()
        #expect(clients.count { $0.peer.isResumed } == 5)
        // Behind again: those that still wait go on waiting, in their place.
        bench.publish(clients[0].connection, "devices/c/telemetry", byteCount: 1_100_000)
        bench.loop.endTurn()
        bench.turn()
        #expect(clients.count { $0.peer.isResumed } == 5)
        bench.complete()
        bench.turn()
        #expect(clients.count { $0.peer.isResumed } == 9)
        #expect(bench.loop.heldReads.isEmpty)
        #expect(bench.loop.abandonedHolds == 0)
    }

    @Test("Clients that come and go during a stall leave nothing behind")
    func comeAndGo() throws {
        let bench = try Bench { $0.stagedBytesMax = 1_000_000 }
        let (publisher, _) = try bench.client("p")
        bench.publish(publisher, "devices/p/telemetry", byteCount: 2_200_000)
        bench.loop.endTurn()
        for _ in 0..<10_000 {
            let connection = try #require(bench.loop.addConnection(now: bench.clock.nanoseconds))
            #expect(!bench.loop.mayRead(connection))
            bench.loop.removeConnection(connection)
        }
        #expect(bench.loop.heldReads.count < 3_000)
        bench.complete()
        while !bench.turns.bodies.isEmpty { bench.turn() }
        #expect(bench.loop.heldReads.isEmpty)
    }

    @Test("A peer that takes nothing is not read, and its keep-alive runs; one that takes a little lives on")
    func output() throws {
        let bench = try Bench { $0.outputBytesMax = 10_000 }
        let (reader, peer) = try bench.client("r", keepAlive: 10)
        bench.give(reader, [0x82, 6, 0, 1, 0, 1, 0x74, 0])
        let (publisher, _) = try bench.client("p")
        bench.loop.endTurn()
        peer.takes = false
        bench.publish(publisher, "t", byteCount: 11_000)
        bench.loop.endTurn()
        #expect(!bench.loop.mayRead(reader))
        #expect(bench.loop.mayRead(publisher))
        for _ in 0..<10 {
            bench.clock.nanoseconds += 10_000_000_000
            bench.loop.canSend(reader)
            bench.loop.advance()
            #expect(!peer.isEnded)
        }
        bench.clock.nanoseconds += 15_300_000_000
        bench.loop.advance()
        #expect(reader.phase == .closing)
        #expect(bench.counters.keepAliveTimeouts.load(ordering: .relaxed) == 1)
    }

    @Test("Unfinished packets are bounded over all connections: who goes above the bound is refused")
    func partials() throws {
        let bench = try Bench { $0.partialBytesMax = 100_000 }
        let clients = try (0..<4).map { try bench.client("c\($0)") }
        let part = [0x30, 0xFF, 0xFF, 0x7F] + [UInt8](repeating: 0, count: 30_000)
        for (connection, _) in clients { bench.give(connection, part) }
        #expect(clients.map { $0.connection.phase == .closing } == [false, false, false, true])
        #expect(bench.counters.partialsRefused.load(ordering: .relaxed) == 1)
        #expect(bench.loop.partialBytes == 3 * 30_004)
        bench.loop.removeConnection(clients[0].connection)
        #expect(bench.loop.partialBytes == 2 * 30_004)
        bench.give(clients[1].connection, [0xC0, 0])
        #expect(bench.loop.partialBytes == 30_004, "a whole packet leaves nothing")
    }
}
