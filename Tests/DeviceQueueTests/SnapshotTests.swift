import FileStoreKit
import Platform
import Synchronization
import Telemetry
import Testing

@testable import DeviceQueue

/// States and sidecars: a start from them is a start from the whole log, and none of them is trusted.
@Suite struct SnapshotTests {
    /// Everything that an opened queue knows, as text to compare.
    static func summary(_ queue: DeviceQueue, exact: Bool = true) throws -> [String] {
        var lines: [String] = []
        for number in 0..<queue.deviceNames.numberEnd {
            let state = queue.appender.devices.state(number).pointee
            lines.append(
                "device \(number) \(queue.deviceNames.name(number) ?? "-") \(state.lastSequence) "
                    + "\(state.lastOffset)")
        }
        for number in 0..<queue.clientNames.numberEnd {
            lines.append(
                "client \(number) \(queue.clientNames.name(number) ?? "-") \(queue.unreleased(client: number))"
            )
        }
        let counters = queue.counters
        lines.append(
            "\(counters.received) \(counters.stored) \(counters.quarantinedByReason) \(counters.withMessageID)"
        )
        lines.append("tallies \(queue.appender.tallies.encoded())")
        lines.append("commit \(queue.appender.lastCommitNumber), last \(queue.lastArrivalTicks)")
        lines.append("end \(queue.durableEnd)")
        return lines
    }

    /// The ids that must be remembered, found in the tables: those of the horizon, and the last of each device.
    static func missingIDs(_ queue: DeviceQueue) throws -> [String] {
        var missing: [String] = []
        let reader = queue.makeReader(from: QueueOffset(0))
        let last = queue.lastArrivalTicks
        while try reader.next({ frame in
            guard frame.kind == .record || frame.kind == .quarantined else { return }
            let hash = LogAppender.hash(frame.base, key: queue.catalog.hashKey)
            guard hash != 0 else { return }
            let isInHorizon = last - frame.arrivalTime.ticks <= queue.catalog.limits.dedupHorizonTicks
            let head = queue.appender.devices.state(frame.device).pointee.lastSequence
            guard isInHorizon || head - frame.sequence < UInt64(queue.catalog.limits.dedupMinimum) else {
                return
            }
            var cursor = DedupIndex.Cursor(hash)
            var position = queue.appender.dedup.next(&cursor)
            while position != 0, position != frame.offset.bytes {
                position = queue.appender.dedup.next(&cursor)
            }
            if position == 0 { missing.append("\(frame.offset)") }
        }) {}
        return missing
    }

    static func covered(_ queue: DeviceQueue) -> [LogState.Covered] {
        var covered = queue.upkeep?.work.withLock { $0.state.segments } ?? []
        // Less where ids need not be remembered any more.
        for index in covered.indices { covered[index].ids = 0 }
        return covered
    }

    /// Removes every state and sidecar: what is left is the log.
    static func bare(_ files: MemoryFileStore) throws -> MemoryFileStore {
        let copy = files.afterCrash(.keep, seed: 0)
        for name in try copy.list(logDirectory) where !name.hasSuffix(".log") {
            copy.forget(logDirectory + "/" + name)
        }
        return copy
    }

    static func states(_ files: MemoryFileStore) throws -> [String] {
        try files.list(logDirectory).filter(LogStateStore.isStateFile).map { logDirectory + "/" + $0 }
    }

    /// A log of many shapes: few or many devices, quiet ones, QoS 2 in flight, conflicts, quarantine, ticks.
    static func fill(_ queue: DeviceQueue, seed: UInt64, batches: Int = 60) throws {
        var random = SeededRandom(seed)
        let devices = 1 + random.below(12)
        var ticks: Int64 = 1_000
        for batch in 0..<batches {
            ticks += Int64(random.below(300))
            let messages = (0..<(1 + random.below(6))).map { at in
                Message(
                    device: random.below(20) == 0 ? "" : "d\(random.below(devices))",
                    id: random.below(5) == 0
                        ? nil : "\(seed)-\(random.below(3) == 0 ? 7 : batch * 10 + Int(at))",
                    payload: String(repeating: "p", count: Int(random.below(120))),
                    client: random.below(6) == 0 ? "c\(random.below(3))" : nil,
                    packetIdentifier: UInt16(random.below(9)), reason: random.below(12) == 0 ? .notJSON : nil)
            }
            try store(messages.map { $0.device.isEmpty ? $0.aside : $0 }, in: queue, at: ticks)
            if random.below(4) == 0 {
                try control(
                    random.below(5) == 0 ? .sessionDiscarded : .release, client: "c\(random.below(3))",
                    packetIdentifier: UInt16(random.below(9)), in: queue)
            }
            if random.below(8) == 0 {
                try queue.appendTick(arrivalTicks: ticks)
                try queue.commit()
            }
            if random.below(3) == 0 { try queue.prepareNextSegment() }
        }
    }

    static func limits(_ seed: UInt64) -> QueueLimits {
        var limits = smallLimits(segmentBytes: 2_048 + Int(seed % 3) * 1_024)
        limits.dedupHorizonTicks = [1_000_000, 3_000, 500][Int(seed % 3)]
        limits.dedupMinimum = [1_000, 4, 0][Int(seed / 3 % 3)]
        limits.snapshotBytes = limits.segmentBytes * Int(1 + seed % 4)
        return limits
    }

    @Test(
        "a start from a state and what follows it is a start from the whole log",
        arguments: 0..<40 as Range<UInt64>)
    func agreement(_ seed: UInt64) throws {
        let limits = Self.limits(seed)
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        for life in 0..<3 as Range<UInt64> {
            try Self.fill(queue, seed: seed * 10 + life, batches: 40)
            let before = try Self.summary(queue)
            let whole = try openQueue(Self.bare(files), limits)
            queue = try openQueue(files, limits)
            #expect(try Self.summary(queue).dropLast(3) == Self.summary(whole).dropLast(3), "seed \(seed)")
            #expect(try Self.summary(queue).suffix(3) == Self.summary(whole).suffix(3), "seed \(seed)")
            // What the writer counted beside the log (duplicates) is not in it.
            #expect(try Self.summary(queue).filter { !$0.hasPrefix("device") }.last == before.last)
            #expect(try Self.missingIDs(queue) == [], "seed \(seed)")
            #expect(try Self.missingIDs(whole) == [], "seed \(seed)")
            #expect(queue.takeNotices() == [])
            // What a replay notes of a segment is what the helper notes.
            #expect(Self.covered(queue) == Self.covered(whole), "seed \(seed)")
        }
        #expect(try !Self.states(files).isEmpty, "seed \(seed): no state was written")
    }

    /// A log with two states, and how far the newest goes.
    private func log() throws -> (files: MemoryFileStore, limits: QueueLimits, boundary: UInt64) {
        let limits = smallLimits()
        let files = MemoryFileStore()
        let queue = try openQueue(files, limits)
        for number in 0..<90 {
            try store(
                [
                    Message(
                        device: "d\(number % 4)", id: "\(number)", payload: "\(number)",
                        client: number % 9 == 0 ? "c" : nil, packetIdentifier: UInt16(number))
                ], in: queue, at: Int64(2_000 + number))
            try queue.prepareNextSegment()
        }
        let newest = try #require(try Self.states(files).last)
        let boundary = try #require(UInt64(newest.suffix(26).prefix(20)))
        return (files, limits, boundary)
    }

    @Test("two states are kept, and a start reads only what follows the newest")
    func reading() throws {
        let (files, limits, boundary) = try log()
        #expect(try Self.states(files).count == 2)
        #expect(boundary > 8_192)
        // Damage in a covered segment does not keep the hub from starting any more; readers meet it.
        let path = logDirectory + "/00000000000000002048.log"
        files[path][400] ^= 1
        let queue = try openQueue(files, limits)
        #expect(try Self.summary(queue).contains { $0.hasPrefix("device 1 d0 23") })
        #expect(throws: QueueError.self) { try scanned(queue) }
        #expect(throws: QueueError.self) { try openQueue(Self.bare(files), limits) }
    }

    @Test("a state with any byte changed is not used, and the older one or the log gives the same")
    func damagedState() throws {
        let (files, limits, _) = try log()
        let wanted = try Self.summary(openQueue(Self.bare(files), limits))
        let states = try Self.states(files)
        let newest = states[1]
        let bytes = files[newest]
        for place in bytes.indices {
            files[newest][place] ^= 0x08
            let queue = try openQueue(files, limits, mode: .readOnly)
            #expect(queue.takeNotices().count == 1, "byte \(place)")
            #expect(try Self.summary(queue) == wanted, "byte \(place)")
            files[newest] = bytes
        }
        for length in [0, 10, bytes.count - 1] {
            files[newest] = Array(bytes.prefix(length))
            #expect(try Self.summary(openQueue(files, limits)) == wanted, "\(length) bytes")
        }
        files[states[0]] = [1, 2, 3]
        let queue = try openQueue(files, limits)
        #expect(try Self.summary(queue) == wanted)
        #expect(queue.takeNotices().count == 2)
        #expect(try Self.missingIDs(queue) == [])
    }

    @Test("sidecars of ids with any byte changed, cut, swapped or missing are made again")
    func damagedIDs() throws {
        let (files, limits, boundary) = try log()
        let paths = try files.list(logDirectory).filter { $0.hasSuffix(".ids") }.map {
            logDirectory + "/" + $0
        }
        #expect(paths.count >= Int(boundary / 2_048))
        let bytes = files[paths[2]]
        for place in bytes.indices {
            files[paths[2]][place] ^= 0x40
            let queue = try openQueue(files, limits)
            #expect(try Self.missingIDs(queue) == [], "byte \(place)")
            #expect(files[paths[2]] == bytes)
        }
        files[paths[2]] = files[paths[3]]
        files[paths[1]] = []
        files.forget(paths[0])
        let queue = try openQueue(files, limits)
        #expect(try Self.missingIDs(queue) == [])
        #expect(files[paths[2]] == bytes)
        let again = try store(
            (0..<90).map {
                Message(device: "d\($0 % 4)", id: "\($0)", payload: "\($0)")
            }, in: queue)
        #expect(again.allSatisfy { $0 == .duplicate })
    }

    @Test("a state of another log, of a longer one, or of one that went on otherwise is not used")
    func foreignStates() throws {
        let (files, limits, _) = try log()
        let states = try Self.states(files)
        // The last segments are moved away: the states know more than there is.
        let short = files.afterCrash(.keep, seed: 0)
        let logs = try short.list(logDirectory).filter { $0.hasSuffix(".log") }
        // Names are offsets of one length, so they compare like them.
        let kept = logs.prefix { name in states.allSatisfy { logDirectory + "/" + name < $0 } }.dropLast()
        #expect(kept.count > 1)
        for name in logs.dropFirst(kept.count) { short.forget(logDirectory + "/" + name) }
        var queue = try openQueue(short, limits)
        #expect(queue.takeNotices().count == 2)
        #expect(try Self.summary(queue) == Self.summary(openQueue(Self.bare(short), limits)))
        // And are gone, with the sidecars of what was moved away: another log grows there now.
        #expect(try short.list(logDirectory).filter { $0.hasSuffix(".ids") }.count == kept.count - 1)
        #expect(try Self.states(short).isEmpty)
        for number in 0..<90 {
            try store([Message(device: "d\(number % 3)", id: "x\(number)")], in: queue, at: 5_000)
        }
        try queue.prepareNextSegment()
        #expect(try Self.missingIDs(openQueue(short, limits)) == [])
        // An old state beside a log that went on otherwise.
        for path in try Self.states(short) { short.forget(path) }
        for path in states { short[path] = files[path] }
        queue = try openQueue(short, limits)
        #expect(queue.takeNotices().allSatisfy { $0.contains("does not agree") })
        #expect(try Self.summary(queue) == Self.summary(openQueue(Self.bare(short), limits)))
        // A log of the same sizes with another reading at the end of what the state covers.
        try Self.twins(limits)
        // Another log.
        let other = MemoryFileStore()
        _ = try DeviceQueue.open(
            directory: logDirectory, files: other, limits: limits, nowTicks: 1, seed: 99)
        other[states[1]] = files[states[1]]
        queue = try openQueue(other, limits, mode: .readOnly)
        #expect(queue.takeNotices().first?.contains("another log") == true)
        #expect(queue.deviceCount == 0)
    }

    /// Two logs of one identity that differ in payloads only; the states of one beside the other.
    private static func twins(_ limits: QueueLimits) throws {
        let stores = [MemoryFileStore(), MemoryFileStore()]
        for (letter, files) in zip(["a", "b"], stores) {
            let queue = try openQueue(files, limits)
            for number in 0..<150 {
                let payload = number > 20 ? letter : "-"
                try store([Message(id: "\(100 + number)", payload: payload)], in: queue)
                try queue.prepareNextSegment()
            }
        }
        for path in try states(stores[0]) { stores[1][path] = stores[0][path] }
        let ids = try stores[0].list(logDirectory).filter { $0.hasSuffix(".ids") }.suffix(1)
        for name in ids { stores[1][logDirectory + "/" + name] = stores[0][logDirectory + "/" + name] }
        let queue = try openQueue(stores[1], limits)
        let notices = queue.takeNotices()
        #expect(notices.count == 2)
        #expect(notices.allSatisfy { $0.contains("ends otherwise") })
        #expect(try missingIDs(queue) == [])
    }

    @Test("a sealed segment that does not read back stops states, not the hub, and is told once")
    func stuck() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        for number in 0..<30 { try store([Message(id: "\(number)")], in: queue) }
        files[logDirectory + "/00000000000000002048.log"][300] ^= 1
        try queue.prepareNextSegment()
        try queue.prepareNextSegment()
        let notices = queue.takeNotices()
        #expect(notices.count == 1)
        #expect(notices.first?.contains("00000000000000002048.log") == true)
        try store([Message(id: "more")], in: queue)
    }

    @Test("a record that does not read back leaves the decision to the hash, counted, and the queue goes on")
    func unreadable() throws {
        let files = MemoryFileStore()
        let limits = smallLimits()
        var queue = try openQueue(files, limits)
        for number in 0..<90 {
            try store([Message(id: "\(number)", payload: "\(number)")], in: queue)
            try queue.prepareNextSegment()
        }
        queue = try openQueue(files, limits)
        for at in 64..<2_000 { files[logDirectory + "/00000000000000000000.log"][at] ^= 0x55 }
        #expect(
            try store([Message(id: "0", payload: "0"), Message(id: "1", payload: "1")], in: queue)
                == [.duplicate, .duplicate])
        #expect(queue.counters.decidedByHash == 2)
        #expect(queue.takeNotices().count == 1)
        #expect(queue.failure == nil)
        #expect(try store([Message(id: "new")], in: queue) == [.stored])
    }

    @Test("the memory limit holds at a restart too, and what does not fit is counted")
    func memoryLimit() throws {
        var limits = smallLimits(segmentBytes: 32_768)
        limits.dedupBytesMax = 24 * 1_024 * 4
        limits.pendingBytesMax = 1 << 20
        let files = MemoryFileStore()
        var queue = try openQueue(files, limits)
        for start in stride(from: 0, to: 8_000, by: 50) {
            try store(
                (start..<start + 50).map { Message(id: "\($0)", payload: "\($0)") }, in: queue)
            try queue.prepareNextSegment()
        }
        queue = try openQueue(files, limits)
        #expect(queue.counters.rememberedBytes <= UInt64(limits.dedupBytesMax))
        #expect(queue.counters.forgottenEarly > 4_000)
        #expect(queue.counters.rememberedIDs > 1_000)
        for number in 7_500..<8_000 {
            #expect(try store([Message(id: "\(number)", payload: "\(number)")], in: queue) == [.duplicate])
        }
    }

    @Test("slices of a slow hub do not pile up: ids of a quiet device stay known for months")
    func slowHub() throws {
        var limits = smallLimits(segmentBytes: 1 << 20)
        limits.dedupHorizonTicks = 1_000
        limits.dedupSlots = 1 << 14
        limits.dedupBytesMax = 8 << 20
        let queue = try openQueue(MemoryFileStore(), limits)
        try store([Message(device: "quiet", id: "q")], in: queue, at: 0)
        for number in 0..<2_000 {
            try store([Message(device: "slow", id: "\(number)")], in: queue, at: Int64(number) * 100)
        }
        #expect(queue.counters.forgottenEarly == 0)
        #expect(try store([Message(device: "quiet", id: "q")], in: queue, at: 200_000) == [.duplicate])
    }
}

extension Message {
    /// Set aside, from an unknown device.
    var aside: Message {
        var copy = self
        copy.reason = .badDevice
        return copy
    }
}
