import DeviceQueue
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
    private var hasID = false

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
        if device == 0 { reason = .badDevice }
    }

    /// Notes where the id stands; the first place that has one wins.
    mutating func setID(_ place: StagingBuffer.MessageIDPlace, _ byteCount: Int) {
        guard byteCount > 0 else { return }
        hasID = true
        if byteCount > PayloadScan.messageIDBytesMax {
            reason = reason ?? .badMessageID
        } else {
            idPlace = place
        }
    }

    /// Azure IoT Hub's system properties: `$.mid` is the message id, `$.ctime` the creation time.
    mutating func readPropertyBag(_ bag: UnsafeRawBufferPointer) {
        if let id = PropertyBag.value(named: "$.mid", in: bag), !hasID, !id.isEmpty {
            hasID = true
            if id.count > PayloadScan.messageIDBytesMax {
                reason = reason ?? .badMessageID
            } else {
                decodedID = id
            }
        }
        if let text = PropertyBag.value(named: "$.ctime", in: bag) {
            let time = text.withUnsafeBytes { EventTime.parse(iso8601: $0) }
            if let time { eventTicks = time.ticks } else { reason = reason ?? .badTimestamp }
        }
    }

    /// Walks the payload for the id and the time where nothing gave them yet; JSON is promised by the rules.
    @inline(__always)
    mutating func readPayload(payloadBytesMax: Int) {
        if payload.count > payloadBytesMax {
            reason = reason ?? .oversize
            return
        }
        let scan = PayloadScan(payload, wantsID: !hasID, wantsTime: eventTicks == nil)
        guard scan.isJSON else {
            reason = reason ?? .notJSON
            return
        }
        switch scan.id {
        case .none: break
        case .inPlace(let range): idPlace = .payload(range)
        case .decoded(let bytes): decodedID = bytes
        case .unusable: reason = reason ?? .badMessageID
        }
        if scan.hasBadTime, eventTicks == nil, scan.eventTicks == nil { reason = reason ?? .badTimestamp }
        if let ticks = scan.eventTicks { eventTicks = ticks }
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
            payload: payload, messageID: place)
    }
}
