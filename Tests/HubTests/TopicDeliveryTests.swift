import Atomics
import BrokerJournal
import FileStoreKit
import MQTTBroker
import MQTTWire
import ResultSink
import Telemetry
import Testing

@testable import Hub

/// Rows of an outbox on the hub's own topics.
@Suite("Result rows on topics")
struct TopicDeliveryTests {
    private struct World {
        let files = MemoryFileStore()
        let life: HubLife
        let log: ResultLog
        let sink: TopicDelivery
        private var rowCount = 0

        init(_ limits: ResultLogLimits = ResultLogLimits()) throws {
            life = try HubLife(
                files, clock: HubLife.Clock(), journalLimits: JournalLimits(), limits: HubLimits())
            try files.createDirectory("/data/query")
            log = try ResultLog.open(directory: "/data/query/outbox", files: files, limits: limits)
            sink = try Self.sink(life, log, files)
        }

        static func sink(_ life: HubLife, _ log: ResultLog, _ files: MemoryFileStore) throws -> TopicDelivery
        {
            try TopicDelivery(
                directory: "/data/query", reader: ResultReader(log), retained: ["state"], loop: life.loop,
                files: files)
        }

        /// Adds rows, `output topic` each; they are numbered.
        mutating func add(_ rows: [String]) throws {
            for row in rows {
                let parts = row.split(separator: " ").map(String.init)
                rowCount += 1
                try log.append(
                    ResultRow(
                        output: parts[0], id: ResultID(high: 1, low: UInt64(rowCount)),
                        time: EventTime(ticks: 0), columns: [Column("n", .bigint(Int64(rowCount)))]),
                    topic: parts.count > 1 ? parts[1] : "")
            }
            try log.commit()
        }

        /// Delivers what is there; a turn of the loop follows.
        @discardableResult func deliver(_ sink: TopicDelivery? = nil, commits: Int = .max) throws
            -> SinkStatus
        {
            let sink = sink ?? self.sink
            while sink.advance(isStopping: false) {}
            _ = sink.settle(isStopping: false)
            try life.settle(commits: commits)
            return sink.settle(isStopping: false)
        }

        /// The numbers of the rows that a client has.
        func numbers(_ client: KeptClient) throws -> [Int] {
            try client.work()
            try life.settle()
            return client.applied.map { Int($0.text.dropFirst(5).prefix { $0.isNumber }) ?? 0 }
        }
    }

    private func join(_ client: KeptClient, _ world: World) throws {
        try client.connect(world.life)
        while !client.isReady {
            try world.life.settle()
            try client.work()
        }
        try world.life.settle()
        try client.work()
    }

    @Test(
        "rows that nobody subscribes to are counted, and of those to be retained the newest of each topic is")
    func unheard() throws {
        var world = try World()
        try world.add(["event e", "state s/a", "state s/b", "state s/a", "event", "event e", "state s/a"])
        let status = try world.deliver()
        #expect(status.delivered == 6)
        #expect(status.position == world.log.endPosition)
        #expect(status.failure == nil)
        #expect(world.life.loop.broker.counters.messagesIn == 6)
        #expect(world.life.loop.broker.counters.retained == 2)
        #expect(world.life.loop.waitingResults.load(ordering: .relaxed) == 0)
        let client = KeptClient("late", ["#"])
        try join(client, world)
        #expect(try world.numbers(client) == [7, 3])
    }

    @Test("a topic that gets a subscriber between two portions: he has every row from then on, in order")
    func between() throws {
        var limits = ResultLogLimits()
        limits.readBytesMax = 100
        var world = try World(limits)
        try world.add(["event e", "state s/a", "state s/a"])
        try world.deliver()
        let client = KeptClient("between", ["e", "s/+"])
        try join(client, world)
        #expect(try world.numbers(client) == [3])
        try world.add(["state s/a", "event e", "state s/a", "state other", "event x", "state other"])
        try world.deliver()
        #expect(try world.numbers(client) == [3, 4, 5, 6])
        #expect(world.life.loop.broker.counters.messagesIn == 9)
        #expect(world.life.loop.broker.counters.retained == 2)
    }

    @Test("the cursor follows when rows are durable for the sessions that wait for them")
    func cursor() throws {
        var world = try World()
        let client = KeptClient("kept", ["e"])
        try join(client, world)
        client.drop()
        try world.add(["event e"])
        let before = try world.deliver(commits: 0)
        #expect(before.position == 0)
        let after = try world.deliver()
        #expect(after.position == world.log.endPosition)
        // Rows without a topic move it, too.
        try world.add(["event", "event"])
        #expect(try world.deliver().position == world.log.endPosition)
        let again = try World.sink(world.life, world.log, world.files)
        #expect(try world.deliver(again).delivered == 0)
    }

    @Test("after a start the newest row of each topic is retained again, and sent to nobody")
    func start() throws {
        var limits = ResultLogLimits()
        limits.readBytesMax = 100
        var world = try World(limits)
        try world.add(["state s/a", "state s/b", "event e", "state s/a"])
        try world.deliver()
        let life = try HubLife(
            MemoryFileStore(), clock: HubLife.Clock(), journalLimits: JournalLimits(), limits: HubLimits())
        _ = try World.sink(life, world.log, world.files)
        try life.settle()
        #expect(life.loop.broker.counters.retained == 2)
        #expect(life.loop.broker.counters.messagesIn == 0)
        let client = KeptClient("later", ["#"])
        try client.connect(life)
        while !client.isReady {
            try life.settle()
            try client.work()
        }
        try life.settle()
        try client.work()
        #expect(client.applied.map(\.text).map { $0.prefix(6) } == [#"{"n":4"#, #"{"n":2"#])
    }

    @Test("a row's message has the topic, the row, and the properties that tell what it is")
    func message() throws {
        var world = try World()
        try world.add(["state s/a", "event e"])
        let batch = try #require(try ResultReader(world.log).batch(from: 0))
        let publisher = ResultPublisher(world.life.loop, retained: ["state"])
        let messages = batch.entries.map { publisher.message($0) }
        #expect(messages.map(\.topic) == ["s/a", "e"])
        #expect(messages.map(\.retain) == [true, false])
        #expect(messages.map(\.qos) == [.atLeastOnce, .atLeastOnce])
        for (message, entry) in zip(messages, batch.entries) {
            var properties = Properties()
            properties.contentType = "application/json"
            properties.payloadFormatIndicator = 1
            properties.userProperties = [UserProperty("rid", entry.rid.description)]
            #expect(message.properties == properties)
            #expect(message.payload == Array(entry.json))
            let plain = Message(
                topic: message.topic, payload: message.payload, qos: .atLeastOnce, retain: message.retain,
                properties: properties)
            #expect(message.byteCount == plain.byteCount)
        }
    }
}
