import MQTTWire

/// The backlog of a shared subscription: what comes while no member is there belongs to the group, waits on disk, and
/// goes to whichever member takes it first. MQTT 5.0 §4.8.2.
///
/// It is a session of its own in the journal that no client has. A member takes from it when it has nothing else to
/// send and its window has room, so that several share the work.
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
        guard group.members.count == 1, let backlog = group.backlog else { return }
        group.backlog = nil
        counters.queued -= backlog.outbound.queuedCount
        keepEnded(backlog)
    }

    /// Whether a message for a group is for its backlog: nobody is there, or others wait already.
    func isForBacklog(_ group: SharedGroup) -> Bool {
        guard journal.isEnabled else { return false }
        if let backlog = group.backlog, backlog.outbound.queuedCount > 0 { return true }
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
        deliver(delivery, message, to: backlog, now: now, actions: &actions)
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

    /// A member that has lost its right to the filter leaves what waits to the others. One that may have a part of
    /// the topics takes its share, and what it may not have of that is dropped and counted: which topics wait is on
    /// disk only.
    private func mayTake(_ group: SharedGroup, _ session: Session) -> Bool {
        guard let access, let filter = group.filter else { return true }
        return access.verdict(onFilter: filter, of: session) != .denied
    }

    /// Moves to a session what it may send of that which waits for its groups.
    /// - Returns: whether there was any.
    mutating func takeFromBacklogs(_ session: Session, now: UInt64) -> Bool {
        var hasTaken = false
        for group in session.sharedGroups {
            guard let backlog = group.backlog, backlog.outbound.queuedCount > 0,
                let member = group.members[session.number], member.qos != .atMostOnce,
                mayTake(group, session)
            else { continue }
            var room = min(session.receiveMaximum, limits.inflightMax) - session.outbound.outstanding
            room -= session.outbound.queuedCount
            while room > 0, let waiting = backlog.outbound.dequeue() {
                room -= 1
                forgetWaiting(waiting)
                keepDropped(waiting, backlog)
                let qos = min(member.qos, waiting.qos)
                var delivery = Outbound.Delivery(
                    message: waiting.message, qos: qos,
                    retain: member.retainAsPublished && waiting.retain,
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
                hasTaken = true
            }
        }
        return hasTaken
    }
}
