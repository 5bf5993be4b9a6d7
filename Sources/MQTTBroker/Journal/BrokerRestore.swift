import MQTTWire

/// What the records of a journal come to, taken in order; `Broker.restore` makes it the broker's state.
package struct BrokerRestore {
    /// What a record said of a session, which may be before what says that the session is there: cleaning writes what
    /// is there behind what happened meanwhile.
    struct RestoredSession {
        var isThere = false
        var clientIdentifier = ""
        var expirySeconds: UInt32 = 0
        /// Nanoseconds of the wall clock; 0: it was connected.
        var awaySince: Int64 = 0
        var lastNumber: UInt64 = 0
        var lastSent: UInt64 = 0
        var version = ProtocolVersion.v311
        var share: String?
        var will: KeptWill?
        var subscriptions = IndexedList<ByteString, (identifier: UInt32, options: UInt8)>()
        var queues = IndexedList<ByteString, QueueSubscription>()
        var inbound: Set<UInt16> = []
        var deliveries: [UInt64: Outbound.Delivery] = [:]
    }

    var sessions: [UInt64: RestoredSession] = [:]
    var retained: [ByteString: Message] = [:]
    /// What of the device log was given to the subscribers; nil in a journal that never said.
    package private(set) var logEnd: UInt64?
    /// Position of a record that this program cannot read, if there was one.
    package private(set) var unknown: UInt64?
    let wallOffset: Int64

    /// - Parameter wallOffset: nanoseconds from the broker's time to the wall clock's.
    package init(wallOffset: Int64) { self.wallOffset = wallOffset }

    /// Takes the next record.
    package mutating func take(kind: UInt8, body: UnsafeRawBufferPointer, position: UInt64) {
        var record = RecordReader(body)
        guard let kind = JournalKind(rawValue: kind) else {
            unknown = unknown ?? position
            return
        }
        switch kind {
        case .commit, .message: return
        case .retained:
            guard let message = Message(journalled: body, at: position, wallOffset: wallOffset) else {
                unknown = unknown ?? position
                return
            }
            retained[ByteString(message.topic)] = message
            return
        case .retainedCleared: retained[ByteString(record.restText())] = nil
        case .logEnd: logEnd = record.number()
        case .sessionEnded: sessions[record.number()] = nil
        default:
            let number: UInt64 = record.number()
            var session = sessions[number] ?? RestoredSession()
            // No second reference to what is changed.
            sessions[number] = nil
            take(kind, &record, &session)
            sessions[number] = session
        }
        if !record.isWhole { unknown = unknown ?? position }
    }

    private func take(_ kind: JournalKind, _ record: inout RecordReader, _ session: inout RestoredSession) {
        switch kind {
        case .session:
            session.isThere = true
            session.expirySeconds = record.number()
            session.awaySince = record.number()
            session.lastNumber = max(session.lastNumber, record.number())
            session.lastSent = record.number()
            session.version = ProtocolVersion(rawValue: record.number()) ?? .v311
            session.clientIdentifier = record.restText()
        case .share: session.share = record.restText()
        case .will: session.will = KeptWill(&record)
        case .willEnded: session.will = nil
        case .subscribed:
            let identifier: UInt32 = record.number()
            let options: UInt8 = record.number()
            session.subscriptions.set(ByteString(record.restText()), (identifier, options))
        case .unsubscribed:
            let filter = ByteString(record.restText())
            session.subscriptions.remove(filter)
            session.queues.remove(filter)
        case .queueSubscribed:
            let identifier: UInt32 = record.number()
            let group = record.text() ?? ""
            session.queues.set(
                ByteString(record.restText()), QueueSubscription(group: group, identifier: identifier))
        case .inbound: session.inbound.insert(record.number())
        case .inboundReleased: session.inbound.remove(record.number())
        case .delivery: takeDelivery(&record, &session)
        case .received: session.deliveries[record.number()]?.receive()
        case .finished: session.deliveries[record.number()] = nil
        default: break
        }
    }

    private func takeDelivery(_ record: inout RecordReader, _ session: inout RestoredSession) {
        let number: UInt64 = record.number()
        let position: UInt64 = record.number()
        let byteCount: UInt32 = record.number()
        let flags: UInt8 = record.number()
        let count: UInt16 = record.number()
        var identifiers: [UInt32] = []
        for _ in 0..<count where record.isWhole { identifiers.append(record.number()) }
        let qos = QoS(rawValue: flags & JournalFlags.qosMask) ?? .atLeastOnce
        var delivery = Outbound.Delivery(
            message: nil, qos: qos, retain: flags & JournalFlags.retain != 0,
            subscriptionIdentifiers: identifiers, isReplay: flags & JournalFlags.replay != 0,
            state: qos == .exactlyOnce ? .awaitingPubrec : .awaitingPuback)
        delivery.number = number
        delivery.position = position
        delivery.absentBytes = Int(byteCount)
        session.deliveries[number] = delivery
        session.lastNumber = max(session.lastNumber, number)
    }
}

extension Outbound.Delivery {
    /// PUBREC came: only the release is left.
    mutating func receive() {
        forget()
        state = .awaitingPubcomp
    }
}

extension Broker {
    /// Becomes what the journal says it was, and keeps it from now on. Once, before anything else.
    ///
    /// Who was connected has been away since now; his will is due when its delay is over, with the first `advance`
    /// where it has none.
    ///
    /// - Parameters:
    ///   - position: where the journal ends.
    ///   - byteCount: bytes of records it has.
    ///   - now: monotonic nanoseconds.
    package mutating func restore(
        _ restored: consuming BrokerRestore, position: UInt64, byteCount: UInt64, now: UInt64
    ) {
        precondition(sessions.isEmpty)
        keeper.wallOffset = restored.wallOffset
        keeper.logEnd = restored.logEnd ?? 0
        keeper.notedLogEnd = keeper.logEnd
        for (number, session) in restored.sessions.sorted(by: { $0.key < $1.key }) where session.isThere {
            restore(session, number: number, now: now)
        }
        for message in restored.retained.values.sorted(by: { $0.journalPosition < $1.journalPosition }) {
            restore(message, now: now)
        }
        journal.enable(at: position)
        keeper.lastCut = position - min(position, byteCount)
        for session in keeper.sessions.values {
            if session.kept.share != nil {
                restoreShare(session)
            } else if restored.sessions[session.number]?.awaySince == 0 {
                // The next start is to know since when.
                writeSession(session, awaySince: WallTime.wall(now, keeper.wallOffset))
            }
        }
    }

    private mutating func restore(
        _ restored: BrokerRestore.RestoredSession, number: UInt64, now: UInt64
    ) {
        let session = Session(
            clientIdentifier: restored.clientIdentifier, number: number, version: restored.version)
        lastSessionNumber = max(lastSessionNumber, number)
        session.expirySeconds = restored.expirySeconds
        session.kept.isKept = true
        session.kept.inbound = restored.inbound
        session.kept.share = restored.share
        for identifier in restored.inbound.sorted() { session.inbound.insert(identifier) }
        session.queueSubscriptions = restored.queues
        keeper.sessions.set(number, session)
        restoreDeliveries(restored, session)
        guard restored.share == nil else { return }

        sessions[ByteString(session.clientIdentifier)] = session
        counters.sessions += 1
        for (text, options) in zip(restored.subscriptions.keys, restored.subscriptions.values) {
            guard let filter = TopicFilter(text.text, levelsMax: topicLevelsMax) else { continue }
            let subscription = Subscription(
                session: session, qos: QoS(rawValue: options.options & JournalFlags.qosMask) ?? .atLeastOnce,
                noLocal: options.options & JournalFlags.noLocal != 0,
                retainAsPublished: options.options & JournalFlags.retainAsPublished != 0,
                identifiers: options.identifier == 0 ? [] : [options.identifier])
            _ = tree.insert(subscription, filter: filter)
            session.subscriptions.set(text, filter)
            if filter.shareGroup != nil {
                counters.sharedSubscriptions += 1
                tree.sharedGroup(filter)?.filter = text.text
                joinShare(session, filter)
            }
            counters.subscriptions += 1
            subscriptionVersion += 1
        }
        let since = restored.awaySince == 0 ? WallTime.wall(now, keeper.wallOffset) : restored.awaySince
        if let will = restored.will {
            restore(will, of: session, awaySince: WallTime.monotonic(since, keeper.wallOffset))
        }
        if session.expirySeconds != .max {
            let due = since.addingReportingOverflow(
                Int64(session.expirySeconds) * Int64(nanosecondsPerSecond))
            session.expiryDue = WallTime.monotonic(due.overflow ? .max : due.partialValue, keeper.wallOffset)
        }
        schedule(session)
    }

    private mutating func restoreDeliveries(
        _ restored: BrokerRestore.RestoredSession, _ session: Session
    ) {
        let deliveries = restored.deliveries.sorted { $0.key < $1.key }.map(\.value)
        // Up to where it was sent is known of who left; of who was there at the end, that it was not more than this.
        let first = deliveries.first?.number ?? 0
        var inflightCount = 0
        for (index, delivery) in deliveries.enumerated() {
            guard delivery.number - first < 65_535 else { break }
            let wasSent =
                restored.awaySince == 0 && restored.share == nil
                ? index < limits.inflightMax : delivery.number <= restored.lastSent
            if wasSent || delivery.state == .awaitingPubcomp { inflightCount = index + 1 }
        }
        session.outbound.restore(
            deliveries, inflightCount: inflightCount, lastNumber: restored.lastNumber)
        for delivery in deliveries.dropFirst(inflightCount) {
            counters.keptMessages += 1
            counters.keptBytes += delivery.byteCount
        }
        counters.queued += session.outbound.queuedCount
    }

    private mutating func restore(_ message: Message, now: UInt64) {
        guard !message.isExpired(now: now) else { return }
        let entry = retained.set(message, levels: TopicName.levels(message.topic))
        entry.place = retained.kept.count
        retained.kept.append(entry)
        if let due = message.expiresAt { timers.set(entry.timer, due: due) }
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
    }

    /// Retains what the hub has kept elsewhere, and tells nobody: whoever was to get it got it when it was new.
    package mutating func retainAgain(_ message: Message) {
        guard message.isRestoredByHub, !message.payload.isEmpty,
            TopicName.isValid(message.topic, levelsMax: topicLevelsMax)
        else { return }
        let levels = TopicName.levels(message.topic)
        guard retained.hasRoom(for: message, inPlaceOf: retained.message(levels), limits: limits) else {
            counters.retainedRefused += 1
            return
        }
        let entry = retained.set(message, levels: levels)
        keepRetained(entry)
        counters.retained = retained.count
        counters.retainedBytes = retained.byteCount
    }
}
