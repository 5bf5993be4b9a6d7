import Telemetry

extension ConsumerGroup {
    /// Hands a member the next records, and makes it a member if it is none.
    ///
    /// - Parameters:
    ///   - session: of an earlier delivery, to get what follows it; nil begins again: what the member has and did
    ///     not commit is delivered again, as after a crash of the consumer.
    ///   - recordsMax: from 1.
    ///   - lease: nanoseconds it may be silent from now on.
    ///   - now: monotonic nanoseconds.
    /// - Returns: no records when there are none for it now: read on, or ask again later with the session.
    /// - Throws: `.invalid`, `.limit`, `.memberFull`, `.stale`, `.unknownMember`.
    package mutating func fetch(
        member name: String, session: UInt64?, recordsMax: Int, bytesMax: Int, lease: UInt64, now: UInt64
    ) throws(GroupError) -> Delivery {
        expire(now: now)
        let index = try enter(name, session: session, now: now)
        members[index].deadline = now + lease
        let member = members[index]
        let room = limits.memberRecords - member.inFlightCount
        let bytesLeft = limits.memberBytes - member.inFlightBytes
        guard room > 0, bytesLeft > 0 else {
            throw .memberFull(
                member: name, records: member.inFlightCount, bytes: member.inFlightBytes)
        }
        return Delivery(
            session: member.session,
            records: claim(
                index, recordsMax: min(recordsMax, room), bytesMax: min(bytesMax, bytesLeft)))
    }

    private mutating func claim(_ index: Int, recordsMax: Int, bytesMax: Int) -> [DeliveredRecord] {
        var member = members[index]
        var records: [DeliveredRecord] = []
        var again: UInt64 = 0
        window.claim(
            for: member.session, recordsMax: recordsMax, bytesMax: bytesMax, takesOne: true
        ) { number, entry in
            let token = CommitToken(session: member.session, ordinal: member.deliveries.end)
            member.deliveries.append(number)
            member.inFlightCount += 1
            member.inFlightBytes += Int(entry.byteCount)
            if entry.deliveries > 1 { again += 1 }
            records.append(
                DeliveredRecord(
                    offset: QueueOffset(entry.offset), device: entry.device, sequence: entry.sequence,
                    deliveries: entry.deliveries, token: token))
        }
        members[index] = member
        counters.delivered += UInt64(records.count)
        counters.redelivered += again
        return records
    }

    /// Makes a consumer a member that lives until it leaves; for one whose connection is watched.
    ///
    /// - Returns: its session.
    /// - Throws: `.invalid`, `.limit`.
    package mutating func enter(member name: String) throws(GroupError) -> UInt64 {
        let index = try enter(name, session: nil, now: 0)
        members[index].deadline = .max
        return members[index].session
    }

    /// Records that the member has and did not commit; 0 for no member.
    package func inFlight(of name: String) -> Int { members.first { $0.name == name }?.inFlightCount ?? 0 }

    /// The session of a member.
    package func session(of name: String) -> UInt64? { members.first { $0.name == name }?.session }

    /// The place of a member among `members`.
    private mutating func enter(
        _ name: String, session: UInt64?, now: UInt64
    ) throws(GroupError) -> Int {
        if let index = members.firstIndex(where: { $0.name == name }) {
            if let session {
                guard members[index].session == session else { throw .stale(member: name) }
            } else if members[index].deliveries.count > 0 {
                giveBack(index)
            }
            return index
        }
        guard session == nil else { throw .unknownMember(group: definition.name, member: name) }
        try Self.validate(member: name, limits)
        guard members.count < limits.members else {
            throw .limit(
                "group \"\(definition.name)\" has \(members.count) members, which is the limit; members that went "
                    + "away leave when their lease is over")
        }
        members.append(GroupMember(name: name, session: nextSession(), deadline: now))
        return members.count - 1
    }

    private static func validate(member name: String, _ limits: GroupLimits) throws(GroupError) {
        let isPrintable = name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        guard !name.isEmpty, name.utf8.count <= limits.memberNameBytesMax, isPrintable else {
            throw .invalid(
                field: "member",
                explanation:
                    "a name has 1 to \(limits.memberNameBytesMax) bytes and no control characters")
        }
    }

    /// The member is alive at least until then: its request waits.
    package mutating func keep(member name: String, session: UInt64, until deadline: UInt64) {
        guard let index = members.firstIndex(where: { $0.name == name && $0.session == session }) else {
            return
        }
        members[index].deadline = max(members[index].deadline, deadline)
    }

    /// What the member has and did not commit is delivered again, to anybody; the member begins a new session.
    ///
    /// - Throws: `.unknownMember`.
    package mutating func giveBack(member name: String) throws(GroupError) {
        guard let index = members.firstIndex(where: { $0.name == name }) else {
            throw .unknownMember(group: definition.name, member: name)
        }
        giveBack(index)
    }

    /// The member goes; what it did not commit is delivered again at once.
    ///
    /// - Returns: false when it is none.
    @discardableResult
    package mutating func leave(member name: String) -> Bool {
        guard let index = members.firstIndex(where: { $0.name == name }) else { return false }
        giveBack(index)
        members.remove(at: index)
        return true
    }

    /// Members whose lease is over go.
    ///
    /// - Returns: whether there were any.
    @discardableResult
    package mutating func expire(now: UInt64) -> Bool {
        guard let next = nextDeadline, next <= now else { return false }
        for name in members.filter({ $0.deadline <= now }).map(\.name) {
            leave(member: name)
            counters.expired += 1
        }
        return true
    }

    /// When `expire` has something to do, monotonic nanoseconds; nil without members.
    package var nextDeadline: UInt64? { members.map(\.deadline).min() }

    private mutating func giveBack(_ index: Int) {
        let deliveries = members[index].deliveries
        var place = deliveries.first
        while place < deliveries.end {
            if deliveries[place] != GroupMember.committed { window.release(deliveries[place]) }
            place += 1
        }
        members[index].deliveries = NumberedList(first: 1)
        members[index].inFlightCount = 0
        members[index].inFlightBytes = 0
        members[index].session = nextSession()
    }
}
