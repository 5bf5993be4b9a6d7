import MQTTWire

/// How far a member has looked through what waits for its group.
struct ShareLook {
    let connection: ConnectionID
    /// `Broker.accessGeneration` when it began.
    let generation: UInt32
    /// On the group's filter.
    let verdict: FilterVerdict
    /// What waits up to this number is not for the member.
    var number: UInt64 = 0
    /// So many are looked at next: twice as many as the last time when that brought nothing.
    var step = 0
}

/// A member that may have only some of the topics of its filter. Which topics wait is on disk only, so it has the
/// bodies read, takes what it may have, and leaves the rest to members who may have it. It looks at each message once.
extension Broker {
    /// It begins anew with another connection, who may be somebody else, and with other rules.
    func look(of session: Session, in group: SharedGroup) -> ShareLook {
        let connection = session.connection ?? ConnectionID(rawValue: .max)
        if let look = group.looks[session.number], look.connection == connection,
            look.generation == accessGeneration
        {
            return look
        }
        var verdict = FilterVerdict.allowed
        if let access, let filter = group.filter { verdict = access.verdict(onFilter: filter, of: session) }
        let look = ShareLook(connection: connection, generation: accessGeneration, verdict: verdict)
        group.looks[session.number] = look
        return look
    }

    /// Whether something waits that a member takes as soon as its window has room.
    func mayTake(from backlog: Session, of group: SharedGroup, _ member: Subscription) -> Bool {
        guard member.session.connection != nil, member.qos != .atMostOnce else { return false }
        let look = look(of: member.session, in: group)
        switch look.verdict {
        case .allowed: return true
        case .denied: return false
        case .partial: return look.number < backlog.outbound.lastNumber
        }
    }

    /// A message was put behind all others: who has seen those and may not have this one need not look at it.
    func noteRefused(_ message: Message, in group: SharedGroup, after last: UInt64) {
        guard let access, let backlog = group.backlog else { return }
        for member in group.members.values where member.session.connection != nil {
            var look = look(of: member.session, in: group)
            guard look.verdict == .partial, look.number >= last,
                !access.mayReceive(message.topic, member.session)
            else { continue }
            look.number = backlog.outbound.lastNumber
            group.looks[member.session.number] = look
        }
    }

    /// Has the next messages read that a member has not looked at.
    func lookThrough(
        _ backlog: Session, of group: SharedGroup, _ session: Session, room: Int,
        actions: inout [BrokerAction]
    ) {
        guard !session.kept.isReading, let connection = session.connection else { return }
        var look = look(of: session, in: group)
        let positions = backlog.outbound.positions(
            after: look.number, countMax: min(limits.presentMessages, max(room, look.step)),
            bytesMax: limits.presentBytes)
        guard !positions.isEmpty else {
            look.number = backlog.outbound.lastNumber
            group.looks[session.number] = look
            return
        }
        session.kept.isReading = true
        session.kept.readRound += 1
        actions.append(
            .backlogWanted(
                BacklogRequest(
                    connection: connection,
                    look: BacklogRequest.SharedLook(backlog: backlog.number, after: look.number),
                    round: session.kept.readRound, positions: positions, end: journal.end)))
    }

    /// They were read: takes what the member may have and has room for.
    mutating func looked(
        _ asked: BacklogRequest.SharedLook, _ request: BacklogRequest, _ bodies: [Message?],
        _ session: Session, now: UInt64, actions: inout [BrokerAction]
    ) {
        defer { pump(session, now: now, actions: &actions) }
        guard let group = session.sharedGroups.first(where: { $0.backlog?.number == asked.backlog }),
            let backlog = group.backlog, let member = group.members[session.number]
        else { return }
        var look = look(of: session, in: group)
        // Else it has begun anew meanwhile.
        guard look.number == asked.after, look.verdict == .partial else { return }
        let found = readable(request, bodies)
        var room = shareRoom(session)
        var hasTaken = false
        var offset = backlog.outbound.placeQueued(after: look.number)
        while offset < backlog.outbound.queue.count {
            let waiting = backlog.outbound.queue[offset]
            if waiting.state != .done {
                guard let body = found[waiting.position] else { break }
                if body.isUnreadable || access?.mayReceive(body.topic, session) != false {
                    guard room > 0 else { break }
                    room -= 1
                    var taken = backlog.outbound.takeQueued(at: offset)
                    taken.message = body
                    move(taken, from: backlog, to: member)
                    hasTaken = true
                }
            }
            look.number = waiting.number
            offset += 1
        }
        look.step = hasTaken ? 0 : request.positions.count * 2
        group.looks[session.number] = look
        // The walk of the cleaning counts places.
        if backlog.outbound.closeHoles() { keeper.cleaning?.queued = nil }
    }

    /// Other rules may give members what waits for their groups.
    package mutating func pumpShared(now: UInt64, actions: inout [BrokerAction]) {
        for session in connections.values.sorted(by: { $0.number < $1.number })
        where !session.sharedGroups.isEmpty { pump(session, now: now, actions: &actions) }
    }
}
