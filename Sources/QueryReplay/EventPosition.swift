/// Where reading stands in a file of events.
struct EventPosition: Hashable, Sendable {
    /// Bytes of the file before it.
    var offset: UInt64
    /// Lines before it; of an array, elements.
    var number: Int
    var isArray: Bool
    /// The line before it had no end yet: the file ended there.
    var isLineOpen: Bool
}

/// How far the events of an input are taken.
struct InputPlace: Hashable, Sendable {
    var position: EventPosition
    /// Events taken.
    var sequence: UInt64
    /// Of several inputs, the time that an event without one has, by which the next one is chosen; in ticks.
    var time = Int64.min
}
