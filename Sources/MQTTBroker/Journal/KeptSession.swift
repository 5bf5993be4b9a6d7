/// What the broker remembers of a session for the journal's sake.
struct KeptSession {
    /// The session may outlive its connection, so it is in the journal.
    var isKept = false
    /// Packet identifiers at QoS 2 that the journal has for the client, towards us.
    var inbound: Set<UInt16> = []
    /// Bodies were asked for; the answer to another round than this one is void.
    var isReading = false
    var readRound: UInt64 = 0
    /// The journal has its will.
    var hasWill = false
    /// The text of the shared filter whose backlog it is, instead of a client.
    var share: String?
}
