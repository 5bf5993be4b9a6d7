import MQTTWire

extension Broker {
    /// The network connection is gone without a DISCONNECT: the will comes due. MQTT 5.0 §3.1.2.5.
    package mutating func connectionClosed(
        _ connection: ConnectionID, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection] else { return }
        detach(session, publishesWill: true, now: now, actions: &actions)
    }

    /// Carries out what is due: delayed wills, ends of sessions, expired retained messages. May be called at
    /// any time; calling late delays, and changes nothing else.
    package mutating func advance(now: UInt64, actions: inout [BrokerAction]) {
        while let timer = timers.first, timer.due <= now {
            timers.remove(timer)
            switch timer.kind {
            case .session(let identifier):
                guard let session = sessions[identifier], session.timer === timer else { continue }
                sessionDue(session, now: now, actions: &actions)
            case .retained(let topic):
                expireRetained(TopicName.levels(topic), timer: timer)
            }
        }
    }

    mutating func receiveDisconnect(
        _ packet: Disconnect, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        if session.version == .v5, let expiry = packet.properties.sessionExpiryInterval {
            // A session that was to end with its connection cannot be kept after all. [MQTT-3.14.2-2]
            guard expiry == 0 || session.expirySeconds != 0 else {
                fail(connection, .protocolError, now: now, actions: &actions)
                return
            }
            session.expirySeconds = min(expiry, limits.sessionExpiryMaxSeconds)
        }
        actions.append(.close(connection))
        // Only reason 0 takes the will back. [MQTT-3.14.4-3]
        let publishesWill = session.version == .v5 && packet.reason != .success
        detach(session, publishesWill: publishesWill, now: now, actions: &actions)
    }

    /// Parts a session from its connection; ends it when it was not to outlive it.
    mutating func detach(
        _ session: Session, publishesWill: Bool, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let connection = session.connection else { return }
        connections[connection] = nil
        session.connection = nil
        session.isDrainWanted = false
        forgetBacklog(session)
        session.inbound.trim()
        if !session.queueSubscriptions.isEmpty { counters.queued -= session.outbound.dropTickets() }
        counters.connected -= 1
        if !publishesWill { session.will = nil }

        guard session.expirySeconds > 0 else {
            discard(session, now: now, actions: &actions)
            return
        }
        let delay = session.will?.properties.willDelayInterval ?? 0
        if session.will != nil, !(defersWills && session.kept.hasWill) {
            if delay == 0 {
                publishWill(session, now: now, actions: &actions)
            } else {
                session.willDue = now + UInt64(delay) * nanosecondsPerSecond
            }
        }
        if session.expirySeconds != .max {
            session.expiryDue = now + UInt64(session.expirySeconds) * nanosecondsPerSecond
        }
        schedule(session)
        keepDetached(session, now: now)
    }

    /// Ends a session: its will, if still to come, is due at once [MQTT-3.1.2-10]; its subscriptions and
    /// messages are gone.
    mutating func discard(_ session: Session, now: UInt64, actions: inout [BrokerAction]) {
        precondition(session.connection == nil)
        timers.remove(session.timer)
        publishWill(session, now: now, actions: &actions)
        for filter in session.subscriptions.values {
            if filter.shareGroup != nil { leaveShare(session, filter) }
            tree.remove(session: session.number, filter: filter)
            if filter.shareGroup != nil { counters.sharedSubscriptions -= 1 }
        }
        if !session.subscriptions.isEmpty { subscriptionVersion += 1 }
        counters.subscriptions -= session.subscriptions.count
        counters.queued -= session.outbound.queuedCount
        keepEnded(session)
        session.subscriptions = IndexedList()
        session.queueSubscriptions = IndexedList()
        session.outbound = Outbound()
        session.inbound.removeAll()
        session.isDiscarded = true
        sessions[ByteString(session.clientIdentifier)] = nil
        counters.sessions -= 1
        counters.sessionsDiscarded += 1
        actions.append(.sessionDiscarded(clientIdentifier: session.clientIdentifier))
    }

    mutating func sessionDue(_ session: Session, now: UInt64, actions: inout [BrokerAction]) {
        if let due = session.expiryDue, due <= now {
            counters.sessionsExpired += 1
            discard(session, now: now, actions: &actions)
            return
        }
        if let due = session.willDue, due <= now { publishWill(session, now: now, actions: &actions) }
        schedule(session)
    }

    /// One timer a session, at whichever comes first.
    mutating func schedule(_ session: Session) {
        switch (session.willDue, session.expiryDue) {
        case (let will?, let expiry?): timers.set(session.timer, due: min(will, expiry))
        case (let due?, nil), (nil, let due?): timers.set(session.timer, due: due)
        case (nil, nil): timers.remove(session.timer)
        }
    }

    private mutating func publishWill(_ session: Session, now: UInt64, actions: inout [BrokerAction]) {
        session.willDue = nil
        guard let will = session.will else { return }
        session.will = nil
        forgetWill(session)
        if let access, !access.mayPublish(will.topic, session) {
            counters.willsDenied += 1
            return
        }
        counters.wills += 1
        pendingWills += 1
        actions.append(.willPublish(Message(will, publisher: session.clientIdentifier, now: now)))
    }
}
