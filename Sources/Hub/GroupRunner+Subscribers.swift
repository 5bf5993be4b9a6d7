import ConsumerGroups

/// MQTT clients as members: they get records without asking.
extension GroupRunner {
    struct Subscriber {
        var join: GroupJoin
        /// What `join` returned, by which the member's connection knows it.
        let joined: UInt64
        /// The session of the next fetch: a seek, or records that retention removed, begin a new one.
        var session: UInt64
    }

    /// Records of one hop to the broker's loop.
    private static let pushRecords = 256

    /// A client becomes a member, or begins again. It lives until it leaves: its connection is watched elsewhere.
    ///
    /// - Returns: its session.
    func join(_ join: GroupJoin) throws(GroupError) -> UInt64 {
        subscribers.removeAll { $0.join.member == join.member }
        core.leave(member: join.member)
        let session = try core.enter(member: join.member)
        subscribers.append(Subscriber(join: join, joined: session, session: session))
        return session
    }

    /// - Parameter session: what `join` returned.
    func leave(member: String, session: UInt64) {
        guard subscribers.contains(where: { $0.join.member == member && $0.joined == session }) else {
            return
        }
        subscribers.removeAll { $0.join.member == member }
        core.leave(member: member)
        if core.nextDeadline == nil { reader = nil }
    }

    func acknowledge(member: String, _ token: CommitToken, nowTicks: Int64) throws {
        try core.acknowledge(member: member, token, nowTicks: nowTicks)
    }

    /// Not for every single record that was acknowledged: each hop to the broker's loop carries some.
    func hasRoom(_ subscriber: Subscriber) -> Bool {
        let room = subscriber.join.window - core.inFlight(of: subscriber.join.member)
        return room > 0 && room >= subscriber.join.window / 8
    }

    /// Sends what the clients have room for.
    func push(now: UInt64) {
        guard !subscribers.isEmpty else { return }
        firstServed = (firstServed + 1) % subscribers.count
        for step in subscribers.indices {
            let index = (firstServed + step) % subscribers.count
            do {
                try push(to: index, now: now)
            } catch {
                // A damaged record: it stays where it is, the lag shows it, and status says why.
                readingFailure = String(describing: error)
                return
            }
        }
        readingFailure = nil
    }

    private func push(to index: Int, now: UInt64) throws {
        while true {
            let subscriber = subscribers[index]
            let room = subscriber.join.window - core.inFlight(of: subscriber.join.member)
            guard hasRoom(subscriber), blocksLeft > 0 else { return }
            let delivery: Delivery
            do throws(GroupError) {
                delivery = try core.fetch(
                    member: subscriber.join.member, session: subscriber.session,
                    recordsMax: min(room, Self.pushRecords), bytesMax: limits.fetchBytes, lease: .max - now,
                    now: now)
            } catch {
                if case .memberFull = error { return }
                throw error
            }
            if delivery.records.isEmpty {
                guard try readOn() else { return }
                continue
            }
            let before = delivery.session
            guard let fetched = try contents(delivery, subscriber.join.member) else {
                subscribers[index].session = core.session(of: subscriber.join.member) ?? before
                subscriber.join.void()
                continue
            }
            let messages = zip(fetched.records, delivery.records).map {
                $0.message($1, group: definition.name)
            }
            subscriber.join.deliver(messages)
        }
    }
}
