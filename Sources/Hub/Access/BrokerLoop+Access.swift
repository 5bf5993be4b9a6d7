import Access
import Atomics
import MQTTBroker
import MQTTWire
import Platform

/// Letting clients in: who they are, whether their password is right, and what changes when the rules do.
extension BrokerLoop {
    /// Puts access control in force; before the first connection.
    package func use(_ control: AccessControl) {
        access = control
        broker.access = control
    }

    /// Puts other users and rules in force for all connections, which stay who they are.
    package func replaceAccess(_ settings: AccessSettings) {
        guard let access else { return }
        access.replace(settings)
        for case .some(let connection) in slots where connection.phase == .connected {
            connection.forgetRoute()
            if connection.rights == nil, !access.isOpen(connection.origin), let session = connection.session {
                let rights = access.rights(of: ClientIdentity(client: session.clientIdentifier))
                connection.rights = rights
                broker.giveRights(rights, to: connection.id)
            }
            leaveForbiddenQueues(connection)
        }
        broker.accessChanged()
        broker.pumpShared(now: clock.monotonicNanoseconds(), actions: &actions)
        perform()
        flushAll()
    }

    /// A member of a group that may not read its queues any more is told to go: its records go to the others.
    private func leaveForbiddenQueues(_ connection: Connection) {
        guard connection.rights != nil, !connection.memberships.isEmpty else { return }
        let filters = broker.queueFilters(of: connection.id)
        guard filters.contains(where: { !maySubscribe($0, connection) }) else { return }
        broker.disconnect(
            connection.id, reason: .notAuthorized, now: clock.monotonicNanoseconds(), actions: &actions)
    }

    func maySubscribe(_ filter: String, _ connection: Connection) -> Bool {
        guard let rights = connection.rights else { return true }
        return rights.current.decisionToSubscribe(filter).isAllowed
    }

    /// Takes the CONNECT of a connection.
    func brokerConnect(_ packet: Connect, from connection: Connection, now: UInt64) {
        endPending(connection)
        connection.isCleanStart = packet.cleanStart
        // The sessions of the hub's own bridges are nobody else's, whatever else is allowed.
        if packet.clientIdentifier.hasPrefix(BridgeRunner.clientPrefix), !connection.origin.isInternal {
            return refuse(.clientIdentifierNotValid, .clientIdentifier, connection)
        }
        guard let access else { return letIn(packet, connection, nil, now: now) }
        admit(packet, connection, access, now: now)
    }

    /// Gives the broker a client that may come in.
    func letIn(_ packet: Connect, _ connection: Connection, _ rights: HeldRights?, now: UInt64) {
        connection.rights = rights
        broker.connect(
            connection.id, packet,
            assignedIdentifier: counters.assignedClientIdentifier(connection.id.rawValue), rights: rights,
            limitsPlace: limitsPlace(of: connection), now: now, actions: &actions)
        perform()
    }

    /// Lets a client in, refuses it, or has its password checked first.
    func admit(_ packet: Connect, _ connection: Connection, _ access: AccessControl, now: UInt64) {
        let client = clientIdentifier(packet, connection)
        let admission = access.admission(packet, client: client, from: connection.origin, now: now)
        conclude(admission, packet, connection, access, now: now)
    }

    /// Has a password checked; the client waits, unless too many do.
    private func check(
        of user: String, _ hash: PasswordHash?, _ packet: Connect, _ connection: Connection,
        _ access: AccessControl, now: UInt64
    ) {
        let place = ConnectionPlace(connection)
        let executor = executor
        let asked = access.generation
        let login = LoginThread.Login(hash: hash, password: packet.password ?? []) { [self] isRight in
            executor.execute { [self] in passwordChecked(packet, place, isRight: isRight, asked: asked) }
        }
        guard logins.submit(login, of: user) else {
            let reason: ReasonCode = packet.version == .v5 ? .serverBusy : .serverUnavailable
            return conclude(.refused(reason, .busy), packet, connection, access, now: now)
        }
        connection.phase = .authenticating
        connection.isWaiting = true
    }

    private func passwordChecked(
        _ packet: Connect, _ place: ConnectionPlace, isRight: Bool, asked: UInt32
    ) {
        guard let access, let connection = slots[Int(place.slot)], connection.generation == place.generation,
            connection.phase == .authenticating
        else { return }
        let now = clock.monotonicNanoseconds()
        connection.phase = .awaitingConnect
        let admission = access.admission(
            packet, client: clientIdentifier(packet, connection), from: connection.origin, isRight: isRight,
            asked: asked, now: now)
        conclude(admission, packet, connection, access, now: now)
        // It is checked anew where the users changed meanwhile.
        guard connection.phase != .authenticating else { return }
        connection.takeKept(now)
        endWait(of: connection)
        flushAll()
    }

    private func conclude(
        _ admission: AccessControl.Admission, _ packet: Connect, _ connection: Connection,
        _ access: AccessControl, now: UInt64
    ) {
        switch admission {
        case .open: letIn(packet, connection, nil, now: now)
        case .accepted(let identity): letIn(packet, connection, access.rights(of: identity), now: now)
        case .undecided(let user, let hash): check(of: user, hash, packet, connection, access, now: now)
        case .refused(let reason, let refusal): refuse(reason, refusal, connection)
        }
    }

    /// Nobody hears more than the code: not whether the user exists, nor what was wrong.
    private func refuse(_ reason: ReasonCode, _ refusal: AccessControl.Refusal, _ connection: Connection) {
        counters.note(refusedConnect: refusal)
        actions.append(.send(connection.id, .connack(Connack(sessionPresent: false, reason: reason))))
        actions.append(.close(connection.id))
        perform()
    }

    private func clientIdentifier(_ packet: Connect, _ connection: Connection) -> String {
        packet.clientIdentifier.isEmpty
            ? counters.assignedClientIdentifier(connection.id.rawValue) : packet.clientIdentifier
    }
}
