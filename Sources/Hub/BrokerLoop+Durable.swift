import DeviceQueue
import MQTTBroker
import MQTTWire
import Platform

/// What happens when a batch is durable, and not before: answers leave, and subscribers of telemetry topics get
/// their messages.
extension BrokerLoop {
    /// The batches are durable: answers leave, and subscribers get what they asked for.
    package func complete(_ batches: [IngestBatch]) {
        for batch in batches {
            outstandingBatches -= 1
            stagedBytes -= batch.stagedBytes
        }
        // The disk has its next work before the answers to the last one are written.
        submit()
        journal.isForwarding = true
        for batch in batches {
            if let group = batch.journal { journalIsDurable(group) }
            answer(batch)
            forward(batch)
            if batch.logEnd != 0 { broker.noteLogEnd(batch.logEnd) }
            // Not all of a long stall at once: answers and messages leave batch by batch.
            flushAll()
            batch.whenDurable?(batch.staging)
            batch.reset()
            if batch.staging.byteCapacity == limits.stagingBatchBytes, spares.count < limits.spareBatches {
                spares.append(batch)
            }
        }
        journal.isForwarding = false
        submit()
        if isPaused, stagedBytes <= limits.stagedBytesMax / 2 { resumeReading() }
    }

    /// A connection's entries mostly stand together, as they came with one read: it is looked up once for each
    /// such run.
    private func answer(_ batch: IngestBatch) {
        let entries = batch.entries
        let entryCount = batch.entryCount
        var index = 0
        while index < entryCount {
            let slot = entries[index].connectionSlot
            let generation = entries[index].connectionGeneration
            var end = index + 1
            while end < entryCount, entries[end].connectionSlot == slot,
                entries[end].connectionGeneration == generation
            {
                end += 1
            }
            if Int(slot) < slots.count, let connection = slots[Int(slot)],
                connection.generation == generation, case .connected = connection.phase
            {
                answer(UnsafeMutableBufferPointer(rebasing: entries[index..<end]), connection)
            }
            index = end
        }
    }

    private func answer(_ entries: UnsafeMutableBufferPointer<IngestBatch.Entry>, _ connection: Connection) {
        var count = 0
        for entry in entries where entry.answer != .nothing { count += 1 }
        guard count > 0 else { return }
        traffic.controlPacketsSent &+= UInt64(count)
        var place = connection.output.extend(by: 4 * count)
        for entry in entries where entry.answer != .nothing {
            writeAcknowledgement(
                type: entry.answer.rawValue, packetIdentifier: entry.packetIdentifier, to: place)
            place += 4
        }
        markDirty(connection)
    }

    private func forward(_ batch: IngestBatch) {
        // Without a subscriber only retained telemetry is the broker's business, and the frames are not even
        // looked at: they are in another core's cache.
        let hasSubscriptions = broker.counters.subscriptions > 0
        guard hasSubscriptions || batch.hasRetained else { return }
        let version = broker.subscriptionVersion
        let now = clock.monotonicNanoseconds()
        for index in 0..<batch.entryCount {
            let entry = batch.entries[index]
            guard entry.frame != IngestBatch.Entry.noFrame else { continue }
            if !entry.isRetained {
                if !hasSubscriptions { continue }
                if entry.route != IngestBatch.Entry.noRoute, batch.routeGeneration == routes.generation {
                    let route = routes[entry.route]
                    if route.subscriptionVersion == version, !route.hasSubscribers { continue }
                }
            }
            let frame = UnsafeRawPointer(batch.staging.base) + Int(entry.frame)
            let kind = frame.load(fromByteOffset: FrameLayout.kind, as: UInt8.self)
            guard kind == FrameKind.record.rawValue || kind == FrameKind.quarantined.rawValue else {
                continue
            }
            let flags = frame.load(fromByteOffset: FrameLayout.flags, as: UInt8.self)
            // An empty retained message is no reading, but it clears the retained one: [MQTT-3.3.1-6].
            let isClearing =
                flags & FrameFlags.retain != 0
                && frame.load(fromByteOffset: FrameLayout.payloadBytes, as: UInt32.self) == 0
            guard isClearing || batch.staging.outcome(at: Int(entry.frame)) == .stored else { continue }
            forward(frame, flags: flags, entry, batch, version, now)
        }
    }

    private func forward(
        _ frame: UnsafeRawPointer, flags: UInt8, _ entry: IngestBatch.Entry, _ batch: IngestBatch,
        _ version: UInt64, _ now: UInt64
    ) {
        let view = StagedFrameView(frame)
        guard let match = broker.match(topic: view.topic) else { return }
        if flags & FrameFlags.retain == 0 {
            let isWanted = !match.isEmpty
            if entry.route != IngestBatch.Entry.noRoute, batch.routeGeneration == routes.generation,
                routes.isWhole(view.topic, entry.route)
            {
                routes[entry.route].hasSubscribers = isWanted
                routes[entry.route].subscriptionVersion = version
            }
            if !isWanted { return }
        }
        var box: PropertyBox?
        var expiresAt: UInt64?
        if flags & FrameFlags.version5 != 0, !view.properties.isEmpty {
            // Validated when it came in.
            var properties = (try? parsePublishProperties(view.properties)) ?? Properties()
            properties.topicAlias = nil
            expiresAt = properties.messageExpiryInterval.map { now + UInt64($0) * 1_000_000_000 }
            box = PropertyBox(properties)
        }
        let publisher = publisher(of: entry)
        let message = Message(
            topic: view.topic, payload: view.payload,
            qos: QoS(rawValue: flags & FrameFlags.qosMask) ?? .atMostOnce,
            retain: flags & FrameFlags.retain != 0,
            properties: box, publisher: publisher?.session?.clientIdentifier, expiresAt: expiresAt)
        broker.publish(message, to: match, now: now, actions: &actions)
        perform()
        if broker.takeIsCrowded() || isCrowdLong, let publisher { holdForSubscribers(publisher) }
    }

    private func publisher(of entry: IngestBatch.Entry) -> Connection? {
        guard slots.indices.contains(Int(entry.connectionSlot)),
            let connection = slots[Int(entry.connectionSlot)],
            connection.generation == entry.connectionGeneration
        else { return nil }
        return connection
    }
}
