package import MQTTWire

/// The client's answers to what we sent, and its releases of what it sent. MQTT 5.0 §4.3.
extension Broker {
    /// Takes a PUBACK, PUBREC, PUBREL or PUBCOMP that is nothing but a packet identifier, as nearly all are: what
    /// `receive` does, without a packet in between.
    ///
    /// - Parameter session: of the connection that it came on.
    package mutating func receiveAcknowledgement(
        _ type: PacketType, _ packetIdentifier: UInt16, _ session: Session, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        guard let connection = session.connection else { return }
        switch type {
        case .puback: receivePuback(packetIdentifier, session, connection, now: now, actions: &actions)
        case .pubrec:
            receivePubrec(packetIdentifier, .success, session, connection, now: now, actions: &actions)
        case .pubrel: receivePubrel(packetIdentifier, session, connection, actions: &actions)
        case .pubcomp: receivePubcomp(packetIdentifier, session, connection, now: now, actions: &actions)
        default: preconditionFailure("not an acknowledgement")
        }
    }

    mutating func receivePuback(
        _ packetIdentifier: UInt16, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        switch session.outbound.state(packetIdentifier) {
        case .awaitingPuback:
            if let ticket = session.outbound.ticket(packetIdentifier) {
                actions.append(.queueAcknowledged(connection, ticket))
            }
            keepFinished(session, packetIdentifier)
            session.outbound.finish(packetIdentifier)
            pump(session, now: now, actions: &actions)
        case .awaitingPubrec, .awaitingPubcomp:
            fail(connection, .protocolError, now: now, actions: &actions)
        case .done, nil:
            break
        }
    }

    mutating func receivePubrec(
        _ packetIdentifier: UInt16, _ reason: ReasonCode, _ session: Session, _ connection: ConnectionID,
        now: UInt64, actions: inout [BrokerAction]
    ) {
        switch session.outbound.state(packetIdentifier) {
        case .awaitingPubrec, .awaitingPubcomp:
            if reason.isFailure {
                keepFinished(session, packetIdentifier)
                session.outbound.finish(packetIdentifier)
                pump(session, now: now, actions: &actions)
                return
            }
            keepReceived(session, packetIdentifier)
            session.outbound.release(packetIdentifier)
        case .awaitingPuback:
            fail(connection, .protocolError, now: now, actions: &actions)
            return
        case .done, nil:
            if reason.isFailure { return }
            if session.version == .v5 {
                let unknown = Acknowledgement(
                    packetIdentifier: packetIdentifier, reason: .packetIdentifierNotFound)
                actions.append(.send(connection, .pubrel(unknown)))
                return
            }
        }
        actions.append(.acknowledge(connection, .pubrel, packetIdentifier))
    }

    mutating func receivePubrel(
        _ packetIdentifier: UInt16, _ session: Session, _ connection: ConnectionID,
        actions: inout [BrokerAction]
    ) {
        let isKnown = session.inbound.remove(packetIdentifier)
        keepInboundReleased(session, packetIdentifier)
        guard isKnown || session.version != .v5 else {
            let unknown = Acknowledgement(
                packetIdentifier: packetIdentifier, reason: .packetIdentifierNotFound)
            actions.append(.send(connection, .pubcomp(unknown)))
            return
        }
        actions.append(.acknowledge(connection, .pubcomp, packetIdentifier))
    }

    mutating func receivePubcomp(
        _ packetIdentifier: UInt16, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        switch session.outbound.state(packetIdentifier) {
        case .awaitingPubcomp:
            keepFinished(session, packetIdentifier)
            session.outbound.finish(packetIdentifier)
            pump(session, now: now, actions: &actions)
        case .awaitingPuback, .awaitingPubrec:
            fail(connection, .protocolError, now: now, actions: &actions)
        case .done, nil:
            break
        }
    }
}
