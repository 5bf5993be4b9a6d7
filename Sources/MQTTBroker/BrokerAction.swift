package import MQTTWire

/// What the hub has to do for the broker, in this order.
package enum BrokerAction: Sendable {
    /// Write this packet. Boxed, so that the array of actions stays small for `forward`.
    indirect case send(ConnectionID, ControlPacket)
    /// Write a PUBACK, PUBREC, PUBREL or PUBCOMP that says success.
    case acknowledge(ConnectionID, PacketType, UInt16)
    /// Write an outgoing PUBLISH. The hub encodes it from the shared message; `packetIdentifier` is 0 at QoS
    /// 0; `expiryLeft`, in seconds, stands in place of the message's own expiry.
    case forward(
        ConnectionID, Message, qos: QoS, packetIdentifier: UInt16, retain: Bool, duplicate: Bool,
        subscriptionIdentifiers: [UInt32], expiryLeft: UInt32?)
    /// CONNECT was accepted; comes before its CONNACK.
    case accepted(ConnectionID, Session)
    /// Call `Broker.drained` once everything sent to the connection so far has left, or soon after.
    case drainWanted(ConnectionID)
    /// Close the connection after all that was sent before is flushed. The broker has already forgotten it.
    case close(ConnectionID)
    /// A will is due: the hub stores it as a reading or gives it to `Broker.publish`, and then calls
    /// `Broker.willIsPublished`. Before that it takes no journal group.
    case willPublish(Message)
    /// The state of a session is gone; comes before `accepted` when a clean start ended it.
    case sessionDiscarded(clientIdentifier: String)
    /// Read these bodies from the journal and give them to `Broker.backlogRead`.
    case backlogWanted(BacklogRequest)
    /// The client has a record of a queue: it acknowledged it, or cannot take one so large.
    case queueAcknowledged(ConnectionID, QueueTicket)
    /// The client unsubscribed from a queue.
    case queueLeft(ConnectionID, group: String)
}
