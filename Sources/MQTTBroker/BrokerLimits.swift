/// The limits of the broker. What happens at each of them is a defined reply or a counted drop, never growth.
package struct BrokerLimits: Sendable {
    /// Messages at QoS 1 and 2 a client may have unacknowledged towards us; announced when not 65,535, which
    /// is what the standard assumes. More: DISCONNECT 0x93. MQTT 5.0 §3.2.2.3.3.
    package var receiveMaximum: UInt16 = 65_535
    /// Bytes of the largest packet taken, announced as Maximum Packet Size; the hub's frame scanner enforces
    /// it. 16 MiB: far above any reading, far below what would starve other clients.
    package var packetBytesMax: UInt32 = 16 << 20
    /// Topic aliases a client may use towards us; the hub resolves them. 32: a device has a handful of
    /// topics.
    package var topicAliasMaximum: UInt16 = 32
    /// Seconds; a longer keep-alive, or none, is lowered to this for 5.0 clients, who are told so. The
    /// default changes nothing.
    package var keepAliveSecondsMax: UInt16 = 65_535
    /// Seconds a session may outlive its connection. `UInt32.max`, the default, means for ever: a 3.1.1
    /// client with clean session 0 relies on that; `sessions` is the bound.
    package var sessionExpiryMaxSeconds: UInt32 = .max
    /// Sessions, connected or not. A million take 0.5 GB of memory, with one subscription each 1.2 GB. More:
    /// CONNACK 0x97.
    package var sessions = 1_000_000
    /// Messages at QoS 1 and 2 a session may hold that were not sent yet. The oldest are kept, the newest
    /// dropped and counted: what a client finds after its absence is then a stretch without holes.
    package var sessionQueueMessages = 100_000
    /// Bytes of topic, payload and properties a session may hold that were not sent yet; dropped alike.
    package var sessionQueueBytes = 64 << 20
    /// Messages at QoS 1 and 2 that wait for a connected client, and their bytes, from which on its publishers wait
    /// until it is half of that. A fifth of what it may have: what publishers have under way finds room.
    package var awaitedMessages = 20_000
    package var awaitedBytes = 16 << 20
    /// How long publishers wait for one subscriber: 1 s, in which one that takes 10,000 messages a second has caught
    /// up. Longer, and it is given up: the limits above hold.
    package var patienceNanoseconds: UInt64 = 1_000_000_000
    /// The same for a session that outlives its connection, where what waits is on disk: messages, 64 bytes of memory
    /// each, and bytes. A million is a day of twelve a second.
    package var keptQueueMessages = 1_000_000
    package var keptQueueBytes = 1 << 30
    /// The same for all such sessions together: 320 MB of memory, and bytes on disk.
    package var keptQueueMessagesAll = 5_000_000
    package var keptQueueBytesAll = 8 << 30
    /// Waiting messages of a connected session whose bodies stay in memory too, and their bytes; a read from disk
    /// brings as many. A client that keeps up never waits for the disk.
    package var presentMessages = 1_000
    package var presentBytes = 1 << 20
    /// Retained messages that may wait for a session, of all its SUBSCRIBEs. They are shared and cost 40 bytes
    /// each, so the bound is that of the store: a subscriber to `#` gets all of them.
    package var sessionReplayMessages = 1_000_000
    /// Messages at QoS 1 and 2 sent and not yet acknowledged, a session; the client's Receive Maximum may
    /// lower it. 10,000 fill 1 Gbit/s over 10 ms with small messages; `inflightBytesMax` bounds larger ones.
    package var inflightMax = 10_000
    /// Records of queues sent and not yet acknowledged, a session: all of them are sent again when it breaks.
    package var queueWindowMax = 1_000
    /// Bytes of topic, payload and properties sent to a session and not yet acknowledged; a single message may
    /// be larger. They are in the connection's output too until the client reads them, so this bounds what one
    /// that never reads costs. 1 MiB: a gigabit line over 8 ms.
    package var inflightBytesMax = 1 << 20
    /// Topics and branches of the retained store that are looked at in one go for a SUBSCRIBE: a millisecond or
    /// two. What is left comes in the turns after (`Broker.continueReplay`).
    package var replaySliceSteps = 1_024
    /// SUBSCRIBEs of a session that may have retained messages left so. More get none, which is counted.
    package var replaysPerSession = 64
    /// Bytes of retained messages at QoS 0 that are handed out at once, before the connection must have drained
    /// (`Broker.drained`). 64 KiB: one turn of the loop, far below what makes an output too slow.
    package var replayBurstBytes = 64 << 10
    /// Subscriptions of one session. More: SUBACK 0x97.
    package var subscriptionsPerSession = 10_000
    /// Levels of a topic name or filter: the depth of every walk. More: 0x90 or 0x8F.
    package var topicLevels = 128
    /// Retained messages, about 800 bytes each beyond what `retainedBytes` counts: a row of results on a topic of
    /// its own has 1.2 KB in all. More: PUBACK 0x97 where the client can be told, else sent on but not retained.
    package var retainedMessages = 1_000_000
    /// Bytes of topic, payload and properties of all retained messages; over it as above.
    package var retainedBytes = 1 << 30
    /// Retained messages whose last publisher is one client, and their bytes; over it as above. A tenth and a quarter
    /// of the store: no client fills it for the others, and a gateway has its thousands of topics.
    package var retainedPerClient = 100_000
    package var retainedBytesPerClient = 256 << 20

    package init() {}
}
