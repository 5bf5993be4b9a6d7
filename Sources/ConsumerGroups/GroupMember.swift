package import Telemetry

/// A record handed to a member. (device, sequence) is the key by which a consumer tells a repetition.
package struct DeliveredRecord: Sendable, Equatable {
    package var offset: QueueOffset
    package var device: UInt32
    package var sequence: UInt64
    /// How often it was handed out, this time included.
    package var deliveries: UInt32
    /// Commits this record and all delivered to the member before it.
    package var token: CommitToken
}

/// The place of a delivery among those of a member: `<session>-<number>`.
package struct CommitToken: Sendable, Equatable, CustomStringConvertible {
    /// Changes whenever the member begins again.
    package var session: UInt64
    /// Deliveries of the session, from 1.
    package var ordinal: UInt64

    package init(session: UInt64, ordinal: UInt64) {
        self.session = session
        self.ordinal = ordinal
    }

    /// - Returns: nil when the text is not what `description` writes.
    package init?(text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let session = UInt64(parts[0], radix: 36), let ordinal = UInt64(parts[1])
        else {
            return nil
        }
        self.init(session: session, ordinal: ordinal)
    }

    package var description: String { String(session, radix: 36) + "-" + String(ordinal) }
}

/// What a request for records brought.
package struct Delivery: Sendable, Equatable {
    package var session: UInt64
    /// In log order; empty when there is nothing for the member now.
    package var records: [DeliveredRecord]
}

/// One consumer of a group.
struct GroupMember {
    let name: String
    /// Of this group, larger than all before.
    var session: UInt64
    /// Monotonic nanoseconds at which it counts as dead.
    var deadline: UInt64
    /// What it was given and did not commit, in the order of delivery: numbers of the window. Deliveries are
    /// numbered from 1 a session. One that is committed out of order stands as `committed`.
    var deliveries = NumberedList<UInt64>(first: 1)
    var inFlightCount = 0
    var inFlightBytes = 0

    static let committed: UInt64 = .max

    /// Drops what is committed at the front.
    mutating func trim() {
        while deliveries.oldest == Self.committed { deliveries.removeOldest() }
    }
}

/// A member as status shows it.
package struct MemberSnapshot: Sendable, Equatable {
    package var name: String
    /// Records delivered and not committed.
    package var inFlight: Int
    /// Nanoseconds until it counts as dead.
    package var leaseLeftNanoseconds: UInt64
}
