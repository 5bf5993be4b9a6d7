import ConformanceKit
import DeviceQueue
import Foundation
import MQTTWire
import Platform
import Testing

@testable import Hub

/// A hub without threads and sockets: codec, connections, broker and log, one turn after each input.
final class MemoryHub: VectorHost {
    private final class Turns: LoopExecutor, @unchecked Sendable {
        // Guard: one thread, the test's.
        var bodies: [@Sendable () -> Void] = []

        func execute(_ body: @escaping @Sendable () -> Void) { bodies.append(body) }
        func endTurnSoon() {}
    }

    private final class Storage: StorageInbox, @unchecked Sendable {
        // Guard: one thread, the test's.
        var batches: [IngestBatch] = []

        func submit(_ batch: IngestBatch) { batches.append(batch) }
        func requestTick() {}
    }

    fileprivate final class Clock: HubClock, @unchecked Sendable {
        // Guard: one thread, the test's.
        var nanoseconds: UInt64 = 1_000_000_000

        func wallTicks() -> Int64 { 17_000_000_000_000_000 + Int64(nanoseconds / 100) }
        func monotonicNanoseconds() -> UInt64 { nanoseconds }
    }

    /// A peer that takes all it gets.
    final class Socket: VectorSocket, ConnectionTransport {
        fileprivate let hub: MemoryHub
        fileprivate(set) var connection: Connection?
        private var pending: [UInt8] = []
        private var received: [UInt8] = []
        private var isEnded = false

        fileprivate init(hub: MemoryHub) { self.hub = hub }

        // The transport, as the hub sees it.
        func send(_ bytes: UnsafeRawBufferPointer) -> Int {
            received += Array(bytes)
            hub.note(Array(bytes), connection?.version ?? .v311)
            return bytes.count
        }

        func close() { isEnded = true }
        func abort() { isEnded = true }
        func resumeReading() {}

        // The client's end.
        func send(_ bytes: [UInt8]) {
            guard !isEnded, let connection else { return }
            pending += bytes
            hub.heard.append(bytes)
            let used = pending.withUnsafeBytes { connection.receive($0, now: hub.clock.nanoseconds) }
            pending.removeFirst(used)
            hub.settle()
        }

        func receive() -> [UInt8] {
            defer { received = [] }
            return received
        }

        func receiveUntilClosed() -> (bytes: [UInt8], isClosed: Bool) { (receive(), isEnded) }

        func drop() {
            guard !isEnded, let connection else { return }
            isEnded = true
            hub.loop.removeConnection(connection)
            hub.settle()
        }
    }

    /// What was received, send by send.
    var heard: [[UInt8]] = []
    /// The packets that connections were sent, one write being whole packets.
    var sent: [(version: ProtocolVersion, packet: [UInt8])] = []
    let loop: BrokerLoop
    let counters = HubCounters(startNonce: 1)
    private let turns = Turns()
    private let storage = Storage()
    fileprivate let clock = Clock()
    private let directory: URL
    private var writer: StorageWriter

    init(_ change: (inout HubLimits) -> Void = { _ in }) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "headend-\(UUID())")
        var limits = HubLimits()
        change(&limits)
        var queueLimits = QueueLimits()
        queueLimits.segmentBytes = 18 << 20
        queueLimits.dedupSlots = 1_024
        let queue = try DeviceQueue.open(
            directory: directory.path, files: PosixFileStore(), limits: queueLimits,
            nowTicks: clock.wallTicks())
        writer = StorageWriter(queue: queue)
        loop = BrokerLoop(
            executor: turns, queue: queue, storage: storage, clock: clock, limits: limits,
            counters: counters, seed: 1)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    func open() throws -> any VectorSocket {
        let socket = Socket(hub: self)
        let connection = try #require(loop.addConnection(now: clock.nanoseconds))
        connection.transport = socket
        socket.connection = connection
        return socket
    }

    func wait(seconds: Double) {
        clock.nanoseconds += UInt64(seconds * 1_000_000_000)
        loop.advance()
        settle()
    }

    /// A client of 5.0 that has connected.
    func connect(bytesMax: UInt32, wantsProblemInformation: Bool) throws -> Connection {
        let socket = try #require(try open() as? Socket)
        var packet = Connect()
        packet.clientIdentifier = "a"
        packet.properties.maximumPacketSize = bytesMax
        packet.properties.requestProblemInformation = wantsProblemInformation ? 1 : 0
        var bytes: [UInt8] = []
        encodePacket(.connect(packet), version: .v5, into: &bytes)
        socket.send(bytes)
        return try #require(socket.connection)
    }

    fileprivate func note(_ bytes: [UInt8], _ version: ProtocolVersion) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let scan = Array(rest).withUnsafeBytes { scanFrame($0, packetBytesMax: 1 << 28) }
            guard case .frame(let offset, let count) = scan else { return }
            sent.append((version, Array(rest.prefix(offset + count))))
            rest = rest.dropFirst(offset + count)
        }
    }

    /// Turns until nothing is left to do.
    fileprivate func settle() {
        repeat {
            loop.endTurn()
            let due = turns.bodies
            turns.bodies = []
            for body in due { body() }
            let batches = storage.batches
            storage.batches = []
            guard !batches.isEmpty else { continue }
            writer.take(batches, isTickWanted: false)
            guard let durable = try? writer.write(nowTicks: clock.wallTicks()) else { return }
            loop.complete(durable)
        } while !turns.bodies.isEmpty || !storage.batches.isEmpty
        loop.endTurn()
    }
}
