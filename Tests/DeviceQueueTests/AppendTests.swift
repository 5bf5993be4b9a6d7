import FileStoreKit
import Telemetry
import Testing

@testable import DeviceQueue

@Suite struct AppendTests {
    @Test("each device has its own gapless sequence in the order of first acceptance")
    func sequences() throws {
        let queue = try openQueue(MemoryFileStore())
        let outcomes = try store(
            (1...20).map { Message(device: "d\($0 % 3)", id: "\($0)", payload: "p\($0)") }, in: queue)
        #expect(outcomes.allSatisfy { $0 == .stored })
        #expect(try payloads(records(of: "d1", in: queue)) == ["p1", "p4", "p7", "p10", "p13", "p16", "p19"])
        #expect(try records(of: "d1", in: queue).map(\.sequence) == Array(1...7))
        #expect(queue.lastSequence(device: DeviceID("d2")) == 7)
        #expect(queue.lastSequence(device: DeviceID("unknown")) == 0)
        #expect(try records(of: "unknown", in: queue).isEmpty)
        try expectGapless(queue)
    }

    @Test("a record comes back with everything it carried")
    func wholeRecord() throws {
        let queue = try openQueue(MemoryFileStore())
        let message = Message(
            device: "m", id: "id-1", payload: "{\"v\":1}", eventTicks: 77,
            properties: [38, 0, 1, 97, 0, 1, 98])
        try store([message, Message(device: "m", payload: "second")], in: queue, at: 5_000)
        let read = try records(of: "m", in: queue)
        #expect(
            read.first
                == TelemetryRecord(
                    device: DeviceID("m"), sequence: 1, messageID: "id-1",
                    arrivalTime: EventTime(ticks: 5_000),
                    eventTime: EventTime(ticks: 77), topic: "devices/m/telemetry",
                    properties: message.properties, payload: Array(message.payload.utf8),
                    quarantineReason: nil,
                    offset: QueueOffset(64 + 40 + 48)))
        #expect(read.last?.messageID == nil)
        #expect(read.last?.eventTime == EventTime(ticks: 5_000))
        #expect(try scanned(queue) == read)
    }

    @Test("the same id with the same body is a duplicate, whatever its topic, properties and arrival")
    func duplicate() throws {
        let queue = try openQueue(MemoryFileStore())
        try store([Message(id: "a", payload: "1")], in: queue)
        let again = Message(id: "a", payload: "1", properties: [1, 0])
        #expect(try store([again, again], in: queue, at: 9_000) == [.duplicate, .duplicate])
        #expect(try records(of: "meter-1", in: queue).count == 1)
        #expect(queue.counters.duplicates == 2)
    }

    @Test("a repetition inside one buffer is a duplicate too")
    func duplicateInBatch() throws {
        let queue = try openQueue(MemoryFileStore())
        let message = Message(id: "a")
        #expect(try store([message, message, message], in: queue) == [.stored, .duplicate, .duplicate])
    }

    @Test("ids are per device, and messages without an id are never duplicates")
    func scope() throws {
        let queue = try openQueue(MemoryFileStore())
        let outcomes = try store(
            [Message(device: "a", id: "1"), Message(device: "b", id: "1"), Message(), Message()], in: queue)
        #expect(outcomes == [.stored, .stored, .stored, .stored])
    }

    @Test("the same id with another body is kept in quarantine as a conflict, once")
    func conflict() throws {
        let queue = try openQueue(MemoryFileStore())
        let outcomes = try store(
            [Message(id: "a", payload: "first"), Message(id: "a", payload: "second")], in: queue)
        #expect(outcomes == [.stored, .conflict])
        #expect(try payloads(records(of: "meter-1", in: queue)) == ["first"])
        let aside = try queue.quarantined(from: 1, limit: 10)
        #expect(payloads(aside) == ["second"])
        #expect(aside.first?.quarantineReason == .conflict)
        #expect(aside.first?.device == DeviceID("meter-1"))
        #expect(aside.first?.sequence == 1)
        // A repetition of either is a duplicate: nothing is counted twice, not even in quarantine.
        #expect(
            try store([Message(id: "a", payload: "second"), Message(id: "a", payload: "first")], in: queue)
                == [.duplicate, .duplicate])
        #expect(try store([Message(id: "a", payload: "third")], in: queue) == [.conflict])
        #expect(queue.lastQuarantinedSequence == 2)
        #expect(queue.counters.quarantined(.conflict) == 2)
    }

    @Test("a message staged with a reason goes to the quarantine, and its id stays free for a corrected one")
    func quarantine() throws {
        let queue = try openQueue(MemoryFileStore())
        let bad = Message(id: "a", payload: "bad", reason: .notJSON)
        #expect(try store([bad, bad], in: queue) == [.quarantined, .duplicate])
        #expect(try store([Message(id: "a", payload: "good")], in: queue) == [.stored])
        let nobody = Message(device: "", id: "a", payload: "x", reason: .badDevice)
        #expect(try store([nobody, nobody], in: queue) == [.quarantined, .quarantined])
        let aside = try queue.quarantined(from: 1, limit: 10)
        #expect(aside.map(\.quarantineReason) == [.notJSON, .badDevice, .badDevice])
        #expect(aside.map(\.device.text) == ["meter-1", "", ""])
        #expect(aside.map(\.sequence) == [1, 2, 3])
        let counters = queue.counters
        #expect(counters.received == counters.stored + counters.duplicates + counters.quarantined)
        #expect(counters.received == 5)
    }

    @Test("arrival times never go back, and are the event time unless the device gave one")
    func arrivals() throws {
        let queue = try openQueue(MemoryFileStore())
        try store([Message(payload: "1")], in: queue, at: 500)
        try store([Message(payload: "2")], in: queue, at: 400)
        try queue.appendTick(arrivalTicks: 900)
        try store([Message(payload: "3", eventTicks: -5)], in: queue, at: 800)
        let read = try records(of: "meter-1", in: queue)
        #expect(read.map(\.arrivalTime.ticks) == [500, 500, 900])
        #expect(read.map(\.eventTime.ticks) == [500, 500, -5])
        #expect(queue.lastArrivalTicks == 900)
    }

    @Test("readers see nothing before the commit")
    func visibility() throws {
        let queue = try openQueue(MemoryFileStore())
        let reader = queue.makeReader(from: QueueOffset(0))
        try append([Message(id: "1", payload: "a")], to: queue)
        #expect(try !reader.next { _ in Issue.record("a frame that is not durable") })
        #expect(try records(of: "meter-1", in: queue).isEmpty)
        #expect(queue.lastSequence(device: DeviceID("meter-1")) == 0)
        #expect(queue.pendingBytes > 0)
        try queue.commit()
        var kinds: [FrameKind] = []
        #expect(try reader.next { kinds.append($0.kind) })
        #expect(kinds == [.commit, .device, .record])
        #expect(try !reader.next { _ in })
        #expect(reader.position == queue.durableEnd)
        #expect(queue.pendingBytes == 0)
        try append([Message(id: "2", payload: "b")], to: queue)
        #expect(try payloads(records(of: "meter-1", in: queue)) == ["a"])
        try queue.commit()
        kinds = []
        #expect(try reader.next { kinds.append($0.kind) })
        #expect(kinds == [.commit, .record])
    }

    @Test("a message with an id goes by its id, not by a packet identifier that an earlier one left behind")
    func identifierLeftBehind() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        let first = Message(id: "1", payload: "v", client: "c", packetIdentifier: 13)
        #expect(try store([first], in: queue) == [.stored])
        queue = try openQueue(files)
        let other = Message(id: "2", payload: "w", client: "c", packetIdentifier: 13)
        #expect(try store([other, first, other], in: queue) == [.stored, .duplicate, .duplicate])
        #expect(try payloads(records(of: "meter-1", in: queue)) == ["v", "w"])
    }

    @Test("a QoS 2 packet identifier blocks its repetition until it is released, and across a restart")
    func exactlyOnceDelivery() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        let message = Message(payload: "v", client: "c", packetIdentifier: 9)
        #expect(try store([message, message], in: queue) == [.stored, .duplicate])
        let client = try #require(queue.client(named: "c"))
        #expect(queue.unreleased(client: client) == [9])
        queue = try openQueue(files)
        #expect(queue.existingClient(named: "c") == client)
        #expect(queue.unreleased(client: client) == [9])
        #expect(try store([message], in: queue) == [.duplicate])
        #expect(try control(.release, client: "c", packetIdentifier: 9, in: queue) == .noted)
        #expect(queue.unreleased(client: client).isEmpty)
        #expect(try store([message], in: queue) == [.stored])
        try store([Message(payload: "w", client: "c", packetIdentifier: 3)], in: queue)
        #expect(queue.unreleased(client: client) == [3, 9])
        #expect(try control(.sessionDiscarded, client: "c", in: queue) == .noted)
        queue = try openQueue(files)
        #expect(queue.unreleased(client: client).isEmpty)
        #expect(try records(of: "meter-1", in: queue).count == 3)
    }

    @Test("everything is as before after a restart")
    func restart() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        try store((1...30).map { Message(device: "d\($0 % 4)", id: "\($0)", payload: "\($0)") }, in: queue)
        try store([Message(device: "d1", id: "1", payload: "other")], in: queue)
        let before = try scanned(queue)
        let end = queue.durableEnd
        let counters = queue.counters
        queue = try openQueue(files)
        #expect(try scanned(queue) == before)
        #expect(queue.durableEnd == end)
        #expect(queue.deviceCount == 4)
        #expect(queue.counters.stored == counters.stored)
        #expect(queue.counters.quarantinedByReason == counters.quarantinedByReason)
        #expect(try store([Message(device: "d1", id: "5", payload: "5")], in: queue) == [.duplicate])
        #expect(try store([Message(device: "d1", id: "31", payload: "31")], in: queue) == [.stored])
        #expect(try records(of: "d1", in: queue).last?.sequence == 9)
        try expectGapless(queue)
    }

    @Test("there are no numbers beyond the limit of devices, and none for a bad name")
    func deviceLimit() throws {
        var limits = smallLimits()
        limits.devices = 3
        let queue = try openQueue(MemoryFileStore(), limits)
        #expect(queue.device(named: "a") == 1)
        #expect(queue.device(named: "b") == 2)
        #expect(queue.device(named: "a") == 1)
        #expect(queue.device(named: "c") == 3)
        #expect(queue.device(named: "d") == nil)
        #expect(queue.device(named: "") == nil)
        #expect(queue.device(named: String(repeating: "x", count: 65)) == nil)
        #expect(queue.deviceID(2) == DeviceID("b"))
        #expect(queue.deviceID(4) == nil)
        #expect(queue.existingDevice(named: "zzz") == nil)
        #expect(queue.deviceCount == 3)
    }

    @Test("all client identifiers together have a limit of bytes, and those that have a number keep it")
    func clientNameBytes() throws {
        var limits = smallLimits()
        limits.clientNamesBytesMax = 100
        let queue = try openQueue(MemoryFileStore(), limits)
        #expect(queue.client(named: String(repeating: "a", count: 60)) == 1)
        #expect(queue.client(named: String(repeating: "b", count: 60)) == nil)
        #expect(queue.client(named: String(repeating: "c", count: 40)) == 2)
        #expect(queue.client(named: "d") == nil)
        #expect(queue.client(named: String(repeating: "a", count: 60)) == 1)
        #expect(queue.clientCount == 2)
        #expect(queue.device(named: "d") == 1, "devices have limits of their own")
    }

    @Test("a name that only quarantined messages claimed is no device that has records, nor after a restart")
    func devicesWithRecords() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files)
        try store(
            [
                Message(device: "a"), Message(device: "b"), Message(device: "b"),
                Message(device: "c", reason: .notJSON),
            ], in: queue)
        #expect(queue.counters.devices == 2)
        #expect(queue.deviceCount >= 2)
        queue = try openQueue(files)
        #expect(queue.counters.devices == 2)
        try store([Message(device: "c"), Message(device: "a")], in: queue)
        #expect(queue.counters.devices == 3)
        #expect(try openQueue(files).counters.devices == 3)
    }

    @Test("many names get dense numbers that survive a restart")
    func manyNames() throws {
        let files = MemoryFileStore()
        var queue = try openQueue(files, smallLimits(segmentBytes: 1 << 20))
        for number in 1...900 { #expect(queue.device(named: "device-\(number)") == UInt32(number)) }
        // 5 was given but never used: after a restart another device may have it.
        try store([4, 6, 900].map { Message(device: "device-\($0)") }, in: queue)
        queue = try openQueue(files, smallLimits(segmentBytes: 1 << 20))
        #expect(queue.deviceCount == 3)
        #expect(queue.deviceNames.numberEnd == 901)
        #expect(queue.device(named: "device-900") == 900)
        #expect(queue.device(named: "device-6") == 6)
        let fresh = try #require(queue.device(named: "fresh"))
        #expect(queue.deviceID(fresh) == DeviceID("fresh"))
        #expect(![4, 6, 900].contains(fresh))
        try store([Message(device: "fresh", payload: "x")], in: queue)
        queue = try openQueue(files, smallLimits(segmentBytes: 1 << 20))
        #expect(queue.device(named: "fresh") == fresh)
        #expect(try payloads(records(of: "fresh", in: queue)) == ["x"])
    }
}
