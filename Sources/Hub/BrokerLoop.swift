import Atomics
import DeviceQueue
import MQTTBroker
import MQTTWire
import NIOCore
import Platform

/// Everything of one event loop: its connections, the broker's state machine, and the batch of telemetry that
/// is being filled for the storage thread.
///
/// `@unchecked Sendable`: confined to `eventLoop`; other threads only call `eventLoop.execute`.
final class BrokerLoop: @unchecked Sendable {
    let eventLoop: any EventLoop
    let queue: DeviceQueue
    let routes: RouteTable
    let packetBytesMax: Int
    let topicAliasMaximum: UInt16
    let ingestPayloadBytesMax: Int
    private let limits: HubLimits
    private let clock: any HubClock
    private let storage: StorageThread
    let counters: HubCounters

    var broker: Broker
    private var actions: [BrokerAction] = []
    private var slots: [Connection?] = []
    private var slotGenerations: [UInt32] = []
    private var freeSlots: [Int] = []
    private var slotByID: [ConnectionID: Int] = [:]
    private var nextConnectionNumber: UInt64 = 1
    /// Connections with output to flush at the end of this turn.
    private var dirty: [Connection] = []
    private var isFlushScheduled = false

    /// The batch being filled, and empty ones to fill next.
    private var open: IngestBatch?
    private var spares: [IngestBatch] = []
    /// Bytes staged and not yet durable; above the limit sockets are not read.
    private var stagedBytes = 0
    private var isPaused = false
    private var heldReads: [Connection] = []
    private(set) var isStopping = false

    init(
        eventLoop: any EventLoop, queue: DeviceQueue, storage: StorageThread, clock: any HubClock,
        limits: HubLimits, counters: HubCounters, seed: UInt64
    ) {
        self.eventLoop = eventLoop
        self.queue = queue
        self.storage = storage
        self.clock = clock
        self.limits = limits
        self.counters = counters
        routes = RouteTable(seed: seed)
        broker = Broker(limits: limits.broker)
        packetBytesMax = Int(limits.broker.packetBytesMax)
        topicAliasMaximum = limits.broker.topicAliasMaximum
        ingestPayloadBytesMax = limits.ingestPayloadBytesMax
    }

    // MARK: Connections

    /// - Returns: nil when the limit of connections is reached.
    func addConnection(now: UInt64) -> Connection? {
        guard slotByID.count < limits.connections, !isStopping else {
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
        let id = ConnectionID(rawValue: nextConnectionNumber)
        nextConnectionNumber += 1
        let connection = Connection(
            id: id, slot: UInt32(slot), generation: slotGenerations[slot], loop: self, now: now)
        slots[slot] = connection
        slotByID[id] = slot
        counters.connections.wrappingIncrement(ordering: .relaxed)
        return connection
    }

    /// The socket is gone, for whatever reason.
    func removeConnection(_ connection: Connection) {
        guard slotByID.removeValue(forKey: connection.id) != nil else { return }
        slots[Int(connection.slot)] = nil
        freeSlots.append(Int(connection.slot))
        counters.connections.wrappingDecrement(ordering: .relaxed)
        let wasConnected = connection.session != nil
        connection.phase = .closing
        connection.session = nil
        if wasConnected {
            broker.connectionClosed(connection.id, now: clock.monotonicNanoseconds(), actions: &actions)
            perform()
        }
    }

    private func connection(_ id: ConnectionID) -> Connection? {
        guard let slot = slotByID[id] else { return nil }
        return slots[slot]
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
        connection.phase = .closing
        flush(connection)
        connection.transport?.closeAfterFlush()
    }

    // MARK: The broker

    func brokerConnect(_ packet: Connect, from connection: Connection, now: UInt64) {
        broker.connect(
            connection.id, packet, assignedIdentifier: counters.assignedClientIdentifier(connection.id.rawValue),
            now: now, actions: &actions)
        perform()
    }

    func brokerReceive(_ packet: ControlPacket, from connection: Connection, now: UInt64) {
        broker.receive(packet, from: connection.id, now: now, actions: &actions)
        perform()
    }

    /// Publishes for the hub itself: results, and telemetry that is durable.
    func publish(_ message: Message) {
        broker.publish(message, now: clock.monotonicNanoseconds(), actions: &actions)
        perform()
    }

    /// Carries out what the broker decided; actions may lead to more.
    private func perform() {
        while !actions.isEmpty {
            let due = actions
            actions.removeAll(keepingCapacity: true)
            for action in due { perform(action) }
        }
    }

    private func perform(_ action: BrokerAction) {
        switch action {
        case .send(let id, let packet): connection(id)?.write(packet)
        case .forward(
            let id, let message, let qos, let identifier, let retain, let duplicate, let subscriptions, let expiry):
            guard let connection = connection(id) else { return }
            if qos == .atMostOnce, !connection.isWritable {
                counters.droppedSlowConsumer.wrappingIncrement(ordering: .relaxed)
                return
            }
            var packet = Publish(topic: message.topic, payload: message.payload)
            packet.qos = qos
            packet.packetIdentifier = qos == .atMostOnce ? nil : identifier
            packet.retain = retain
            packet.duplicate = duplicate
            if connection.version == .v5 {
                packet.properties = message.properties
                packet.properties.subscriptionIdentifiers = subscriptions
                packet.properties.messageExpiryInterval = expiry
            }
            connection.write(.publish(packet))
        case .accepted(let id, let session): accept(id, session)
        case .close(let id): if let connection = connection(id) { closeAfterFlush(connection) }
        case .willPublish(let message): publishWill(message)
        case .sessionDiscarded(let clientIdentifier): discardSession(clientIdentifier)
        }
    }

    private func accept(_ id: ConnectionID, _ session: Session) {
        guard let connection = connection(id) else { return }
        connection.phase = .connected
        connection.session = session
        connection.version = session.version
        connection.keepAliveNanoseconds = UInt64(session.keepAliveSeconds) * 1_000_000_000
        connection.client = number(ofClient: session.clientIdentifier)
        if connection.client != 0, session.inbound.count == 0 {
            connection.unreleased = Set(queue.unreleased(client: connection.client))
        }
    }

    /// The queue's number of a client that has or had QoS 2 state in the log; 0 when it never had.
    private func number(ofClient identifier: String) -> UInt32 {
        queue.existingClient(named: identifier) ?? 0
    }

    private func discardSession(_ clientIdentifier: String) {
        let client = number(ofClient: clientIdentifier)
        guard client != 0 else { return }
        stageControl(.sessionDiscarded, client: client, packetIdentifier: 0, entry: nil)
    }

    /// A will on a telemetry topic is telemetry; nobody waits for its answer.
    private func publishWill(_ message: Message) {
        var topic = message.topic
        let match = topic.withUTF8 { TopicRule.match(UnsafeRawBufferPointer($0)) }
        guard let match else {
            broker.publish(message, now: clock.monotonicNanoseconds(), actions: &actions)
            return
        }
        var properties: [UInt8] = []
        encodeProperties(message.properties, into: &properties)
        topic.withUTF8 { topicBytes in
            properties.withUnsafeBytes { propertyBytes in
                message.payload.withUnsafeBytes { payload in
                    stageWill(
                        message, UnsafeRawBufferPointer(topicBytes), match, propertyBytes, payload)
                }
            }
        }
    }

    private func stageWill(
        _ message: Message, _ topic: UnsafeRawBufferPointer, _ match: TopicRule.Match,
        _ properties: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer
    ) {
        let name = UnsafeRawBufferPointer(rebasing: topic[match.device])
        let isNameable = !name.isEmpty && name.count <= TopicRule.deviceBytesMax
        var staged = StagedMessage(
            device: isNameable ? queue.device(named: name) ?? 0 : 0, client: 0, packetIdentifier: 0,
            flags: min(message.qos.rawValue, 1) | FrameFlags.version5 | (message.retain ? FrameFlags.retain : 0),
            topic: topic, properties: properties, payload: payload)
        if !match.propertyBag.isEmpty {
            staged.readPropertyBag(UnsafeRawBufferPointer(rebasing: topic[match.propertyBag]))
        }
        staged.readPayload(payloadBytesMax: ingestPayloadBytesMax)
        stage(
            staged, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
            packetIdentifier: 0, answer: .nothing)
    }

    // MARK: Staging

    @inline(__always)
    func stage(
        _ message: StagedMessage, route: UInt32, from connection: Connection, packetIdentifier: UInt16,
        answer: IngestBatch.Answer
    ) {
        stage(
            message, route: route, connectionSlot: connection.slot,
            connectionGeneration: connection.generation, packetIdentifier: packetIdentifier, answer: answer)
    }

    @inline(__always)
    private func stage(
        _ message: StagedMessage, route: UInt32, connectionSlot: UInt32, connectionGeneration: UInt32,
        packetIdentifier: UInt16, answer: IngestBatch.Answer
    ) {
        var batch = openBatch()
        var frame = message.write(to: batch.staging)
        if frame == nil {
            batch = nextBatch(atLeast: message.frameBytes)
            frame = message.write(to: batch.staging)
        }
        guard let frame else { preconditionFailure("a fresh batch has room for its message") }
        batch.add(
            IngestBatch.Entry(
                frame: UInt32(frame), route: route, connectionSlot: connectionSlot,
                connectionGeneration: connectionGeneration, packetIdentifier: packetIdentifier, answer: answer))
    }

    /// An answer that must wait until everything staged before it is durable.
    func fence(_ connection: Connection, packetIdentifier: UInt16, answer: IngestBatch.Answer) {
        openBatch().add(
            IngestBatch.Entry(
                frame: IngestBatch.Entry.noFrame, route: IngestBatch.Entry.noRoute,
                connectionSlot: connection.slot, connectionGeneration: connection.generation,
                packetIdentifier: packetIdentifier, answer: answer))
    }

    func stageRelease(_ connection: Connection, packetIdentifier: UInt16, answer: IngestBatch.Answer) {
        stageControl(
            .release, client: connection.client, packetIdentifier: packetIdentifier,
            entry: IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: connection.slot,
                connectionGeneration: connection.generation, packetIdentifier: packetIdentifier,
                answer: answer))
    }

    private func stageControl(
        _ kind: FrameKind, client: UInt32, packetIdentifier: UInt16, entry: IngestBatch.Entry?
    ) {
        var batch = openBatch()
        var frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        if frame == nil {
            batch = nextBatch(atLeast: FrameLayout.releaseBytes)
            frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        }
        guard let frame else { preconditionFailure("a fresh batch has room for a release") }
        var noted =
            entry
            ?? IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
                packetIdentifier: 0, answer: .nothing)
        noted.frame = UInt32(frame)
        batch.add(noted)
    }

    @inline(__always)
    private func openBatch() -> IngestBatch {
        if let open, open.routeGeneration == routes.generation { return open }
        return nextBatch(atLeast: 0)
    }

    /// Hands over the open batch, if any, and opens another that has room for `frameBytes`.
    private func nextBatch(atLeast frameBytes: Int) -> IngestBatch {
        submit()
        let batch: IngestBatch
        if frameBytes > limits.stagingBatchBytes {
            batch = IngestBatch(byteCapacity: frameBytes)
        } else {
            batch = spares.popLast() ?? IngestBatch(byteCapacity: limits.stagingBatchBytes)
        }
        batch.routeGeneration = routes.generation
        open = batch
        // All reads of this turn of the loop share the hop to the storage thread.
        eventLoop.execute { self.submit() }
        return batch
    }

    private func submit() {
        guard let batch = open, batch.entryCount > 0 else { return }
        open = nil
        stagedBytes += batch.staging.byteCount
        if stagedBytes > limits.stagedBytesMax { isPaused = true }
        storage.submit(batch)
    }

    // MARK: Completion

    /// The batches are durable: answers leave, and subscribers get what they asked for.
    func complete(_ batches: [IngestBatch]) {
        for batch in batches {
            stagedBytes -= batch.staging.byteCount
            answer(batch)
            forward(batch)
            batch.reset()
            if batch.staging.byteCapacity == limits.stagingBatchBytes, spares.count < limits.spareBatches {
                spares.append(batch)
            }
        }
        flushAll()
        if isPaused, stagedBytes <= limits.stagedBytesMax / 2 { resumeReading() }
    }

    private func answer(_ batch: IngestBatch) {
        for index in 0..<batch.entryCount {
            let entry = batch.entries[index]
            guard entry.answer != .nothing else { continue }
            guard let connection = slots[Int(entry.connectionSlot)],
                connection.generation == entry.connectionGeneration, connection.phase == .connected
            else { continue }
            let place = connection.output.extend(by: 4)
            writeAcknowledgement(
                type: entry.answer.rawValue, packetIdentifier: entry.packetIdentifier, to: place)
            markDirty(connection)
        }
    }

    private func forward(_ batch: IngestBatch) {
        // Retained telemetry is the broker's business even without a subscriber.
        let version = broker.subscriptionVersion
        for index in 0..<batch.entryCount {
            let entry = batch.entries[index]
            guard entry.frame != IngestBatch.Entry.noFrame else { continue }
            let frame = UnsafeRawPointer(batch.staging.base) + Int(entry.frame)
            guard batch.staging.outcome(at: Int(entry.frame)) == .stored else { continue }
            let flags = frame.load(fromByteOffset: FrameLayout.flags, as: UInt8.self)
            if flags & FrameFlags.retain == 0 {
                if broker.counters.subscriptions == 0 { continue }
                if entry.route != IngestBatch.Entry.noRoute, batch.routeGeneration == routes.generation {
                    let route = routes[entry.route]
                    if route.subscriptionVersion == version, !route.hasSubscribers { continue }
                }
            }
            forward(frame, flags: flags, entry, batch, version)
        }
    }

    private func forward(
        _ frame: UnsafeRawPointer, flags: UInt8, _ entry: IngestBatch.Entry, _ batch: IngestBatch,
        _ version: UInt64
    ) {
        let view = StagedFrameView(frame)
        let topic = String(decoding: view.topic, as: UTF8.self)
        if flags & FrameFlags.retain == 0 {
            let isWanted = broker.hasSubscribers(topic: topic)
            if entry.route != IngestBatch.Entry.noRoute, batch.routeGeneration == routes.generation,
                TopicRule.match(view.topic)?.propertyBag.isEmpty == true
            {
                routes[entry.route].hasSubscribers = isWanted
                routes[entry.route].subscriptionVersion = version
            }
            if !isWanted { return }
        }
        var properties = Properties()
        if flags & FrameFlags.version5 != 0 {
            // Validated when it came in.
            properties = (try? parsePublishProperties(view.properties)) ?? Properties()
            properties.topicAlias = nil
        }
        let now = clock.monotonicNanoseconds()
        let publisher = slots.indices.contains(Int(entry.connectionSlot))
            ? slots[Int(entry.connectionSlot)]?.session?.clientIdentifier : nil
        let message = Message(
            topic: topic, payload: Array(view.payload),
            qos: QoS(rawValue: flags & FrameFlags.qosMask) ?? .atMostOnce, retain: flags & FrameFlags.retain != 0,
            properties: properties, publisher: publisher,
            expiresAt: properties.messageExpiryInterval.map { now + UInt64($0) * 1_000_000_000 })
        broker.publish(message, now: now, actions: &actions)
        perform()
    }

    // MARK: Output

    @inline(__always)
    func markDirty(_ connection: Connection) {
        if connection.isDirty { return }
        connection.isDirty = true
        dirty.append(connection)
        if !isFlushScheduled {
            isFlushScheduled = true
            eventLoop.execute { self.flushAll() }
        }
    }

    private func flushAll() {
        isFlushScheduled = false
        guard !dirty.isEmpty else { return }
        let due = dirty
        dirty.removeAll(keepingCapacity: true)
        for connection in due { flush(connection) }
    }

    private func flush(_ connection: Connection) {
        connection.isDirty = false
        guard connection.output.count > 0 else { return }
        connection.transport?.send(
            UnsafeRawBufferPointer(start: connection.output.base, count: connection.output.count))
        connection.output.removeAll()
    }

    // MARK: Back-pressure

    /// Whether a connection may read now; if not it is told later.
    func mayRead(_ connection: Connection) -> Bool {
        if !isPaused, connection.isWritable { return true }
        if !connection.isReadHeld {
            connection.isReadHeld = true
            heldReads.append(connection)
        }
        return false
    }

    func writabilityChanged(_ connection: Connection, isWritable: Bool) {
        connection.isWritable = isWritable
        if isWritable, connection.isReadHeld, !isPaused { resumeReading() }
    }

    private func resumeReading() {
        isPaused = false
        let held = heldReads
        heldReads.removeAll(keepingCapacity: true)
        for connection in held {
            connection.isReadHeld = false
            connection.transport?.resumeReading()
        }
    }

    // MARK: Time

    /// Called a few times a second: keep-alives, will delays, session expiry.
    func advance() {
        let now = clock.monotonicNanoseconds()
        var expired: [Connection] = []
        for case .some(let connection) in slots {
            let limit: UInt64
            switch connection.phase {
            case .awaitingConnect: limit = limits.connectTimeoutNanoseconds
            case .connected:
                guard connection.keepAliveNanoseconds > 0, !connection.isReadHeld else { continue }
                limit = connection.keepAliveNanoseconds + connection.keepAliveNanoseconds / 2
            case .closing: continue
            }
            if now > connection.lastReadNanoseconds + limit { expired.append(connection) }
        }
        for connection in expired {
            counters.keepAliveTimeouts.wrappingIncrement(ordering: .relaxed)
            connection.refuse(WireError(.keepAliveTimeout, "nothing was heard within 1.5 keep-alives"), now)
        }
        broker.advance(now: now, actions: &actions)
        perform()
        flushAll()
        counters.brokerSnapshot(broker.counters)
    }

    // MARK: Counting and stopping

    func countRefusal(_ error: WireError) {
        counters.refusals.wrappingIncrement(ordering: .relaxed)
        counters.note(refusal: error.reason.description)
    }

    func countRejection(_ reason: String) { counters.note(rejection: reason) }

    /// Takes no more; clients of MQTT 5 hear why.
    func stop() {
        isStopping = true
        submit()
    }

    func disconnectAll() {
        for case .some(let connection) in slots {
            if connection.phase == .connected, connection.version == .v5 {
                connection.write(.disconnect(Disconnect(reason: .serverShuttingDown)))
            }
            closeAfterFlush(connection)
        }
    }
}
