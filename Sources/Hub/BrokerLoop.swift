import Atomics
package import DeviceQueue
package import MQTTBroker
import MQTTWire
package import Platform

/// Everything of one event loop: its connections, the broker's state machine, and the batch of telemetry that
/// is being filled for the storage thread.
///
/// It knows neither threads nor sockets: an executor gives it turns, a transport gives it bytes.
///
/// `@unchecked Sendable`: confined to `executor`; other threads only call `executor.execute`.
package final class BrokerLoop: @unchecked Sendable {
    let executor: any LoopExecutor
    let queue: DeviceQueue
    let routes: RouteTable
    let packetBytesMax: Int
    let topicAliasMaximum: UInt16
    let ingest: IngestTable
    let limits: HubLimits
    let clock: any HubClock
    let storage: any StorageInbox
    let counters: HubCounters

    var broker: Broker
    var actions: [BrokerAction] = []
    /// Kept for its capacity; empty outside `perform`.
    private var actionsScratch: [BrokerAction] = []
    var slots: [Connection?] = []
    private var slotGenerations: [UInt32] = []
    private var freeSlots: [Int] = []
    private var connectionCount = 0
    /// Connections with output to flush at the end of this turn.
    private var dirty: [Connection] = []
    /// Those that got a message, which may be thousands: some a turn, behind the former. Up to `crowdHead` they
    /// have been flushed.
    var crowd: [Connection] = []
    var crowdHead = 0
    /// Bytes written for them since all were flushed last.
    var crowdBytes = 0
    private var isFlushScheduled = false
    private var isTurnEndWanted = false

    /// The batch being filled, and empty ones to fill next.
    var open: IngestBatch?
    var spares: [IngestBatch] = []
    /// Bytes staged and not yet durable; above the limit sockets are not read.
    var stagedBytes = 0
    var isPaused = false
    /// Connections that the storage keeps from being read, the longest held first.
    var heldReads: [Connection] = []
    /// Of them those that are gone.
    var abandonedHolds = 0
    var isResuming = false
    /// Connections that subscribers keep from being read.
    var heldForSubscribers: [Connection] = []
    /// Monotonic nanoseconds until which no subscriber is waited for, as one was given up: publishers lose a ninth
    /// of their time at most.
    var impatientUntil: UInt64 = 0
    /// Bytes of packets whose rest has not come yet, all connections together.
    var partialBytes = 0
    private(set) var isStopping = false
    /// Who is let in and what he may do; set before the first connection, nil where everybody may do everything.
    var access: AccessControl?
    /// Checks passwords.
    let logins = LoginThread()
    /// By `ConnectionOrigin.listener`, the last for all others.
    var listeners: [ListenerUsage]
    /// Limits of their clients, likewise; none where all have the broker's own.
    var clientLimits: [ClientLimits] = []
    /// Connections without a CONNECT, oldest first from `pendingHead` on, with others that are settled.
    var pending: [ConnectionPlace] = []
    var pendingHead = 0
    var pendingCount = 0
    /// Connections that are above their rate.
    var rateHeld: [ConnectionPlace] = []

    /// QoS 2 packet identifiers that the log says a client had not released when the hub last stopped, by the
    /// client's number; taken from the log when the client is first seen.
    var recovered: [UInt32: Set<UInt16>] = [:]
    private var seenClients: Set<UInt32> = []
    /// Batches at the storage thread.
    var outstandingBatches = 0
    /// Consumer groups, for subscriptions to queues; set before the first connection, nil where there are none.
    var groups: GroupService?
    /// The journal of what the broker must not forget, and what waits for it.
    var journal = LoopJournal()
    /// Records that clients acknowledged and the groups do not know of yet; when some were last handed over; and
    /// the smallest window that a member has had.
    var queueAcknowledgements: [(member: String, ticket: QueueTicket)] = []
    var lastQueueAcknowledgement: UInt64 = 0
    /// Bridges to the threads whose sockets are connections here; set before the first connection.
    var hops: [HopBrokerEnd] = []
    var smallestQueueWindow = Int.max
    /// Portions of result rows on their way here, of all queries.
    let waitingResults = ManagedAtomic<Int>(0)
    var traffic = LoopTraffic()
    var systemTopics: SystemTopics

    /// - Parameters:
    ///   - storage: gets the batches; each comes back through `complete`, in order.
    ///   - ingest: which topics are telemetry.
    ///   - seed: randomness, so that nobody can choose topics whose hashes collide.
    package init(
        executor: any LoopExecutor, queue: DeviceQueue, storage: any StorageInbox, clock: any HubClock,
        limits: HubLimits, counters: HubCounters, seed: UInt64, ingest: IngestTable = IngestTable()
    ) {
        self.executor = executor
        self.queue = queue
        self.storage = storage
        self.clock = clock
        self.limits = limits
        self.counters = counters
        routes = RouteTable(seed: seed)
        broker = Broker(limits: limits.broker)
        systemTopics = SystemTopics(
            interval: limits.systemTopicsNanoseconds, now: clock.monotonicNanoseconds())
        packetBytesMax = Int(limits.broker.packetBytesMax)
        topicAliasMaximum = limits.broker.topicAliasMaximum
        self.ingest = ingest
        listeners = [ListenerUsage(limits: limits.listener)]
    }

    // MARK: Connections

    /// - Returns: nil when the limit of connections is reached.
    package func addConnection(now: UInt64, from origin: ConnectionOrigin = ConnectionOrigin()) -> Connection?
    {
        guard connectionCount < limits.connections, !isStopping, takesConnection(from: origin, now: now)
        else {
            counters.connectionsRefused.wrappingIncrement(ordering: .relaxed)
            return nil
        }
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = slots.count
            slots.append(nil)
            slotGenerations.append(0)
        }
        slotGenerations[slot] &+= 1
        // An action finds its connection without a table.
        let id = ConnectionID(rawValue: UInt64(slotGenerations[slot]) << 32 | UInt64(slot))
        let connection = Connection(
            id: id, slot: UInt32(slot), generation: slotGenerations[slot], origin: origin, loop: self,
            now: now)
        slots[slot] = connection
        connectionCount += 1
        counters.connections.wrappingIncrement(ordering: .relaxed)
        beginPending(connection)
        return connection
    }

    /// The socket is gone, for whatever reason.
    package func removeConnection(_ connection: Connection) {
        guard slots[Int(connection.slot)] === connection else { return }
        connectionCount -= 1
        slots[Int(connection.slot)] = nil
        freeSlots.append(Int(connection.slot))
        counters.connections.wrappingDecrement(ordering: .relaxed)
        endConnection(connection)
        leaveQueues(connection)
        forgetReading(of: connection)
        let wasConnected = connection.session != nil
        connection.phase = .closing
        connection.session = nil
        connection.transport = nil
        if wasConnected {
            broker.connectionClosed(connection.id, now: clock.monotonicNanoseconds(), actions: &actions)
            perform()
        }
    }

    func connection(_ id: ConnectionID) -> Connection? {
        guard let connection = slots[Int(id.rawValue & 0xFFFF_FFFF)], connection.id == id else { return nil }
        return connection
    }

    /// Ends a connection after a protocol error: its will is due.
    func closeAfterError(_ connection: Connection, now: UInt64) {
        connection.phase = .closing
        if connection.session != nil {
            connection.session = nil
            broker.connectionClosed(connection.id, now: now, actions: &actions)
            perform()
        }
        closeAfterFlush(connection)
    }

    private func closeAfterFlush(_ connection: Connection) {
        leaveQueues(connection)
        connection.phase = .closing
        flush(connection)
        if connection.output.count == 0 { return closeNow(connection) }
        connection.closeDeadline = clock.monotonicNanoseconds() + limits.closeTimeoutNanoseconds
    }

    /// Everything that the peer should hear has been sent.
    private func closeNow(_ connection: Connection) {
        connection.transport?.close()
        removeConnection(connection)
    }

    // MARK: The broker

    func brokerReceive(_ packet: ControlPacket, from connection: Connection, now: UInt64) {
        if case .subscribe(let subscribe) = packet,
            subscribe.filters.contains(where: { QueueFilter.isQueue($0.filter) })
        {
            subscribeToQueues(subscribe, from: connection, now: now)
            return
        }
        broker.receive(packet, from: connection.id, now: now, actions: &actions)
        perform()
    }

    /// Publishes for the hub itself: results, and telemetry that is durable.
    package func publish(_ message: Message) {
        broker.publish(message, now: clock.monotonicNanoseconds(), actions: &actions)
        perform()
    }

    /// Carries out what the broker decided; actions may lead to more.
    func perform() {
        let isJournaled = noteJournal()
        guard !actions.isEmpty else { return }
        guard !isJournaled, journal.held.isEmpty else { return performInOrder(isJournaled) }
        var due: [BrokerAction] = []
        swap(&due, &actionsScratch)
        while !actions.isEmpty {
            swap(&due, &actions)
            for action in due { perform(action) }
            due.removeAll(keepingCapacity: true)
        }
        // One that a crowd of subscribers made large is not kept.
        if due.capacity <= 4_096 { swap(&due, &actionsScratch) }
    }

    /// An acknowledgement that is nothing but a packet identifier.
    @inline(__always)
    func brokerReceive(
        _ type: PacketType, _ packetIdentifier: UInt16, of session: Session, now: UInt64
    ) {
        broker.receiveAcknowledgement(type, packetIdentifier, session, now: now, actions: &actions)
        perform()
    }

    func perform(_ action: BrokerAction) {
        switch action {
        case .send(let id, let packet): connection(id)?.write(packet)
        case .acknowledge(let id, let type, let packetIdentifier):
            connection(id)?.writeAcknowledgement(type, packetIdentifier)
        case .forward(
            let id, let message, let qos, let identifier, let retain, let duplicate, let subscriptions,
            let expiry):
            guard let connection = connection(id) else { return }
            if qos == .atMostOnce,
                !connection.isWritable || connection.output.count > limits.outputBytesMax
                    || crowdBytes > limits.crowdBytesMax
            {
                counters.droppedSlowConsumer.wrappingIncrement(ordering: .relaxed)
                return
            }
            if connection.outboundAliases != nil {
                connection.writeAliased(
                    message,
                    PublishHeader(
                        qos: qos, retain: retain, duplicate: duplicate, packetIdentifier: identifier),
                    subscriptionIdentifiers: subscriptions, expiryLeft: expiry)
                return
            }
            let packet = MessagePacket(
                qos: qos, retain: retain, duplicate: duplicate, packetIdentifier: identifier,
                subscriptionIdentifiers: subscriptions, expiryLeft: expiry)
            connection.write(message, packet)
        case .accepted(let id, let session): accept(id, session)
        case .close(let id): if let connection = connection(id) { closeAfterFlush(connection) }
        case .drainWanted(let id):
            guard let connection = connection(id) else { return }
            connection.isDrainWanted = true
            markDirty(connection)
        case .willPublish(let message):
            publishWill(message)
            broker.willIsPublished()
        case .sessionDiscarded(let clientIdentifier): discardSession(clientIdentifier)
        case .backlogWanted(let request): readBacklog(request)
        case .queueAcknowledged(let id, let ticket):
            if let connection = connection(id) { acknowledgeQueue(ticket, from: connection) }
        case .queueLeft(let id, let group):
            if let connection = connection(id) { leaveQueue(group, connection) }
        }
    }

    private func accept(_ id: ConnectionID, _ session: Session) {
        guard let connection = connection(id) else { return }
        connection.phase = .connected
        connection.session = session
        connection.version = session.version
        connection.keepAliveNanoseconds = UInt64(session.keepAliveSeconds) * 1_000_000_000
        connection.outboundAliases =
            session.topicAliasMaximum > 0 ? OutboundTopicAliases(maximum: session.topicAliasMaximum) : nil
        connection.client = number(ofClient: session.clientIdentifier)
        rejoinQueues(connection)
        guard connection.client != 0 else { return }
        // A client that is told of no session drops its own half too: what the log still knows of it is void.
        if connection.isCleanStart || (journal.isOpen && !session.isResumed) {
            // What the log still holds of an earlier session is void: the same identifier is another message.
            discardSession(session.clientIdentifier)
        } else if seenClients.insert(connection.client).inserted {
            // The first time since the start the log remembers for the session that was lost with the process.
            let identifiers = queue.unreleased(client: connection.client)
            if !identifiers.isEmpty { recovered[connection.client] = Set(identifiers) }
        }
    }

    /// The queue's number of a client that has or had QoS 2 state in the log; 0 when it never had.
    private func number(ofClient identifier: String) -> UInt32 {
        queue.existingClient(named: identifier) ?? 0
    }

    private func discardSession(_ clientIdentifier: String) {
        let client = number(ofClient: clientIdentifier)
        guard client != 0 else { return }
        seenClients.insert(client)
        recovered[client] = nil
        stageControl(.sessionDiscarded, client: client, packetIdentifier: 0, entry: nil)
    }

    // MARK: Output

    @inline(__always)
    func markDirty(_ connection: Connection) {
        if connection.isDirty { return }
        connection.isDirty = true
        dirty.append(connection)
        wantTurnEnd()
    }

    @inline(__always)
    func wantTurnEnd() {
        if isTurnEndWanted { return }
        isTurnEndWanted = true
        executor.endTurnSoon()
    }

    /// The events of this turn are done: one write a connection, and one batch for the storage.
    package func endTurn() {
        isTurnEndWanted = false
        continueReplay()
        flushAll()
        submit()
        submitQueueAcknowledgements()
        if !heldForSubscribers.isEmpty, broker.awaitedCount == 0, !isCrowdLong { resumePublishers() }
        for hop in hops { hop.endTurn() }
        // What a drained connection got, and the rest of a crowd, goes out in turns of its own: others have theirs
        // between.
        guard !isFlushScheduled, !dirty.isEmpty || !crowd.isEmpty || broker.hasReplays else { return }
        isFlushScheduled = true
        executor.execute {
            self.isFlushScheduled = false
            self.endTurn()
        }
    }

    func flushAll() {
        if !dirty.isEmpty {
            let due = dirty
            dirty.removeAll(keepingCapacity: true)
            for connection in due {
                flush(connection)
                tellDrained(connection)
            }
        }
        flushCrowd()
        perform()
    }

    func flush(_ connection: Connection) {
        connection.isDirty = false
        guard connection.output.count > 0, let transport = connection.transport else { return }
        let sentBytes = transport.send(connection.output.bytes)
        traffic.bytesSent &+= UInt64(sentBytes)
        connection.output.removeFirst(sentBytes)
        // A peer that takes nothing is not read either, with a gap between the marks: no switching to and fro.
        if connection.isWritable {
            connection.isWritable = connection.output.count <= limits.outputBytesMax
        } else if connection.output.count <= limits.outputBytesMax / 4 {
            connection.isWritable = true
            outputIsTaken(connection)
        }
    }

    /// The transport takes more of a connection's bytes again.
    package func canSend(_ connection: Connection) {
        // A peer that reads slowly is not silent as long as it does read.
        if connection.hold == .output { connection.lastReadNanoseconds = clock.monotonicNanoseconds() }
        flush(connection)
        tellDrained(connection)
        perform()
        if connection.phase == .closing, connection.output.count == 0 { closeNow(connection) }
    }

    /// What the broker has for a connection that has taken what it got: at the end of the next turn.
    func tellDrained(_ connection: Connection) {
        guard connection.isDrainWanted, connection.isWritable, connection.output.count == 0,
            connection.heldCount == 0
        else { return }
        connection.isDrainWanted = false
        broker.drained(connection.id, now: clock.monotonicNanoseconds(), actions: &actions)
    }

    // MARK: Counting and stopping

    func countRefusal(_ error: WireError) {
        counters.note(refusal: error.reason.description)
    }

    func countRejection(_ reason: String) { counters.note(rejection: reason) }

    /// Takes no more connections and hands over what is staged.
    package func stop() {
        isStopping = true
        submit()
    }

    /// Ends every connection, once everything owed has been answered; clients of MQTT 5 hear why.
    package func disconnectAll() {
        broker.deferWills()
        for case .some(let connection) in slots {
            if connection.phase == .connected, connection.version == .v5 {
                connection.write(.disconnect(Disconnect(reason: .serverShuttingDown)))
            }
            closeAfterFlush(connection)
        }
    }
}
