package import Telemetry

/// Reads the time in one field of payloads: ISO 8601 text or an epoch number by its magnitude. The name is
/// matched as queries match it.
package final class FieldReader {
    package let name: String
    private let arena = ByteArena()
    private let decoder: InputDecoder
    private let start: ByteArena.Mark

    package init(_ name: String) {
        self.name = name
        start = arena.mark
        decoder = InputDecoder(fields: [name], namesMax: 4_096, hashKey: StreamLimits().hashKey, arena: arena)
    }

    /// nil: the payload is no object, or the field no time.
    package func time(of payload: UnsafeRawBufferPointer) -> EventTime? {
        defer { arena.release(to: start) }
        guard decoder.decode(payload) else { return nil }
        let value = decoder.slots[0]
        switch value.kind {
        case .text:
            if let time = EventTime.parse(iso8601: value.bytes) { return time }
            return Conversion.integer(of: value.bytes).flatMap { EventTime.parse(epochInteger: $0) }
        case .bigint: return EventTime.parse(epochInteger: value.integer)
        case .float: return EventTime.parse(epochNumber: value.double)
        default: return nil
        }
    }
}
