/// Says what clients may do; the hub implements it. Asked for sessions whose `rights` are known.
package protocol AccessGuard: AnyObject {
    /// Whether the client may subscribe to a filter (with its `$share/…/`), and to all topics of it.
    func verdict(onFilter filter: String, of session: Session) -> FilterVerdict
    /// Whether the client may have a message of a topic that it subscribed to.
    func mayReceive(_ topic: String, _ session: Session) -> Bool
    /// Whether the client's will may be published, at the moment that it is.
    func mayPublish(_ topic: String, _ session: Session) -> Bool
    /// Who the client of a session is, to be asked again after a start of the hub; nil where its rights are not known.
    func identity(of session: Session) -> KeptIdentity?
    /// The rights of a client that proved to be somebody to an earlier life of the hub.
    func rights(of identity: KeptIdentity, client: String) -> AnyObject?
}

package enum FilterVerdict: Sendable {
    case allowed
    /// The subscription stands, messages of some topics are kept back.
    case partial
    case denied
}

/// What a client has no right to. A session without restrictions costs two comparisons a delivery.
extension Broker {
    /// The rights of clients are others now: subscriptions stand, and what they may not have any more is not
    /// delivered.
    package mutating func accessChanged() { accessGeneration &+= 1 }

    /// Gives the session of a connection rights that it did not have when it connected.
    package mutating func giveRights(_ rights: AnyObject, to connection: ConnectionID) {
        guard let session = connections[connection] else { return }
        session.rights = rights
        writeWill(session)
    }

    func setRights(_ rights: AnyObject?, of session: Session) {
        session.rights = rights
        // Subscriptions of an earlier connection may have been somebody else's.
        if access != nil { session.accessGeneration = accessGeneration &- 1 }
    }

    mutating func maySubscribe(_ filter: String, _ session: Session) -> Bool {
        guard let access else { return true }
        switch access.verdict(onFilter: filter, of: session) {
        case .allowed: return true
        case .partial:
            session.isRestricted = true
            return true
        case .denied:
            counters.subscribesDenied += 1
            return false
        }
    }

    /// Whether a message must not reach the session's client. Records of queues are the hub's to keep back.
    func isDenied(_ message: Message, _ session: Session) -> Bool {
        // What is in hand may be of a subscription that is gone: after a change it is asked about in any case.
        let isNew = session.accessGeneration != accessGeneration
        if isNew { refreshAccess(of: session) }
        guard isNew || session.isRestricted, message.ticket == nil, let access else { return false }
        return !access.mayReceive(message.topic, session)
    }

    private func refreshAccess(of session: Session) {
        session.accessGeneration = accessGeneration
        guard let access else { return }
        // What waits came by subscriptions that may be gone, and for whoever had the session before.
        session.isRestricted =
            session.outbound.queuedCount > 0 || !session.outbound.inflight.isEmpty
            || session.subscriptions.keys.contains {
                access.verdict(onFilter: $0.text, of: session) != .allowed
            }
    }
}
