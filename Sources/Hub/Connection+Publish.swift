import Atomics
import DeviceQueue
import MQTTBroker
import MQTTWire
import Telemetry

/// The publish path: the one that every reading takes.
extension Connection {
    func takePublish(
        _ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64, _ loop: BrokerLoop
    ) throws(WireError) {
        let view = try PublishView(firstByte: firstByte, body: body, version: version)
        loop.traffic.note(publishBytes: view.payload.count)
        if view.topicAlias != 0 {
            try takeAliasedPublish(view, body, now)
            return
        }
        try publish(view, topic: UnsafeRawBufferPointer(rebasing: body[view.topic]), body, now, loop)
    }

    /// MQTT 5 §3.3.2.3.4: an alias with a topic is set, one without stands for it.
    private func takeAliasedPublish(
        _ view: PublishView, _ body: UnsafeRawBufferPointer, _ now: UInt64
    ) throws(WireError) {
        guard view.topicAlias <= loop.topicAliasMaximum else {
            throw WireError(.topicAliasInvalid, "the topic alias is above the maximum")
        }
        let topic = Array(body[view.topic])
        let resolved: [UInt8]
        if topic.isEmpty {
            guard let known = aliases[view.topicAlias] else {
                throw WireError(.topicAliasInvalid, "the topic alias was never set")
            }
            resolved = known
        } else {
            aliases[view.topicAlias] = topic
            resolved = topic
        }
        let result = resolved.withUnsafeBytes { bytes in
            Result { () throws(WireError) in try publish(view, topic: bytes, body, now, loop) }
        }
        try result.get()
    }

    @inline(__always)
    private func publish(
        _ view: PublishView, topic: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer, _ now: UInt64,
        _ loop: BrokerLoop
    ) throws(WireError) {
        var match: IngestTable.Match?
        let route: (index: UInt32, device: UInt32)?
        var device = DeviceName.Number.refused(.badDevice)
        do throws(WireError) {
            route = try self.route(of: topic, &match, loop)
            if let route {
                device =
                    route.device != 0
                    ? .known(route.device) : try deviceOfMessage(route.index, match, view, topic, body)
            }
        } catch {
            if error.reason == .notAuthorized { return denyPublish(view, topic) }
            guard error.reason == .quotaExceeded else { throw error }
            try rejectPublish(view, error)
            return
        }
        guard let route else {
            if SystemTopicName.contains(topic) { return refuseSystemTopic(view) }
            try publishOrdinary(view, topic, body, now)
            return
        }
        if case .exactlyOnce = view.qos, try isRepeated(view, loop) {
            loop.fence(self, packetIdentifier: view.packetIdentifier, answer: .pubrec)
            return
        }
        stage(view, route.index, device, topic, match, body, loop)
    }

    /// The device of a publish whose route does not tell it: by what the message itself says.
    @inline(never)
    private func deviceOfMessage(
        _ index: UInt32, _ match: IngestTable.Match?, _ view: PublishView, _ topic: UnsafeRawBufferPointer,
        _ body: UnsafeRawBufferPointer
    ) throws(WireError) -> DeviceName.Number {
        let found =
            match ?? IngestTable.Match(rule: Int(loop.routes[index].rule), rest: topic.count..<topic.count)
        let input = IngestInput(
            topic: topic, rest: found.rest,
            properties: UnsafeRawBufferPointer(rebasing: body[view.properties]),
            payload: UnsafeRawBufferPointer(rebasing: body[view.payload]))
        let number = DeviceName.number(
            loop.ingest, rule: found.rule, input, client: session?.clientIdentifier ?? "", in: loop.queue)
        if number == .limit { throw Self.deviceLimit }
        return number
    }

    /// Writes the message into the loop's staging buffer in log format.
    @inline(__always)
    private func stage(
        _ view: PublishView, _ index: UInt32, _ device: DeviceName.Number, _ topic: UnsafeRawBufferPointer,
        _ match: IngestTable.Match?, _ body: UnsafeRawBufferPointer, _ loop: BrokerLoop
    ) {
        let payload = UnsafeRawBufferPointer(rebasing: body[view.payload])
        let properties = UnsafeRawBufferPointer(rebasing: body[view.properties])
        var flags: UInt8
        let answer: IngestBatch.Answer
        // Patterns, not `==`: this is asked for every message, and a pattern is a comparison of bytes.
        switch view.qos {
        case .atMostOnce: (flags, answer) = (0, .nothing)
        case .atLeastOnce: (flags, answer) = (1, .puback)
        case .exactlyOnce: (flags, answer) = (2, .pubrec)
        }
        if view.isRetained { flags |= FrameFlags.retain }
        if view.isDuplicate { flags |= FrameFlags.duplicate }
        if case .v5 = version { flags |= FrameFlags.version5 }
        let isExactlyOnce = answer == .pubrec
        var message = StagedMessage(
            device: 0, client: isExactlyOnce ? clientNumber() : 0,
            packetIdentifier: isExactlyOnce ? view.packetIdentifier : 0, flags: flags, topic: topic,
            properties: properties, payload: payload)
        message.setDevice(device)
        message.read(
            loop.ingest.plans[match?.rule ?? Int(loop.routes[index].rule)],
            rest: match?.rest ?? topic.count..<topic.count)
        loop.stage(
            message, route: index, isRetained: view.isRetained, from: self,
            packetIdentifier: view.packetIdentifier, answer: answer)
    }

    /// A QoS 2 publish whose packet identifier is still in use is the same message again: [MQTT-4.3.3-10].
    private func isRepeated(_ view: PublishView, _ loop: BrokerLoop) throws(WireError) -> Bool {
        guard let session else { return false }
        _ = clientNumber()
        if !session.inbound.insert(view.packetIdentifier) { return true }
        guard session.inbound.count <= receiveMaximum else {
            session.inbound.remove(view.packetIdentifier)
            throw WireError(.receiveMaximumExceeded, "more messages at QoS 2 are unfinished than may be")
        }
        guard !loop.recovered.isEmpty, loop.recovered[client]?.remove(view.packetIdentifier) != nil
        else { return false }
        // After a restart the session is new but the log remembers. A re-sent message must have DUP set
        // ([MQTT-3.3.1-1]); without it the client has started over and this is another message. With it the queue
        // decides: it may be the repetition of a message whose first sending was lost after the client began anew.
        if !view.isDuplicate {
            loop.stageRelease(self, packetIdentifier: view.packetIdentifier, answer: .nothing)
        }
        return false
    }

    /// The queue's number of this client; QoS 2 state in the log goes by it.
    private func clientNumber() -> UInt32 {
        if client == 0, let session {
            // At the limit of clients QoS 2 state is kept in memory only, which is counted.
            client = loop.queue.client(named: session.clientIdentifier) ?? 0
            if client == 0 { loop.counters.unloggedQoS2.wrappingIncrement(ordering: .relaxed) }
        }
        return client
    }

    /// The hub cannot take this message, and says so instead of losing it silently.
    private func rejectPublish(_ view: PublishView, _ error: WireError) throws(WireError) {
        loop.countRejection("device_limit")
        // 3.1.1 has no negative acknowledgement: the connection ends, and the client keeps its message.
        guard version == .v5 else { throw error }
        switch view.qos {
        case .atMostOnce: break
        case .atLeastOnce:
            write(.puback(Acknowledgement(packetIdentifier: view.packetIdentifier, reason: error.reason)))
        case .exactlyOnce:
            write(.pubrec(Acknowledgement(packetIdentifier: view.packetIdentifier, reason: error.reason)))
        }
    }

    /// Only the hub publishes to `$SYS/…`. 3.1.1 has no word for it: the message is acknowledged and dropped, as
    /// [MQTT-3.3.5-2] asks.
    @inline(never)
    private func refuseSystemTopic(_ view: PublishView) {
        loop.broker.counters.systemTopicsRefused += 1
        let answer = Acknowledgement(
            packetIdentifier: view.packetIdentifier, reason: version == .v5 ? .notAuthorized : .success)
        switch view.qos {
        case .atMostOnce: break
        case .atLeastOnce: write(.puback(answer))
        case .exactlyOnce: write(.pubrec(answer))
        }
    }

    /// A topic that no ingest rule claims is the broker's alone.
    private func publishOrdinary(
        _ view: PublishView, _ topic: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer, _ now: UInt64
    ) throws(WireError) {
        guard let session else { return }
        try loop.broker.receivePublish(
            view, topic: topic, body: body, session, now: now, actions: &loop.actions)
        loop.perform()
        if loop.broker.takeIsCrowded() || loop.isCrowdLong { loop.holdForSubscribers(self) }
    }

    /// PUBREL ends a QoS 2 exchange. Where telemetry was involved the release goes to the log before PUBCOMP
    /// leaves, so that the identifier's next use is not taken for the old message after a crash.
    func takePubrel(
        _ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64, _ loop: BrokerLoop
    ) throws(WireError) {
        let identifier: UInt16
        if body.count == 2, body[0] | body[1] != 0 {
            // Nothing but an identifier, as nearly always.
            identifier = UInt16(body[0]) << 8 | UInt16(body[1])
        } else {
            let packet = try decodePacket(firstByte: firstByte, body: body, version: version)
            guard case .pubrel(let release) = packet else { return }
            identifier = release.packetIdentifier
        }
        guard client != 0, let session else {
            let release = Acknowledgement(packetIdentifier: identifier)
            loop.brokerReceive(.pubrel(release), from: self, now: now)
            return
        }
        session.inbound.remove(identifier)
        loop.broker.released(identifier, of: session)
        if !loop.recovered.isEmpty { loop.recovered[client]?.remove(identifier) }
        loop.stageRelease(self, packetIdentifier: identifier, answer: .pubcomp)
    }
}
