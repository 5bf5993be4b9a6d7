import MQTTWire

/// Bodies that a session waits for, to be read from the journal.
package struct BacklogRequest: Sendable {
    let connection: ConnectionID
    /// Set when they wait for a group, and the session is to see which of them it may have.
    var look: SharedLook?

    struct SharedLook {
        /// The number of the backlog's session.
        let backlog: UInt64
        /// `ShareLook.number` when it was asked.
        let after: UInt64
    }

    package let round: UInt64
    package let positions: [UInt64]
    /// All of them are durable when the journal is durable up to here.
    package let end: UInt64
}

/// What waits on disk: how much may, and how it comes back when its turn comes.
extension Broker {
    /// Whether a session that the journal keeps may hold one message more.
    func hasRoomOnDisk(_ message: Message, _ session: Session) -> Bool {
        session.outbound.queuedLive < limits(of: session).keptQueueMessages
            && session.outbound.queuedLiveBytes + message.byteCount <= limits(of: session).keptQueueBytes
            && counters.keptMessages < limits.keptQueueMessagesAll
            && counters.keptBytes + message.byteCount <= limits.keptQueueBytesAll
    }

    /// Of what waits, memory holds what the client takes next, while it is there; the rest is on disk only.
    mutating func leaveToJournal(_ delivery: inout Outbound.Delivery, _ session: Session) {
        guard delivery.position != 0 else { return }
        counters.keptMessages += 1
        counters.keptBytes += delivery.byteCount
        if session.connection != nil, session.outbound.presentCount < limits.presentMessages,
            session.outbound.presentBytes + delivery.byteCount <= limits.presentBytes
        {
            return
        }
        delivery.leaveToJournal()
    }

    /// A message has left what waits.
    mutating func forgetWaiting(_ delivery: Outbound.Delivery) {
        guard delivery.position != 0, delivery.qos != .atMostOnce else { return }
        counters.keptMessages -= 1
        counters.keptBytes -= delivery.byteCount
    }

    /// All that waits for a session goes.
    mutating func forgetWaiting(_ session: Session) {
        let queue = session.outbound.queue
        for offset in 0..<queue.count { forgetWaiting(queue[offset]) }
    }

    /// The next message has to be read first.
    func wantBacklog(_ session: Session, _ actions: inout [BrokerAction]) {
        guard !session.kept.isReading, let connection = session.connection else { return }
        session.kept.isReading = true
        session.kept.readRound += 1
        let positions = session.outbound.absentPositions(
            countMax: limits.presentMessages, bytesMax: limits.presentBytes)
        actions.append(
            .backlogWanted(
                BacklogRequest(
                    connection: connection, round: session.kept.readRound, positions: positions,
                    end: journal.end)))
    }

    /// The answer to `BrokerAction.backlogWanted`.
    ///
    /// - Parameter bodies: as many as there were positions, in their order; nil for what does not read back, which is
    ///   counted and skipped.
    package mutating func backlogRead(
        _ request: BacklogRequest, _ bodies: [Message?], now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[request.connection], session.kept.isReading,
            session.kept.readRound == request.round
        else { return }
        session.kept.isReading = false
        if let look = request.look {
            return looked(look, request, bodies, session, now: now, actions: &actions)
        }
        let found = readable(request, bodies)
        session.outbound.fill(found, countMax: limits.presentMessages)
        pump(session, now: now, actions: &actions)
    }

    /// The bodies by position; an empty topic stands for what does not read back.
    mutating func readable(_ request: BacklogRequest, _ bodies: [Message?]) -> [UInt64: Message] {
        var found: [UInt64: Message] = [:]
        for (position, body) in zip(request.positions, bodies) {
            if let body {
                found[position] = body
            } else {
                counters.droppedUnreadable += 1
                found[position] = Message(topic: "", payload: [], qos: .atLeastOnce, retain: false)
            }
        }
        return found
    }
}
