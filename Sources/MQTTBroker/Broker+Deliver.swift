import MQTTWire

extension Broker {
    /// Gives one copy to one session: sent at once if it may be, else put behind what waits, else counted as
    /// dropped.
    mutating func deliver(
        _ delivery: Outbound.Delivery, _ message: Message, to session: Session, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        guard !message.isExpired(now: now) else {
            counters.droppedExpired += 1
            return
        }
        if delivery.qos == .atMostOnce {
            guard let connection = session.connection else {
                counters.droppedOffline += 1
                return
            }
            // What is retained goes out as the connection drains, and what comes meanwhile stays behind it.
            if delivery.isReplay || session.outbound.hasUnacknowledgedWaiting {
                enqueue(delivery, message, session, now: now)
                wantDrain(session, connection, &actions)
                return
            }
            guard fits(delivery, message, session) else { return }
            forward(delivery, message, identifier: 0, duplicate: false, connection, now, &actions)
            return
        }
        var delivery = delivery
        delivery.state = delivery.qos == .atLeastOnce ? .awaitingPuback : .awaitingPubrec
        if let connection = session.connection, session.outbound.isDrained, mayStart(session) {
            guard fits(delivery, message, session) else {
                skip(message, connection, &actions)
                return
            }
            keep(&delivery, message, session)
            let identifier = session.outbound.start(delivery)
            forward(delivery, message, identifier: identifier, duplicate: false, connection, now, &actions)
            return
        }
        enqueue(delivery, message, session, now: now)
    }

    private mutating func enqueue(
        _ delivery: Outbound.Delivery, _ message: Message, _ session: Session, now: UInt64
    ) {
        dropExpired(session, now: now)
        // Of records of a queue no more come than the client's window holds.
        guard message.ticket != nil || hasRoom(message, session, isReplay: delivery.isReplay) else {
            counters.droppedQueueFull += 1
            return
        }
        var delivery = delivery
        if delivery.qos != .atMostOnce {
            keep(&delivery, message, session)
            leaveToJournal(&delivery, session)
        }
        session.outbound.enqueue(delivery)
        counters.queued += 1
        noteBacklog(session, now: now)
    }

    /// Everything sent to the connection has left: the answer to `BrokerAction.drainWanted`.
    package mutating func drained(
        _ connection: ConnectionID, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection], session.isDrainWanted else { return }
        session.isDrainWanted = false
        pump(session, burstBytes: limits.replayBurstBytes, now: now, actions: &actions)
    }

    private func wantDrain(
        _ session: Session, _ connection: ConnectionID, _ actions: inout [BrokerAction]
    ) {
        guard !session.isDrainWanted else { return }
        session.isDrainWanted = true
        actions.append(.drainWanted(connection))
    }

    /// Sends what the session may send now: first what is in flight and belongs to an earlier connection, in
    /// its order [MQTT-4.6.0-1], then what waits.
    ///
    /// - Parameter burstBytes: of messages at QoS 0 among them, the last of which may go beyond it.
    mutating func pump(
        _ session: Session, burstBytes: Int = 0, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let connection = session.connection else { return }
        while hasWindow(session) {
            if session.outbound.isResendAbsent { return wantBacklog(session, &actions) }
            guard let (identifier, delivery) = session.outbound.nextToResend() else { break }
            guard let message = delivery.message else {
                // The client has the message; only the release is to be said again.
                actions.append(.acknowledge(connection, .pubrel, identifier))
                continue
            }
            guard !message.isUnreadable, fits(delivery, message, session) else {
                keepFinished(session, identifier)
                session.outbound.finish(identifier)
                continue
            }
            counters.messagesResent += 1
            forward(delivery, message, identifier: identifier, duplicate: true, connection, now, &actions)
        }
        defer { noteProgress(session) }
        var burstLeft = burstBytes
        while session.outbound.isResent, let delivery = session.outbound.firstQueued {
            let isUnacknowledged = delivery.qos == .atMostOnce
            if isUnacknowledged, burstLeft <= 0 {
                wantDrain(session, connection, &actions)
                return
            }
            guard isUnacknowledged || mayStart(session) else { return }
            if delivery.isAbsent { return wantBacklog(session, &actions) }
            session.outbound.dequeue()
            forgetWaiting(delivery)
            counters.queued -= 1
            guard let message = delivery.message else { continue }
            guard !message.isUnreadable else {
                keepDropped(delivery, session)
                continue
            }
            if message.isExpired(now: now) {
                counters.droppedExpired += 1
                keepDropped(delivery, session)
                continue
            }
            guard fits(delivery, message, session) else {
                keepDropped(delivery, session)
                skip(message, connection, &actions)
                continue
            }
            if isUnacknowledged {
                burstLeft -= message.byteCount
                forward(delivery, message, identifier: 0, duplicate: false, connection, now, &actions)
                continue
            }
            let identifier = session.outbound.start(delivery)
            forward(delivery, message, identifier: identifier, duplicate: false, connection, now, &actions)
        }
        // Own messages come first; then the session does its share of what waits for its groups.
        guard !session.sharedGroups.isEmpty, session.outbound.isDrained, mayStart(session),
            takeFromBacklogs(session, now: now, actions: &actions)
        else { return }
        pump(session, burstBytes: burstLeft, now: now, actions: &actions)
    }

    /// Whether the session may hold one message more.
    func hasRoom(_ message: Message, _ session: Session, isReplay: Bool) -> Bool {
        if session.connection != nil, session.outbound.isDrained, mayStart(session) { return true }
        if isReplay { return session.outbound.queuedReplay < limits.sessionReplayMessages }
        if session.kept.isKept, message.ticket == nil { return hasRoomOnDisk(message, session) }
        return session.outbound.queuedLive < limits(of: session).sessionQueueMessages
            && session.outbound.queuedLiveBytes + message.byteCount <= limits(of: session).sessionQueueBytes
    }

    /// Whether the client takes one more in flight. MQTT 5.0 §4.9.
    private func hasWindow(_ session: Session) -> Bool {
        session.outbound.outstanding < min(session.receiveMaximum, limits.inflightMax)
            && session.outbound.outstandingBytes < limits.inflightBytesMax
    }

    private func mayStart(_ session: Session) -> Bool {
        hasWindow(session) && session.outbound.isResent && session.outbound.hasIdentifier
    }

    /// Makes room: messages that expired at the head of what waits.
    private mutating func dropExpired(_ session: Session, now: UInt64) {
        while let delivery = session.outbound.firstQueued, let message = delivery.message,
            message.isExpired(now: now)
        {
            session.outbound.dequeue()
            forgetWaiting(delivery)
            keepDropped(delivery, session)
            counters.queued -= 1
            counters.droppedExpired += 1
        }
    }

    /// A record of a queue that is too large for the client counts as delivered too, or it would come for ever.
    private func skip(_ message: Message, _ connection: ConnectionID, _ actions: inout [BrokerAction]) {
        if let ticket = message.ticket { actions.append(.queueAcknowledged(connection, ticket)) }
    }

    /// A message too large for the client counts as delivered and is not sent. [MQTT-3.1.2-25]
    private mutating func fits(
        _ delivery: Outbound.Delivery, _ message: Message, _ session: Session
    ) -> Bool {
        if isDenied(message, session) {
            counters.droppedDenied += 1
            return false
        }
        guard let bytesMax = session.maximumPacketSize else { return true }
        let bytes = message.packetBytes(
            qos: delivery.qos, subscriptionIdentifiers: delivery.subscriptionIdentifiers)
        if bytes <= bytesMax { return true }
        counters.droppedTooLarge += 1
        return false
    }

    private mutating func forward(
        _ delivery: Outbound.Delivery, _ message: Message, identifier: UInt16, duplicate: Bool,
        _ connection: ConnectionID, _ now: UInt64, _ actions: inout [BrokerAction]
    ) {
        counters.messagesOut += 1
        actions.append(
            .forward(
                connection, message, qos: delivery.qos, packetIdentifier: identifier,
                retain: delivery.retain, duplicate: duplicate,
                subscriptionIdentifiers: delivery.subscriptionIdentifiers,
                expiryLeft: message.expiryLeft(now: now)))
    }
}
