import Telemetry

/// What an ingest rule needs from a JSON payload: the message id and the event time, found in one walk over the
/// bytes, nothing decoded that is not needed.
struct PayloadScan {
    enum ID: Equatable {
        case none
        /// Text without escapes: bytes of the payload.
        case inPlace(Range<Int>)
        /// A number or text with escapes, as text.
        case decoded([UInt8])
        /// Too long, or no text and no whole number.
        case unusable
    }

    /// False: the payload is not JSON.
    var isJSON = false
    var id = ID.none
    /// The rank of the field that gave the id.
    var idRank: UInt8
    /// Set when a field gave a time.
    var eventTicks: Int64?
    /// The rank of the field that gave the time, or was to give it and holds none.
    var timeRank: UInt8

    /// - Parameters:
    ///   - idRank, timeRank: only fields before these in the rule's lists count; `.max`: all, 0: none.
    @inline(__always)
    init(_ payload: UnsafeRawBufferPointer, _ plan: IngestPlan, idRank: UInt8, timeRank: UInt8) {
        var id = ID.none
        var ticks: Int64?
        var bestID = idRank
        var bestTime = timeRank
        let fields = plan.fields
        let lengths = plan.fieldLengths
        isJSON = JSONFieldScanner.forEachTopLevelField(payload) { name, value in
            guard lengths & IngestPlan.lengthBit(name.count) != 0 else { return }
            for index in 0..<fields.count {
                let field = fields[index]
                guard field.name.count == name.count, Self.equals(name, field.name) else { continue }
                switch field.role {
                case .id:
                    guard field.rank < bestID else { continue }
                    let found = Self.identifier(Self.inner(value, field), in: payload)
                    if found == .none { continue }
                    id = found
                    bestID = field.rank
                case .time:
                    guard field.rank < bestTime else { continue }
                    switch Self.time(Self.inner(value, field)) {
                    case .none: continue
                    case .unusable: ticks = nil
                    case .ticks(let found): ticks = found
                    }
                    bestTime = field.rank
                }
            }
        }
        self.id = id
        self.idRank = bestID
        eventTicks = ticks
        self.timeRank = bestTime
    }

    /// The value at the end of a field's path.
    @inline(__always)
    private static func inner(_ value: JSONScalar, _ field: IngestPlan.Field) -> JSONScalar {
        field.path.count == 0 ? value : inner(value, field.path)
    }

    @inline(never)
    private static func inner(
        _ value: JSONScalar, _ path: UnsafeBufferPointer<UnsafeRawBufferPointer>
    ) -> JSONScalar {
        var current = value
        for step in path {
            // What is not there is null: the next place is looked at.
            guard case .nested(let raw) = current else { return .null }
            current = Self.value(named: step, in: raw) ?? .null
        }
        return current
    }

    /// The value at a path of names; nil when it is not there or the payload is not JSON.
    static func value(
        at path: UnsafeBufferPointer<UnsafeRawBufferPointer>, in payload: UnsafeRawBufferPointer
    ) -> JSONScalar? {
        guard let first = path.first, let value = value(named: first, in: payload) else { return nil }
        return inner(value, UnsafeBufferPointer(rebasing: path.dropFirst()))
    }

    private static func value(
        named name: UnsafeRawBufferPointer, in object: UnsafeRawBufferPointer
    ) -> JSONScalar? {
        var found: JSONScalar?
        let isJSON = JSONFieldScanner.forEachTopLevelField(object) { candidate, value in
            if candidate.count == name.count, equals(candidate, name) { found = value }
        }
        return isJSON ? found : nil
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

    private enum Time {
        case none
        /// There is something, but no time.
        case unusable
        case ticks(Int64)
    }

    private static func time(_ value: JSONScalar) -> Time {
        let parsed: EventTime?
        switch value {
        case .text(let raw, _): parsed = EventTime.parse(iso8601: raw)
        case .bigint(let number): parsed = EventTime.parse(epochInteger: number)
        case .float(let number): parsed = EventTime.parse(epochNumber: number)
        case .null: return .none
        case .boolean, .nested: parsed = nil
        }
        return parsed.map { .ticks($0.ticks) } ?? .unusable
    }

    @inline(__always)
    private static func equals(_ name: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<name.count where name[index] != other[index] { return false }
        return true
    }

    /// As Azure IoT Hub: 128 characters.
    static let messageIDBytesMax = 128
}
