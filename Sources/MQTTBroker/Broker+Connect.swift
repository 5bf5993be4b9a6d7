package import MQTTWire

extension Broker {
    /// Takes the CONNECT that opens a connection: refuses it with a CONNACK and a close, or emits `accepted`,
    /// the CONNACK, and then what the session still has to send. MQTT 5.0 §3.1.4.
    /// - Parameters:
    ///   - connection: never seen before.
    ///   - assignedIdentifier: the client identifier to use when the client sent none; unique.
    ///   - rights: what `access` knows the client by; the hub has let it in.
    ///   - limitsPlace: of the client's limits among those of `use`, from 1; 0 for the broker's own.
    ///   - now: monotonic nanoseconds.
    package mutating func connect(
        _ connection: ConnectionID, _ packet: Connect, assignedIdentifier: String, rights: AnyObject? = nil,
        limitsPlace: Int = 0, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard connections[connection] == nil else {
            fail(connection, .protocolError, now: now, actions: &actions)
            return
        }
        if let reason = refusal(packet, levelsMax: clientLimits[limitsPlace].topicLevels) {
            counters.connectsRefused += 1
            let connack = Connack(sessionPresent: false, reason: reason)
            actions.append(.send(connection, .connack(connack)))
            actions.append(.close(connection))
            return
        }

        let isAssigned = packet.clientIdentifier.isEmpty
        let identifier = ByteString(isAssigned ? assignedIdentifier : packet.clientIdentifier)
        endFormer(identifier, cleanStart: packet.cleanStart, now: now, actions: &actions)

        let former = sessions[identifier]
        let session = former ?? makeSession(identifier, version: packet.version)
        session.limitsPlace = limitsPlace
        let properties = adopt(packet, session, connection, assigned: isAssigned ? identifier.text : nil)
        setRights(rights, of: session)
        session.isResumed = former != nil
        let connack = Connack(sessionPresent: former != nil, reason: .success, properties: properties)
        if isTooLarge(connack, for: session) {
            // Nothing may be sent that is larger, so the client cannot be told either. [MQTT-3.1.2-24]
            counters.connectsRefused += 1
            session.will = nil
            actions.append(.close(connection))
            detach(session, publishesWill: false, now: now, actions: &actions)
            return
        }
        if former != nil { counters.sessionsResumed += 1 }
        keepConnected(session)
        counters.connectsAccepted += 1
        actions.append(.accepted(connection, session))
        actions.append(.send(connection, .connack(connack)))

        session.outbound.resume()
        noteOldBacklog(session)
        pump(session, now: now, actions: &actions)
    }

    private func isTooLarge(_ connack: Connack, for session: Session) -> Bool {
        guard let bytesMax = session.maximumPacketSize else { return false }
        var bytes: [UInt8] = []
        encodePacket(.connack(connack), version: session.version, into: &bytes)
        return bytes.count > bytesMax
    }

    /// Why the CONNECT is refused, if so.
    private func refusal(_ packet: Connect, levelsMax: Int) -> ReasonCode? {
        let isV5 = packet.version == .v5
        if isV5, packet.properties.authenticationMethod != nil { return .badAuthenticationMethod }
        if isV5, packet.properties.authenticationData != nil { return .protocolError }
        if packet.clientIdentifier.isEmpty {
            // Nobody could ever come back to such a session. 3.1.1 §3.1.3.1 [MQTT-3.1.3-8].
            if !isV5, !packet.cleanStart { return .clientIdentifierNotValid }
        } else if packet.clientIdentifier.utf8.contains(0) {
            return .clientIdentifierNotValid
        }
        if let will = packet.will {
            guard TopicName.isValid(will.topic, levelsMax: levelsMax) else {
                return isV5 ? .topicNameInvalid : .serverUnavailable
            }
            if SystemTopicName.contains(will.topic) { return .notAuthorized }
            if let topic = will.properties.responseTopic,
                !TopicName.isValid(topic, levelsMax: levelsMax)
            {
                return .protocolError
            }
        }
        if sessions.count >= limits.sessions, sessions[ByteString(packet.clientIdentifier)] == nil {
            return isV5 ? .quotaExceeded : .serverUnavailable
        }
        return nil
    }

    /// What the new connection means for a session of that name: its connection, if any, is taken over, and a
    /// clean start ends the session itself. MQTT 5.0 §3.1.4-3, §3.1.2.4.
    private mutating func endFormer(
        _ identifier: ByteString, cleanStart: Bool, now: UInt64, actions: inout [BrokerAction]
    ) {
        guard let former = sessions[identifier] else { return }
        if let due = former.expiryDue, due <= now {
            // Its end is due and the timers have not come to it yet.
            timers.remove(former.timer)
            sessionDue(former, now: now, actions: &actions)
        }
        if let taken = former.connection {
            counters.takeovers += 1
            disconnect(taken, reason: .sessionTakenOver, now: now, actions: &actions)
        }
        guard let former = sessions[identifier] else { return }
        if cleanStart {
            discard(former, now: now, actions: &actions)
        } else {
            // Back before the will delay was over: the will is not sent. [MQTT-3.1.3-9]
            former.willDue = nil
            former.expiryDue = nil
            timers.remove(former.timer)
        }
    }

    private mutating func makeSession(_ identifier: ByteString, version: ProtocolVersion) -> Session {
        lastSessionNumber += 1
        let session = Session(
            clientIdentifier: identifier.text, number: lastSessionNumber, version: version)
        sessions[identifier] = session
        counters.sessions += 1
        return session
    }

    /// Gives the session what the CONNECT says.
    /// - Returns: the properties of the CONNACK.
    private mutating func adopt(
        _ packet: Connect, _ session: Session, _ connection: ConnectionID, assigned: String?
    ) -> Properties {
        connections[connection] = session
        counters.connected += 1
        session.connection = connection
        session.version = packet.version
        session.will = packet.will
        session.keepAliveSeconds = packet.keepAlive
        guard packet.version == .v5 else {
            session.expirySeconds = packet.cleanStart ? 0 : limits.sessionExpiryMaxSeconds
            session.receiveMaximum = 65_535
            session.maximumPacketSize = nil
            session.topicAliasMaximum = 0
            session.wantsProblemInformation = true
            return Properties()
        }

        let asked = packet.properties
        var answer = Properties()
        let expiry = asked.sessionExpiryInterval ?? 0
        session.expirySeconds = min(expiry, limits.sessionExpiryMaxSeconds)
        if session.expirySeconds != expiry { answer.sessionExpiryInterval = session.expirySeconds }
        session.receiveMaximum = Int(max(asked.receiveMaximum ?? 65_535, 1))
        session.maximumPacketSize = asked.maximumPacketSize.map(Int.init)
        session.topicAliasMaximum = asked.topicAliasMaximum ?? 0
        session.wantsProblemInformation = asked.requestProblemInformation != 0

        let keepAliveMax = limits.keepAliveSecondsMax
        let isUnlimited = keepAliveMax == 65_535
        if !isUnlimited, packet.keepAlive == 0 || packet.keepAlive > keepAliveMax {
            session.keepAliveSeconds = keepAliveMax
            answer.serverKeepAlive = keepAliveMax
        }
        let own = limits(of: session)
        if own.receiveMaximum != 65_535 { answer.receiveMaximum = own.receiveMaximum }
        answer.maximumPacketSize = own.packetBytesMax
        if limits.topicAliasMaximum > 0 { answer.topicAliasMaximum = limits.topicAliasMaximum }
        answer.assignedClientIdentifier = assigned
        return answer
    }
}
