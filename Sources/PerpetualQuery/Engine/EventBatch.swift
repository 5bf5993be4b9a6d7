package import Telemetry

/// Events of one input, decoded ahead by `EventDecoder`, on another thread if wanted: payloads, the values of the
/// wanted fields, and names for finding duplicates.
///
/// `@unchecked Sendable`: one thread fills it, hands it over, and does not touch it until it is handed back.
///
/// Raw pointers: the batch owns its bytes and values and frees them in deinit.
package final class EventBatch: @unchecked Sendable {
    struct Item {
        var offset: Int
        var count: Int
        var arrival: Int64
        /// In its file, for messages.
        var line: Int
        var name: DuplicateFilter.Name
        var isJSON: Bool
    }

    package static let eventsMax = 512
    private static let bytesMax = 1 << 18
    package let input: Int
    let fieldCount: Int
    let slots: UnsafeMutablePointer<Datum>
    let arena = ByteArena()
    private let start: ByteArena.Mark
    /// As many as `count` says.
    let items: UnsafeMutablePointer<Item>
    @exclusivity(unchecked) package private(set) var count = 0
    @exclusivity(unchecked) private(set) var bytes: UnsafeMutableRawBufferPointer
    @exclusivity(unchecked) private var used = 0
    /// Number of the first event, for messages and result ids.
    package private(set) var firstSequence: UInt64 = 1
    @exclusivity(unchecked) package var isText = false

    package init(plan: StreamPlan, input: Int) {
        self.input = input
        fieldCount = plan.inputs[input].fields.count
        slots = .allocate(capacity: max(fieldCount * Self.eventsMax, 1))
        bytes = .allocate(byteCount: Self.bytesMax, alignment: 16)
        start = arena.mark
        items = .allocate(capacity: Self.eventsMax)
    }

    deinit {
        slots.deallocate()
        items.deallocate()
        bytes.deallocate()
    }

    /// The line of an event; 0 past the last one.
    package func line(of index: Int) -> Int { index < count ? items[index].line : 0 }

    package func removeAll(firstSequence: UInt64) {
        self.count = 0
        used = 0
        arena.release(to: start)
        self.firstSequence = firstSequence
    }

    /// Whether another payload of this size still fits.
    package func hasRoom(for byteCount: Int) -> Bool {
        count == 0 || count < Self.eventsMax && used + byteCount <= bytes.count
    }

    func payload(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: bytes.baseAddress.map { $0 + items[index].offset }, count: items[index].count)
    }

    /// Copies a payload that the batch has room for; `finishLast` tells the rest.
    func add(_ payload: UnsafeRawBufferPointer, arrival: Int64, line: Int) -> UnsafeRawBufferPointer {
        precondition(count < Self.eventsMax)
        if payload.count > bytes.count, count == 0 {
            bytes.deallocate()
            bytes = .allocate(byteCount: payload.count, alignment: 16)
        }
        let place = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<(used + payload.count)])
        place.copyMemory(from: payload)
        (items + count).initialize(
            to: Item(
                offset: used, count: payload.count, arrival: arrival, line: line,
                name: DuplicateFilter.Name.none, isJSON: false))
        count += 1
        used += payload.count
        return UnsafeRawBufferPointer(place)
    }

    func finishLast(name: DuplicateFilter.Name, isJSON: Bool) {
        items[count - 1].name = name
        items[count - 1].isJSON = isJSON
    }
}

/// Decodes events of one input into batches.
///
/// `@unchecked Sendable`: handed to its thread once, and touched by that thread only.
package final class EventDecoder: @unchecked Sendable {
    private let decoder: InputDecoder
    private let names: [Int]
    private let needsDecoding: Bool
    @exclusivity(unchecked) private var key = KeyBuffer()

    package init(plan: StreamPlan, input: Int, limits: StreamLimits = StreamLimits()) {
        let inputPlan = plan.inputs[input]
        decoder = InputDecoder(
            fields: inputPlan.fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey,
            arena: ByteArena())
        names = inputPlan.deduplication
        needsDecoding = !inputPlan.fields.isEmpty || inputPlan.needsPayload
    }

    deinit { key.deallocate() }

    /// Appends an event that the batch has room for.
    ///
    /// - Parameter line: its line in the file.
    package func add(_ payload: UnsafeRawBufferPointer, arrival: EventTime, line: Int, to batch: EventBatch) {
        let own = batch.add(payload, arrival: arrival.ticks, line: line)
        guard needsDecoding else {
            return batch.finishLast(name: DuplicateFilter.Name.none, isJSON: true)
        }
        decoder.arena = batch.arena
        let isJSON = decoder.decode(own)
        (batch.slots + (batch.count - 1) * batch.fieldCount).update(
            from: decoder.slots, count: batch.fieldCount)
        var name = DuplicateFilter.Name.none
        if !names.isEmpty, isJSON {
            key.removeAll()
            for field in names { GroupKey.append(decoder.slots[field], to: &key) }
            name = DuplicateFilter.name(key.bytes)
        }
        batch.finishLast(name: name, isJSON: isJSON)
    }
}

extension StreamEngine {
    /// Takes the events of a batch, as `process(_:)` takes each.
    ///
    /// - Returns: the index of the first event that is no JSON object, at which it stopped; nil when there is none.
    /// - Throws: as `process(_:)`; `takenOfBatch` then says how many came before.
    package func process(_ batch: EventBatch) throws(QueryFailure) -> Int? {
        let input = inputs[batch.input]
        let isText = batch.isText
        let first = batch.firstSequence
        takenOfBatch = 0
        for index in 0..<batch.count {
            // The places of the next names are fetched together, so that their waits overlap.
            if let filter = input.duplicates, index & 31 == 0 {
                for ahead in index..<min(index + 32, batch.count) { filter.touch(batch.items[ahead].name) }
            }
            let item = batch.items[index]
            guard item.isJSON else { return index }
            let event = StreamEvent(
                input: batch.input, device: 0, sequence: first + UInt64(index),
                arrivalTime: EventTime(ticks: item.arrival), eventTime: EventTime(ticks: item.arrival),
                payload: batch.payload(index), isText: isText)
            try process(event, input, batch.slots + index * batch.fieldCount, name: item.name, isJSON: true)
            takenOfBatch += 1
        }
        return nil
    }
}
