import Bridge
import MQTTWire
import MosquittoClient
import Platform

/// From the hub to the other broker: into the buffer, which acknowledges to the hub, and from there in order.
extension BridgeRunner {
    func collect(_ packets: [Publish], byteCount: Int) {
        var batch = BridgeStore.Batch(messages: [], identifiers: [], byteCount: byteCount)
        batch.messages.reserveCapacity(packets.count)
        var looped = 0
        let ticks = clock.wallTicks()
        for packet in packets {
            if let identifier = packet.packetIdentifier { batch.identifiers.append(identifier) }
            guard let target = outward.map(packet.topic), !target.topic.isEmpty else { continue }
            var properties = packet.properties
            if ViaMark.isLoop(properties, hub: hub) {
                looped += 1
                continue
            }
            properties.topicAlias = nil
            properties.subscriptionIdentifiers = []
            ViaMark.append(to: &properties, hub: hub)
            var encoded: [UInt8] = []
            encodeProperties(properties, into: &encoded)
            batch.messages.append(
                BufferedMessage(
                    topic: target.topic, qos: min(packet.qos.rawValue, target.qos), retain: packet.retain,
                    properties: encoded, payload: packet.payload, collectedTicks: ticks))
        }
        if looped > 0 { note { $0.counters.loopedOut += looped } }
        store.submit(batch)
    }

    /// A batch is on disk: the hub's broker may forget it.
    func stored(_ batch: BridgeStore.Batch, taken: Int) {
        let dropped = batch.messages.count - taken
        var isFirstDrop = false
        note { status in
            isFirstDrop = dropped > 0 && status.counters.dropped == 0
            status.counters.collected += taken
            status.counters.dropped += dropped
            status.bufferedBytes = store.bufferedBytes
        }
        if isFirstDrop {
            log(
                "\(name): the buffer is full (\(settings.bufferBytesMax) bytes): new messages are dropped and "
                    + "counted until some are forwarded")
        }
        var bytes: [UInt8] = []
        for identifier in batch.identifiers {
            encodePacket(
                .puback(Acknowledgement(packetIdentifier: identifier)), version: .v5, into: &bytes)
        }
        link?.give(bytes)
        link?.consumed(batch.byteCount)
    }

    func offer(_ entries: [BridgeBuffer.Entry]) {
        if upcomingHead > 0 {
            upcoming.removeFirst(upcomingHead)
            upcomingHead = 0
        }
        upcoming += entries
        send()
    }

    /// Sends as many as the window lets.
    func send() {
        guard let client, client.isConnected else { return }
        var done = 0
        var forwarded = 0
        var expired = 0
        var refused: String?
        while upcomingHead < upcoming.count, window.count < Self.inflightMax {
            let entry = upcoming[upcomingHead]
            do throws(MosquittoError) {
                let properties = sendProperties(entry.message)
                if let properties {
                    noteEcho(entry.message)
                    let identifier = try client.publish(
                        topic: entry.message.topic, payload: entry.message.payload, qos: entry.message.qos,
                        retain: entry.message.retain, properties: properties)
                    let isDone = entry.message.qos == 0
                    if isDone { forwarded += 1 }
                    window.sent(identifier: isDone ? 0 : identifier, nextPosition: entry.nextPosition)
                } else {
                    expired += 1
                    window.sent(identifier: 0, nextPosition: entry.nextPosition)
                }
            } catch {
                // Without a connection, or with a full one, it goes out when that has changed.
                guard client.isConnected, !error.isQueueFull else { break }
                refused = "topic \(entry.message.topic): \(error)"
                note { $0.counters.refusedOut += 1 }
                window.sent(identifier: 0, nextPosition: entry.nextPosition)
            }
            upcomingHead += 1
            done += 1
        }
        guard done > 0 else { return }
        store.addRoom(done)
        moved(forwarded: forwarded, expired: expired, refused: refused)
    }

    func published(_ identifier: Int32, _ reason: Int32) {
        guard window.acknowledged(identifier) else { return }
        if reason >= 128 {
            note { $0.counters.refusedOut += 1 }
            moved(
                forwarded: 0, expired: 0,
                refused: "the other broker refuses a message (reason code \(reason))")
        } else {
            moved(forwarded: 1, expired: 0, refused: nil)
        }
        send()
    }

    private func moved(forwarded: Int, expired: Int, refused: String?) {
        let position = window.position
        store.update { $0.cursor = max($0.cursor, position) }
        let bufferedBytes = store.bufferedBytes
        note { status in
            status.counters.forwarded += forwarded
            status.counters.expired += expired
            status.bufferedBytes = bufferedBytes
            if let refused { status.lastError = refused }
        }
    }

    /// - Returns: nil when the message is too old to be sent.
    private func sendProperties(_ message: BufferedMessage) -> MosquittoProperties? {
        let parsed = message.properties.withUnsafeBytes { bytes in
            (try? parsePublishProperties(bytes)) ?? Properties()
        }
        var properties = MosquittoProperties(
            userProperties: parsed.userProperties.map { ($0.name, $0.value) },
            contentType: parsed.contentType, responseTopic: parsed.responseTopic,
            isText: parsed.payloadFormatIndicator == 1, correlationData: parsed.correlationData)
        if let seconds = parsed.messageExpiryInterval {
            let waited = max(clock.wallTicks() - message.collectedTicks, 0) / 10_000_000
            guard waited < Int64(seconds) || seconds == 0 && waited == 0 else { return nil }
            properties.messageExpirySeconds = seconds - UInt32(waited)
        }
        return properties
    }

    /// 3.1.1 will bring it back when our own subscription there matches.
    private func noteEcho(_ message: BufferedMessage) {
        guard settings.version == .v311, inward.matches(message.topic) else { return }
        echo.expect(topic: message.topic, payload: message.payload, now: loop.now)
    }
}
