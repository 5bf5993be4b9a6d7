import MQTTWire

/// The backlog of a shared subscription: what comes while no member is there belongs to the group, waits on disk, and
/// goes to whichever member takes it first. MQTT 5.0 §4.8.2.
///
/// It is a session of its own in the journal that no client has. A member takes from it when it has nothing else to
/// send and its window has room, so that several share the work. One that may have only some of the topics looks
/// through what waits and leaves the rest where it is; see `Broker+ShareLook.swift`.
extension Broker {
    /// The group a session shares by a filter is known to it.
    mutating func joinShare(_ session: Session, _ filter: TopicFilter) {
        guard let group = tree.sharedGroup(filter),
            !session.sharedGroups.contains(where: { $0 === group })
        else { return }
        session.sharedGroups.append(group)
    }

    /// Before a session leaves a filter: with the last member goes what waits for the group.
    mutating func leaveShare(_ session: Session, _ filter: TopicFilter) {
        guard let group = tree.sharedGroup(filter) else { return }
        session.sharedGroups.removeAll { $0 === group }
        group.looks[session.number] = nil
        guard group.members.count == 1, let backlog = group.backlog else { return }
        group.backlog = nil
        group.looks = [:]
        counters.queued -= backlog.outbound.queuedCount
        keepEnded(backlog)
    }

    /// Whether a message for a group is for its backlog: nobody is there, or others wait that somebody who is there
    /// may have. At QoS 0 there is no order to keep with these.
    func isForBacklog(_ message: Message, _ group: SharedGroup) -> Bool {
        guard journal.isEnabled else { return false }
        if message.qos != .atMostOnce, let backlog = group.backlog, backlog.outbound.queuedCount > 0,
            group.members.values.contains(where: { mayTake(from: backlog, of: group, $0) })
        {
            return true
        }
        return !group.members.values.contains { $0.session.connection != nil }
    }

    /// Puts a message behind what waits for the group.
    mutating func deliverToBacklog(
        _ message: Message, _ group: SharedGroup, now: UInt64, actions: inout [BrokerAction]
    ) {
        var qos = QoS.atMostOnce
        for member in group.members.values where member.session.kept.isKept { qos = max(qos, member.qos) }
        qos = min(qos, message.qos)
        guard qos != .atMostOnce, let filter = group.filter else {
            counters.droppedOffline += 1
            return
        }
        let backlog = group.backlog ?? makeBacklog(filter)
        group.backlog = backlog
        let delivery = Outbound.Delivery(
            message: message, qos: qos, retain: message.retain, subscriptionIdentifiers: [],
            isReplay: false, state: qos == .exactlyOnce ? .awaitingPubrec : .awaitingPuback)
        let last = backlog.outbound.lastNumber
        deliver(delivery, message, to: backlog, now: now, actions: &actions)
        if backlog.outbound.lastNumber != last { noteRefused(message, in: group, after: last) }
        for member in group.members.values where member.session.connection != nil {
            pump(member.session, now: now, actions: &actions)
        }
    }

    private mutating func makeBacklog(_ filter: String) -> Session {
        lastSessionNumber += 1
        let backlog = Session(clientIdentifier: "", number: lastSessionNumber, version: .v5)
        backlog.expirySeconds = .max
        backlog.kept.isKept = true
        backlog.kept.share = filter
        keeper.sessions.set(backlog.number, backlog)
        writeSession(backlog, awaySince: 1)
        let number = backlog.number
        journal.add(.share) { record in
            record.put(number)
            record.rest(filter)
        }
        return backlog
    }

    /// A backlog that the journal kept, once its members are there again.
    mutating func restoreShare(_ backlog: Session) {
        guard let text = backlog.kept.share,
            let filter = TopicFilter(text, levelsMax: topicLevelsMax),
            let group = tree.sharedGroup(filter)
        else {
            counters.queued -= backlog.outbound.queuedCount
            keepEnded(backlog)
            return
        }
        group.backlog = backlog
    }

    /// Moves to a session what it may send of that which waits for its groups.
    /// - Returns: whether there was any.
    mutating func takeFromBacklogs(_ session: Session, now: UInt64, actions: inout [BrokerAction]) -> Bool {
        var hasTaken = false
        for group in session.sharedGroups {
            guard let backlog = group.backlog, backlog.outbound.queuedCount > 0,
                let member = group.members[session.number], member.qos != .atMostOnce
            else { continue }
            var room = shareRoom(session)
            guard room > 0 else { break }
            switch look(of: session, in: group).verdict {
            // It leaves what waits to the others.
            case .denied: continue
            case .partial: lookThrough(backlog, of: group, session, room: room, actions: &actions)
            case .allowed:
                while room > 0, let waiting = backlog.outbound.dequeue() {
                    room -= 1
                    move(waiting, from: backlog, to: member)
                    hasTaken = true
                }
            }
        }
        return hasTaken
    }

    /// How many messages more the session may take into its window.
    func shareRoom(_ session: Session) -> Int {
        min(session.receiveMaximum, limits.inflightMax) - session.outbound.outstanding
            - session.outbound.queuedCount
    }

    /// Gives a message that waited for a group, and was taken out of its backlog, to a member.
    mutating func move(_ waiting: Outbound.Delivery, from backlog: Session, to member: Subscription) {
        let session = member.session
        forgetWaiting(waiting)
        keepDropped(waiting, backlog)
        let qos = min(member.qos, waiting.qos)
        var delivery = Outbound.Delivery(
            message: waiting.message, qos: qos, retain: member.retainAsPublished && waiting.retain,
            subscriptionIdentifiers: member.identifiers, isReplay: false,
            state: qos == .exactlyOnce ? .awaitingPubrec : .awaitingPuback)
        delivery.position = waiting.position
        delivery.absentBytes = waiting.absentBytes
        // The walk of the cleaning may have passed this session, or does not come to it.
        keeper.heldBlocks.insert(delivery.position / Self.journalBlockBytes)
        if session.kept.isKept {
            delivery.number = session.outbound.nextNumber()
            writeDelivery(delivery, session, byteCount: delivery.byteCount)
        }
        leaveToJournal(&delivery, session)
        session.outbound.enqueue(delivery)
    }
}
