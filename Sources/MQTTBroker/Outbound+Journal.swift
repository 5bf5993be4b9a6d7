import MQTTWire

/// What the journal needs of the messages towards a client: numbers that are fixed before a message is sent, bodies
/// that are on disk only, and the whole of it given back after a crash.
extension Outbound.Delivery {
    /// The message is the client's, or nobody's any more.
    mutating func forget() {
        message = nil
        position = 0
        absentBytes = 0
    }

    /// The message is in the journal; it is read again when its turn comes.
    mutating func leaveToJournal() {
        guard position != 0, let message else { return }
        absentBytes = message.byteCount
        self.message = nil
    }
}

extension Outbound {
    /// The number of the next message of a session that the journal keeps: with it go the packet identifier and the
    /// place in the order, so that neither changes when the hub is started again.
    mutating func nextNumber() -> UInt64 {
        lastNumber = max(lastNumber, oldest + UInt64(inflight.count) - 1) + 1
        return lastNumber
    }

    /// The last number that was sent, on whatever connection.
    var lastSent: UInt64 { oldest + UInt64(inflight.count) - 1 }

    /// Numbers between that were given to messages which were dropped before they were sent.
    mutating func skip(to number: UInt64) {
        let free = oldest + UInt64(inflight.count)
        guard number > free else { return }
        if inflight.isEmpty {
            oldest = number
            next = number
            return
        }
        let wasSent = next == free
        for _ in free..<number {
            inflight.append(
                Delivery(
                    message: nil, qos: .atLeastOnce, retain: false, subscriptionIdentifiers: [],
                    isReplay: false, state: .done))
        }
        if wasSent { next = number }
    }

    /// The next to be sent again is in the journal only.
    var isResendAbsent: Bool {
        var number = next
        while number < oldest + UInt64(inflight.count) {
            let delivery = inflight[Int(number - oldest)]
            if delivery.state != .done { return delivery.isAbsent }
            number += 1
        }
        return false
    }

    /// Takes the bodies out of memory that the journal has: the client is away.
    mutating func leaveToJournal() {
        for offset in 0..<inflight.count { inflight[offset].leaveToJournal() }
        guard presentCount > 0 else { return }
        for offset in 0..<queue.count { queue[offset].leaveToJournal() }
        presentCount = 0
        presentBytes = 0
    }

    /// Positions of the bodies that are next to be sent and are in the journal only.
    func absentPositions(countMax: Int, bytesMax: Int) -> [UInt64] {
        var positions: [UInt64] = []
        var bytes = 0
        func take(_ delivery: Delivery) -> Bool {
            guard delivery.isAbsent else { return true }
            if positions.count >= countMax || (bytes > 0 && bytes + delivery.absentBytes > bytesMax) {
                return false
            }
            positions.append(delivery.position)
            bytes += delivery.absentBytes
            return true
        }
        var offset = Int(next - oldest)
        while offset < inflight.count {
            guard take(inflight[offset]) else { return positions }
            offset += 1
        }
        for offset in 0..<min(queue.count, countMax * 2) {
            guard take(queue[offset]) else { return positions }
        }
        return positions
    }

    /// The place in what waits of the first message with a number above that one. Only of a backlog, where all have
    /// numbers.
    func placeQueued(after number: UInt64) -> Int {
        var low = 0
        var high = queue.count
        while low < high {
            let middle = (low + high) / 2
            if queue[middle].number > number { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Positions of the bodies that wait behind a number.
    func positions(after number: UInt64, countMax: Int, bytesMax: Int) -> [UInt64] {
        var positions: [UInt64] = []
        var bytes = 0
        for offset in placeQueued(after: number)..<queue.count where queue[offset].state != .done {
            bytes += queue[offset].byteCount
            if positions.count >= countMax || (!positions.isEmpty && bytes > bytesMax) { break }
            positions.append(queue[offset].position)
        }
        return positions
    }

    /// Takes a message out of the middle of what waits; a hole with its number stays until all before it are gone.
    mutating func takeQueued(at offset: Int) -> Delivery {
        let delivery = queue[offset]
        queue[offset].forget()
        queue[offset].state = .done
        holeCount += 1
        uncount(delivery)
        return delivery
    }

    /// Closes the holes when they are most of it.
    /// - Returns: whether it did, and places in `queue` are other ones now.
    mutating func closeHoles() -> Bool {
        dropHoles()
        guard holeCount > 64, holeCount > queue.count / 2 else { return false }
        var closed = RingBuffer<Delivery>()
        for offset in 0..<queue.count where queue[offset].state != .done { closed.append(queue[offset]) }
        queue = closed
        holeCount = 0
        return true
    }

    /// Gives bodies that were read to the messages that are next.
    /// - Parameter bodies: by position, as they were asked for.
    mutating func fill(_ bodies: [UInt64: Message], countMax: Int) {
        var offset = Int(next - oldest)
        while offset < inflight.count {
            if inflight[offset].isAbsent, let message = bodies[inflight[offset].position] {
                inflight[offset].message = message
            }
            offset += 1
        }
        for offset in 0..<min(queue.count, countMax * 2) where queue[offset].isAbsent {
            guard let message = bodies[queue[offset].position] else { continue }
            queue[offset].message = message
            presentCount += 1
            presentBytes += queue[offset].byteCount
        }
    }

    /// What the journal kept, in the order of the numbers.
    /// - Parameter inflightCount: so many of the first were sent, or may have been.
    mutating func restore(_ deliveries: [Delivery], inflightCount: Int, lastNumber: UInt64) {
        for (index, delivery) in deliveries.enumerated() {
            if index < inflightCount {
                skip(to: delivery.number)
                inflight.append(delivery)
                next = oldest + UInt64(inflight.count)
            } else {
                enqueue(delivery)
            }
        }
        self.lastNumber = max(lastNumber, deliveries.last?.number ?? 0)
        if inflight.isEmpty {
            oldest = (queue.first?.number ?? (self.lastNumber + 1))
            next = oldest
        }
    }
}
