import MQTTWire

/// The messages at QoS 1 and 2 towards one client: those in flight, in the order of first sending, and those
/// that wait; while retained messages wait, those at QoS 0 wait behind them. It is a part of the session and
/// outlives the connection. MQTT 5.0 §4.1, §4.4, §4.9.
///
/// The n-th message of a session has the packet identifier (n − 1) mod 65,535 + 1, so an identifier leads to
/// its message without a table, and the first of a new session is 1. The price: a client that leaves a
/// message unacknowledged while it acknowledges the 65,534 after it gets nothing more until it does.
struct Outbound {
    enum State {
        case awaitingPuback
        case awaitingPubrec
        case awaitingPubcomp
        /// Acknowledged, behind one that is not.
        case done
    }

    /// A message on its way to this client.
    struct Delivery {
        /// nil when only the PUBREL is left to be answered.
        var message: Message?
        let qos: QoS
        let retain: Bool
        let subscriptionIdentifiers: [UInt32]
        /// Put there by a SUBSCRIBE out of the retained ones; has its own limit.
        let isReplay: Bool
        var state: State
        /// Its place among the numbered messages of the session; 0: it gets one when it is sent.
        var number: UInt64 = 0
        /// Where the message stands in the journal; 0 for nowhere.
        var position: UInt64 = 0
        /// Bytes of a message that is, or was, in the journal only.
        var absentBytes = 0

        /// Of the message, while it is kept.
        var byteCount: Int { absentBytes != 0 ? absentBytes : message?.byteCount ?? 0 }
        /// The message has to be read from the journal before it can be sent.
        var isAbsent: Bool { message == nil && position != 0 }
    }

    var inflight = RingBuffer<Delivery>()
    /// The number of the oldest in `inflight`, from 1.
    var oldest: UInt64 = 1
    /// The number of the first that was not sent on this connection.
    var next: UInt64 = 1
    var queue = RingBuffer<Delivery>()
    /// Places in it whose message was taken out of the middle.
    var holeCount = 0
    /// The last number given out before a message is sent; see `Delivery.number`.
    var lastNumber: UInt64 = 0
    /// Messages that left `queue` so far: places in it are told from there.
    private(set) var dequeuedCount = 0
    /// Bodies that are in `queue` itself and in the journal too, and their bytes.
    var presentCount = 0
    var presentBytes = 0

    /// Sent on this connection and not finished, and the bytes of those whose message the client may not have.
    private(set) var outstanding = 0
    private(set) var outstandingBytes = 0
    /// Waiting and not out of the retained ones; what `sessionQueueMessages` limits.
    private(set) var queuedLive = 0
    private(set) var queuedReplay = 0
    /// Waiting at QoS 0, retained or live: what comes at QoS 0 meanwhile stays behind them. [MQTT-4.6.0-5]
    private(set) var queuedUnacknowledged = 0
    /// Topic, payload and properties of the former; retained messages are in memory anyway.
    private(set) var queuedLiveBytes = 0

    var queuedCount: Int { queue.count - holeCount }
    /// What comes at QoS 0 has to wait behind something.
    var hasUnacknowledgedWaiting: Bool { queuedReplay > 0 || queuedUnacknowledged > 0 }
    /// All in flight was sent on this connection.
    var isResent: Bool { next == oldest + UInt64(inflight.count) }
    /// Nothing is before a new message.
    var isDrained: Bool { queue.isEmpty && isResent }

    /// Whether there is an identifier left: see the type.
    var hasIdentifier: Bool {
        if inflight.isEmpty { return true }
        let first = queue.first?.number ?? 0
        let following = first == 0 ? lastNumber + 1 : first
        let free = oldest + UInt64(inflight.count)
        return inflight.count + (following > free ? Int(following - free) : 0) < 65_535
    }

    static func packetIdentifier(_ number: UInt64) -> UInt16 { UInt16((number - 1) % 65_535 + 1) }

    /// A new connection: all that is in flight is to be sent again.
    mutating func resume() {
        next = oldest
        outstanding = 0
        outstandingBytes = 0
    }

    /// Takes a message into flight as sent.
    /// - Returns: its packet identifier.
    mutating func start(_ delivery: Delivery) -> UInt16 {
        precondition(hasIdentifier)
        precondition(next == oldest + UInt64(inflight.count))
        if delivery.number != 0 { skip(to: delivery.number) }
        inflight.append(delivery)
        outstanding += 1
        outstandingBytes += delivery.byteCount
        next += 1
        return Self.packetIdentifier(next - 1)
    }

    mutating func enqueue(_ delivery: Delivery) {
        queue.append(delivery)
        if delivery.position != 0, delivery.message != nil {
            presentCount += 1
            presentBytes += delivery.byteCount
        }
        if delivery.qos == .atMostOnce { queuedUnacknowledged += 1 }
        if delivery.isReplay {
            queuedReplay += 1
        } else {
            queuedLive += 1
            queuedLiveBytes += delivery.byteCount
        }
    }

    var firstQueued: Delivery? { queue.first }

    @discardableResult mutating func dequeue() -> Delivery? {
        dropHoles()
        guard let delivery = queue.popFirst() else { return nil }
        dequeuedCount += 1
        uncount(delivery)
        return delivery
    }

    /// Nothing that was taken out of the middle stands at the front.
    mutating func dropHoles() {
        while holeCount > 0, queue.first?.state == .done {
            queue.popFirst()
            dequeuedCount += 1
            holeCount -= 1
        }
    }

    /// A message has left what waits.
    mutating func uncount(_ delivery: Delivery) {
        if delivery.position != 0, delivery.message != nil {
            presentCount -= 1
            presentBytes -= delivery.byteCount
        }
        if delivery.qos == .atMostOnce { queuedUnacknowledged -= 1 }
        if delivery.isReplay {
            queuedReplay -= 1
        } else {
            queuedLive -= 1
            queuedLiveBytes -= delivery.byteCount
        }
    }

    /// The next in flight that has to be sent again on this connection; from then on it counts as sent.
    mutating func nextToResend() -> (packetIdentifier: UInt16, delivery: Delivery)? {
        while next < oldest + UInt64(inflight.count) {
            let delivery = inflight[Int(next - oldest)]
            next += 1
            guard delivery.state != .done else { continue }
            outstanding += 1
            outstandingBytes += delivery.byteCount
            return (Self.packetIdentifier(next - 1), delivery)
        }
        return nil
    }

    /// The state of the message with that identifier; nil when there is none.
    func state(_ packetIdentifier: UInt16) -> State? {
        guard let offset = offset(packetIdentifier) else { return nil }
        guard let state = inflight[at: offset]?.state, state != .done else { return nil }
        return state
    }

    /// PUBREC came: from here on the message is the client's, only the release is left.
    mutating func release(_ packetIdentifier: UInt16) {
        guard let offset = offset(packetIdentifier) else { return }
        if isSent(offset) { outstandingBytes -= inflight[at: offset]?.byteCount ?? 0 }
        inflight[at: offset]?.state = .awaitingPubcomp
        inflight[at: offset]?.forget()
    }

    /// The exchange is over: frees the identifier.
    mutating func finish(_ packetIdentifier: UInt16) {
        guard let offset = offset(packetIdentifier) else { return }
        guard inflight[at: offset]?.state != .done else { return }
        if isSent(offset) {
            outstanding -= 1
            outstandingBytes -= inflight[at: offset]?.byteCount ?? 0
        }
        inflight[at: offset]?.state = .done
        inflight[at: offset]?.forget()
        while !inflight.isEmpty, inflight[at: 0]?.state == .done {
            inflight.popFirst()
            oldest += 1
        }
        if next < oldest { next = oldest }
    }

    /// The ticket of the message in flight with that identifier, if it is a record of a queue.
    func ticket(_ packetIdentifier: UInt16) -> QueueTicket? {
        guard let offset = offset(packetIdentifier) else { return nil }
        return inflight[at: offset]?.message?.ticket
    }

    /// Forgets the records of queues: whoever else reads the queue gets them.
    /// - Returns: how many of them waited.
    mutating func dropTickets() -> Int {
        for offset in 0..<inflight.count where inflight[offset].message?.ticket != nil {
            if isSent(offset) {
                outstanding -= 1
                outstandingBytes -= inflight[offset].byteCount
            }
            inflight[offset].state = .done
            inflight[offset].forget()
        }
        while inflight.first?.state == .done {
            inflight.popFirst()
            oldest += 1
        }
        if next < oldest { next = oldest }
        return dropWaiting { _ in true }
    }

    /// Forgets certain records of queues that wait.
    /// - Returns: how many.
    mutating func dropWaiting(where isMeant: (QueueTicket) -> Bool) -> Int {
        var dropped = 0
        for _ in 0..<queue.count {
            guard let delivery = dequeue() else { break }
            if let ticket = delivery.message?.ticket, isMeant(ticket) {
                dropped += 1
            } else {
                enqueue(delivery)
            }
        }
        return dropped
    }

    /// On this connection.
    func isSent(_ offset: Int) -> Bool { oldest + UInt64(offset) < next }

    func offset(_ packetIdentifier: UInt16) -> Int? {
        guard packetIdentifier != 0 else { return nil }
        let oldestIdentifier = Int(Self.packetIdentifier(oldest))
        let offset = (Int(packetIdentifier) - oldestIdentifier + 65_535) % 65_535
        return offset < inflight.count ? offset : nil
    }
}
