import DeviceQueue
import Foundation
import Platform
import Testing

@testable import Hub

/// A broker's loop and a thread of sockets with the bridge between them, where the test says who has a turn.
final class HopBench {
    /// A thread's turns.
    final class Turns: LoopExecutor, @unchecked Sendable {
        // Guard: one thread, the test's.
        var bodies: [@Sendable () -> Void] = []
        /// Times that the other side asked for a turn.
        var wakeUps = 0

        func execute(_ body: @escaping @Sendable () -> Void) {
            bodies.append(body)
            wakeUps += 1
        }
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

    /// A peer and its socket: what came to it, and what waits because the kernel takes no more.
    final class Peer: HopSocket {
        var received: [UInt8] = []
        var waiting: [UInt8] = []
        /// Bytes that the kernel takes from here on.
        var room = Int.max
        var isClosed = false
        var isAborted = false
        var resumes = 0
        var port: HopPort?

        func send(_ bytes: UnsafeRawBufferPointer) -> Int {
            let count = waiting.isEmpty ? min(room, bytes.count) : 0
            received += Array(bytes[..<count])
            waiting += Array(bytes[count...])
            if room != .max { room -= count }
            return count
        }

        func close() { isClosed = true }
        func abort() { isAborted = true }
        func resumeReading() { resumes += 1 }

        /// The kernel takes so many more.
        func take(_ byteCount: Int, _ bench: HopBench) {
            let count = min(byteCount, waiting.count)
            received += waiting[..<count]
            waiting.removeFirst(count)
            if let port { bench.bridge.sockets.sent(count, on: port) }
        }
    }

    let loopTurns = Turns()
    let socketTurns = Turns()
    let storage = Storage()
    let clock = Clock()
    let counters = HubCounters(startNonce: 1)
    let loop: BrokerLoop
    let bridge: HopBridge
    private let directory: URL

    init(_ hop: HopLimits = HopLimits(), _ change: (inout HubLimits) -> Void = { _ in }) throws {
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
            executor: loopTurns, queue: queue, storage: storage, clock: clock, limits: limits,
            counters: counters, seed: 1)
        bridge = HopBridge(from: socketTurns, to: loop, limits: hop)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    // MARK: Turns

    /// One turn of the broker's thread.
    func loopTurn() {
        let due = loopTurns.bodies
        loopTurns.bodies = []
        for body in due { body() }
        loop.endTurn()
    }

    /// One turn of the sockets' thread.
    func socketTurn() {
        let due = socketTurns.bodies
        socketTurns.bodies = []
        for body in due { body() }
        bridge.sockets.endTurn()
    }

    /// Turns until nobody has anything to do; the storage makes everything durable when it is asked to.
    func settle(isStorageWorking: Bool = true) {
        for _ in 0..<10_000 {
            socketTurn()
            loopTurn()
            if isStorageWorking, !storage.batches.isEmpty {
                let due = storage.batches
                storage.batches = []
                loop.complete(due)
                loopTurn()
            }
            let isDurable = !isStorageWorking || storage.batches.isEmpty
            if isDurable, loopTurns.bodies.isEmpty, socketTurns.bodies.isEmpty { return }
        }
        Issue.record("the two sides never come to rest")
    }

    // MARK: Peers

    func connect(_ name: String) -> Peer {
        let peer = open()
        let body = [0, 4] + Array("MQTT".utf8) + [4, 2, 0, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8)
        give(peer, [0x10, UInt8(body.count)] + body)
        return peer
    }

    func open() -> Peer {
        let peer = Peer()
        peer.port = bridge.sockets.opened(peer, from: ConnectionOrigin(listener: 7, certificateName: "me"))
        return peer
    }

    func give(_ peer: Peer, _ bytes: [UInt8]) {
        guard let port = peer.port else { return }
        bytes.withUnsafeBytes { bridge.sockets.received($0, on: port) }
    }

    /// The peer goes.
    func leave(_ peer: Peer) {
        if let port = peer.port { bridge.sockets.closed(port) }
        peer.port = nil
    }

    static func publish(
        _ topic: String, byteCount: Int, identifier: UInt16? = nil, fill: UInt8 = 0x31
    ) -> [UInt8] {
        let number = identifier.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
        let body =
            [0, UInt8(topic.utf8.count)] + Array(topic.utf8) + number
            + [UInt8](repeating: fill, count: byteCount)
        var head: [UInt8] = [identifier == nil ? 0x30 : 0x32]
        var length = body.count
        repeat {
            head.append(UInt8(length & 0x7F) | (length > 127 ? 0x80 : 0))
            length >>= 7
        } while length > 0
        return head + body
    }
}
