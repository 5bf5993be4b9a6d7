import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import DeviceQueue

/// What goes, what outlives it, and what a crash leaves.
@Suite struct RetentionTests {
    static func limits(_ policy: RetentionPolicy, segmentBytes: Int = 2_048) -> QueueLimits {
        var limits = smallLimits(segmentBytes: segmentBytes)
        limits.retention = policy
        return limits
    }

    /// One reading of each of three devices at a time, at tick 1,000 × round.
    static func fill(_ queue: DeviceQueue, rounds: Range<Int>) throws {
        for round in rounds {
            try store(
                (0..<3).map { Message(device: "d\($0)", id: "\(round)", payload: "\($0):\(round)") },
                in: queue, at: Int64(round) * 1_000)
            try queue.prepareNextSegment()
        }
    }

    static func names(_ files: MemoryFileStore, _ suffix: String) throws -> [String] {
        try files.list(logDirectory).filter { $0.hasSuffix(suffix) }
    }

    @Test("without a limit nothing goes")
    func keepsEverything() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try Self.fill(queue, rounds: 0..<60)
        try queue.applyRetention(nowTicks: .max)
        #expect(queue.firstOffset == QueueOffset(0))
        #expect(queue.retention.removedRecords == 0)
        #expect(try scanned(queue).count == 180)
    }

    @Test("segments go by age, by bytes, and when each of their devices has so many newer records")
    func policies() throws {
        for (policy, check) in [
            (RetentionPolicy(ageTicks: 20_000), "age"), (RetentionPolicy(bytes: 10_000), "bytes"),
            (RetentionPolicy(recordsPerDevice: 10), "records"),
        ] {
            let queue = try openQueue(MemoryFileStore(), Self.limits(policy))
            try Self.fill(queue, rounds: 0..<60)
            let before = queue.catalog.segments
            try queue.applyRetention(nowTicks: 60_000)
            let first = queue.firstOffset.bytes
            let left = try scanned(queue)
            #expect(first > 0, "\(check)")
            let next = try #require(before.first { $0.base == first })
            switch check {
            case "age":
                // The segment before had nothing younger, this one has.
                #expect(left.contains { $0.offset.bytes < next.end && $0.arrivalTime.ticks >= 40_000 })
                #expect(left.filter { $0.arrivalTime.ticks >= 40_000 }.count == 60)
            case "bytes":
                #expect(
                    before.last.map { $0.end - first <= 10_000 && $0.end - first > 10_000 - 2_048 } == true)
            default:
                #expect(left.contains { $0.offset.bytes < next.end && $0.sequence > 50 })
                for device in 0..<3 { #expect(try records(of: "d\(device)", in: queue).count >= 10) }
            }
            let status = queue.retention
            #expect(status.removedBytes == first)
            #expect(status.removedSegments == UInt64(before.count - status.segments))
            #expect(Int(status.removedRecords) + left.count == 180)
            #expect(status.firstArrivalTime == left.first?.arrivalTime)
            #expect(status.logBytes == UInt64(status.segments) * 2_048)
        }
    }

    @Test("a quiet device keeps a segment from going by records per device")
    func quietDevice() throws {
        let queue = try openQueue(MemoryFileStore(), Self.limits(RetentionPolicy(recordsPerDevice: 2)))
        try store([Message(device: "quiet", id: "1")], in: queue)
        try Self.fill(queue, rounds: 1..<60)
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset.bytes == 0)
        try store([Message(device: "quiet", id: "2"), Message(device: "quiet", id: "3")], in: queue)
        try Self.fill(queue, rounds: 60..<90)
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset.bytes > 0)
        #expect(try records(of: "quiet", in: queue).map(\.sequence) == [2, 3])
    }

    @Test("names, numbers, sequences, QoS 2 state and counters outlive their records, through restarts")
    func outliving() throws {
        let limits = Self.limits(RetentionPolicy(bytes: 6_000))
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        try store(
            [
                Message(device: "gone", id: "1", payload: "1"),
                Message(device: "gone", id: "1", payload: "2"),
                Message(device: "gone", client: "cli", packetIdentifier: 7),
            ], in: queue)
        let number = queue.existingDevice(named: "gone")
        try Self.fill(queue, rounds: 1..<60)
        let before = queue.counters
        try queue.applyRetention(nowTicks: 0)
        #expect(try records(of: "gone", in: queue).isEmpty)
        for life in 0..<3 {
            #expect(queue.existingDevice(named: "gone") == number)
            #expect(queue.lastSequence(device: DeviceID("gone")) == UInt64(2 + life))
            #expect(queue.firstSequence(device: DeviceID("gone")) == 3)
            #expect(queue.firstSequence(device: DeviceID("other")) == 1)
            #expect(queue.lastQuarantinedSequence == 1)
            #expect(queue.firstQuarantinedSequence == 2)
            #expect(queue.unreleased(client: try #require(queue.existingClient(named: "cli"))) == [7])
            let counters = queue.counters
            #expect(counters.stored == before.stored + UInt64(life))
            #expect(counters.setAsideByReason == before.setAsideByReason)
            // The conflict went with its segment: nobody waits for it.
            #expect(counters.quarantined == 0)
            #expect(counters.quarantineRemoved == 1)
            #expect(queue.retention.removedQuarantined == 1)
            let again = Message(device: "gone", client: "cli", packetIdentifier: 7)
            #expect(try store([again], in: queue, at: 60_000) == [.duplicate])
            #expect(
                try store([Message(device: "gone", id: "new\(life)")], in: queue, at: 60_000) == [.stored])
            #expect(try records(of: "gone", in: queue).map(\.sequence) == (0...life).map { UInt64(3 + $0) })
            let readOnly = try openQueue(files, limits, mode: .readOnly)
            #expect(readOnly.firstSequence(device: DeviceID("gone")) == 3)
            #expect(try scanned(readOnly) == scanned(queue))
            #expect(readOnly.retention.removedRecords == queue.retention.removedRecords)
            queue = try openQueue(files, limits)
            #expect(queue.takeNotices() == [])
        }
        // And none is a state of the whole log any more.
        #expect(try Self.names(files, ".state").count + Self.names(files, ".copy").count == 2)
    }

    @Test("a repetition of a removed record is known, with another body a conflict, through restarts")
    func duplicatesOfTheRemoved() throws {
        let limits = Self.limits(RetentionPolicy(bytes: 6_000))
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        try Self.fill(queue, rounds: 0..<40)
        try queue.applyRetention(nowTicks: 0)
        let first = queue.firstSequence(device: DeviceID("d1"))
        #expect(first > 20)
        for life in 0..<3 {
            for round in 0..<40 {
                let same = Message(device: "d1", id: "\(round)", payload: "1:\(round)")
                let other = Message(device: "d1", id: "\(round)", payload: "1:\(round)?")
                #expect(
                    try store([same, other], in: queue, at: 50_000)
                        == [.duplicate, life == 0 ? .conflict : .duplicate], "life \(life), round \(round)")
            }
            #expect(queue.counters.falseSuspicions == 0)
            queue = try openQueue(files, limits)
            try queue.prepareNextSegment()
            try queue.applyRetention(nowTicks: 0)
        }
        #expect(queue.counters.decidedByHash == 0)
    }

    @Test("ids whose hashes collide with that of a removed record are told apart by the second hash")
    func collision() throws {
        let queue = try openQueue(MemoryFileStore(), Self.limits(RetentionPolicy(bytes: 6_000)))
        try Self.fill(queue, rounds: 0..<40)
        try queue.applyRetention(nowTicks: 0)
        let number = try #require(queue.existingDevice(named: "d1"))
        func hash(_ id: String) -> UInt64 {
            Array(id.utf8).withUnsafeBytes { raw in
                raw.baseAddress.map {
                    KeyedHash.hash($0, raw.count, device: number, key: queue.catalog.hashKey)
                } ?? 0
            }
        }
        // The table claims that a removed record also answers for another id.
        var cursor = DedupIndex.Cursor(hash("3"))
        let place = DedupPlace(
            position: queue.appender.dedup.next(&cursor), device: number, sequence: 4)
        #expect(place.position > 0 && place.position < queue.firstOffset.bytes)
        queue.appender.dedup.insert(
            hash("other"), place, ticks: 50_000, devices: DeviceStates(numberMax: 1_000))
        let other = Message(device: "d1", id: "other", payload: "1:3")
        #expect(try store([other], in: queue, at: 50_000) == [.stored])
        #expect(queue.counters.falseSuspicions == 1)
        #expect(try store([other], in: queue, at: 50_000) == [.duplicate])
    }

    @Test("past the horizon only the last ids of each device outlive their records, in few files")
    func thinning() throws {
        var limits = Self.limits(RetentionPolicy(bytes: 6_000))
        limits.dedupHorizonTicks = 2_000
        limits.dedupMinimum = 2
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        for group in 0..<6 {
            for quiet in 0..<4 {
                try store(
                    (0..<3).map { Message(device: "q\(group)-\(quiet)", id: "\($0)", payload: "\($0)") },
                    in: queue, at: Int64(group * 40) * 1_000)
            }
            for round in group * 40..<group * 40 + 40 {
                try Self.fill(queue, rounds: round..<round + 1)
                try queue.applyRetention(nowTicks: Int64(round) * 1_000_000_000)
            }
        }
        #expect(try Self.names(files, ".marks").count < 8)
        for life in 0..<2 {
            for group in 0..<6 {
                for quiet in 0..<4 {
                    let messages = (1..<3).map {
                        Message(device: "q\(group)-\(quiet)", id: "\($0)", payload: "\($0)")
                    }
                    #expect(
                        try store(messages, in: queue, at: 240_000) == [.duplicate, .duplicate],
                        "life \(life), q\(group)-\(quiet)")
                }
            }
            queue = try openQueue(files, limits)
        }
        #expect(
            try store([Message(device: "d0", id: "3", payload: "0:3")], in: queue, at: 240_000) == [.stored])
        #expect(
            try store([Message(device: "q0-0", id: "0", payload: "0")], in: queue, at: 240_000) == [.stored])
    }

    @Test("nothing that somebody holds goes, what that costs is told, and a hold that comes late is told so")
    func holds() throws {
        // A step that is not worth its state waits for a minute.
        let minute = EventTime.ticksPerMinute
        let queue = try openQueue(MemoryFileStore(), Self.limits(RetentionPolicy(bytes: 6_000)))
        #expect(queue.hold(name: "query", from: QueueOffset(0)) == QueueOffset(0))
        try Self.fill(queue, rounds: 0..<60)
        let end = try #require(queue.catalog.segments.last?.end)
        try queue.applyRetention(nowTicks: 0 * minute)
        #expect(queue.firstOffset == QueueOffset(0))
        #expect(queue.retention.heldBytes + 6_000 >= end)
        #expect(queue.hold(name: "group", from: QueueOffset(5_000)) == QueueOffset(5_000))
        queue.hold(name: "query", from: QueueOffset(8_000))
        #expect(
            queue.holds == [
                RetentionHold(name: "group", from: QueueOffset(5_000)),
                RetentionHold(name: "query", from: QueueOffset(8_000)),
            ])
        try queue.applyRetention(nowTicks: 1 * minute)
        #expect(queue.firstOffset == QueueOffset(4_096))
        queue.releaseHold(name: "group")
        try queue.applyRetention(nowTicks: 2 * minute)
        #expect(queue.firstOffset == QueueOffset(6_144))
        #expect(queue.hold(name: "late", from: QueueOffset(100)) == QueueOffset(6_144))
        queue.releaseHold(name: "query")
        queue.releaseHold(name: "late")
        queue.releaseHold(name: "unknown")
        try queue.applyRetention(nowTicks: 3 * minute)
        #expect(queue.firstOffset.bytes + 6_000 >= end)
        #expect(queue.retention.heldBytes == 0)
    }

    @Test("a reader goes on in a segment that is removed under it, then is told where the log begins")
    func readers() throws {
        var limits = Self.limits(RetentionPolicy(bytes: 6_000), segmentBytes: 16_384)
        limits.readBytes = 4_096
        let queue = try openQueue(MemoryFileStore(), limits)
        try Self.fill(queue, rounds: 0..<400)
        let reader = queue.makeReader(from: QueueOffset(0))
        var seen: [UInt64] = []
        #expect(try reader.next { if $0.kind == .record { seen.append($0.sequence) } })
        let before = seen.count
        try queue.applyRetention(nowTicks: 0)
        let first = queue.firstOffset
        #expect(first.bytes > 16_384)
        let error = #expect(throws: QueueError.self) {
            while try reader.next({ if $0.kind == .record { seen.append($0.sequence) } }) {}
        }
        #expect(seen.count > before)
        #expect(error == .removed(offset: 16_384, first: first.bytes))
        #expect(error?.description.contains("begins at \(first)") == true)
        let late = queue.makeReader(from: QueueOffset(20_000))
        #expect(throws: QueueError.self) { try late.next { _ in } }
        var fromStart: UInt64 = 0
        #expect(
            try queue.makeReader(from: QueueOffset(0)).next {
                if fromStart == 0, $0.kind == .record { fromStart = $0.offset.bytes }
            })
        #expect(fromStart > first.bytes && fromStart < first.bytes + 1_000)
        #expect(
            try records(of: "d1", in: queue, from: 1, limit: 3).first?.sequence
                == queue.firstSequence(device: DeviceID("d1")))
    }

    @Test("does what a dictionary would do while its records go", arguments: 0..<40 as Range<UInt64>)
    func model(_ seed: UInt64) throws {
        var random = SeededRandom(seed &+ 500)
        var limits = Self.limits(
            [
                RetentionPolicy(bytes: 5_000), RetentionPolicy(recordsPerDevice: 3),
                RetentionPolicy(ageTicks: 400),
            ][Int(seed % 3)])
        limits.snapshotBytes = 2_048 * Int(1 + random.below(3))
        limits.dedupBytesMax = 8 << 20
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        var model = ModelTests.Model()
        var ticks: Int64 = 0
        for _ in 0..<120 {
            ticks += Int64(random.below(100))
            switch random.below(12) {
            case 0:
                try queue.commit()
                queue = try openQueue(files, limits)
                #expect(queue.takeNotices() == [])
            case 1, 2:
                try queue.prepareNextSegment()
                try queue.applyRetention(nowTicks: ticks)
            case 3:
                let client = "c\(random.below(2))"
                let identifier = UInt16(random.below(6))
                try control(.release, client: client, packetIdentifier: identifier, in: queue)
                model.held.remove("\(client)/\(identifier)")
            default:
                let batch = (0..<(1 + random.below(8))).map { _ in
                    Message(
                        device: "d\(random.below(6))", id: random.below(6) == 0 ? nil : "\(random.below(60))",
                        payload: String(repeating: "b", count: Int(random.below(3)) * 60),
                        client: random.below(5) == 0 ? "c\(random.below(2))" : nil,
                        packetIdentifier: UInt16(random.below(6)))
                }
                let wanted = batch.map { model.accept($0) }
                #expect(try append(batch, to: queue, at: ticks) == wanted, "seed \(seed)")
                if random.below(3) > 0 { try queue.commit() }
            }
        }
        try queue.commit()
        for device in 0..<6 {
            let all = model.records["d\(device)"] ?? []
            let first = queue.firstSequence(device: DeviceID("d\(device)"))
            #expect(
                try payloads(records(of: "d\(device)", in: queue)) == Array(all.dropFirst(Int(first) - 1)))
            #expect(queue.lastSequence(device: DeviceID("d\(device)")) == UInt64(all.count))
        }
        #expect(queue.counters.stored == UInt64(model.records.values.reduce(0) { $0 + $1.count }))
        #expect(queue.firstOffset.bytes > 0 || seed % 3 == 1, "seed \(seed): nothing was removed")
    }

    @Test("a full disk does not keep retention from making room")
    func fullDisk() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files, Self.limits(RetentionPolicy(bytes: 6_000)))
        try Self.fill(queue, rounds: 0..<60)
        files.capacity = try files.list(logDirectory).reduce(0) { $0 + files[logDirectory + "/" + $1].count }
        #expect(throws: QueueError.self) {
            for round in 60..<200 { try Self.fill(queue, rounds: round..<round + 1) }
        }
        let before = queue.firstOffset
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset > before)
        try queue.commit()
        #expect(
            try store([Message(device: "d1", id: "3", payload: "1:3")], in: queue, at: 90_000) == [.duplicate]
        )
    }

    @Test("a damaged segment goes too, and its ids stay known from its sidecar")
    func damagedSegment() throws {
        let files = MemoryFileStore()
        let limits = Self.limits(RetentionPolicy(bytes: 6_000))
        let queue = try openQueue(files, limits)
        try Self.fill(queue, rounds: 0..<40)
        files[logDirectory + "/00000000000000002048.log"][600] ^= 1
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset.bytes > 4_096)
        #expect(queue.takeNotices().first?.contains("00000000000000002048.log") == true)
        for round in 0..<40 {
            #expect(
                try store(
                    [Message(device: "d0", id: "\(round)", payload: "0:\(round)")], in: queue, at: 50_000)
                    == [.duplicate])
        }
    }
}
