import FileStoreKit
import Telemetry
import Testing

@testable import DeviceQueue

@Suite("Places in the log")
struct PlacesTests {
    /// A queue of a few segments, and its records in log order.
    private func make(
        seed: UInt64
    ) throws -> (queue: DeviceQueue, records: [(device: String, record: TelemetryRecord)]) {
        var random = SeededRandom(seed)
        let queue = try openQueue(MemoryFileStore())
        var ticks: Int64 = 10_000
        for batch in 0..<30 {
            let messages = (0...random.below(5)).map { index in
                Message(device: "m\(random.below(5))", id: "\(batch)-\(index)", payload: "{}")
            }
            ticks += Int64(random.below(3)) * 100
            try store(messages, in: queue, at: ticks)
        }
        // Set aside: no record of a device.
        try store([Message(device: "m0", payload: "x", reason: .notJSON)], in: queue, at: ticks)
        var records: [(String, TelemetryRecord)] = []
        try queue.scan { record, kind in
            if kind == .record { records.append((record.device.text, record)) }
        }
        #expect(queue.catalog.segments.count > 3)
        return (queue, records)
    }

    @Test("records before a place are counted as if one by one", arguments: 1...20 as ClosedRange<UInt64>)
    func counts(seed: UInt64) throws {
        let (queue, records) = try make(seed: seed)
        for wanted in [["m0"], ["m1", "m4"], ["m0", "m1", "m2", "m3", "m4"], ["unknown"]] {
            let numbers = Set(wanted.compactMap { queue.existingDevice(named: $0) })
            var before: UInt64 = 0
            for (device, record) in records {
                let count = try queue.recordsBefore(record.offset) { numbers.contains($0) }
                #expect(count == before, "\(wanted) before \(record.offset)")
                if wanted.contains(device) { before += 1 }
            }
            #expect(try queue.recordsBefore(queue.durableEnd) { numbers.contains($0) } == before)
            #expect(try queue.recordsBefore(queue.firstOffset) { numbers.contains($0) } == 0)
            #expect(queue.recordTotal { numbers.contains($0) } == before)
        }
    }

    @Test(
        "a time leads to the first record that arrived then or later",
        arguments: 1...20 as ClosedRange<UInt64>)
    func times(seed: UInt64) throws {
        let (queue, records) = try make(seed: seed)
        let last = try #require(records.last?.record.arrivalTime.ticks)
        for ticks in stride(from: Int64(9_950), through: last, by: 50) {
            let first = try #require(records.first { $0.record.arrivalTime.ticks >= ticks })
            let offset = try queue.offset(arrivedFrom: EventTime(ticks: ticks))
            #expect(offset <= first.record.offset)
            #expect(
                !records.contains { $0.record.offset < first.record.offset && $0.record.offset >= offset })
        }
        #expect(try queue.offset(arrivedFrom: EventTime(ticks: last + 1)) == queue.durableEnd)
    }

    @Test("records are read by their offsets, in the order asked")
    func records() throws {
        let (queue, records) = try make(seed: 3)
        let some = [records[7], records[2], records[40]].map(\.record)
        #expect(try queue.records(at: some.map(\.offset)) == some)
        #expect(throws: QueueError.self) { try queue.records(at: [QueueOffset(1 << 40)]) }
    }

    @Test("what is not durable yet does not count as before a place")
    func undurable() throws {
        let queue = try openQueue(MemoryFileStore())
        try store([Message(id: "1"), Message(device: "meter-2", id: "2")], in: queue)
        let end = queue.durableEnd
        try append([Message(id: "3")], to: queue)
        #expect(try queue.recordsBefore(end) { _ in true } == 2)
        #expect(queue.recordTotal { _ in true } == 3)
        try queue.commit()
        #expect(try queue.recordsBefore(end) { _ in true } == 2)
        #expect(try queue.recordsBefore(queue.durableEnd) { _ in true } == 3)
    }
}
