import MQTTWire

extension Broker {
    /// Sends a message to all whose subscriptions match, once each; to one of each shared subscription.
    mutating func route(
        _ message: Message, to match: TopicMatch, now: UInt64, actions: inout [BrokerAction]
    ) {
        counters.messagesIn += 1
        if match.buckets.count == 1 {
            routeDirect(message, match.buckets[0], now: now, actions: &actions)
        } else if !match.isEmpty {
            routeMerged(message, match.buckets, now: now, actions: &actions)
        }
        for bucket in match.buckets where !bucket.shared.isEmpty {
            for group in bucket.shared.values { routeShared(message, group, now: now, actions: &actions) }
        }
    }

    func isOwn(_ message: Message, _ session: Session) -> Bool {
        guard let publisher = message.publisher else { return false }
        return ByteString(publisher) == ByteString(session.clientIdentifier)
    }

    /// To those of one filter, where nothing can overlap.
    private mutating func routeDirect(
        _ message: Message, _ bucket: TopicTree.Bucket, now: UInt64, actions: inout [BrokerAction]
    ) {
        for subscription in bucket.direct.values {
            if subscription.noLocal, isOwn(message, subscription.session) { continue }
            let delivery = Outbound.Delivery(
                message: message, qos: min(subscription.qos, message.qos),
                retain: subscription.retainAsPublished && message.retain,
                subscriptionIdentifiers: subscription.identifiers, isReplay: false,
                state: .awaitingPuback)
            deliver(delivery, message, to: subscription.session, now: now, actions: &actions)
        }
    }

    /// Filters of one session that overlap make one delivery, at the highest QoS of them and with all their
    /// identifiers. MQTT 5.0 §3.3.4 [MQTT-3.3.4-2], [MQTT-3.3.4-4].
    private mutating func routeMerged(
        _ message: Message, _ buckets: [TopicTree.Bucket], now: UInt64, actions: inout [BrokerAction]
    ) {
        matchRound += 1
        var matches: [Match] = []
        swap(&matches, &matchesScratch)
        for bucket in buckets {
            for subscription in bucket.direct.values {
                if subscription.noLocal, isOwn(message, subscription.session) { continue }
                merge(subscription, into: &matches)
            }
        }
        for match in matches {
            let delivery = Outbound.Delivery(
                message: message, qos: min(match.qos, message.qos),
                retain: match.retainAsPublished && message.retain,
                subscriptionIdentifiers: match.subscriptionIdentifiers, isReplay: false,
                state: .awaitingPuback)
            deliver(delivery, message, to: match.session, now: now, actions: &actions)
        }
        matches.removeAll(keepingCapacity: true)
        swap(&matches, &matchesScratch)
    }

    private func merge(_ subscription: Subscription, into matches: inout [Match]) {
        let session = subscription.session
        if session.matchRound == matchRound {
            let position = session.matchPosition
            matches[position].qos = max(matches[position].qos, subscription.qos)
            if subscription.retainAsPublished { matches[position].retainAsPublished = true }
            matches[position].subscriptionIdentifiers += subscription.identifiers
        } else {
            session.matchRound = matchRound
            session.matchPosition = matches.count
            matches.append(
                Match(
                    session: session, qos: subscription.qos,
                    retainAsPublished: subscription.retainAsPublished,
                    subscriptionIdentifiers: subscription.identifiers))
        }
    }

    /// One member gets it: the next in turn that is connected and has room, else the next connected one, else
    /// one that is away and gets it when it returns. MQTT 5.0 §4.8.2.
    private mutating func routeShared(
        _ message: Message, _ group: SharedGroup, now: UInt64, actions: inout [BrokerAction]
    ) {
        let members = group.members.values
        guard !members.isEmpty else { return }
        if isForBacklog(message, group) {
            deliverToBacklog(message, group, now: now, actions: &actions)
            return
        }
        var chosen: Int?
        var full: Int?
        var away: Int?
        for step in 0..<members.count {
            let position = (group.turn + step) % members.count
            let session = members[position].session
            if isDenied(message, session) { continue }
            if session.connection == nil {
                // A session that is away keeps nothing at QoS 0.
                let keeps = min(members[position].qos, message.qos) != .atMostOnce
                if away == nil, keeps, journal.isEnabled || hasRoom(message, session, isReplay: false) {
                    away = position
                }
            } else if hasRoom(message, session, isReplay: false) {
                chosen = position
                break
            } else if full == nil {
                full = position
            }
        }
        if journal.isEnabled, chosen == nil, full == nil, away != nil {
            // Who is there may not have it: it waits for whoever comes and may.
            deliverToBacklog(message, group, now: now, actions: &actions)
            return
        }
        let position = chosen ?? full ?? away ?? group.turn % members.count
        group.turn = (position + 1) % members.count

        let member = members[position]
        let delivery = Outbound.Delivery(
            message: message, qos: min(member.qos, message.qos),
            retain: member.retainAsPublished && message.retain,
            subscriptionIdentifiers: member.identifiers, isReplay: false,
            state: .awaitingPuback)
        deliver(delivery, message, to: member.session, now: now, actions: &actions)
    }
}
