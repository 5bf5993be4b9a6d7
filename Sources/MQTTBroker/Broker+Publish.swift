package import MQTTWire

/// A PUBLISH of a client, borrowed from what was received.
private struct InboundPublish {
    let topic: UnsafeRawBufferPointer
    let payload: UnsafeRawBufferPointer
    let qos: QoS
    let retain: Bool
    /// 0 at QoS 0.
    let packetIdentifier: UInt16
    let box: PropertyBox?
}

extension Broker {
    /// Publishes a message of the hub's own: a result, a reading that is now durable, a will. Retains it when
    /// its retain flag says so.
    /// - Parameter message: its topic name is valid; else nothing happens.
    package mutating func publish(_ message: Message, now: UInt64, actions: inout [BrokerAction]) {
        guard let match = message.withTopic({ match(topic: $0) }) else { return }
        publish(message, to: match, now: now, actions: &actions)
    }

    /// Counts a message of the hub's own that need not be made: it has no subscriber and is not retained, or another
    /// takes its place at once. `publish` would do no more.
    package mutating func noteUnheard(topic: UnsafeRawBufferPointer) {
        if TopicName.isValid(topic, levelsMax: topicLevelsMax) { counters.messagesIn += 1 }
    }

    /// As `publish` for a message to be retained that has no subscriber.
    package mutating func publishUnheard(_ message: Message) {
        guard message.withTopic({ TopicName.isValid($0, levelsMax: topicLevelsMax) }) else { return }
        counters.messagesIn += 1
        if !retain(message) { counters.retainedRefused += 1 }
    }

    /// - Parameter match: of the message's topic, just asked for.
    package mutating func publish(
        _ message: Message, to match: TopicMatch, now: UInt64, actions: inout [BrokerAction]
    ) {
        if message.retain, !retain(message) { counters.retainedRefused += 1 }
        route(message, to: match, now: now, actions: &actions)
    }

    /// A PUBLISH as it was received, its alias resolved: what `receive` does, without a packet in between.
    ///
    /// - Parameters:
    ///   - topic: the bytes of its topic name.
    ///   - body: what the view was made from.
    ///   - session: of the connection that it came on.
    /// - Throws: what is wrong with its properties.
    package mutating func receivePublish(
        _ view: PublishView, topic: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, _ session: Session,
        now: UInt64, actions: inout [BrokerAction]
    ) throws(WireError) {
        guard let connection = session.connection else { return }
        var box: PropertyBox?
        if !view.properties.isEmpty {
            var properties = try parsePublishProperties(
                UnsafeRawBufferPointer(rebasing: body[view.properties]))
            properties.topicAlias = nil
            box = PropertyBox(properties)
        }
        receivePublish(
            InboundPublish(
                topic: topic, payload: UnsafeRawBufferPointer(rebasing: body[view.payload]), qos: view.qos,
                retain: view.isRetained, packetIdentifier: view.packetIdentifier, box: box),
            session, connection, now: now, actions: &actions)
    }

    mutating func receivePublish(
        _ packet: Publish, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        var properties = packet.properties
        properties.topicAlias = nil
        var topic = packet.topic
        topic.withUTF8 { name in
            packet.payload.withUnsafeBytes { payload in
                receivePublish(
                    InboundPublish(
                        topic: UnsafeRawBufferPointer(name), payload: payload, qos: packet.qos,
                        retain: packet.retain, packetIdentifier: packet.packetIdentifier ?? 0,
                        box: PropertyBox(properties)),
                    session, connection, now: now, actions: &actions)
            }
        }
    }

    /// MQTT 5.0 §3.3.4, §4.3.
    private mutating func receivePublish(
        _ packet: InboundPublish, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        // An alias that was not resolved.
        guard !packet.topic.isEmpty else {
            fail(connection, .protocolError, now: now, actions: &actions)
            return
        }
        guard !isTooDeep(packet.topic, session), let match = match(topic: packet.topic) else {
            fail(connection, .topicNameInvalid, now: now, actions: &actions)
            return
        }
        if let reason = fault(packet, session) {
            fail(connection, reason, now: now, actions: &actions)
            return
        }
        let identifier = packet.packetIdentifier
        if packet.qos == .exactlyOnce, session.inbound.contains(identifier) {
            counters.duplicatesReceived += 1
            actions.append(.acknowledge(connection, .pubrec, identifier))
            return
        }

        let reason = take(packet, match, session, now: now, actions: &actions)
        switch packet.qos {
        case .atMostOnce:
            break
        case .atLeastOnce:
            guard reason != .success else {
                actions.append(.acknowledge(connection, .puback, identifier))
                return
            }
            let refusal = Acknowledgement(packetIdentifier: identifier, reason: reason)
            actions.append(.send(connection, .puback(refusal)))
        case .exactlyOnce:
            // A refusal ends the exchange: the identifier is free again. [MQTT-4.3.3-9]
            if !reason.isFailure {
                session.inbound.insert(identifier)
                keepInbound(session, identifier)
            }
            guard reason != .success else {
                actions.append(.acknowledge(connection, .pubrec, identifier))
                return
            }
            let refusal = Acknowledgement(packetIdentifier: identifier, reason: reason)
            actions.append(.send(connection, .pubrec(refusal)))
        }
    }

    /// Whether the topic has more levels than the client may use. One has no more levels than bytes and one.
    private func isTooDeep(_ topic: UnsafeRawBufferPointer, _ session: Session) -> Bool {
        let levelsMax = limits(of: session).topicLevels
        return topic.count >= levelsMax && !TopicName.isValid(topic, levelsMax: levelsMax)
    }

    /// What is wrong with the PUBLISH, if anything, so that its connection must end.
    private func fault(_ packet: InboundPublish, _ session: Session) -> ReasonCode? {
        if let box = packet.box {
            if let topic = box.properties.responseTopic,
                !TopicName.isValid(topic, levelsMax: limits(of: session).topicLevels)
            {
                return .protocolError
            }
            // Only we may say which subscriptions matched. [MQTT-3.3.4-6]
            if !box.properties.subscriptionIdentifiers.isEmpty { return .protocolError }
        }
        guard packet.qos != .atMostOnce else { return nil }
        let identifier = packet.packetIdentifier
        if identifier == 0 { return .malformedPacket }
        if packet.qos == .exactlyOnce, session.inbound.count >= Int(limits(of: session).receiveMaximum),
            !session.inbound.contains(identifier)
        {
            return .receiveMaximumExceeded
        }
        return nil
    }

    /// Retains and sends on what a client published.
    /// - Returns: the reason for its acknowledgement.
    private mutating func take(
        _ packet: InboundPublish, _ match: TopicMatch, _ session: Session, now: UInt64,
        actions: inout [BrokerAction]
    ) -> ReasonCode {
        let isV5 = session.version == .v5
        let interval = packet.box?.properties.messageExpiryInterval
        let message = Message(
            topic: packet.topic, payload: packet.payload, qos: packet.qos, retain: packet.retain,
            properties: packet.box, publisher: session.clientIdentifier,
            expiresAt: interval.map { now + UInt64($0) * nanosecondsPerSecond })
        if message.retain, !retain(message) {
            counters.retainedRefused += 1
            // Who can be told gets a refusal; for the others the message at least goes on.
            if isV5, packet.qos != .atMostOnce { return .quotaExceeded }
        }
        route(message, to: match, now: now, actions: &actions)
        return isV5 && match.isEmpty ? .noMatchingSubscribers : .success
    }

    /// Keeps the message in the place of what its topic retains, or clears that.
    /// - Returns: false when there is no room.
    private mutating func retain(_ message: Message) -> Bool {
        let former = message.withTopic { retained.message(topic: $0) }
        if !message.hasPayload {
            if former != nil, let former = retained.remove(message.withTopic { TopicName.levels($0) }) {
                timers.remove(former.timer)
                keepRetainedCleared(former)
            }
        } else {
            guard retained.hasRoom(for: message, inPlaceOf: former, limits: limits) else { return false }
            if let former { retained.replace(former, with: message) }
            let entry = former ?? retained.set(message, levels: message.withTopic { TopicName.levels($0) })
            keepRetained(entry)
            if let due = message.expiresAt {
                timers.set(entry.timer, due: due)
            } else {
                timers.remove(entry.timer)
            }
        }
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
        return true
    }

    mutating func expireRetained(_ levels: [ByteString], timer: Timer) {
        guard let entry = retained.message(levels), entry.timer === timer else { return }
        _ = retained.remove(levels)
        keepRetainedCleared(entry)
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
    }
}
