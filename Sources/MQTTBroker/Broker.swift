package import MQTTWire

/// The broker as a state machine: packets in, actions out. Sessions, subscriptions, retained messages and
/// wills of MQTT 3.1.1 and 5.0; no socket, no clock, no disk. Confined to one thread.
///
/// Times are monotonic nanoseconds that never go back. Actions are appended in the order to carry them out.
/// An input for a connection the broker does not know (any more) does nothing: a close and a packet may
/// cross.
package struct Broker: ~Copyable {
    package let limits: BrokerLimits
    /// By `Session.limitsPlace`; see `use`.
    var clientLimits: [ClientLimits]
    /// Of the listener that takes the deepest topics.
    var topicLevelsMax: Int
    /// What it holds and what it did.
    package var counters = BrokerCounters()
    /// Changes whenever a subscription is added or removed, so that an answer of `hasSubscribers` may be
    /// kept.
    package internal(set) var subscriptionVersion: UInt64 = 0
    /// Asked what a client may have; nil: everybody may have everything.
    package var access: (any AccessGuard)?
    /// Changes with the rights of clients; see `Session.accessGeneration`.
    var accessGeneration: UInt32 = 0

    var sessions: [ByteString: Session] = [:]
    var connections: [ConnectionID: Session] = [:]
    let tree = TopicTree()
    let retained = RetainedStore()
    var timers = Timers()
    /// What changed of that which must outlive the process; see `Broker+Journal.swift`.
    var journal = JournalBuffer()
    var keeper = JournalKeeper()
    /// The number of the latest session.
    var lastSessionNumber: UInt64 = 0
    /// The number of the latest publication; see `Session.matchRound`.
    var matchRound: UInt64 = 0

    /// Wills that ended and that the hub has not published yet: what the journal has to say of them is one group with
    /// what follows from their publication.
    var pendingWills = 0
    var defersWills = false

    var matchCache = MatchCache()
    /// Whether the hub would wait for subscribers.
    package var isPatient = true
    var isCrowded = false
    /// In the order of their turns.
    var replays = RingBuffer<Replay>()
    /// By the session's number.
    var awaited = IndexedList<UInt64, Session>()

    // Kept between publications for its capacity; empty outside `route`.
    var matchesScratch: [Match] = []

    /// A session a message goes to, all its matching filters taken together.
    struct Match {
        let session: Session
        var qos: QoS
        var retainAsPublished: Bool
        var subscriptionIdentifiers: [UInt32]
    }

    package init(limits: BrokerLimits) {
        self.limits = limits
        clientLimits = [ClientLimits(limits)]
        topicLevelsMax = limits.topicLevels
    }

    /// When `advance` has something to do; nil when nothing waits.
    package var nextDeadline: UInt64? { timers.first?.due }

    /// Whether any subscription, of a client connected or away, matches the topic.
    package borrowing func hasSubscribers(topic: UnsafeRawBufferPointer) -> Bool {
        tree.hasMatch(topic)
    }

    /// The subscriptions that match a topic name, for `publish` at once: they are void when any comes or goes.
    /// - Returns: nil when the name is not valid.
    package mutating func match(topic: UnsafeRawBufferPointer) -> TopicMatch? {
        matchCache.find(topic, version: subscriptionVersion, tree: tree, levelsMax: topicLevelsMax)
    }

    /// Takes any packet but the CONNECT that opens a connection.
    ///
    /// A PUBLISH is one the hub does not store itself: its topic alias is resolved, and it is acknowledged
    /// here. What the client must not send ends its connection: DISCONNECT with the reason on 5.0, then the
    /// close, and the will comes due.
    package mutating func receive(
        _ packet: ControlPacket, from connection: ConnectionID, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection] else { return }
        switch packet {
        case .publish(let publish):
            receivePublish(publish, session, connection, now: now, actions: &actions)
        case .puback(let acknowledgement):
            receivePuback(acknowledgement.packetIdentifier, session, connection, now: now, actions: &actions)
        case .pubrec(let acknowledgement):
            receivePubrec(
                acknowledgement.packetIdentifier, acknowledgement.reason, session, connection, now: now,
                actions: &actions)
        case .pubrel(let acknowledgement):
            receivePubrel(acknowledgement.packetIdentifier, session, connection, actions: &actions)
        case .pubcomp(let acknowledgement):
            receivePubcomp(acknowledgement.packetIdentifier, session, connection, now: now, actions: &actions)
        case .subscribe(let subscribe):
            receiveSubscribe(subscribe, session, connection, now: now, actions: &actions)
        case .unsubscribe(let unsubscribe):
            receiveUnsubscribe(unsubscribe, session, connection, actions: &actions)
        case .pingreq:
            actions.append(.send(connection, .pingresp))
        case .disconnect(let disconnect):
            receiveDisconnect(disconnect, session, connection, now: now, actions: &actions)
        case .connect, .connack, .suback, .unsuback, .pingresp, .auth:
            // A second CONNECT, a packet only servers send, or AUTH although no method was agreed on:
            // [MQTT-3.1.0-2], §4.12.0-1.
            fail(connection, .protocolError, now: now, actions: &actions)
        }
    }

    /// Ends a connection from our side: malformed bytes, keep-alive passed, shutting down. The client gets a
    /// DISCONNECT with the reason on 5.0, the will comes due.
    package mutating func disconnect(
        _ connection: ConnectionID, reason: ReasonCode, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let session = connections[connection] else { return }
        if session.version == .v5 {
            actions.append(.send(connection, .disconnect(Disconnect(reason: reason))))
        }
        actions.append(.close(connection))
        detach(session, publishesWill: true, now: now, actions: &actions)
    }

    /// Ends the connection of a client that broke the protocol.
    mutating func fail(
        _ connection: ConnectionID, _ reason: ReasonCode, now: UInt64, actions: inout [BrokerAction]
    ) {
        counters.protocolErrors += 1
        disconnect(connection, reason: reason, now: now, actions: &actions)
    }
}
