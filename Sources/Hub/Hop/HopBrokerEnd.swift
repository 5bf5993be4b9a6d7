import MQTTWire
import Platform

/// The broker's end of a bridge to a thread that owns sockets: connections of a `BrokerLoop` whose bytes come and
/// go in batches, one hop a turn in each direction.
///
/// `@unchecked Sendable`: confined to the loop's executor, but for the lanes.
final class HopBrokerEnd: @unchecked Sendable {
    /// Unsafe on purpose, as it is read for every event: the loop holds its bridges.
    unowned(unsafe) let loop: BrokerLoop
    let limits: HopLimits
    private let up: HopLane
    private let down: HopLane
    /// Tells the other end to look at its lanes.
    private let wakeSockets: @Sendable () -> Void

    private var links: [HopLink?] = []
    /// What leaves at the end of the turn.
    private var open: HopBatch?
    private var spares: [HopBatch] = []
    /// Batches that are dealt with and go back at the end of the turn.
    private var processed: [HopBatch] = []
    private var taken: [HopBatch] = []
    /// Bytes that links hold because their connections are not read.
    private var heldBytes = 0
    private var resumed: [HopLink] = []
    /// Links that wait for credit.
    var blockedCount = 0

    init(
        loop: BrokerLoop, up: HopLane, down: HopLane, limits: HopLimits,
        wakeSockets: @escaping @Sendable () -> Void
    ) {
        self.loop = loop
        self.up = up
        self.down = down
        self.limits = limits
        self.wakeSockets = wakeSockets
    }

    // MARK: Turns

    /// Deals with what the sockets had to tell. In a turn of the loop.
    func receive() {
        takeReturned()
        up.take(into: &taken)
        let now = loop.clock.monotonicNanoseconds()
        for batch in taken {
            receive(batch, now)
            processed.append(batch)
        }
        taken.removeAll(keepingCapacity: true)
    }

    /// The loop's turn is over: everything leaves in one hop.
    func endTurn() {
        takeReturned()
        var isWakeUpNeeded = false
        // Sockets that get nothing back read no more: so the bytes that are held while the disk stands stay few.
        if !processed.isEmpty, !loop.isPaused || heldBytes <= limits.heldBytesMax {
            isWakeUpNeeded = up.giveBack(&processed)
        }
        if let batch = open {
            open = nil
            if down.post(batch) { isWakeUpNeeded = true }
        }
        if isWakeUpNeeded { wakeSockets() }
    }

    private func receive(_ batch: HopBatch, _ now: UInt64) {
        var at = 0
        let bytes = batch.bytes
        for index in batch.events.indices {
            let event = batch.events[index]
            let place = Int(event.place)
            if event.kind == .opened {
                add(event, batch.origins[event.number], now)
                continue
            }
            let link = links.indices.contains(place) ? links[place] : nil
            let isCurrent = link?.generation == event.generation
            if event.kind == .bytes {
                defer { at += event.number }
                guard isCurrent, let link else { continue }
                let piece = UnsafeRawBufferPointer(rebasing: bytes[at..<(at + event.number)])
                if !link.take(piece, now) { batch.events[index].isHeld = true }
            } else if isCurrent, let link {
                if event.kind == .credit { link.credit(event.number) } else { closed(link) }
            }
        }
    }

    private func add(_ event: HopBatch.Event, _ origin: ConnectionOrigin, _ now: UInt64) {
        let place = Int(event.place)
        while links.count <= place { links.append(nil) }
        guard let connection = loop.addConnection(now: now, from: origin) else {
            outgoing.add(.aborted, event.place, event.generation)
            return
        }
        let link = HopLink(event.place, event.generation, connection, end: self)
        connection.transport = link
        links[place] = link
    }

    private func closed(_ link: HopLink) {
        forget(link)
        loop.removeConnection(link.connection)
    }

    private func takeReturned() {
        repeat {
            var returned: [HopBatch] = []
            down.takeReturned(into: &returned)
            for batch in returned {
                for event in batch.events where event.kind == .bytes && !event.isHeld {
                    guard let link = links[Int(event.place)], link.generation == event.generation else {
                        continue
                    }
                    link.credit(event.number)
                }
                batch.reset()
                if spares.count < limits.spareBatches { spares.append(batch) }
            }
            // As long as somebody waits for room, the next return is to be told.
        } while blockedCount > 0 && down.wantReturns()
    }

    // MARK: For the links

    var outgoing: HopBatch {
        if let open { return open }
        let batch = spares.popLast() ?? HopBatch()
        open = batch
        loop.wantTurnEnd()
        return batch
    }

    /// The link is of no use any more.
    func forget(_ link: HopLink) {
        heldBytes -= link.heldBytes
        if link.isBlocked { blockedCount -= 1 }
        link.isGone = true
        links[Int(link.place)] = nil
    }

    /// A link has no room for more bytes.
    func wantCredit() {
        guard down.wantReturns() else { return }
        loop.executor.execute { self.receive() }
    }

    func heldChanged(by byteCount: Int, _ link: HopLink) {
        heldBytes += byteCount
        guard byteCount > 0, heldBytes > limits.heldBytesMax, !loop.isPaused else { return }
        link.connection.refuse(
            WireError(.quotaExceeded, "too many bytes wait on connections that do not read"),
            loop.clock.monotonicNanoseconds())
    }

    /// A connection is read again: in a turn of its own.
    func resume(_ link: HopLink) {
        resumed.append(link)
        guard resumed.count == 1 else { return }
        loop.executor.execute {
            let due = self.resumed
            self.resumed.removeAll(keepingCapacity: true)
            let now = self.loop.clock.monotonicNanoseconds()
            for link in due { link.resume(now) }
        }
    }
}

/// A connection whose socket lives on another thread, as its loop sees it.
final class HopLink: ConnectionTransport {
    let place: UInt32
    let generation: UInt32
    let connection: Connection
    private unowned let end: HopBrokerEnd
    var isGone = false
    /// Bytes that have left and are not known to be with the kernel.
    private var sentBytes = 0
    private(set) var isBlocked = false
    /// A packet's beginning, and behind it what came while the connection was not read.
    private var kept = KeptBytes()
    /// Bytes of `kept` that the socket has no credit for: while there are some its reading stops soon.
    private(set) var heldBytes = 0

    init(_ place: UInt32, _ generation: UInt32, _ connection: Connection, end: HopBrokerEnd) {
        self.place = place
        self.generation = generation
        self.connection = connection
        self.end = end
    }

    // MARK: Bytes that come

    /// - Returns: false when they are held.
    func take(_ bytes: UnsafeRawBufferPointer, _ now: UInt64) -> Bool {
        guard end.loop.mayRead(connection) else {
            kept.append(bytes)
            heldBytes += bytes.count
            end.heldChanged(by: bytes.count, self)
            return false
        }
        if kept.count > 0 {
            kept.append(bytes)
            give(now)
        } else {
            let used = connection.receive(bytes, now: now)
            if !isGone { kept.append(UnsafeRawBufferPointer(rebasing: bytes[used...])) }
        }
        return true
    }

    /// What was held is taken, if the connection may be read now.
    func resume(_ now: UInt64) {
        guard !isGone, heldBytes > 0, end.loop.mayRead(connection) else { return }
        give(now)
    }

    private func give(_ now: UInt64) {
        if heldBytes > 0 {
            end.outgoing.add(.credit, place, generation, number: heldBytes)
            end.heldChanged(by: -heldBytes, self)
            heldBytes = 0
        }
        // Nobody touches the memory meanwhile: the link is kept by its caller, and only these two methods write.
        let used = connection.receive(kept.bytes, now: now)
        kept.removeFirst(used)
    }

    // MARK: Bytes that go

    /// The other end has given bytes to the kernel.
    func credit(_ byteCount: Int) {
        sentBytes -= byteCount
        guard isBlocked, sentBytes <= end.limits.sentBytesMax / 2 else { return }
        isBlocked = false
        end.blockedCount -= 1
        end.loop.canSend(connection)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard !isGone else { return 0 }
        let count = min(bytes.count, end.limits.sentBytesMax - sentBytes)
        if count > 0 {
            end.outgoing.addBytes(place, generation, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            sentBytes += count
        }
        if count < bytes.count, !isBlocked {
            isBlocked = true
            end.blockedCount += 1
            end.wantCredit()
        }
        return count
    }

    func close() { finish(.closed) }
    func abort() { finish(.aborted) }

    private func finish(_ kind: HopBatch.Kind) {
        guard !isGone else { return }
        end.outgoing.add(kind, place, generation)
        end.forget(self)
    }

    func resumeReading() { if heldBytes > 0 { end.resume(self) } }
}
