/// Back-pressure from subscribers to publishers. One that takes what it gets, only not as fast as it comes, is
/// awaited: the hub does not read those that publish to it until half of what waits has gone. One that is too slow
/// for that is given up: publishers go on, its backlog grows to the limits of a session, and what comes beyond is
/// dropped and counted. So no subscriber holds its publishers for long, and none that keeps up loses anything.
extension Broker {
    /// Whether a message went to a subscriber that is awaited, since this was asked last: who published it should
    /// not be read.
    package mutating func takeIsCrowded() -> Bool {
        defer { isCrowded = false }
        return isCrowded
    }

    /// Sessions that publishers wait for.
    package var awaitedCount: Int { awaited.count }

    /// Gives up those that are awaited for too long.
    ///
    /// - Returns: whether there were any; then the hub should leave publishers alone for a while.
    package mutating func giveUpAwaited(now: UInt64) -> Bool {
        var late: [Session] = []
        for session in awaited.values where now >= session.awaitedSince + limits.patienceNanoseconds {
            late.append(session)
        }
        for session in late {
            awaited.remove(session.number)
            session.backlog = .givenUp
            counters.subscribersGivenUp += 1
        }
        return !late.isEmpty
    }

    /// After a message was put behind what waits.
    @inline(__always)
    mutating func noteBacklog(_ session: Session, now: UInt64) {
        // What a lasting session does not take now is on disk for it: nobody has to wait.
        guard !session.kept.isKept, isLong(session) else { return }
        wait(for: session, now: now)
    }

    private mutating func wait(for session: Session, now: UInt64) {
        if session.backlog == .awaited { isCrowded = true }
        guard isPatient, session.backlog == .short, session.connection != nil else { return }
        session.backlog = .awaited
        session.awaitedSince = now
        awaited.set(session.number, session)
        counters.subscribersAwaited += 1
        isCrowded = true
    }

    /// A client has come back: what gathered in its absence is no reason to hold publishers.
    func noteOldBacklog(_ session: Session) {
        if isLong(session) { session.backlog = .givenUp }
    }

    @inline(__always)
    private func isLong(_ session: Session) -> Bool {
        session.outbound.queuedLive >= limits.awaitedMessages
            || session.outbound.queuedLiveBytes >= limits.awaitedBytes
    }

    /// After messages that waited were sent.
    @inline(__always)
    mutating func noteProgress(_ session: Session) {
        guard session.backlog != .short, session.outbound.queuedLive <= limits.awaitedMessages / 2,
            session.outbound.queuedLiveBytes <= limits.awaitedBytes / 2
        else { return }
        forgetBacklog(session)
    }

    /// The session keeps up, or its client is away.
    mutating func forgetBacklog(_ session: Session) {
        if session.backlog == .awaited { awaited.remove(session.number) }
        session.backlog = .short
    }
}
