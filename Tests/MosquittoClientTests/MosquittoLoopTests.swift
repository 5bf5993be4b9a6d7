import MosquittoClient
import Platform
import Testing

@Suite("The loop that drives clients", .timeLimit(.minutes(1)))
struct MosquittoLoopTests {
    @Test("Work from other threads runs in order on the loop's thread, all of it before stop returns")
    func commands() throws {
        let loop = try MosquittoLoop()
        let ran = Inbox<Int>()
        for index in 0..<10_000 {
            loop.perform { [weak loop] in if loop?.isCurrent == true { ran.append(index) } }
        }
        loop.stop()
        #expect(ran.all == Array(0..<10_000))
        #expect(!loop.perform {})
        loop.stop()
    }

    @Test("A full mailbox slows the sender and loses nothing")
    func fullMailbox() throws {
        var limits = MosquittoLoop.Limits()
        limits.commandsMax = 3
        let loop = try MosquittoLoop(limits: limits)
        let ran = Inbox<Int>()
        for index in 0..<1_000 {
            loop.perform {
                // From the loop's own thread the limit does not hold: waiting there would be for ever.
                loop.perform { ran.append(index) }
            }
        }
        #expect(ran.wait(count: 1_000).count == 1_000)
        loop.stop()
    }

    @Test("Timers run by deadline, equal ones in the order they were set, cancelled ones never")
    func timers() throws {
        let loop = try MosquittoLoop()
        defer { loop.stop() }
        let ran = Inbox<Int>()
        loop.perform {
            let start = loop.now
            var cancelled: [MosquittoLoop.TimerID] = []
            for index in (0..<200).reversed() {
                // Ten to a deadline; set backwards, so the order is the heap's doing.
                let timer = loop.schedule(at: start + UInt64(index / 10) * 1_000_000) { ran.append(index) }
                if index % 3 == 0 { cancelled.append(timer) }
            }
            for timer in cancelled { loop.cancel(timer) }
        }
        let expected = (0..<20).flatMap { group in (0..<10).reversed().map { group * 10 + $0 } }
            .filter { $0 % 3 != 0 }
        #expect(ran.wait(count: expected.count) == expected)
    }

    @Test("A timer does not run before its time")
    func delay() throws {
        let loop = try MosquittoLoop()
        defer { loop.stop() }
        let waited = Inbox<UInt64>()
        loop.perform {
            let start = loop.now
            loop.schedule(after: .milliseconds(30)) { waited.append(loop.now - start) }
        }
        #expect(waited.wait(count: 1).allSatisfy { $0 >= 30_000_000 })
        #expect(waited.all.count == 1)
    }

    @Test("What was unacknowledged is sent again before anything new, in its order")
    func resendOrder() throws {
        // The first connection takes twenty publishes and acknowledges none; the second acknowledges all.
        let seen = Inbox<Int>()
        let peer = try FakePeer { packet in
            switch packet.firstByte >> 4 {
            case 1: return .bytes([0x20, 2, 0, 0])
            case 3:
                if packet.connection == 0 {
                    seen.append(1)
                    return seen.all.count == 20 ? .close([]) : .nothing
                }
                return .bytes([0x40, 2] + packet.identifier)
            default: return .nothing
            }
        }
        let loop = try MosquittoLoop()
        let client = try MosquittoClient(loop: loop, identifier: "device", cleanStart: false, version: .v311)
        client.reconnects = true
        client.backoff = MosquittoBackoff(initial: .milliseconds(10))
        let connections = Inbox<Int>()
        let acknowledged = Inbox<Int32>()
        client.onConnect = { [weak client] _, _ in
            let first = connections.all.isEmpty
            connections.append(1)
            for index in first ? 0..<20 : 20..<25 {
                _ = try? client?.publish(topic: "\(index)", payload: [1])
            }
        }
        client.onPublished = { identifier, _ in acknowledged.append(identifier) }
        loop.perform { _ = try? client.connect(host: "127.0.0.1", port: peer.port) }
        #expect(acknowledged.wait(count: 25).count == 25)
        let topics = peer.packets.all.filter { $0.firstByte >> 4 == 3 }
        #expect(topics.filter { $0.connection == 0 }.map(\.topic) == (0..<20).map(String.init))
        #expect(topics.filter { $0.connection == 1 }.map(\.topic) == (0..<25).map(String.init))
        loop.perform { client.disconnect() }
        loop.stop()
        peer.stop()
    }

    @Test("A peer that sends garbage is an error, and the last release inside a callback is safe")
    func garbage() throws {
        let peer = try FakePeer { _ in .bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) }
        let loop = try MosquittoLoop()
        let owner = Owner()
        let errors = Inbox<String>()
        loop.perform {
            owner.client = try? MosquittoClient(loop: loop, identifier: "device")
            owner.client?.onDisconnect = { error in
                owner.client = nil
                errors.append(error?.description ?? "none")
            }
            _ = try? owner.client?.connect(host: "127.0.0.1", port: peer.port)
        }
        #expect(errors.wait(count: 1).first?.hasPrefix("cannot connect to 127.0.0.1:\(peer.port): ") == true)
        loop.stop()
        peer.stop()
    }

    @Test("Waits double up to the maximum, and jitter cuts each by at most a half")
    func backoff() {
        let plain = MosquittoBackoff()
        #expect((0..<7).map { plain.delay(attempt: $0) } == [1, 2, 4, 8, 16, 30, 30].map { .seconds($0) })
        #expect(plain.delay(attempt: .max) == .seconds(30))
        let spread = MosquittoBackoff(jitter: 0.7)
        for attempt in 0..<20 {
            let delay = spread.delay(attempt: attempt)
            let full = plain.delay(attempt: attempt)
            #expect(delay <= full)
            #expect(delay >= full / 2)
        }
        #expect(Set((5..<10).map { spread.delay(attempt: $0) }).count == 5)
    }
}

/// `@unchecked Sendable`: touched on the loop's thread only.
private final class Owner: @unchecked Sendable { var client: MosquittoClient? }
