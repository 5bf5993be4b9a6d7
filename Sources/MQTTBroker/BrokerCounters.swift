/// What the broker holds and what passed through it since it started.
package struct BrokerCounters: Hashable, Sendable {
    // Held now.
    package var connected = 0
    package var sessions = 0
    package var subscriptions = 0
    /// Those of them that are shared.
    package var sharedSubscriptions = 0
    package var retained = 0
    package var retainedBytes = 0
    /// Messages that wait in sessions to be sent, all sessions together.
    package var queued = 0

    // Since the start.
    /// Connections accepted, and those refused with a CONNACK.
    package var connectsAccepted = 0
    package var connectsRefused = 0
    package var takeovers = 0
    package var sessionsResumed = 0
    package var sessionsDiscarded = 0
    /// Of those the ones whose expiry passed while the client was away.
    package var sessionsExpired = 0
    /// Messages handed in, by clients and by the hub; a QoS 2 message sent again is in `duplicatesReceived`.
    package var messagesIn = 0
    package var duplicatesReceived = 0
    /// PUBLISH packets handed out, and how many of them were sent again.
    package var messagesOut = 0
    package var messagesResent = 0
    /// Wills that came due.
    package var wills = 0
    /// Connections closed because of what the client sent.
    package var protocolErrors = 0
    /// Copies not delivered: the session's buffer was full.
    package var droppedQueueFull = 0
    /// Copies not delivered: QoS 0 for a client that is away.
    package var droppedOffline = 0
    /// Copies not delivered: larger than the client's Maximum Packet Size.
    package var droppedTooLarge = 0
    /// Copies not delivered: the message expired first.
    package var droppedExpired = 0
    /// Times that publishers began to wait for a subscriber, and how many of them were given up.
    package var subscribersAwaited = 0
    package var subscribersGivenUp = 0
    /// Copies not delivered: the client may not have the topic, or may not have it any more.
    package var droppedDenied = 0
    /// Filters of SUBSCRIBEs, and wills, that the client had no right to.
    package var subscribesDenied = 0
    package var willsDenied = 0
    /// SUBSCRIBEs that got no retained messages, as too many still waited for the session.
    package var replaysRefused = 0
    /// Of the messages that wait those that sessions keep on disk, and their bytes; a body that several sessions wait
    /// for counts for each.
    package var keptMessages = 0
    package var keptBytes = 0
    /// Waiting messages whose body did not read back from the journal.
    package var droppedUnreadable = 0
    /// Messages of clients to `$SYS/…`, where only the hub publishes.
    package var systemTopicsRefused = 0
    /// Messages not retained because the store was full.
    package var retainedRefused = 0

    package init() {}
}
