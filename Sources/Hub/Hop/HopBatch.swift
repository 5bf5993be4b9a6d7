/// What one thread has to tell another of its connections, gathered over a turn: events in order, and their bytes
/// in one piece of memory.
///
/// `@unchecked Sendable`: guard: one thread at a time has it; a `HopLane` hands it over under its lock.
final class HopBatch: @unchecked Sendable {
    enum Kind: UInt8 {
        /// To the broker: a connection is there; `number` is the place of its origin in `origins`.
        case opened
        /// Both ways: `number` bytes.
        case bytes
        /// Both ways: so many bytes that were not dealt with when their batch went back are dealt with now.
        case credit
        /// To the broker: the peer or the network ended it. To the socket: end it behind the bytes.
        case closed
        /// To the socket: end it at once.
        case aborted
    }

    struct Event {
        let place: UInt32
        /// How often the place was used: an event for an earlier connection means nothing to a later one.
        let generation: UInt32
        var number: Int
        let kind: Kind
        /// Bytes that the receiver has not dealt with; it gives credit for them later.
        var isHeld = false
    }

    var events: [Event] = []
    private(set) var origins: [ConnectionOrigin] = []
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Bytes of all `bytes` events, which lie one behind the other.
    private(set) var byteCount = 0

    deinit { memory.deallocate() }

    var isEmpty: Bool { events.isEmpty }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<byteCount]) }

    func add(_ kind: Kind, _ place: UInt32, _ generation: UInt32, number: Int = 0) {
        events.append(Event(place: place, generation: generation, number: number, kind: kind))
    }

    func addOpened(_ place: UInt32, _ generation: UInt32, _ origin: ConnectionOrigin) {
        add(.opened, place, generation, number: origins.count)
        origins.append(origin)
    }

    func addBytes(_ place: UInt32, _ generation: UInt32, _ source: UnsafeRawBufferPointer) {
        if memory.count - byteCount < source.count { grow(by: source.count) }
        UnsafeMutableRawBufferPointer(rebasing: memory[byteCount...]).copyMemory(from: source)
        byteCount += source.count
        if let last = events.indices.last, events[last].kind == .bytes, events[last].place == place,
            events[last].generation == generation
        {
            events[last].number += source.count
        } else {
            add(.bytes, place, generation, number: source.count)
        }
    }

    /// Memory beyond this goes back to the system when a batch is emptied.
    private static let keptBytesMax = 1 << 20
    private static let firstBytes = 16 << 10

    func reset() {
        events.removeAll(keepingCapacity: events.capacity <= 4_096)
        origins.removeAll()
        byteCount = 0
        if memory.count > Self.keptBytesMax {
            memory.deallocate()
            memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
    }

    private func grow(by count: Int) {
        let capacity = max(byteCount + count, memory.count * 2, Self.firstBytes)
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 64)
        larger.copyMemory(from: bytes)
        memory.deallocate()
        memory = larger
    }
}
