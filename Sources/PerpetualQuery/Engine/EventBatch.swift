package import Telemetry

/// Events of one input, decoded ahead by `EventDecoder`, on another thread if wanted: payloads and what came with them,
/// the values of the wanted fields, names for finding duplicates, and of plain events times and groups.
///
/// `@unchecked Sendable`: one thread fills it, hands it over, and does not touch it until it is handed back.
///
/// Raw pointers: the batch owns its bytes and values and frees them in deinit.
package final class EventBatch: @unchecked Sendable {
    struct Item {
        /// Place and length of the payload; behind it lie message id, topic and properties.
        var offset: Int32
        var count: Int32
        var messageIDCount: Int32 = 0
        var topicCount: Int32 = 0
        var propertiesCount: Int32 = 0
        var device: UInt32 = 0
        var sequence: UInt64
        /// Places in `keys` of what names the event, and of the group's key.
        var nameOffset: Int32 = 0
        var nameCount: Int32 = 0
        var keyOffset: Int32 = 0
        var keyCount: Int32 = 0
        var arrival: Int64
        /// What the ingest rule found; of a file's events the time of arrival.
        var eventTime: Int64
        /// In its file, for messages; 0: it is a record of the log.
        var line = 0
        var name = DuplicateFilter.Name.none
        /// What TIMESTAMP BY gives; `noTime` when only the engine can say.
        var time = Self.noTime
        var keyHash: UInt64 = 0
        var isJSON = false

        static let noTime = Int64.min
    }

    package static let eventsMax = 1_024
    private static let bytesMax = 1 << 18
    package let input: Int
    let fieldCount: Int
    let slots: UnsafeMutablePointer<Datum>
    let arena = ByteArena()
    private let start: ByteArena.Mark
    /// Names and keys as bytes, one behind the other.
    @exclusivity(unchecked) var keys = KeyBuffer()
    /// As many as `count` says.
    let items: UnsafeMutablePointer<Item>
    @exclusivity(unchecked) package private(set) var count = 0
    @exclusivity(unchecked) private(set) var bytes: UnsafeMutableRawBufferPointer
    @exclusivity(unchecked) private var used = 0
    /// Number of the first event, for messages and result ids.
    @exclusivity(unchecked) package private(set) var firstSequence: UInt64 = 1
    @exclusivity(unchecked) package var isText = false
    /// The decoder has seen its last event.
    @exclusivity(unchecked) var isFinished = false

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
        keys.deallocate()
    }

    /// The line of an event; 0 past the last one.
    package func line(of index: Int) -> Int { index < count ? items[index].line : 0 }

    package func removeAll(firstSequence: UInt64) {
        self.count = 0
        used = 0
        arena.release(to: start)
        keys.removeAll()
        isFinished = false
        self.firstSequence = firstSequence
    }

    /// Whether another payload of this size still fits.
    package func hasRoom(for byteCount: Int) -> Bool {
        count == 0 || count < Self.eventsMax && used + byteCount <= bytes.count
    }

    package func payload(_ index: Int) -> UnsafeRawBufferPointer {
        part(items[index].offset, items[index].count)
    }

    @inline(__always)
    private func part(_ offset: Int32, _ count: Int32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes.baseAddress.map { $0 + Int(offset) }, count: Int(count))
    }

    /// The event as it would come alone; its bytes are the batch's.
    package func event(_ index: Int) -> StreamEvent {
        let item = items + index
        var at = item.pointee.offset
        func next(_ count: Int32) -> UnsafeRawBufferPointer {
            defer { at += count }
            return part(at, count)
        }
        var event = StreamEvent(
            input: input, device: item.pointee.device, sequence: item.pointee.sequence,
            arrivalTime: EventTime(ticks: item.pointee.arrival),
            eventTime: EventTime(ticks: item.pointee.eventTime), payload: next(item.pointee.count),
            messageID: next(item.pointee.messageIDCount), isText: isText)
        event.topic = next(item.pointee.topicCount)
        event.properties = next(item.pointee.propertiesCount)
        return event
    }

    @inline(__always)
    func name(_ item: Item) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: keys.bytes.baseAddress.map { $0 + Int(item.nameOffset) }, count: Int(item.nameCount))
    }

    @inline(__always)
    func key(_ item: Item) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: keys.bytes.baseAddress.map { $0 + Int(item.keyOffset) }, count: Int(item.keyCount))
    }

    /// Copies an event of a file that the batch has room for; the item's other parts are for the decoder to set.
    func add(_ payload: UnsafeRawBufferPointer, arrival: Int64, line: Int) -> UnsafeRawBufferPointer {
        let own = place(payload.count)
        own.copyMemory(from: payload)
        let sequence = firstSequence + UInt64(count)
        (items + count).initialize(
            to: Item(
                offset: Int32(used - payload.count), count: Int32(payload.count), sequence: sequence,
                arrival: arrival, eventTime: arrival, line: line))
        count += 1
        return UnsafeRawBufferPointer(own)
    }

    /// As `add(_:arrival:line:)`, a record of the log.
    func add(_ record: RecordView, messageID: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let own = place(Self.byteCount(of: record, messageID: messageID))
        let start = used - own.count
        var at = 0
        func put(_ part: UnsafeRawBufferPointer) {
            UnsafeMutableRawBufferPointer(rebasing: own[at...]).copyMemory(from: part)
            at += part.count
        }
        put(record.payload)
        put(messageID)
        put(record.topic)
        put(record.properties)
        (items + count).initialize(
            to: Item(
                offset: Int32(start), count: Int32(record.payload.count),
                messageIDCount: Int32(messageID.count), topicCount: Int32(record.topic.count),
                propertiesCount: Int32(record.properties.count), device: record.device,
                sequence: record.sequence, arrival: record.arrivalTime.ticks,
                eventTime: record.eventTime.ticks))
        count += 1
        return UnsafeRawBufferPointer(rebasing: own[..<record.payload.count])
    }

    @inline(__always)
    static func byteCount(of record: RecordView, messageID: UnsafeRawBufferPointer) -> Int {
        record.payload.count + messageID.count + record.topic.count + record.properties.count
    }

    /// The next bytes; a batch that is empty has room for any event.
    @inline(__always)
    private func place(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
        precondition(count < Self.eventsMax)
        if byteCount > bytes.count, count == 0 {
            bytes.deallocate()
            bytes = .allocate(byteCount: byteCount, alignment: 16)
        }
        defer { used += byteCount }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[used..<(used + byteCount)])
    }
}

/// Decodes events of one input into batches.
///
/// `@unchecked Sendable`: handed to its thread once, and touched by that thread only.
package final class EventDecoder: @unchecked Sendable {
    private let decoder: InputDecoder
    private let names: [Int]
    private let plain: PlainEvents?
    private let hashKey: UInt64
    private let needsDecoding: Bool
    /// So many of the fields that name an event are the group's key; 0: it is another.
    private let sharedCount: Int
    /// Of the event before.
    @exclusivity(unchecked) private var minute = ISOMinute()

    /// - Parameter limits: those of the engine that gets the batches: keys are hashed as it hashes them.
    package init(plan: StreamPlan, input: Int, limits: StreamLimits) {
        let inputPlan = plan.inputs[input]
        decoder = InputDecoder(
            fields: inputPlan.fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey,
            arena: ByteArena())
        names = inputPlan.deduplication
        plain = PlainEvents(plan, input: input)
        let keyFields = plain?.keyFields ?? []
        sharedCount = names.starts(with: keyFields) ? keyFields.count : 0
        hashKey = limits.hashKey
        needsDecoding = !inputPlan.fields.isEmpty || inputPlan.needsPayload
    }

    /// Appends an event that the batch has room for; `finish` follows the last.
    ///
    /// - Parameter line: its line in the file.
    package func add(_ payload: UnsafeRawBufferPointer, arrival: EventTime, line: Int, to batch: EventBatch) {
        decodeLast(batch.add(payload, arrival: arrival.ticks, line: line), of: batch)
    }

    /// Appends a record of the log; `finish` follows the last.
    ///
    /// - Returns: false when the batch has no room for it: then nothing was done.
    package func add(_ record: RecordView, messageID: UnsafeRawBufferPointer, to batch: EventBatch) -> Bool {
        guard batch.hasRoom(for: EventBatch.byteCount(of: record, messageID: messageID)) else { return false }
        decodeLast(batch.add(record, messageID: messageID), of: batch)
        return true
    }

    @inline(__always)
    private func decodeLast(_ own: UnsafeRawBufferPointer, of batch: EventBatch) {
        let item = batch.items + (batch.count - 1)
        let place = batch.slots + (batch.count - 1) * batch.fieldCount
        guard needsDecoding else {
            item.pointee.isJSON = true
            return
        }
        if batch.count == 1 { decoder.arena = batch.arena }
        guard decoder.decode(own) else { return place.update(repeating: .null, count: batch.fieldCount) }
        item.pointee.isJSON = true
        // Read before they are copied: what was just written in parts cannot be read as a whole at once.
        let slots = decoder.slots
        appendKeys(slots, item, batch)
        if let plain { item.pointee.time = time(slots[plain.timeField]) ?? EventBatch.Item.noTime }
        place.update(from: slots, count: batch.fieldCount)
    }

    /// Computes what is known of names and keys when all their bytes are there: not while they are being written.
    package func finish(_ batch: EventBatch) {
        batch.isFinished = true
        let hasGroup = plain?.group != nil
        guard hasGroup || !names.isEmpty else { return }
        for index in 0..<batch.count where batch.items[index].isJSON {
            let item = batch.items + index
            if !names.isEmpty { item.pointee.name = DuplicateFilter.name(batch.name(item.pointee)) }
            if hasGroup { item.pointee.keyHash = GroupKey.hash(batch.key(item.pointee), hashKey) }
        }
    }

    @inline(__always)
    private func time(_ value: Datum) -> Int64? {
        if value.kind == .text, let known = minute.ticks(value.bytes) { return known }
        let ticks = EventClock.ticks(value)
        if let ticks, value.kind == .text { minute = ISOMinute(value.bytes, ticks) ?? minute }
        return ticks
    }

    @inline(__always)
    private func appendKeys(
        _ slots: UnsafeMutablePointer<Datum>, _ item: UnsafeMutablePointer<EventBatch.Item>,
        _ batch: EventBatch
    ) {
        let from = batch.keys.count
        item.pointee.nameOffset = Int32(from)
        item.pointee.keyOffset = Int32(from)
        for index in names.indices {
            GroupKey.append(slots[names[index]], to: &batch.keys)
            if index + 1 == sharedCount { item.pointee.keyCount = Int32(batch.keys.count - from) }
        }
        let end = batch.keys.count
        item.pointee.nameCount = Int32(end - from)
        guard sharedCount == 0, let plain, plain.group != nil else { return }
        item.pointee.keyOffset = Int32(end)
        for field in plain.keyFields { GroupKey.append(slots[field], to: &batch.keys) }
        item.pointee.keyCount = Int32(batch.keys.count - end)
    }
}
