import MQTTWire

/// The client's answers to what we sent, and its releases of what it sent. MQTT 5.0 §4.3.
extension Broker {
    mutating func receivePuback(
        _ packet: Acknowledgement, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        switch session.outbound.state(packet.packetIdentifier) {
        case .awaitingPuback:
            if let ticket = session.outbound.ticket(packet.packetIdentifier) {
                actions.append(.queueAcknowledged(connection, ticket))
            }
            session.outbound.finish(packet.packetIdentifier)
            pump(session, now: now, actions: &actions)
        case .awaitingPubrec, .awaitingPubcomp:
            fail(connection, .protocolError, now: now, actions: &actions)
        case .done, nil:
            break
        }
    }

    mutating func receivePubrec(
        _ packet: Acknowledgement, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        var pubrel = Acknowledgement(packetIdentifier: packet.packetIdentifier)
        switch session.outbound.state(packet.packetIdentifier) {
        case .awaitingPubrec, .awaitingPubcomp:
            if packet.reason.isFailure {
                session.outbound.finish(packet.packetIdentifier)
                pump(session, now: now, actions: &actions)
                return
            }
            session.outbound.release(packet.packetIdentifier)
        case .awaitingPuback:
            fail(connection, .protocolError, now: now, actions: &actions)
            return
        case .done, nil:
            if packet.reason.isFailure { return }
            if session.version == .v5 { pubrel.reason = .packetIdentifierNotFound }
        }
        actions.append(.send(connection, .pubrel(pubrel)))
    }

    mutating func receivePubrel(
        _ packet: Acknowledgement, _ session: Session, _ connection: ConnectionID,
        actions: inout [BrokerAction]
    ) {
        var pubcomp = Acknowledgement(packetIdentifier: packet.packetIdentifier)
        let isKnown = session.inbound.remove(packet.packetIdentifier)
        if !isKnown, session.version == .v5 { pubcomp.reason = .packetIdentifierNotFound }
        actions.append(.send(connection, .pubcomp(pubcomp)))
    }

    mutating func receivePubcomp(
        _ packet: Acknowledgement, _ session: Session, _ connection: ConnectionID, now: UInt64,
        actions: inout [BrokerAction]
    ) {
        switch session.outbound.state(packet.packetIdentifier) {
        case .awaitingPubcomp:
            session.outbound.finish(packet.packetIdentifier)
            pump(session, now: now, actions: &actions)
        case .awaitingPuback, .awaitingPubrec:
            fail(connection, .protocolError, now: now, actions: &actions)
        case .done, nil:
            break
        }
    }
}
