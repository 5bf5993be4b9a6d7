import Foundation
import MosquittoClient
import Platform
import ResultSink
import Testing

/// A directory for the cursor, a loop, an outbox, and the sinks made on them.
private final class Bench {
    let loop: MosquittoLoop
    let outbox = MemoryOutbox()
    let lines = Inbox<String>()
    let directory: URL
    var limits = DownstreamSink.Limits()

    init() throws {
        loop = try MosquittoLoop()
        directory = FileManager.default.temporaryDirectory.appending(path: "downstream-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        limits.backoff = MosquittoBackoff(initial: .milliseconds(20), maximum: .milliseconds(100))
        limits.retryPeriod = .milliseconds(50)
    }

    deinit {
        loop.stop()
        try? FileManager.default.removeItem(at: directory)
    }

    var cursorPath: String { directory.appending(path: "downstream.cursor").path }

    func sink(_ url: String, retain: Bool = false) throws -> DownstreamSink {
        try DownstreamSink(
            url: MosquittoURL(url), clientIdentifier: "hub", outbox: outbox, cursorPath: cursorPath,
            files: PosixFileStore(), loop: loop, log: { [lines] in lines.append($0) }, retain: retain,
            limits: limits)
    }

    /// A subscriber that comes back after the broker does, and what it got.
    func subscriber(_ port: UInt16, _ filter: String) throws -> (
        client: MosquittoClient, inbox: Inbox<MosquittoMessage>
    ) {
        let inbox = Inbox<MosquittoMessage>()
        let ready = Inbox<Bool>()
        let client = try MosquittoClient(loop: loop, identifier: "subscriber")
        client.reconnects = true
        client.backoff = limits.backoff
        client.onMessage = { inbox.append($0) }
        client.onSubscribed = { _, _ in ready.append(true) }
        client.onConnect = { [weak client] _, _ in _ = try? client?.subscribe(filter) }
        loop.perform { _ = try? client.connect(host: "127.0.0.1", port: port) }
        ready.wait(count: 1)
        return (client, inbox)
    }

    /// Waits until the counters satisfy the condition, at most twenty seconds.
    func wait(_ sink: DownstreamSink, _ ready: (DownstreamSink.Counters) -> Bool) -> DownstreamSink.Counters {
        for _ in 0..<2_000 {
            if ready(sink.counters) { break }
            poll(nil, 0, 10)
        }
        return sink.counters
    }
}

@Suite("Result rows for another broker", .serialized, .timeLimit(.minutes(2)))
struct DownstreamSinkTests {
    @Test(
        "Rows arrive in order under the prefix with their id, and a restart sends nothing again",
        .enabled(if: MosquittoBroker.isInstalled, MosquittoBroker.missing))
    func delivers() throws {
        let broker = try MosquittoBroker()
        defer { broker.stop() }
        let bench = try Bench()
        let (client, inbox) = try bench.subscriber(broker.port, "site/north/#")
        bench.outbox.append(0..<2_500)
        let sink = try bench.sink("mqtt://127.0.0.1:\(broker.port)/site/north")
        sink.start()
        bench.outbox.append(2_500..<3_000)
        sink.wake()
        let messages = inbox.wait(count: 3_000)
        #expect(messages.map { $0.userProperty("rid") } == (0..<3_000).map { MemoryOutbox.rid($0) })
        #expect(messages.first?.topic == "site/north/headend/minute/d0/t")
        #expect(messages.first?.contentType == "application/json")
        #expect(messages.first?.payload == Array("{\"n\":0,\"_rid\":\"rid-0\"}".utf8))
        #expect(messages.allSatisfy { $0.qos == 1 && !$0.isRetained })
        sink.stop()
        #expect(sink.counters.offered == 3_000)
        #expect(sink.counters.delivered == 3_000)
        #expect(sink.counters.outbox == 0)
        #expect(sink.counters.savedPosition == bench.outbox.endPosition)
        #expect(sink.counters.state == "stopped")

        bench.outbox.append(3_000..<3_001)
        let next = try bench.sink("mqtt://127.0.0.1:\(broker.port)/site/north")
        next.start()
        #expect(inbox.wait(count: 3_001).count == 3_001)
        #expect(bench.wait(next) { $0.delivered == 1 }.offered == 1)
        next.stop()
        #expect(inbox.all.count == 3_001)
        #expect(bench.lines.all.isEmpty)
        withExtendedLifetime(client) {}
    }

    @Test(
        "A broker that is away for a while gets every row afterwards, and the log says so once each way",
        .enabled(if: MosquittoBroker.isInstalled, MosquittoBroker.missing))
    func outage() throws {
        let broker = try MosquittoBroker()
        defer { broker.stop() }
        let bench = try Bench()
        // Retained, so that a subscriber of the restarted broker sees what came before it was there.
        let sink = try bench.sink("mqtt://127.0.0.1:\(broker.port)", retain: true)
        sink.start()
        bench.outbox.append(0..<100)
        sink.wake()
        _ = bench.wait(sink) { $0.delivered == 100 }
        broker.stop()
        bench.outbox.append(100..<2_000)
        sink.wake()
        let away = bench.wait(sink) { $0.offered == 2_000 && $0.failure != nil }
        #expect(away.outbox == 1_900)
        #expect(away.state.hasPrefix("down: cannot "))
        bench.lines.wait(count: 1)
        try broker.start()
        #expect(bench.wait(sink) { $0.delivered == 2_000 }.delivered == 2_000)
        let (client, inbox) = try bench.subscriber(broker.port, "headend/#")
        let found = Set(inbox.wait(count: 1_900).compactMap { $0.userProperty("rid") })
        #expect(found.isSuperset(of: (100..<2_000).map { MemoryOutbox.rid($0) }))
        #expect(sink.counters.failure == nil)
        #expect(bench.lines.all.count == 2, "\(bench.lines.all)")
        #expect(bench.lines.all.first?.contains("trying again for ever") == true)
        #expect(bench.lines.all.last?.contains("connected again") == true)
        sink.stop()
        withExtendedLifetime(client) {}
    }

    @Test(
        "A sink that is killed in the middle sends the rest after a restart, each row under its own id",
        .enabled(if: MosquittoBroker.isInstalled, MosquittoBroker.missing),
        arguments: [1, 700, 2_900])
    func killed(after: Int) throws {
        let broker = try MosquittoBroker()
        defer { broker.stop() }
        let bench = try Bench()
        bench.limits.savePeriod = .milliseconds(1)
        let (client, inbox) = try bench.subscriber(broker.port, "headend/#")
        bench.outbox.append(0..<3_000)
        let first = try bench.sink("mqtt://127.0.0.1:\(broker.port)")
        first.start()
        inbox.wait(count: after)
        first.abandon()
        let second = try bench.sink("mqtt://127.0.0.1:\(broker.port)")
        let resumed = second.counters.position
        second.start()
        #expect(bench.wait(second) { $0.position == bench.outbox.endPosition }.outbox == 0)
        let messages = inbox.wait { Set($0.map { $0.userProperty("rid") }).count == 3_000 }
        #expect(Set(messages.map { $0.userProperty("rid") }) == Set((0..<3_000).map { MemoryOutbox.rid($0) }))
        #expect(
            messages.allSatisfy { message in
                guard let rid = message.userProperty("rid") else { return false }
                return String(decoding: message.payload, as: UTF8.self).contains("\"\(rid)\"")
            })
        #expect(resumed <= bench.outbox.endPosition)
        second.stop()
        withExtendedLifetime(client) {}
    }

    @Test("An unknown host is told once, and neither wake nor stop waits for it")
    func unknownHost() throws {
        let bench = try Bench()
        let sink = try bench.sink("mqtt://no-such-host.invalid")
        sink.start()
        for number in 0..<1_500 {
            bench.outbox.append(number..<(number + 1))
            sink.wake()
        }
        let counters = bench.wait(sink) { $0.offered == 1_500 && $0.failure != nil }
        #expect(counters.outbox == 1_500)
        #expect(counters.failure?.contains("no-such-host.invalid:1883") == true)
        sink.stop(drain: .seconds(60))
        #expect(bench.lines.all.count == 1, "\(bench.lines.all)")
        #expect(sink.counters.savedPosition == 0)
    }

    @Test("A peer that refuses MQTT 5 is served in 3.1.1")
    func fallsBack() throws {
        let peer = try FakePeer { packet in
            switch packet.firstByte >> 4 {
            // The protocol level stands after the name `MQTT`.
            case 1: return packet.body[6] == 5 ? .close([0x20, 2, 0, 1]) : .bytes([0x20, 2, 0, 0])
            case 3: return .bytes([0x40, 2] + packet.identifier)
            default: return .nothing
            }
        }
        let bench = try Bench()
        bench.outbox.append(0..<30)
        let sink = try bench.sink("mqtt://127.0.0.1:\(peer.port)/up")
        sink.start()
        let counters = bench.wait(sink) { $0.delivered == 30 }
        #expect(counters.delivered == 30)
        #expect(counters.state == "connected (MQTT 3.1.1)")
        sink.stop()
        #expect(
            peer.packets.all.filter { $0.firstByte >> 4 == 3 }.map(\.topic).first == "up/headend/minute/d0/t")
        #expect(bench.lines.all.isEmpty)
        peer.stop()
    }

    @Test("A refused row holds the cursor back, not the rows behind it, and is tried until it is taken")
    func refusedRow() throws {
        let refusals = Inbox<Int>()
        let peer = try FakePeer { packet in
            switch packet.firstByte >> 4 {
            case 1: return .bytes([0x20, 3, 0, 0, 0])
            case 3:
                guard packet.topic == "headend/minute/d3/t", refusals.all.count < 3 else {
                    return .bytes([0x40, 2] + packet.identifier)
                }
                refusals.append(1)
                return .bytes([0x40, 3] + packet.identifier + [0x97])
            default: return .nothing
            }
        }
        let bench = try Bench()
        bench.limits.retryPeriod = .milliseconds(200)
        bench.outbox.append(0..<10)
        let sink = try bench.sink("mqtt://127.0.0.1:\(peer.port)")
        sink.start()
        // Row 3 begins at entry 6 of ten bytes; rows 0 to 2 are delivered.
        refusals.wait(count: 1)
        let held = bench.wait(sink) { $0.failure != nil && $0.position == 60 }
        #expect(held.position == 60)
        #expect(held.outbox == 7)
        #expect(
            held.failure
                == "row rid-3 for topic headend/minute/d3/t: the broker refuses it with reason code 151")
        let done = bench.wait(sink) { $0.outbox == 0 }
        #expect(done.delivered == 10)
        #expect(done.failure == nil)
        sink.stop()
        #expect(bench.lines.all.count == 2, "\(bench.lines.all)")
        peer.stop()
    }

    @Test("Rows unacknowledged when the connection breaks are sent again, and the cursor waits for them")
    func unacknowledged() throws {
        let peer = try FakePeer { packet in
            switch packet.firstByte >> 4 {
            case 1: return .bytes([0x20, 3, 0, 0, 0])
            case 3 where packet.connection > 0: return .bytes([0x40, 2] + packet.identifier)
            case 3: return packet.topic == "headend/minute/d9/t" ? .close([]) : .nothing
            default: return .nothing
            }
        }
        let bench = try Bench()
        bench.outbox.append(0..<10)
        let sink = try bench.sink("mqtt://127.0.0.1:\(peer.port)")
        sink.start()
        peer.packets.wait { $0.contains { $0.topic == "headend/minute/d9/t" } }
        #expect(peer.packets.all.contains { $0.connection == 1 } || sink.counters.position == 0)
        #expect(bench.wait(sink) { $0.delivered == 10 }.delivered == 10)
        let rows = peer.packets.all.filter { $0.firstByte >> 4 == 3 }
        let expected = (0..<10).map { "headend/minute/d\($0)/t" }
        #expect(rows.filter { $0.connection == 0 }.map(\.topic) == expected)
        #expect(rows.filter { $0.connection == 1 }.map(\.topic) == expected)
        sink.stop()
        peer.stop()
    }

    @Test("An outbox that cannot be read is told once and tried until it can")
    func brokenOutbox() throws {
        let peer = try FakePeer { packet in
            switch packet.firstByte >> 4 {
            case 1: return .bytes([0x20, 3, 0, 0, 0])
            case 3: return .bytes([0x40, 2] + packet.identifier)
            default: return .nothing
            }
        }
        let bench = try Bench()
        bench.outbox.append(0..<5)
        bench.outbox.setBroken(true)
        bench.limits.retryPeriod = .milliseconds(5)
        let sink = try bench.sink("mqtt://127.0.0.1:\(peer.port)")
        sink.start()
        sink.wake()
        _ = bench.wait(sink) { _ in bench.outbox.readCount >= 5 }
        bench.outbox.setBroken(false)
        #expect(bench.wait(sink) { $0.delivered == 5 }.delivered == 5)
        bench.lines.wait(count: 2)
        sink.stop()
        #expect(bench.lines.all.map { $0.hasSuffix("trying again until it works") } == [true, false])
        peer.stop()
    }

    @Test("A damaged cursor file is refused with the way out")
    func damagedCursor() throws {
        let bench = try Bench()
        try Data("nonsense".utf8).write(to: URL(filePath: bench.cursorPath))
        let error = #expect(throws: SealedFileError.self) { try bench.sink("mqtt://h") }
        #expect(error?.description.hasPrefix("\(bench.cursorPath): damaged; delete it: ") == true)
    }
}
