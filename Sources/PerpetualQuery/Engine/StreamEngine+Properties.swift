import Telemetry

// What is known of an event beside its payload: read only for queries that ask for it.
extension StreamEngine {
    func property(_ field: Int, _ event: StreamEvent, isJSON: Bool) -> Datum {
        if field == QueryPlanner.payloadField { return isJSON ? Datum(.record, event.payload) : .null }
        let number = EventProperty.number(ofField: field)
        if number >= EventProperty.firstUserNumber {
            let name = fieldNames[number - EventProperty.firstUserNumber]
            return MessageProperties(event).user(UnsafeRawBufferPointer(name), arena)
        }
        switch EventProperty(rawValue: number) {
        case .device: return device(event.device)
        case .messageID: return event.messageID.isEmpty ? .null : Datum(.text, event.messageID)
        case .arrivalTime: return Datum(ticks: event.arrivalTime.ticks)
        case .eventTime: return Datum(ticks: event.eventTime.ticks)
        case .sequence: return Datum(Int64(truncatingIfNeeded: event.sequence))
        case .eventID: return eventID(event)
        case .correlationID: return MessageProperties(event).correlationID(arena)
        case .user: return MessageProperties(event).user(arena)
        case .unknown: return .null
        case .all: return allProperties(event)
        case .payload, nil: return .null
        }
    }

    /// The device's name; asked for once.
    private func device(_ number: UInt32) -> Datum {
        if let known = knownDevices[number] { return Datum(.text, UnsafeRawBufferPointer(known)) }
        let name = Array(deviceName(number).text.utf8)
        if name.isEmpty { return .null }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: name.count, alignment: 8)
        copy.copyBytes(from: name)
        knownDevices[number] = copy
        return Datum(.text, UnsafeRawBufferPointer(copy))
    }

    private func eventID(_ event: StreamEvent) -> Datum {
        var key = Array("[".utf8)
        JSONText.append(deviceName(event.device).text, to: &key)
        key.append(contentsOf: ",\(event.sequence)]".utf8)
        let id = ResultID(
            query: "", version: 0, output: plan.inputs[event.input].name, groupKey: key, windowKind: "event",
            start: EventTime(ticks: 0), end: EventTime(ticks: 0), revision: 0)
        var text = Array(id.description.utf8)
        for place in [20, 16, 12, 8] { text.insert(0x2D, at: place) }
        return arena.text(text)
    }

    private func allProperties(_ event: StreamEvent) -> Datum {
        var bytes: [UInt8] = []
        let names: [(String, EventProperty)] = [
            ("ConnectionDeviceId", .device), ("MessageId", .messageID), ("EnqueuedTime", .arrivalTime),
            ("CorrelationId", .correlationID), ("SequenceNumber", .sequence),
        ]
        for (index, name) in names.enumerated() {
            bytes.append(index == 0 ? 0x7B : 0x2C)
            JSONText.append(name.0, to: &bytes)
            bytes.append(0x3A)
            property(name.1.field, event, isJSON: true).appendJSON(to: &bytes)
        }
        bytes.append(0x7D)
        return Datum(.record, arena.copy(bytes))
    }
}
