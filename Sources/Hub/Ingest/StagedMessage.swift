import DeviceQueue
import MQTTWire
import Telemetry

/// One telemetry publish on its way into the staging buffer: the wire's bytes plus what the ingest rule read
/// out of them. Borrowed bytes, valid during the read that brought them.
struct StagedMessage {
    var device: UInt32
    var client: UInt32
    var packetIdentifier: UInt16
    var flags: UInt8
    var topic: UnsafeRawBufferPointer
    var properties: UnsafeRawBufferPointer
    var payload: UnsafeRawBufferPointer
    var eventTicks: Int64?
    var idPlace = StagingBuffer.MessageIDPlace.none
    /// The bytes behind `.decoded`, kept alive until they are copied.
    var decodedID: [UInt8] = []
    var reason: QuarantineReason?
    /// The ranks, in the rule's lists, of the places that gave id and time; `.max`: none did.
    private(set) var idRank = UInt8.max
    private(set) var timeRank = UInt8.max
    /// The id that was found is too long, or no text and no whole number.
    private var hasUnusableID = false
    /// Of a replay: the sequence in the quarantine that the message comes from, else 0.
    var replayedFrom: UInt64 = 0

    init(
        device: UInt32, client: UInt32, packetIdentifier: UInt16, flags: UInt8, topic: UnsafeRawBufferPointer,
        properties: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer
    ) {
        self.device = device
        self.client = client
        self.packetIdentifier = packetIdentifier
        self.flags = flags
        self.topic = topic
        self.properties = properties
        self.payload = payload
    }

    /// Takes the device, or the reason why there is none; a message over the limit of devices counts as one that
    /// names none.
    @inline(__always)
    mutating func setDevice(_ number: DeviceName.Number) {
        switch number {
        case .known(let known): device = known
        case .refused(let why): reason = why
        case .limit: reason = .badDevice
        }
    }

    /// Reads id and time where the rule says, and checks what it promises of the payload. The first reason to set
    /// the message aside stands.
    ///
    /// - Parameter rest: what the `#` of the rule's topic filter took: bytes of the topic.
    @inline(__always)
    mutating func read(_ plan: IngestPlan, rest: Range<Int>) {
        if plan.sources.count > 0, !properties.isEmpty || !rest.isEmpty || !plan.isCacheable {
            readSources(plan, rest)
        }
        if payload.count > plan.payloadBytesMax {
            reason = reason ?? .oversize
        } else if plan.isJSON {
            readPayload(plan)
        }
        if hasUnusableID { reason = reason ?? .badMessageID }
        if timeRank != .max, eventTicks == nil { reason = reason ?? .badTimestamp }
    }

    @inline(__always)
    private mutating func readPayload(_ plan: IngestPlan) {
        let scan = PayloadScan(payload, plan, idRank: idRank, timeRank: timeRank)
        guard scan.isJSON else {
            reason = reason ?? .notJSON
            return
        }
        if scan.timeRank < timeRank {
            timeRank = scan.timeRank
            eventTicks = scan.eventTicks
        }
        guard scan.idRank < idRank else { return }
        idRank = scan.idRank
        hasUnusableID = false
        idPlace = .none
        if !decodedID.isEmpty { decodedID = [] }
        switch scan.id {
        case .none: break
        case .inPlace(let range): idPlace = .payload(range)
        case .decoded(let bytes): decodedID = bytes
        case .unusable: hasUnusableID = true
        }
    }

    /// Looks at user properties, property bag and topic levels.
    @inline(never)
    private mutating func readSources(_ plan: IngestPlan, _ rest: Range<Int>) {
        for source in plan.sources {
            guard source.rank < (source.role == .id ? idRank : timeRank) else { continue }
            switch source.kind {
            case .property:
                guard !properties.isEmpty, let range = userProperty(named: source.name, in: properties) else {
                    continue
                }
                take(UnsafeRawBufferPointer(rebasing: properties[range]), .properties(range), source)
            case .bag:
                let bag = UnsafeRawBufferPointer(rebasing: topic[rest])
                guard let range = PropertyBag.range(named: source.name, in: bag) else { continue }
                let value = UnsafeRawBufferPointer(rebasing: bag[range])
                if value.contains(0x25) {
                    let decoded = PropertyBag.decode(value)
                    decoded.withUnsafeBytes { take($0, .decoded($0), source) }
                    if source.role == .id, idRank == source.rank, !hasUnusableID { decodedID = decoded }
                } else {
                    let start = rest.lowerBound + range.lowerBound
                    take(value, .topic(start..<(start + range.count)), source)
                }
            case .segment:
                let range = plan.range(ofLevel: source.level, in: topic)
                take(UnsafeRawBufferPointer(rebasing: topic[range]), .topic(range), source)
            }
        }
    }

    /// Takes a text as the id or the time; an empty one is as if it were not there.
    private mutating func take(
        _ text: UnsafeRawBufferPointer, _ place: StagingBuffer.MessageIDPlace, _ source: IngestPlan.Source
    ) {
        guard !text.isEmpty else { return }
        switch source.role {
        case .id:
            idRank = source.rank
            hasUnusableID = text.count > PayloadScan.messageIDBytesMax
            if hasUnusableID { return }
            // The bytes of a decoded text are kept by the caller.
            if case .decoded = place { return }
            idPlace = place
        case .time:
            timeRank = source.rank
            eventTicks = Self.time(of: text)?.ticks
        }
    }

    /// ISO 8601, or an epoch number whose unit is told by its magnitude.
    private static func time(of text: UnsafeRawBufferPointer) -> EventTime? {
        guard text.count <= 18, text.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            return EventTime.parse(iso8601: text)
        }
        return EventTime.parse(epochInteger: text.reduce(0) { $0 * 10 + Int64($1 - 0x30) })
    }

    var frameBytes: Int {
        StagingBuffer.recordBytes(
            topic: topic.count, properties: properties.count, payload: payload.count,
            decodedID: decodedID.count)
    }

    /// - Returns: the frame's offset, or nil when the buffer has no room for it.
    @inline(__always)
    func write(to buffer: StagingBuffer) -> Int? {
        if decodedID.isEmpty { return write(to: buffer, idPlace) }
        return decodedID.withUnsafeBytes { write(to: buffer, .decoded($0)) }
    }

    @inline(__always)
    private func write(to buffer: StagingBuffer, _ place: StagingBuffer.MessageIDPlace) -> Int? {
        buffer.stageRecord(
            device: device, client: client, packetIdentifier: packetIdentifier, flags: flags,
            reason: reason?.rawValue ?? 0, eventTicks: eventTicks, topic: topic, properties: properties,
            payload: payload, messageID: place, replayedFrom: replayedFrom)
    }

    /// The message id, copied; nil for none. For commands, not hot paths.
    var messageID: [UInt8]? {
        if !decodedID.isEmpty { return decodedID }
        return switch idPlace {
        case .none, .decoded: nil
        case .topic(let range): Array(topic[range])
        case .properties(let range): Array(properties[range])
        case .payload(let range): Array(payload[range])
        }
    }
}
