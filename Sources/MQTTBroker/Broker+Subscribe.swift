import MQTTWire

extension Broker {
    /// MQTT 5.0 §3.8.4: the SUBACK first, then the retained messages.
    /// - Parameter verdicts: on the filters of queues, by their place in the packet; without one they are refused.
    mutating func receiveSubscribe(
        _ packet: Subscribe, _ session: Session, _ connection: ConnectionID,
        verdicts: [Int: QueueVerdict] = [:], now: UInt64, actions: inout [BrokerAction]
    ) {
        let levelsMax = limits(of: session).topicLevels
        let filters = packet.filters.map { TopicFilter($0.filter, levelsMax: levelsMax) }
        // [MQTT-3.8.3-4]
        let isShared = zip(packet.filters, filters).contains { $0.noLocal && $1?.shareGroup != nil }
        guard !packet.filters.isEmpty, !(isShared && session.version == .v5) else {
            fail(connection, .protocolError, now: now, actions: &actions)
            return
        }

        let identifier = packet.properties.subscriptionIdentifiers.first ?? 0
        var reasons: [ReasonCode] = []
        var explanation: String?
        var replays: [(Subscription, TopicFilter)] = []
        for (index, (request, filter)) in zip(packet.filters, filters).enumerated() {
            if filter != nil, !maySubscribe(request.filter, session) {
                reasons.append(session.version == .v5 ? .notAuthorized : .unspecifiedError)
                continue
            }
            if let filter, QueueFilter.isQueue(filter) {
                let verdict = verdicts[index] ?? .refused(QueueFilter.advice)
                let outcome = subscribe(request, to: verdict, identifier: identifier, session)
                reasons.append(outcome.reason)
                explanation = explanation ?? outcome.explanation
                continue
            }
            let outcome = subscribe(request, filter, identifier: identifier, session)
            reasons.append(outcome.reason)
            if let subscription = outcome.replay, let filter { replays.append((subscription, filter)) }
        }
        var suback = SubscribeAcknowledgement(packetIdentifier: packet.packetIdentifier, reasons: reasons)
        if session.version == .v5 { suback.properties.reasonString = explanation }
        actions.append(.send(connection, .suback(suback)))
        if !session.sharedGroups.isEmpty { pump(session, now: now, actions: &actions) }
        for (subscription, filter) in replays {
            replay(filter, to: subscription, now: now, actions: &actions)
        }
    }

    /// MQTT 5.0 §3.10.4. What is in flight or waiting is still delivered.
    mutating func receiveUnsubscribe(
        _ packet: Unsubscribe, _ session: Session, _ connection: ConnectionID,
        actions: inout [BrokerAction]
    ) {
        var reasons: [ReasonCode] = []
        for text in packet.filters {
            if let filter = session.subscriptions.remove(ByteString(text)) {
                if filter.shareGroup != nil { leaveShare(session, filter) }
                tree.remove(session: session.number, filter: filter)
                counters.subscriptions -= 1
                if filter.shareGroup != nil { counters.sharedSubscriptions -= 1 }
                subscriptionVersion += 1
                keepUnsubscribed(session, text)
                reasons.append(.success)
            } else if let queue = session.queueSubscriptions.remove(ByteString(text)) {
                actions.append(.queueLeft(connection, group: queue.group))
                keepUnsubscribed(session, text)
                reasons.append(.success)
            } else if TopicFilter(text, levelsMax: limits(of: session).topicLevels) == nil {
                reasons.append(.topicFilterInvalid)
            } else {
                reasons.append(.noSubscriptionExisted)
            }
        }
        // An UNSUBACK of 3.1.1 has no reasons.
        let unsuback = SubscribeAcknowledgement(
            packetIdentifier: packet.packetIdentifier, reasons: session.version == .v5 ? reasons : [])
        actions.append(.send(connection, .unsuback(unsuback)))
    }

    /// Takes one filter of a SUBSCRIBE.
    /// - Returns: its reason, and the subscription when retained messages are to follow.
    private mutating func subscribe(
        _ request: Subscribe.Filter, _ filter: TopicFilter?, identifier: UInt32, _ session: Session
    ) -> (reason: ReasonCode, replay: Subscription?) {
        let isV5 = session.version == .v5
        guard let filter else { return (isV5 ? .topicFilterInvalid : .unspecifiedError, nil) }
        let key = ByteString(request.filter)
        if session.subscriptions.count >= limits(of: session).subscriptionsPerSession,
            session.subscriptions[key] == nil
        {
            return (isV5 ? .quotaExceeded : .unspecifiedError, nil)
        }

        let subscription = Subscription(
            session: session, qos: request.qos, noLocal: isV5 && request.noLocal,
            retainAsPublished: isV5 && request.retainAsPublished,
            identifiers: isV5 && identifier != 0 ? [identifier] : [])
        let isNew = tree.insert(subscription, filter: filter)
        session.subscriptions.set(key, filter)
        if filter.shareGroup != nil {
            tree.sharedGroup(filter)?.filter = request.filter
            joinShare(session, filter)
        }
        keepSubscribed(subscription, request.filter)
        if isNew {
            counters.subscriptions += 1
            if filter.shareGroup != nil { counters.sharedSubscriptions += 1 }
            subscriptionVersion += 1
        }
        let handling = isV5 ? request.retainHandling : 0
        let replays = filter.shareGroup == nil && (handling == 0 || (handling == 1 && isNew))
        return (ReasonCode(rawValue: request.qos.rawValue), replays ? subscription : nil)
    }
}
