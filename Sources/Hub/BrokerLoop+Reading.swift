import Atomics
import MQTTBroker
import MQTTWire
import Platform

/// Back-pressure: which connections are read, and how much of unfinished packets is kept.
///
/// Three things hold a connection. The storage is behind: then publishers of telemetry wait (the others go on, and
/// nobody's keep-alive runs out for it). The peer does not read what it is sent: then it is not read either, and
/// its keep-alive runs while its output stands still. A subscriber of what it publishes is behind: then it waits
/// a while (see `Broker.takeIsCrowded`).
extension BrokerLoop {
    /// Whether a connection may read now; if not it is told later, by `ConnectionTransport.resumeReading`.
    package func mayRead(_ connection: Connection) -> Bool {
        if !isPaused, connection.isWritable, !connection.isWaiting, !isSubscriberBehind(for: connection) {
            return true
        }
        if connection.isWaiting {
            if connection.hold == .none { connection.hold = .wait }
            return false
        }
        if isStorageBehind(for: connection) {
            hold(connection)
            return false
        }
        guard connection.isWritable else {
            if connection.hold == .none { connection.hold = .output }
            return false
        }
        return !isSubscriberBehind(for: connection)
    }

    // MARK: Subscribers that are behind

    private func isSubscriberBehind(for connection: Connection) -> Bool {
        if connection.hold == .subscriber { return true }
        guard connection.feedsSlowSubscribers, broker.awaitedCount > 0 else { return false }
        holdForSubscribers(connection)
        return connection.hold == .subscriber
    }

    /// It published to a subscriber that is awaited. A client that itself has messages in flight is read on: its
    /// acknowledgements may be what others wait for.
    @inline(never)
    func holdForSubscribers(_ connection: Connection) {
        if broker.awaitedCount > 0 { connection.feedsSlowSubscribers = true }
        guard connection.hold == .none, broker.awaitedCount > 0 || isCrowdLong,
            connection.session?.hasInFlight == false
        else { return }
        connection.hold = .subscriber
        heldForSubscribers.append(connection)
        counters.subscriberHolds.wrappingIncrement(ordering: .relaxed)
    }

    /// Nobody is awaited any more: who was held goes on.
    func resumePublishers() {
        let due = heldForSubscribers
        heldForSubscribers.removeAll()
        for connection in due where connection.hold == .subscriber {
            connection.hold = .none
            if mayRead(connection) { release(connection) }
        }
    }

    /// A few times a second.
    func loseSomePatience(now: UInt64) {
        if broker.giveUpAwaited(now: now) { impatientUntil = now + limits.broker.patienceNanoseconds * 8 }
        broker.isPatient = now >= impatientUntil
    }

    // MARK: Storage and output that are behind

    private func isStorageBehind(for connection: Connection) -> Bool {
        guard isPaused else { return false }
        return connection.publishesTelemetry || stagedBytes > limits.stagedBytesMax * 2
    }

    private func hold(_ connection: Connection) {
        guard connection.hold != .storage else { return }
        connection.hold = .storage
        heldReads.append(connection)
    }

    /// The peer has taken most of what waited for it.
    func outputIsTaken(_ connection: Connection) {
        guard connection.hold == .output else { return }
        if isStorageBehind(for: connection) { hold(connection) } else { release(connection) }
    }

    /// The connection's password is checked, or its turn has come again.
    func endWait(of connection: Connection) {
        guard connection.isWaiting else { return }
        connection.isWaiting = false
        if connection.hold == .wait { release(connection) }
    }

    private func release(_ connection: Connection) {
        connection.hold = .none
        // It was not read: the peer's silence begins now.
        connection.lastReadNanoseconds = clock.monotonicNanoseconds()
        connection.acceptedNanoseconds = connection.lastReadNanoseconds
        connection.transport?.resumeReading()
    }

    /// The storage is behind: whoever sends telemetry waits.
    func pauseReading() {
        guard !isPaused else { return }
        isPaused = true
        counters.pauses.wrappingIncrement(ordering: .relaxed)
    }

    /// The storage has caught up.
    func resumeReading() {
        isPaused = false
        guard !isResuming else { return }
        resumeSome()
    }

    /// Lets the longest held go on, some a turn: what they have to say is staged before the next are heard.
    private func resumeSome() {
        isResuming = false
        guard !isPaused, !heldReads.isEmpty else { return }
        let count = min(limits.resumedConnections, heldReads.count)
        let due = Array(heldReads[..<count])
        heldReads.removeFirst(count)
        for connection in due {
            guard connection.hold == .storage else {
                abandonedHolds -= 1
                continue
            }
            if connection.isWritable { release(connection) } else { connection.hold = .output }
        }
        guard !heldReads.isEmpty else { return }
        isResuming = true
        executor.execute { self.resumeSome() }
    }

    /// The connection is gone.
    func forgetReading(of connection: Connection) {
        partialBytes -= connection.partialBytes
        connection.partialBytes = 0
        if connection.hold == .subscriber { connection.hold = .none }
        guard connection.hold == .storage else { return }
        connection.hold = .none
        abandonedHolds += 1
        // Clients that come and go during a long stall leave nothing behind.
        guard abandonedHolds > 1_024, abandonedHolds * 2 > heldReads.count else { return }
        heldReads.removeAll { $0.hold != .storage }
        abandonedHolds = 0
    }

    /// So many bytes of a packet are kept until its rest comes. A connection that thereby takes all together above
    /// the limit is closed.
    @inline(__always)
    func partialChanged(_ connection: Connection, to byteCount: Int) {
        if byteCount != connection.partialBytes { notePartial(connection, byteCount) }
    }

    private func notePartial(_ connection: Connection, _ byteCount: Int) {
        let isMore = byteCount > connection.partialBytes
        partialBytes += byteCount - connection.partialBytes
        connection.partialBytes = byteCount
        guard isMore, partialBytes > limits.partialBytesMax, connection.phase != .closing else { return }
        counters.partialsRefused.wrappingIncrement(ordering: .relaxed)
        partialBytes -= byteCount
        connection.partialBytes = 0
        connection.refuse(
            WireError(.quotaExceeded, "too many bytes of unfinished packets on all connections together"),
            clock.monotonicNanoseconds())
    }

    func noteGauges() {
        var gauges = LoopGauges()
        gauges.stagedBytes = stagedBytes
        gauges.partialBytes = partialBytes
        for case .some(let connection) in slots where connection.hold != .none { gauges.readsHeld += 1 }
        counters.loopSnapshot(gauges)
    }
}
