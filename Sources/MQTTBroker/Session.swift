package import MQTTWire

// Guard of @unchecked: a session belongs to the one thread that runs its broker; nothing else may touch it.
// It is Sendable only because the actions that carry it are.

/// The state the broker keeps for one client identifier, across connections as long as the client asked.
/// MQTT 5.0 §4.1.
package final class Session: @unchecked Sendable {
    package let clientIdentifier: String
    /// The last CONNECT found it here: what the client remembers of it counts.
    package internal(set) var isResumed = false
    /// Of the last CONNECT.
    package internal(set) var version: ProtocolVersion
    /// What the hub enforces: as asked, or as lowered by `BrokerLimits.keepAliveSecondsMax`; 0 is none.
    package internal(set) var keepAliveSeconds: UInt16 = 0
    /// Packet identifiers the client has in use at QoS 2.
    package let inbound = InboundQoS2()
    /// What the hub knows of the client's rights, for `AccessGuard`; nil where it need not know.
    package var rights: AnyObject?
    /// Some topics of its subscriptions are not for it, as of `accessGeneration`.
    var isRestricted = false
    var accessGeneration: UInt32 = 0

    /// In the order of creation: a key that is cheaper than the client identifier.
    let number: UInt64
    /// Of its limits among `Broker.clientLimits`: those of the listener that its client came in by.
    var limitsPlace = 0
    /// nil while the client is away.
    var connection: ConnectionID?
    /// Seconds the session outlives its connection; `UInt32.max` is for ever.
    var expirySeconds: UInt32 = 0
    /// The client's, for this connection: messages in flight, and bytes of a packet (nil is any).
    var receiveMaximum = 65_535
    package internal(set) var maximumPacketSize: Int?
    /// Topic aliases the client takes from us on this connection; 0 is none. MQTT 5.0 §3.1.2.11.5.
    package internal(set) var topicAliasMaximum: UInt16 = 0
    /// Whether reason strings and user properties may stand in any packet. MQTT 5.0 §3.1.2.11.7.
    package internal(set) var wantsProblemInformation = true
    var will: Will?

    var outbound = Outbound()
    /// What of it the journal keeps.
    var kept = KeptSession()
    /// SUBSCRIBEs whose retained messages are not all in `outbound` yet.
    var replayCount = 0
    /// It has ended: what still refers to it lets go.
    var isDiscarded = false
    /// Messages at QoS 0 wait until the connection has drained, and the hub was asked to say when.
    var isDrainWanted = false
    /// By the text of the filter.
    var subscriptions = IndexedList<ByteString, TopicFilter>()
    /// The groups it is a member of by its shared subscriptions.
    var sharedGroups: [SharedGroup] = []
    /// Subscriptions to queues, by the text of the filter.
    var queueSubscriptions = IndexedList<ByteString, QueueSubscription>()

    /// How what waits for the client stands to `BrokerLimits.awaitedMessages` and `awaitedBytes`.
    enum Backlog {
        case short
        /// Since `awaitedSince`.
        case awaited
        /// Until it is short again.
        case givenUp
    }

    var backlog = Backlog.short
    var awaitedSince: UInt64 = 0

    /// Monotonic nanoseconds; nil when not waiting for it.
    var willDue: UInt64?
    var expiryDue: UInt64?
    let timer: Timer

    /// The publication that last matched this session and the place of its match: how several matching
    /// filters become one delivery without a table.
    var matchRound: UInt64 = 0
    var matchPosition = 0

    /// Whether the client has something to acknowledge.
    package var hasInFlight: Bool { outbound.outstanding > 0 }

    init(clientIdentifier: String, number: UInt64, version: ProtocolVersion) {
        self.clientIdentifier = clientIdentifier
        self.number = number
        self.version = version
        timer = Timer(.session(ByteString(clientIdentifier)))
    }
}
