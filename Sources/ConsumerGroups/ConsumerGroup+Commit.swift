import Telemetry

extension ConsumerGroup {
    /// Commits everything delivered to a member up to a token: it is never delivered again. The last commit may be
    /// repeated, as when its answer was lost.
    ///
    /// - Parameters:
    ///   - now: monotonic nanoseconds; the member counts as alive from here.
    ///   - lease: nanoseconds it may be silent from now on.
    ///   - nowTicks: the wall clock.
    /// - Returns: how many records it committed; 0 for a repetition.
    /// - Throws: `.unknownMember`, `.stale`, `.behind`, `.ahead`: nothing is changed then.
    @discardableResult
    package mutating func commit(
        member name: String, upTo token: CommitToken, lease: UInt64, now: UInt64, nowTicks: Int64
    ) throws(GroupError) -> Int {
        expire(now: now)
        let index = try find(name, token.session)
        var member = members[index]
        guard token.ordinal < member.deliveries.end else { throw .ahead(member: name) }
        guard token.ordinal + 1 >= member.deliveries.first else { throw .behind(member: name) }
        var count = 0
        while member.deliveries.first <= token.ordinal {
            let number = member.deliveries[member.deliveries.first]
            member.deliveries.removeOldest()
            guard number != GroupMember.committed else { continue }
            member.inFlightCount -= 1
            member.inFlightBytes -= Int(window.entries[number].byteCount)
            window.complete(number)
            count += 1
        }
        member.trim()
        member.deadline = max(member.deadline, now + lease)
        members[index] = member
        note(committed: count, nowTicks: nowTicks)
        return count
    }

    /// Commits one record, in any order; for consumers that acknowledge each by itself.
    ///
    /// - Throws: `.unknownMember`, `.stale`, `.ahead`. One that is committed already is no error.
    package mutating func acknowledge(
        member name: String, _ token: CommitToken, nowTicks: Int64
    ) throws(GroupError) {
        let index = try find(name, token.session)
        guard token.ordinal < members[index].deliveries.end else { throw .ahead(member: name) }
        guard members[index].deliveries.contains(token.ordinal) else { return }
        let number = members[index].deliveries[token.ordinal]
        guard number != GroupMember.committed else { return }
        members[index].deliveries[token.ordinal] = GroupMember.committed
        members[index].inFlightCount -= 1
        members[index].inFlightBytes -= Int(window.entries[number].byteCount)
        members[index].trim()
        window.complete(number)
        note(committed: 1, nowTicks: nowTicks)
    }

    private func find(_ name: String, _ session: UInt64) throws(GroupError) -> Int {
        guard let index = members.firstIndex(where: { $0.name == name }) else {
            throw .unknownMember(group: definition.name, member: name)
        }
        guard members[index].session == session else { throw .stale(member: name) }
        return index
    }

    private mutating func note(committed count: Int, nowTicks: Int64) {
        guard count > 0 else { return }
        recordsBefore += UInt64(window.dropDone())
        counters.committed += UInt64(count)
        lastCommitTicks = max(lastCommitTicks, nowTicks)
        revision += 1
    }
}
