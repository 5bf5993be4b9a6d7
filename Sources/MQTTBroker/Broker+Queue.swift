package import MQTTWire

/// The place of a record of a queue among the deliveries to a client; the hub gives it and gets it back.
package struct QueueTicket: Hashable, Sendable {
    package var group: String
    package var session: UInt64
    package var ordinal: UInt64

    package init(group: String, session: UInt64, ordinal: UInt64) {
        self.group = group
        self.session = session
        self.ordinal = ordinal
    }
}

/// A session's subscription to a queue.
struct QueueSubscription {
    var group: String
    /// 0 is none.
    var identifier: UInt32
}

/// What the hub says to a subscription to a queue.
package enum QueueVerdict: Sendable {
    /// The client is a member of the group.
    case joined(group: String)
    /// With the text for the operator of the client.
    case refused(String)
}

/// `$share/{group}/$queue/…`: a durable consumer group as a shared subscription. MQTT 5.0 §4.7.2 leaves topics
/// that begin with `$` to the server.
package struct QueueFilter: Sendable, Equatable {
    package var group: String
    /// nil: whatever the group's devices are.
    package var device: String?

    package static let prefix = "$queue/"
    package static let advice =
        "queues are read by groups: subscribe $share/{group}/$queue/# or "
        + "$share/{group}/$queue/devices/{device}/# at QoS 1"

    /// Whether a filter is about queues, rightly written or not.
    package static func isQueue(_ text: String) -> Bool {
        guard let filter = TopicFilter(text, levelsMax: 128) else { return false }
        return isQueue(filter)
    }

    static func isQueue(_ filter: TopicFilter) -> Bool { filter.levels.first == .text(ByteString("$queue")) }

    /// - Returns: nil when it is about queues and not written as `advice` says.
    package init?(_ text: String) {
        guard let filter = TopicFilter(text, levelsMax: 128), Self.isQueue(filter), filter.endsWithHash,
            let group = filter.shareGroup
        else { return nil }
        self.group = group.text
        let levels = filter.levels.dropFirst()
        if levels.isEmpty { return }
        guard levels.count <= 2, levels.first == .text(ByteString("devices")) else { return nil }
        if levels.count == 2, case .text(let name)? = levels.last {
            guard !name.text.isEmpty else { return nil }
            device = name.text
        }
    }
}

extension Broker {
    /// Takes a SUBSCRIBE that has filters of queues in it, with the verdicts on those.
    ///
    /// - Parameter verdicts: by the filter's place in the packet.
    package mutating func subscribe(
        _ packet: Subscribe, verdicts: [Int: QueueVerdict], from connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection] else { return }
        receiveSubscribe(packet, session, connection, verdicts: verdicts, now: now, actions: &actions)
    }

    /// The filters of the queues that the client of a connection reads.
    package borrowing func queueFilters(of connection: ConnectionID) -> [String] {
        connections[connection]?.queueSubscriptions.keys.map(\.text) ?? []
    }

    /// How many records of queues the client of a connection may have unacknowledged.
    package borrowing func deliveryWindow(of connection: ConnectionID) -> Int {
        guard let session = connections[connection] else { return 0 }
        return min(session.receiveMaximum, limits.inflightMax, limits.queueWindowMax)
    }

    /// Sends records of a queue, at QoS 1; each has its ticket.
    package mutating func deliver(
        _ messages: [Message], to connection: ConnectionID, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection] else { return }
        for message in messages {
            let subscription = session.queueSubscriptions.values.first { $0.group == message.ticket?.group }
            let identifier = subscription?.identifier ?? 0
            let delivery = Outbound.Delivery(
                message: message, qos: .atLeastOnce, retain: false,
                subscriptionIdentifiers: identifier == 0 ? [] : [identifier], isReplay: false,
                state: .awaitingPuback)
            deliver(delivery, message, to: session, now: now, actions: &actions)
        }
    }

    /// Forgets the records of a group that the client of a connection was not sent yet.
    package mutating func dropWaiting(of group: String, for connection: ConnectionID) {
        guard let session = connections[connection] else { return }
        counters.queued -= session.outbound.dropWaiting { $0.group == group }
    }

    /// Takes the filter of a queue, on which the hub has said what it says.
    mutating func subscribe(
        _ request: Subscribe.Filter, to verdict: QueueVerdict, identifier: UInt32, _ session: Session
    ) -> (reason: ReasonCode, explanation: String?) {
        let isV5 = session.version == .v5
        switch verdict {
        case .refused(let explanation):
            return (isV5 ? .topicFilterInvalid : .unspecifiedError, explanation)
        case .joined(let group):
            session.queueSubscriptions.set(
                ByteString(request.filter),
                QueueSubscription(group: group, identifier: isV5 ? identifier : 0))
            keepQueueSubscribed(session, request.filter, group: group, identifier: isV5 ? identifier : 0)
            // Never more than was asked for; QoS 0 was refused.
            return (.grantedQoS1, nil)
        }
    }
}
