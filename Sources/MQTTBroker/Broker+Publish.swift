import MQTTWire

extension Broker {
    /// Publishes a message of the hub's own: a result, a reading that is now durable, a will. Retains it when
    /// its retain flag says so.
    /// - Parameter message: its topic name is valid; else nothing happens.
    package mutating func publish(_ message: Message, now: UInt64, actions: inout [BrokerAction]) {
        guard TopicName.isValid(message.topic, levelsMax: limits.topicLevels) else { return }
        let levels = TopicName.levels(message.topic)
        if message.retain, !message.payload.isEmpty,
            !retained.hasRoom(for: message, levels: levels, limits: limits)
        {
            counters.retainedRefused += 1
            route(message, levels: levels, now: now, actions: &actions)
            return
        }
        accept(message, levels: levels, now: now, actions: &actions)
    }

    /// MQTT 5.0 §3.3.4, §4.3.
    mutating func receivePublish(
        _ packet: Publish, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        if let reason = fault(packet, session) {
            fail(connection, reason, now: now, actions: &actions)
            return
        }
        let identifier = packet.packetIdentifier ?? 0
        if packet.qos == .exactlyOnce, session.inbound.contains(identifier) {
            counters.duplicatesReceived += 1
            let again = Acknowledgement(packetIdentifier: identifier)
            actions.append(.send(connection, .pubrec(again)))
            return
        }

        let reason = take(packet, session, now: now, actions: &actions)
        let acknowledgement = Acknowledgement(packetIdentifier: identifier, reason: reason)
        switch packet.qos {
        case .atMostOnce:
            break
        case .atLeastOnce:
            actions.append(.send(connection, .puback(acknowledgement)))
        case .exactlyOnce:
            // A refusal ends the exchange: the identifier is free again. [MQTT-4.3.3-9]
            if !reason.isFailure { session.inbound.insert(identifier) }
            actions.append(.send(connection, .pubrec(acknowledgement)))
        }
    }

    /// What is wrong with the PUBLISH, if anything, so that its connection must end.
    private func fault(_ packet: Publish, _ session: Session) -> ReasonCode? {
        // An alias that was not resolved.
        if packet.topic.isEmpty { return .protocolError }
        guard TopicName.isValid(packet.topic, levelsMax: limits.topicLevels) else { return .topicNameInvalid }
        if let topic = packet.properties.responseTopic,
            !TopicName.isValid(topic, levelsMax: limits.topicLevels)
        {
            return .protocolError
        }
        // Only we may say which subscriptions matched. [MQTT-3.3.4-6]
        if !packet.properties.subscriptionIdentifiers.isEmpty { return .protocolError }
        guard packet.qos != .atMostOnce else { return nil }
        guard let identifier = packet.packetIdentifier, identifier != 0 else { return .malformedPacket }
        if packet.qos == .exactlyOnce, session.inbound.count >= Int(limits.receiveMaximum),
            !session.inbound.contains(identifier)
        {
            return .receiveMaximumExceeded
        }
        return nil
    }

    /// Retains and sends on what a client published.
    /// - Returns: the reason for its acknowledgement.
    private mutating func take(
        _ packet: Publish, _ session: Session, now: UInt64, actions: inout [BrokerAction]
    ) -> ReasonCode {
        let isV5 = session.version == .v5
        let message = Message(packet, publisher: session.clientIdentifier, now: now)
        let levels = TopicName.levels(message.topic)
        var isMatched: Bool
        if message.retain, !message.payload.isEmpty,
            !retained.hasRoom(for: message, levels: levels, limits: limits)
        {
            counters.retainedRefused += 1
            // Who can be told gets a refusal; for the others the message at least goes on.
            if isV5, packet.qos != .atMostOnce { return .quotaExceeded }
            isMatched = route(message, levels: levels, now: now, actions: &actions)
        } else {
            isMatched = accept(message, levels: levels, now: now, actions: &actions)
        }
        return isV5 && !isMatched ? .noMatchingSubscribers : .success
    }

    /// Retains a message that has room, or clears, and sends it on.
    /// - Returns: whether any subscription matched.
    @discardableResult private mutating func accept(
        _ message: Message, levels: [ByteString], now: UInt64, actions: inout [BrokerAction]
    ) -> Bool {
        if message.retain { retain(message, levels: levels) }
        return route(message, levels: levels, now: now, actions: &actions)
    }

    private mutating func retain(_ message: Message, levels: [ByteString]) {
        if message.payload.isEmpty {
            if let former = retained.remove(levels) { timers.remove(former.timer) }
        } else {
            let entry = retained.set(message, levels: levels)
            if let due = message.expiresAt {
                timers.set(entry.timer, due: due)
            } else {
                timers.remove(entry.timer)
            }
        }
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
    }

    mutating func expireRetained(_ levels: [ByteString], timer: Timer) {
        guard let entry = retained.message(levels), entry.timer === timer else { return }
        _ = retained.remove(levels)
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
    }
}
