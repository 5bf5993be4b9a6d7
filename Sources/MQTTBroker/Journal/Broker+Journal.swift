import MQTTWire

/// What the broker keeps for the journal besides the sessions themselves.
struct JournalKeeper {
    /// Sessions that are in the journal, by number.
    var sessions = IndexedList<UInt64, Session>()
    /// What makes a wall clock of the broker's time, in nanoseconds.
    var wallOffset: Int64 = 0
    /// Records before it are about to go: a body there is written again before it is named.
    var floor: UInt64 = 0
    var cleaning: JournalCleaning?
    /// Blocks with bodies that the next cleaning may not find by its walk.
    var heldBlocks: Set<UInt64> = []
    /// Where the last cleaning cut, and how many bytes it wrote.
    var lastCut: UInt64 = 0
    var lastCleanedBytes: UInt64 = 0
    /// What of the device log was given to the subscribers, and where that was last noted.
    var logEnd: UInt64 = 0
    var notedLogEnd: UInt64 = 0
}

/// The records. Each is written where the state changes; without a journal nothing happens.
///
/// Kept are sessions that outlive their connection, with all that belongs to them, and retained messages. What the
/// client of another session is owed ends with its connection, so that no restart can lose it.
extension Broker {
    /// The position behind the last change: an answer that depends on it waits until the journal is durable up to
    /// there. 0 without a journal.
    package var journalEnd: UInt64 { journal.end }

    /// Bytes of changes that were not taken yet.
    package var journalPendingBytes: Int { journal.bytes.count }

    /// Whether there is a group to take; not while a will has ended and is not published.
    package var hasJournalGroup: Bool { !journal.isEmpty && pendingWills == 0 }

    /// Takes the changes since the last time, as one group.
    package mutating func takeJournalGroup() -> JournalGroup? { journal.take() }

    /// The readings of the device log before that offset were given to `publish`, and what follows from them is in
    /// this group of records or an earlier one.
    package mutating func noteLogEnd(_ offset: UInt64) {
        guard journal.isEnabled else { return }
        keeper.logEnd = offset
        // By itself it is worth no sync.
        if !journal.isEmpty { writeLogEnd() }
    }

    /// Notes the place in the log, if it moved, so that a start has not much to read again. Once a second.
    package mutating func noteLogEndNow() {
        guard journal.isEnabled else { return }
        writeLogEnd()
    }

    private mutating func writeLogEnd() {
        let offset = keeper.logEnd
        guard offset != keeper.notedLogEnd else { return }
        keeper.notedLogEnd = offset
        journal.add(.logEnd) { $0.put(offset) }
    }

    // MARK: Sessions

    mutating func keepConnected(_ session: Session) {
        guard journal.isEnabled else { return }
        if !session.kept.isKept {
            guard session.expirySeconds > 0 else { return }
            session.kept.isKept = true
            keeper.sessions.set(session.number, session)
        }
        writeSession(session, awaySince: 0)
        keepWill(session)
    }

    mutating func keepDetached(_ session: Session, now: UInt64) {
        guard session.kept.isKept else { return }
        session.kept.isReading = false
        session.kept.readRound += 1
        session.outbound.leaveToJournal()
        if session.will == nil { forgetWill(session) }
        writeSession(session, awaySince: WallTime.wall(now, keeper.wallOffset))
    }

    mutating func keepEnded(_ session: Session) {
        guard session.kept.isKept else { return }
        forgetWaiting(session)
        let number = session.number
        keeper.sessions.remove(number)
        // Another may have its place in the walk now.
        keeper.cleaning?.queued = nil
        session.kept = KeptSession()
        journal.add(.sessionEnded) { $0.put(number) }
    }

    mutating func writeSession(_ session: Session, awaySince: Int64) {
        journal.add(.session) { record in
            record.put(session.number)
            record.put(session.expirySeconds)
            record.put(awaySince)
            record.put(session.outbound.lastNumber)
            record.put(session.outbound.lastSent)
            record.put(session.version.rawValue)
            record.rest(session.clientIdentifier)
        }
    }

    mutating func keepSubscribed(_ subscription: Subscription, _ filter: String) {
        guard subscription.session.kept.isKept else { return }
        journal.add(.subscribed) { record in
            record.put(subscription.session.number)
            record.put(subscription.identifiers.first ?? 0)
            record.put(
                subscription.qos.rawValue | (subscription.noLocal ? JournalFlags.noLocal : 0)
                    | (subscription.retainAsPublished ? JournalFlags.retainAsPublished : 0))
            record.rest(filter)
        }
    }

    mutating func keepUnsubscribed(_ session: Session, _ filter: String) {
        guard session.kept.isKept else { return }
        journal.add(.unsubscribed) { record in
            record.put(session.number)
            record.rest(filter)
        }
    }

    mutating func keepQueueSubscribed(
        _ session: Session, _ filter: String, group: String, identifier: UInt32
    ) {
        guard session.kept.isKept else { return }
        journal.add(.queueSubscribed) { record in
            record.put(session.number)
            record.put(identifier)
            record.put(group)
            record.rest(filter)
        }
    }

    mutating func keepInbound(_ session: Session, _ packetIdentifier: UInt16) {
        guard session.kept.isKept else { return }
        session.kept.inbound.insert(packetIdentifier)
        journal.add(.inbound) { record in
            record.put(session.number)
            record.put(packetIdentifier)
        }
    }

    /// The client released a packet identifier that the hub handles itself.
    package mutating func released(_ packetIdentifier: UInt16, of session: Session) {
        keepInboundReleased(session, packetIdentifier)
    }

    mutating func keepInboundReleased(_ session: Session, _ packetIdentifier: UInt16) {
        guard session.kept.inbound.remove(packetIdentifier) != nil else { return }
        journal.add(.inboundReleased) { record in
            record.put(session.number)
            record.put(packetIdentifier)
        }
    }

    // MARK: Messages towards a client

    /// Gives a message at QoS 1 or 2 its number and its place in the journal.
    mutating func keep(_ delivery: inout Outbound.Delivery, _ message: Message, _ session: Session) {
        guard session.kept.isKept else { return }
        // Records of a queue are in the log, and numbered so that they stand in line.
        delivery.number = session.outbound.nextNumber()
        guard message.ticket == nil else { return }
        delivery.position = bodyPosition(message)
        writeDelivery(delivery, session, byteCount: message.byteCount)
    }

    mutating func writeDelivery(_ delivery: Outbound.Delivery, _ session: Session, byteCount: Int) {
        journal.add(.delivery) { record in
            record.put(session.number)
            record.put(delivery.number)
            record.put(delivery.position)
            record.put(UInt32(clamping: byteCount))
            record.put(
                delivery.qos.rawValue | (delivery.retain ? JournalFlags.retain : 0)
                    | (delivery.isReplay ? JournalFlags.replay : 0))
            record.put(UInt16(clamping: delivery.subscriptionIdentifiers.count))
            for identifier in delivery.subscriptionIdentifiers.prefix(Int(UInt16.max)) {
                record.put(identifier)
            }
        }
    }

    /// Where the body stands in the journal, written now if it does not yet.
    mutating func bodyPosition(_ message: Message) -> UInt64 {
        if message.journalPosition != 0, message.journalPosition >= keeper.floor {
            return message.journalPosition
        }
        let wallOffset = keeper.wallOffset
        message.journalPosition = journal.add(.message) { message.write(to: &$0, wallOffset: wallOffset) }
        return message.journalPosition
    }

    mutating func keepReceived(_ session: Session, _ packetIdentifier: UInt16) {
        write(.received, session, packetIdentifier)
    }

    mutating func keepFinished(_ session: Session, _ packetIdentifier: UInt16) {
        write(.finished, session, packetIdentifier)
    }

    private mutating func write(_ kind: JournalKind, _ session: Session, _ packetIdentifier: UInt16) {
        guard session.kept.isKept, let offset = session.outbound.offset(packetIdentifier) else { return }
        let delivery = session.outbound.inflight[offset]
        // Records of queues have no place in the journal; a release has lost its.
        guard delivery.position != 0 || delivery.state == .awaitingPubcomp else { return }
        writeNumber(kind, session, session.outbound.oldest + UInt64(offset))
    }

    /// A message that waited goes without having been sent.
    mutating func keepDropped(_ delivery: Outbound.Delivery, _ session: Session) {
        guard session.kept.isKept, delivery.position != 0 else { return }
        writeNumber(.finished, session, delivery.number)
    }

    private mutating func writeNumber(_ kind: JournalKind, _ session: Session, _ number: UInt64) {
        journal.add(kind) { record in
            record.put(session.number)
            record.put(number)
        }
    }

    // MARK: Retained messages

    mutating func keepRetained(_ entry: RetainedStore.Entry) {
        guard journal.isEnabled else { return }
        guard !entry.message.isRestoredByHub else { return keepRetainedCleared(entry) }
        if entry.place < 0 {
            entry.place = retained.kept.count
            retained.kept.append(entry)
        }
        writeRetained(entry.message)
    }

    mutating func writeRetained(_ message: Message) {
        let wallOffset = keeper.wallOffset
        message.journalPosition = journal.add(.retained) { message.write(to: &$0, wallOffset: wallOffset) }
    }

    mutating func keepRetainedCleared(_ entry: RetainedStore.Entry) {
        guard entry.place >= 0 else { return }
        let last = retained.kept.removeLast()
        if last !== entry {
            retained.kept[entry.place] = last
            last.place = entry.place
        }
        entry.place = -1
        let topic = entry.message.topic
        journal.add(.retainedCleared) { $0.rest(topic) }
    }
}
