import Telemetry

/// What the ingest rule needs from a payload: the message id and the event time, found in one walk over the
/// bytes, nothing decoded that is not needed.
package struct PayloadScan {
    package enum ID: Equatable {
        case none
        /// Text without escapes: bytes of the payload.
        case inPlace(Range<Int>)
        /// A number or text with escapes, as text.
        case decoded([UInt8])
        case unusable
    }

    /// False: the payload is not JSON.
    package var isJSON = false
    /// From `messageId`, else from `id`.
    package var id = ID.none
    /// From `ts` or `timestamp`, the first that stands in the payload.
    package var eventTicks: Int64?
    /// There was a time field that is no time.
    package var hasBadTime = false

    /// - Parameters:
    ///   - wantsID: false when the id came with the topic or the properties already.
    ///   - wantsTime: false when the time did.
    @inline(__always)
    package init(_ payload: UnsafeRawBufferPointer, wantsID: Bool, wantsTime: Bool) {
        var fieldID = ID.none
        var fieldMessageID = ID.none
        var ticks: Int64?
        var badTime = false
        isJSON = JSONFieldScanner.forEachTopLevelField(payload) { name, value in
            switch name.count {
            case 2:
                if wantsID, name[0] == 0x69, name[1] == 0x64 {
                    fieldID = Self.identifier(value, in: payload)
                } else if wantsTime, name[0] == 0x74, name[1] == 0x73, ticks == nil {
                    Self.time(value, &ticks, &badTime)
                }
            case 9:
                if wantsID, Self.equals(name, "messageId") {
                    fieldMessageID = Self.identifier(value, in: payload)
                } else if wantsTime, ticks == nil, Self.equals(name, "timestamp") {
                    Self.time(value, &ticks, &badTime)
                }
            default: break
            }
        }
        if case .none = fieldMessageID { id = fieldID } else { id = fieldMessageID }
        eventTicks = ticks
        hasBadTime = badTime
    }

    private static func identifier(_ value: JSONScalar, in payload: UnsafeRawBufferPointer) -> ID {
        switch value {
        case .text(let raw, let hasEscapes):
            if hasEscapes {
                let text = JSONString.decode(raw)
                return text.count <= messageIDBytesMax ? .decoded(text) : .unusable
            }
            guard raw.count <= messageIDBytesMax else { return .unusable }
            // An empty id names nothing: as if there were none.
            guard let base = payload.baseAddress, let start = raw.baseAddress, raw.count > 0 else {
                return .none
            }
            let offset = start - base
            return .inPlace(offset..<(offset + raw.count))
        case .bigint(let number): return .decoded(Array(String(number).utf8))
        case .null: return .none
        case .float, .boolean, .nested: return .unusable
        }
    }

    private static func time(_ value: JSONScalar, _ ticks: inout Int64?, _ bad: inout Bool) {
        let parsed: EventTime?
        switch value {
        case .text(let raw, _): parsed = EventTime.parse(iso8601: raw)
        case .bigint(let number): parsed = EventTime.parse(epochInteger: number)
        case .float(let number): parsed = EventTime.parse(epochNumber: number)
        case .null: return
        case .boolean, .nested: parsed = nil
        }
        if let parsed { ticks = parsed.ticks } else { bad = true }
    }

    @inline(__always)
    private static func equals(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        for index in 0..<name.count where name[index] != text.utf8Start[index] { return false }
        return true
    }

    /// As Azure IoT Hub: 128 characters.
    static let messageIDBytesMax = 128
}
