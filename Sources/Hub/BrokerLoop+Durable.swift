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
            stagedBytes -= batch.staging.byteCount
            answer(batch)
            forward(batch)
            // Not all of a long stall at once: answers and messages leave batch by batch.
            flushAll()
            batch.reset()
            if batch.staging.byteCapacity == limits.stagingBatchBytes, spares.count < limits.spareBatches {
                spares.append(batch)
            }
        }
        submit()
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
                routes.isWhole(view.topic, entry.route)
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
        let publisher = publisher(of: entry)
        let message = Message(
            topic: topic, payload: Array(view.payload),
            qos: QoS(rawValue: flags & FrameFlags.qosMask) ?? .atMostOnce,
            retain: flags & FrameFlags.retain != 0,
            properties: properties, publisher: publisher,
            expiresAt: properties.messageExpiryInterval.map { now + UInt64($0) * 1_000_000_000 })
        broker.publish(message, now: now, actions: &actions)
        perform()
    }

    private func publisher(of entry: IngestBatch.Entry) -> String? {
        guard slots.indices.contains(Int(entry.connectionSlot)),
            let connection = slots[Int(entry.connectionSlot)],
            connection.generation == entry.connectionGeneration
        else { return nil }
        return connection.session?.clientIdentifier
    }
}
