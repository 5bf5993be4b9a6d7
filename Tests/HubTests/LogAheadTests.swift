import DeviceQueue
import FileStoreKit
import PerpetualQuery
import Platform
import Telemetry
import Testing

@testable import Hub

/// A log in memory: records of three devices, ticks, and quarantined messages, which no query sees.
private struct History {
    static let text = "SELECT v, COUNT(*) AS n INTO o FROM telemetry GROUP BY v, TumblingWindow(second, 1)"

    let queue: DeviceQueue
    let plan: StreamPlan

    init(recordCount: Int, ticksEvery: Int, payloadBytes: Int) throws {
        queue = try DeviceQueue.open(
            directory: "/log", files: MemoryFileStore(), limits: HubLife.queueLimits, nowTicks: 0, seed: 1)
        plan = try QueryDefinition(name: "o", text: Self.text).plan(references: [])
        let pad = String(repeating: "x", count: payloadBytes)
        for number in 0..<recordCount {
            let staging = StagingBuffer(byteCapacity: 1 << 18)
            let device = try #require(queue.device(named: "d\(number % 3)"))
            let body = number % 7 == 3 ? "no JSON \(pad)" : #"{"v":\#(number),"p":"\#(pad)"}"#
            let isStaged = Array("t/\(number)".utf8).withUnsafeBytes { topic in
                Array(body.utf8).withUnsafeBytes { payload in
                    Array("m\(number)".utf8).withUnsafeBytes { identifier in
                        staging.stageRecord(
                            device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0,
                            eventTicks: Int64(number) * 5, topic: topic,
                            properties: UnsafeRawBufferPointer(start: nil, count: 0), payload: payload,
                            messageID: .decoded(identifier))
                    }
                }
            }
            _ = try #require(isStaged)
            try queue.append(staging, arrivalTicks: Int64(number) * 10)
            if number % ticksEvery == 0 { try queue.appendTick(arrivalTicks: Int64(number) * 10 + 1) }
        }
        try queue.commit()
    }

    struct Seen: Equatable {
        var offset: UInt64 = 0
        var text: String
    }

    /// What a reader of the log sees, from one place up to another.
    func straight(from start: QueueOffset, to limit: QueueOffset?) throws -> [Seen] {
        let reader = queue.makeReader(from: start)
        var seen: [Seen] = []
        while try reader.next({ frame in
            if let limit, frame.offset >= limit { return }
            switch frame.kind {
            case .record:
                let record = frame.record
                seen.append(Seen(offset: frame.offset.bytes, text: Self.text(record, frame.messageID)))
            case .tick: seen.append(Seen(offset: frame.offset.bytes, text: "tick \(frame.arrivalTime.ticks)"))
            default: break
            }
        }) {}
        return seen
    }

    private static func text(_ record: RecordView, _ id: UnsafeRawBufferPointer) -> String {
        "\(record.device) \(record.sequence) \(record.arrivalTime.ticks) \(record.eventTime.ticks) "
            + [record.payload, id, record.topic].map { String(decoding: $0, as: UTF8.self) }
            .joined(separator: " ")
    }

    /// The same, by blocks; the places are those where blocks begin.
    func ahead(from start: QueueOffset, to limit: QueueOffset?, isAside: Bool) throws -> (
        seen: [Seen], blocks: Int, end: QueueOffset
    ) {
        let log = LogAhead(
            queue: queue, query: LiveQuery(plan: plan, tables: []), from: start, to: limit, isAside: isAside)
        var seen: [Seen] = []
        var blocks = 0
        while let block = try log.next() {
            blocks += 1
            for index in 0..<block.batch.count {
                let event = block.batch.event(index)
                let record = RecordView(
                    device: event.device, sequence: event.sequence, arrivalTime: event.arrivalTime,
                    eventTime: event.eventTime, offset: block.start, payload: event.payload,
                    topic: event.topic, properties: event.properties)
                seen.append(Seen(text: Self.text(record, event.messageID)))
            }
            if let tick = block.tick { seen.append(Seen(text: "tick \(tick.ticks)")) }
            log.giveBack(block)
        }
        return (seen, blocks, log.end)
    }
}

@Suite struct LogAheadTests {
    @Test(
        "blocks hold what the log holds, in its order, from any place to any other",
        arguments: [false, true], [3, 900])
    func equal(isAside: Bool, payloadBytes: Int) throws {
        let history = try History(recordCount: 1_500, ticksEvery: 400, payloadBytes: payloadBytes)
        let all = try history.straight(from: QueueOffset(0), to: nil)
        #expect(all.count == 1_504)
        let places = [0, 1, 700, 1_503].map { QueueOffset(all[$0].offset) }
        for start in [QueueOffset(0)] + places {
            for limit in places.map(Optional.some) + [nil] where limit.map({ $0 >= start }) ?? true {
                let straight = try history.straight(from: start, to: limit).map(\.text)
                let ahead = try history.ahead(from: start, to: limit, isAside: isAside)
                #expect(ahead.seen.map(\.text) == straight)
                #expect(ahead.end == limit ?? history.queue.durableEnd || straight.isEmpty)
                // A full block holds 1,024 records or 256 KiB; a tick ends one.
                #expect(ahead.blocks <= straight.count / 256 + 6)
            }
        }
    }

    @Test("nobody need take all of it: what is on the way goes with the reader")
    func givenUp() throws {
        let history = try History(recordCount: 12_000, ticksEvery: 100_000, payloadBytes: 3)
        for count in 0..<3 {
            let log = LogAhead(
                queue: history.queue, query: LiveQuery(plan: history.plan, tables: []), from: QueueOffset(0),
                to: nil, isAside: true)
            for _ in 0..<count {
                let block = try #require(try log.next())
                #expect(block.batch.count > 0)
                log.giveBack(block)
            }
        }
    }
}
