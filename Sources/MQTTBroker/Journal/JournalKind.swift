/// What a record of the journal says. The bodies are tables in BrokerJournal.docc/JournalFormat.md; the raw values are
/// on disk: never renumber.
enum JournalKind: UInt8 {
    /// Ends a group of records that happened as a whole.
    case commit = 1
    case session = 2
    case sessionEnded = 3
    case subscribed = 4
    case unsubscribed = 5
    case message = 6
    case delivery = 7
    case received = 8
    case finished = 9
    case inbound = 10
    case inboundReleased = 11
    case retained = 12
    case retainedCleared = 13
    case logEnd = 14
    case queueSubscribed = 15
    case share = 16
    case will = 17
    case willEnded = 18
}

/// Bits of the flags of messages, deliveries and subscriptions in the journal.
enum JournalFlags {
    static let qosMask: UInt8 = 3
    /// Of a message or a delivery; of a subscription it is No Local.
    static let retain: UInt8 = 4
    static let noLocal: UInt8 = 4
    /// Of a delivery; of a subscription it is Retain As Published.
    static let replay: UInt8 = 8
    static let retainAsPublished: UInt8 = 8
    /// Of a will: the name of its client stands in a certificate; who the client is was asked.
    static let certificate: UInt8 = 8
    static let identified: UInt8 = 16
}

/// Records that are made durable together: what the hub gives to the journal's files.
package struct JournalGroup: Sendable {
    /// Records with their lengths; the checksums are for who writes them.
    package let bytes: [UInt8]
    /// Position of the first byte.
    package let start: UInt64
    /// It begins a segment of its own: cleaning cuts there.
    package let startsSegment: Bool
    /// What may go once the group is durable.
    package let cleaned: JournalCleaned?

    package var end: UInt64 { start + UInt64(bytes.count) }
}

/// Everything before the cut was written again behind it, but for bodies in certain blocks.
package struct JournalCleaned: Sendable {
    package let cut: UInt64
    /// Positions divided by 64 KiB.
    package let blocks: Set<UInt64>
}
