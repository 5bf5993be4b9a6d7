import ConsumerGroups
import MQTTBroker
import MQTTWire
import Platform

/// Consumer groups over MQTT: a shared subscription to `$queue/…` makes the client a member, records come at QoS 1,
/// and PUBACK commits them. What is not sent yet stays in the log.
extension BrokerLoop {
    /// Takes a SUBSCRIBE that has filters of queues in it: the client joins the groups first, then has its SUBACK.
    func subscribeToQueues(_ packet: Subscribe, from connection: Connection, now: UInt64) {
        var verdicts: [Int: QueueVerdict] = [:]
        var joins: [(index: Int, join: GroupJoin)] = []
        let member = Self.member(connection)
        for (index, request) in packet.filters.enumerated() where QueueFilter.isQueue(request.filter) {
            guard let filter = QueueFilter(request.filter), request.qos != .atMostOnce, groups != nil else {
                verdicts[index] = .refused(QueueFilter.advice)
                continue
            }
            guard maySubscribe(request.filter, connection) else {
                // The broker refuses it with the reason; the group need not know.
                verdicts[index] = .refused(QueueFilter.advice)
                continue
            }
            if connection.memberships[filter.group] != nil {
                verdicts[index] = .joined(group: filter.group)
                continue
            }
            let from = packet.properties.userProperties.first { $0.name == "from" }?.value
            joins.append((index, join(filter, member, from: from, connection)))
        }
        guard let groups, !joins.isEmpty else {
            broker.subscribe(packet, verdicts: verdicts, from: connection.id, now: now, actions: &actions)
            perform()
            return
        }
        let executor = executor
        let known = verdicts
        let wanted = joins
        let place = ConnectionPlace(connection)
        Task {
            var joined: [Int: Result<UInt64, GroupError>] = [:]
            for (index, join) in wanted { joined[index] = await groups.join(join) }
            let outcome = joined
            executor.execute { [self] in
                finish(packet, known, wanted, outcome, place)
            }
        }
    }

    /// A session that is back: its client is a member again.
    func rejoinQueues(_ connection: Connection) {
        guard let groups else { return }
        let executor = executor
        let place = ConnectionPlace(connection)
        let member = Self.member(connection)
        for text in broker.queueFilters(of: connection.id) {
            guard let filter = QueueFilter(text), maySubscribe(text, connection) else { continue }
            let join = join(filter, member, from: nil, connection)
            Task {
                let result = await groups.join(join)
                executor.execute { [self] in rejoined(join, result, place) }
            }
        }
    }

    private static let acknowledgementPauseNanoseconds: UInt64 = 5_000_000

    private func join(
        _ filter: QueueFilter, _ member: String, from: String?, _ connection: Connection
    ) -> GroupJoin {
        smallestQueueWindow = min(smallestQueueWindow, broker.deliveryWindow(of: connection.id))
        let place = ConnectionPlace(connection)
        let executor = executor
        return GroupJoin(
            group: filter.group, device: filter.device, from: from, member: member,
            window: broker.deliveryWindow(of: connection.id),
            deliver: { [self] messages in executor.execute { [self] in deliver(messages, to: place) } },
            void: { [self] in
                executor.execute { [self] in
                    guard let connection = self.connection(at: place) else { return }
                    broker.dropWaiting(of: filter.group, for: connection.id)
                }
            })
    }

    private func finish(
        _ packet: Subscribe, _ known: [Int: QueueVerdict], _ joins: [(index: Int, join: GroupJoin)],
        _ outcome: [Int: Result<UInt64, GroupError>], _ place: ConnectionPlace
    ) {
        var verdicts = known
        let connection = connection(at: place)
        for (index, join) in joins {
            switch outcome[index] {
            case .success(let session)?:
                guard let connection else {
                    groups?.leave(join.group, member: join.member, session: session)
                    continue
                }
                connection.memberships[join.group] = session
                verdicts[index] = .joined(group: join.group)
            case .failure(let error)?: verdicts[index] = .refused(error.description)
            case nil: verdicts[index] = .refused(QueueFilter.advice)
            }
        }
        guard let connection else { return }
        broker.subscribe(
            packet, verdicts: verdicts, from: connection.id, now: clock.monotonicNanoseconds(),
            actions: &actions)
        perform()
        flushAll()
    }

    private func rejoined(_ join: GroupJoin, _ result: Result<UInt64, GroupError>, _ place: ConnectionPlace) {
        let connection = connection(at: place)
        switch result {
        case .success(let session):
            if let connection {
                connection.memberships[join.group] = session
            } else {
                groups?.leave(join.group, member: join.member, session: session)
            }
        case .failure:
            guard let connection else { return }
            // The client would wait for ever; a new connection tries again.
            broker.disconnect(
                connection.id, reason: .implementationSpecificError, now: clock.monotonicNanoseconds(),
                actions: &actions)
            perform()
        }
        flushAll()
    }

    private func deliver(_ messages: [Message], to place: ConnectionPlace) {
        guard let connection = connection(at: place) else { return }
        broker.deliver(
            messages, to: connection.id, now: clock.monotonicNanoseconds(), actions: &actions)
        perform()
        flushAll()
    }

    private func connection(at place: ConnectionPlace) -> Connection? {
        guard let connection = slots[Int(place.slot)], connection.generation == place.generation,
            connection.phase == .connected
        else { return nil }
        return connection
    }

    /// The client has a record: the group hears of it at the end of the turn, together with the others.
    func acknowledgeQueue(_ ticket: QueueTicket, from connection: Connection) {
        guard groups != nil else { return }
        queueAcknowledgements.append((Self.member(connection), ticket))
        wantTurnEnd()
    }

    /// The turn is over, or (forced) some time has passed. While acknowledgements come fast they are handed over
    /// many at once: each hop wakes the groups' thread.
    func submitQueueAcknowledgements(isForced: Bool = false) {
        guard !queueAcknowledgements.isEmpty else { return }
        let now = clock.monotonicNanoseconds()
        let isBurst = now < lastQueueAcknowledgement + Self.acknowledgementPauseNanoseconds
        guard isForced || !isBurst || queueAcknowledgements.count >= smallestQueueWindow / 8 else { return }
        lastQueueAcknowledgement = now
        let due = queueAcknowledgements
        queueAcknowledgements.removeAll(keepingCapacity: true)
        groups?.acknowledge(due)
    }

    func leaveQueue(_ group: String, _ connection: Connection) {
        guard let session = connection.memberships.removeValue(forKey: group) else { return }
        broker.dropWaiting(of: group, for: connection.id)
        groups?.leave(group, member: Self.member(connection), session: session)
    }

    /// The connection ends: what it did not acknowledge goes to the other members.
    func leaveQueues(_ connection: Connection) {
        guard !connection.memberships.isEmpty else { return }
        submitQueueAcknowledgements(isForced: true)
        for (group, session) in connection.memberships.sorted(by: { $0.key < $1.key }) {
            groups?.leave(group, member: connection.memberName, session: session)
        }
        connection.memberships = [:]
    }

    private static func member(_ connection: Connection) -> String {
        if let session = connection.session {
            connection.memberName = GroupJoin.memberPrefix + session.clientIdentifier
        }
        return connection.memberName
    }
}

/// A connection as other threads name it.
struct ConnectionPlace: Sendable {
    let slot: UInt32
    let generation: UInt32

    init(_ connection: Connection) {
        slot = connection.slot
        generation = connection.generation
    }
}
