import FileStoreKit
import PerpetualQuery
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Many devices cost memory each, as much as is stated, and little time.
@Suite struct ScaleTests {
    /// CPU seconds of this thread.
    private static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private struct Run {
        var queue: DeviceQueue
        var engine: LiveQuery
        /// CPU seconds of the readings behind the first of each device.
        var seconds: Double
    }

    private static let first = EventTime(ticks: 10_000 * 600_000_000)

    /// One reading of every device, then `count` more in turn, a few seconds later, through queue and query.
    private static func run(devices: Int, count: Int) throws -> Run {
        var limits = QueueLimits()
        limits.segmentBytes = 32 << 20
        limits.devices = 200_000
        limits.dedupSlots = 1 << 20
        let queue = try openQueue(MemoryFileStore(), limits)
        let engine = try LiveQuery(plan: DefaultQuery.plan())
        engine.deviceName = { queue.deviceID($0) ?? DeviceID("") }
        let reader = queue.makeReader(from: QueueOffset(0))
        let payload = Array("{\"temperature\":21.5}".utf8)
        let staging = StagingBuffer(byteCapacity: 1 << 20)
        var numbers: [UInt32] = []
        func send(_ numbers: ArraySlice<UInt32>, ids: Int, at ticks: Int64) throws {
            staging.reset()
            for (place, number) in numbers.enumerated() {
                let id = Array("id-\(ids + place)".utf8)
                let topic = Array("devices/x/telemetry".utf8)
                topic.withUnsafeBytes { topic in
                    payload.withUnsafeBytes { payload in
                        id.withUnsafeBytes { id in
                            _ = staging.stageRecord(
                                device: number, client: 0, packetIdentifier: 0, flags: 1, reason: 0,
                                eventTicks: nil, topic: topic,
                                properties: UnsafeRawBufferPointer(start: nil, count: 0), payload: payload,
                                messageID: .decoded(id))
                        }
                    }
                }
            }
            try queue.append(staging, arrivalTicks: ticks)
            try queue.commit()
            while try reader.next({ frame in
                guard frame.kind == .record else { return }
                do { try engine.process(frame.record) } catch { Issue.record("\(error)") }
            }) {}
        }
        for number in 0..<devices { numbers.append(try #require(queue.device(named: "device-\(number)"))) }
        for start in stride(from: 0, to: devices, by: 1_000) {
            try send(numbers[start..<min(start + 1_000, devices)], ids: start, at: first.ticks)
        }
        let started = cpuSeconds()
        for start in stride(from: 0, to: count, by: 1_000) {
            let at = start % devices
            let end = min(at + 1_000, devices)
            for part in stride(from: 0, to: 1_000, by: end - at) {
                try send(
                    numbers[at..<end], ids: devices + start + part,
                    at: first.adding(ticks: Int64(start) * 10).ticks)
            }
        }
        let seconds = cpuSeconds() - started
        #expect(queue.counters.stored == UInt64(devices + count))
        #expect(engine.counters.accepted == UInt64(devices + count))
        #expect(engine.rows.isEmpty)
        return Run(queue: queue, engine: engine, seconds: seconds)
    }

    @Test(
        "a hundred thousand devices stay within the stated bytes each, and cost as much a reading as a hundred"
    )
    func hundredThousand() throws {
        let few = try Self.run(devices: 100, count: 50_000)
        let many = try Self.run(devices: 100_000, count: 50_000)
        // QueueLimits.devices: 75 bytes and the name, up to twice that just after a table has doubled.
        let queueBytes = many.queue.counters.deviceBytes / 100_000
        #expect(queueBytes <= 150, "\(queueBytes) bytes a device in the queue")
        // Two windows are open: a group has 144 bytes, a pane 40, a timeline 60, more while a table is half full.
        let engineBytes = many.engine.stateBytes / 100_000
        #expect(engineBytes <= 700, "\(engineBytes) bytes a device in the query")
        let snapshot = many.engine.snapshot()
        #expect(snapshot.count / 100_000 <= 200, "\(snapshot.count) bytes of checkpoint")
        // Measured 1.3; the machine may be busy with other things.
        #expect(many.seconds < few.seconds * 4, "\(few.seconds) and \(many.seconds) CPU seconds")
        // A page of the list is made of its own names: ten thousand pages would be felt.
        let started = Self.cpuSeconds()
        var page = many.queue.deviceIDs(after: DeviceID(""), limit: 10)
        let firstPage = Self.cpuSeconds() - started
        #expect(page.map(\.text).first == "device-0")
        #expect(page.map(\.text).last == "device-10004")
        for _ in 0..<100 { page = many.queue.deviceIDs(after: page[9], limit: 10) }
        let rest = Self.cpuSeconds() - started - firstPage
        #expect(rest < firstPage, "\(firstPage) s the first page, \(rest) s a hundred more")
    }

    @Test(
        "names are listed in the order of their bytes, whenever they came", arguments: 0..<8 as Range<UInt64>)
    func order(_ seed: UInt64) throws {
        var random = SeededRandom(seed)
        let table = NameTable(key: 1, countMax: 1_000, nameBytesMax: 40)
        var known: Set<String> = []
        // What a log may bring: numbers in any order, with holes.
        for number in (1...60).map({ UInt32($0) }) where random.below(3) > 0 {
            let place = 61 - number
            let name = "n\(random.below(1_000))-\(place)"
            let isTaken = Array(name.utf8).withUnsafeBytes { table.restore($0, number: place) }
            #expect(isTaken)
            known.insert(name)
        }
        #expect(Array("other".utf8).withUnsafeBytes { !table.restore($0, number: 61) } == false)
        known.insert("other")
        var numbers: Set<UInt32> = []
        for round in 0..<60 {
            let name = round % 7 == 0 ? "é\(round)" : "n\(random.below(100_000))"
            if !known.insert(name).inserted { continue }
            let number = Array(name.utf8).withUnsafeBytes { table.number(of: $0) }
            #expect(numbers.insert(try #require(number)).inserted)
            #expect(table.name(try #require(number)) == name)
            guard round % 9 == 0 else { continue }
            let wanted = known.map { DeviceID($0) }.sorted()
            #expect(table.sortedNames(after: DeviceID(""), limit: 1_000) == wanted)
            let place = Int(random.below(UInt64(wanted.count)))
            #expect(
                table.sortedNames(after: wanted[place], limit: 7)
                    == Array(wanted.dropFirst(place + 1).prefix(7)))
        }
        #expect(table.count == known.count)
        #expect(numbers.contains { $0 < 61 } || seed == 0)
    }
}
