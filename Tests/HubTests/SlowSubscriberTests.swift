import Atomics
import MQTTBroker
import Testing

@testable import Hub

/// Publishers and a subscriber that does not follow: who waits, how long, and what is lost.
@Suite("Publishers and a slow subscriber")
struct SlowSubscriberTests {
    typealias Bench = BackPressureTests.Bench

    /// Two messages in flight, from eight that wait publishers wait, twelve at most.
    private func bench() throws -> Bench {
        try Bench {
            $0.broker.inflightMax = 2
            $0.broker.awaitedMessages = 8
            $0.broker.sessionQueueMessages = 12
        }
    }

    private func subscribe(_ bench: Bench, _ connection: Connection) {
        bench.give(connection, [0x82, 8, 0, 1, 0, 3] + Array("t/#".utf8) + [1])
    }

    /// At QoS 1.
    private func publish(_ bench: Bench, _ connection: Connection, _ count: Int) {
        for number in 1...count {
            bench.give(connection, [0x32, 7, 0, 3] + Array("t/x".utf8) + [0, UInt8(number)])
        }
        bench.loop.endTurn()
    }

    private func acknowledge(_ bench: Bench, _ connection: Connection, _ identifiers: ClosedRange<UInt8>) {
        for identifier in identifiers { bench.give(connection, [0x40, 2, 0, identifier]) }
        bench.loop.endTurn()
    }

    private func dropped(_ bench: Bench) -> Int { bench.loop.broker.counters.droppedQueueFull }

    @Test("Publishers wait for a subscriber until half of what waits has gone, and nothing is lost")
    func awaited() throws {
        let bench = try bench()
        let (subscriber, peer) = try bench.client("s")
        let (publisher, publisherPeer) = try bench.client("p", keepAlive: 10)
        let (other, _) = try bench.client("o")
        subscribe(bench, subscriber)
        publish(bench, publisher, 9)
        #expect(bench.loop.mayRead(publisher))
        publish(bench, publisher, 1)
        #expect(!bench.loop.mayRead(publisher))
        #expect(bench.loop.mayRead(other), "it published nothing that the subscriber wants")
        #expect(bench.loop.mayRead(subscriber))
        publish(bench, other, 1)
        #expect(!bench.loop.mayRead(other), "now it did")

        bench.clock.nanoseconds += 900_000_000
        bench.loop.advance()
        #expect(!publisherPeer.isEnded)
        acknowledge(bench, subscriber, 1...4)
        #expect(!bench.loop.mayRead(publisher))
        acknowledge(bench, subscriber, 5...5)
        #expect(publisherPeer.isResumed)
        #expect(bench.loop.mayRead(publisher))
        #expect(bench.loop.mayRead(other))
        acknowledge(bench, subscriber, 6...11)
        #expect(dropped(bench) == 0)
        // CONNACK, SUBACK and eleven messages.
        #expect(peer.received.count == 4 + 5 + 11 * 9)
    }

    @Test("A subscriber that is too slow is given up: publishers go on, and what it loses is counted")
    func givenUp() throws {
        let bench = try bench()
        let (subscriber, _) = try bench.client("s")
        let (publisher, _) = try bench.client("p")
        subscribe(bench, subscriber)
        publish(bench, publisher, 10)
        #expect(!bench.loop.mayRead(publisher))
        bench.clock.nanoseconds += 1_000_000_000
        bench.loop.advance()
        bench.loop.endTurn()
        #expect(bench.loop.mayRead(publisher))
        publish(bench, publisher, 7)
        #expect(bench.loop.mayRead(publisher))
        #expect(dropped(bench) == 3)
        #expect(bench.loop.broker.counters.subscribersGivenUp == 1)

        // It catches up and falls behind again: for eight seconds nobody waits.
        acknowledge(bench, subscriber, 1...14)
        publish(bench, publisher, 10)
        #expect(bench.loop.mayRead(publisher))
        acknowledge(bench, subscriber, 15...24)
        bench.clock.nanoseconds += 8_000_000_000
        bench.loop.advance()
        publish(bench, publisher, 10)
        #expect(!bench.loop.mayRead(publisher))
        bench.loop.removeConnection(subscriber)
        bench.loop.endTurn()
        #expect(bench.loop.mayRead(publisher), "nobody waits for one that is gone")
    }

    @Test("A message to a crowd goes out in slices, answers first, and its publisher waits for the end")
    func crowd() throws {
        let bench = try Bench {
            $0.flushedSubscribers = 2
            $0.crowdBytesMax = 300
        }
        let (publisher, publisherPeer) = try bench.client("p")
        let crowd = try (0..<20).map { try bench.client("s\($0)") }
        for (subscriber, _) in crowd {
            bench.give(subscriber, [0x82, 8, 0, 1, 0, 3] + Array("t/#".utf8) + [0])
        }
        bench.loop.endTurn()
        func served() -> Int { crowd.count { $0.peer.received.count > 9 } }
        publish(bench, publisher, 1)
        #expect(publisherPeer.received.suffix(4) == [0x40, 2, 0, 1])
        #expect(served() == 2)
        #expect(!bench.loop.mayRead(publisher))
        var turns = 0
        while served() < 20, turns < 100 {
            bench.turn()
            turns += 1
        }
        #expect((5...9).contains(turns))
        #expect(bench.loop.mayRead(publisher))
        #expect(publisherPeer.isResumed)
        #expect(bench.counters.droppedSlowConsumer.load(ordering: .relaxed) == 0)

        // 7 bytes to each of 20, twice in a turn, and a third time beyond the limit.
        publish(bench, publisher, 3)
        for _ in 1...20 { bench.turn() }
        #expect(bench.counters.droppedSlowConsumer.load(ordering: .relaxed) == 17)
    }

    @Test("Telemetry waits for its subscriber too, and a client with messages in flight for nobody")
    func telemetry() throws {
        let bench = try bench()
        let (subscriber, _) = try bench.client("s")
        let (publisher, _) = try bench.client("p")
        let filter = Array("devices/#".utf8)
        bench.give(subscriber, [0x82, UInt8(filter.count + 5), 0, 1, 0, UInt8(filter.count)] + filter + [1])
        let topic = Array("devices/p/telemetry".utf8)
        var writer = StorageWriter(queue: bench.loop.queue)
        func send(_ connection: Connection) throws {
            for number in 1...10 as ClosedRange<UInt8> {
                let payload = Array("{\"id\":\"m\(number)\(connection.slot)\",\"v\":1}".utf8)
                let body = [0, UInt8(topic.count)] + topic + [0, number] + payload
                bench.give(connection, [0x32, UInt8(body.count)] + body)
            }
            bench.loop.endTurn()
            writer.take(bench.storage.batches, isTickWanted: false)
            bench.storage.batches = []
            bench.loop.complete(try writer.write(nowTicks: bench.clock.wallTicks()))
            bench.loop.endTurn()
        }
        try send(subscriber)
        #expect(bench.loop.broker.awaitedCount == 1)
        #expect(bench.loop.mayRead(subscriber), "its acknowledgements are what is waited for")
        try send(publisher)
        #expect(!bench.loop.mayRead(publisher))
    }
}
