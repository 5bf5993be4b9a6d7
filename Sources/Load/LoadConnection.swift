import Glibc
import MQTTWire

/// One connection: its socket, its window of messages on the way, and what could not be written or parsed.
///
/// Confined to the runner's thread. The raw memory belongs to the object; the guards stand with each field.
final class LoadConnection {
    enum State: UInt8 {
        case closed
        case connecting
        case awaitingConnack
        case ready
    }

    /// What a packet identifier stands for.
    enum SlotState: UInt8 {
        case free
        /// QoS 1: PUBACK next; QoS 2: PUBREC next.
        case published
        /// QoS 2: PUBCOMP next.
        case released
    }

    let number: Int
    let template: PublishTemplate
    var state = State.closed
    var descriptor: Int32 = -1
    /// Whether the kernel is asked to say when the socket can be written.
    var wantsWrite = false

    /// Messages composed so far; the next one's number.
    private(set) var sent: UInt64 = 0
    /// Messages due by the schedule and not composed yet (open loop).
    var owed: UInt64 = 0
    /// QoS 0: messages known to be read by the broker.
    var confirmed: UInt64 = 0
    /// QoS 0: `sent` at the PINGREQ under way; nil when there is none.
    var pingMark: UInt64?

    /// Messages that may still be put on the way.
    private(set) var free: Int
    private let window: Int
    /// Messages that may be on the way: `window`, or less by the broker's wish.
    private var places: Int
    /// Intended send time, by packet identifier less 1. Guard: `window` entries.
    private let intended: UnsafeMutablePointer<UInt64>
    /// Guard: `window` entries, indexed as `intended`.
    private let states: UnsafeMutablePointer<SlotState>
    /// Free packet identifiers, a ring of `window` entries, oldest first. Guard: `freeHead` < `window`.
    private let freeIdentifiers: UnsafeMutablePointer<UInt16>
    private var freeHead = 0
    /// Where the next freed identifier goes. Guard: `freeTail` < `window`.
    private var freeTail = 0

    /// Bytes the socket did not take. Bounded: nothing is composed while there are any, except one answer for
    /// each message on the way.
    private(set) var pending: [UInt8] = []
    private(set) var pendingStart = 0
    /// The start of a packet whose end has not arrived; less than `LoadLimits.packetBytesMax`.
    var partial: [UInt8] = []

    init(number: Int, template: PublishTemplate, window: Int) {
        self.number = number
        self.template = template
        self.window = window
        free = window
        places = window
        intended = .allocate(capacity: window)
        intended.initialize(repeating: 0, count: window)
        states = .allocate(capacity: window)
        states.initialize(repeating: .free, count: window)
        freeIdentifiers = .allocate(capacity: window)
        for index in 0..<window { (freeIdentifiers + index).initialize(to: UInt16(index + 1)) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        intended.deallocate()
        states.deallocate()
        freeIdentifiers.deallocate()
    }

    /// Keeps `count` places of the window: the broker's Receive Maximum. Before the first message only.
    func narrow(to count: Int) {
        places = min(window, max(1, count))
        free = places
    }

    /// Messages sent and not acknowledged.
    var outstanding: UInt64 {
        template.identifierOffset == nil ? sent - confirmed : UInt64(places - free)
    }

    var isBlocked: Bool { pendingStart < pending.count }

    /// Copies the template `count` times and writes each message's bytes over it.
    ///
    /// Guard: `target` has room for `count` packets; `count` is at most `free` unless the QoS is 0.
    /// - Parameters:
    ///   - first: intended send time of the first message, in nanoseconds.
    ///   - gap: nanoseconds to the next message's.
    func compose(
        _ count: Int, into target: UnsafeMutableRawPointer, first: UInt64, gap: Double,
        timestamp: UnsafeRawPointer
    ) {
        template.bytes.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            let hasIdentifier = template.identifierOffset != nil
            if hasIdentifier { precondition(count <= free, "the window is full") }
            var packet = target
            for index in 0..<count {
                packet.copyMemory(from: source, byteCount: bytes.count)
                var identifier: UInt16 = 0
                if hasIdentifier {
                    identifier = freeIdentifiers[freeHead]
                    freeHead = freeHead + 1 == window ? 0 : freeHead + 1
                    intended[Int(identifier) - 1] = first + UInt64(Double(index) * gap)
                    states[Int(identifier) - 1] = .published
                }
                template.stamp(
                    packet, identifier: identifier,
                    sequence: UInt32(truncatingIfNeeded: sent &+ UInt64(index)), timestamp: timestamp)
                packet += bytes.count
            }
            if hasIdentifier { free -= count }
        }
        sent += UInt64(count)
    }

    /// Moves a message on if it is in the state that `from` says.
    ///
    /// - Returns: false when the identifier is not on the way or is elsewhere.
    func advance(_ identifier: UInt16, from: SlotState, to: SlotState) -> Bool {
        let index = Int(identifier) - 1
        guard index >= 0, index < window, states[index] == from else { return false }
        states[index] = to
        return true
    }

    /// Ends a message in the state `from` and frees its identifier.
    ///
    /// - Returns: its intended send time in nanoseconds; nil when the identifier is not in that state.
    func finish(_ identifier: UInt16, from: SlotState) -> UInt64? {
        guard advance(identifier, from: from, to: .free) else { return nil }
        // The ring never overflows: an identifier is in it or on the way, never both.
        freeIdentifiers[freeTail] = identifier
        freeTail = freeTail + 1 == window ? 0 : freeTail + 1
        free += 1
        return intended[Int(identifier) - 1]
    }

    /// Keeps what the socket did not take, behind what it did not take before.
    func hold(_ bytes: UnsafeRawBufferPointer) { pending.append(contentsOf: bytes) }

    /// Notes that the socket took `count` bytes of what was held.
    func release(_ count: Int) {
        pendingStart += count
        if pendingStart == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingStart = 0
        }
    }
}
