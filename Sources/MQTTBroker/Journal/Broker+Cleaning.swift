/// How far the journal's cleaning has come: everything that counts is written again behind the cut, a little at a
/// time.
struct JournalCleaning {
    let cut: UInt64
    /// Walked downwards: who is removed is replaced by the last one, who was walked already or is new.
    var sessions: Int
    var retained: Int
    /// Of the session at work the place in its queue, counted as `Outbound.dequeuedCount` does; nil at its beginning.
    var queued: Int?
    /// Where bodies stand that are still named, in blocks of 64 KiB.
    var blocks: Set<UInt64> = []
    var writtenBytes: UInt64 = 0
}

extension Broker {
    /// Positions in a block, as the journal's files count them.
    static var journalBlockBytes: UInt64 { 1 << 16 }

    /// Begins a cleaning when the journal has grown enough since the last, and carries it on.
    ///
    /// - Parameters:
    ///   - byteBudget: about so many bytes of records are written at most.
    ///   - bytesMin: the journal grows by so much at least before it is worth the work.
    package mutating func cleanJournal(byteBudget: Int, bytesMin: UInt64) {
        guard journal.isEnabled else { return }
        if keeper.cleaning == nil {
            // What a group has written already stays before the cut.
            guard journal.end - keeper.lastCut > max(bytesMin, 2 * keeper.lastCleanedBytes),
                journal.bytes.isEmpty, journal.cleaned == nil
            else { return }
            journal.startsSegment = true
            keeper.floor = journal.end
            keeper.cleaning = JournalCleaning(
                cut: journal.end, sessions: keeper.sessions.count - 1, retained: retained.kept.count - 1)
        }
        guard var cleaning = keeper.cleaning else { return }
        let start = journal.end
        keeper.cleaning = nil
        let isDone = carryOn(&cleaning, until: start + UInt64(byteBudget))
        cleaning.writtenBytes += journal.end - start
        guard isDone else {
            keeper.cleaning = cleaning
            return
        }
        keeper.notedLogEnd = .max
        noteLogEndNow()
        keeper.lastCut = cleaning.cut
        keeper.lastCleanedBytes = cleaning.writtenBytes
        journal.cleaned = JournalCleaned(
            cut: cleaning.cut, blocks: cleaning.blocks.union(keeper.heldBlocks))
        keeper.heldBlocks = []
    }

    /// - Returns: true when all was written.
    private mutating func carryOn(_ cleaning: inout JournalCleaning, until end: UInt64) -> Bool {
        while cleaning.sessions >= 0 {
            guard journal.end < end else { return false }
            guard cleaning.sessions < keeper.sessions.count else {
                cleaning.sessions = keeper.sessions.count - 1
                cleaning.queued = nil
                continue
            }
            let session = keeper.sessions.values[cleaning.sessions]
            if cleaning.queued == nil { writeAgain(session, &cleaning) }
            guard writeQueueAgain(session, &cleaning, until: end) else { return false }
            cleaning.sessions -= 1
            cleaning.queued = nil
        }
        while cleaning.retained >= 0 {
            guard journal.end < end else { return false }
            guard cleaning.retained < retained.kept.count else {
                cleaning.retained = retained.kept.count - 1
                continue
            }
            let message = retained.kept[cleaning.retained].message
            if message.journalPosition < cleaning.cut { writeRetained(message) }
            cleaning.retained -= 1
        }
        return true
    }

    /// All of a session but what waits.
    private mutating func writeAgain(_ session: Session, _ cleaning: inout JournalCleaning) {
        let due = session.expiryDue.map { WallTime.wall($0, keeper.wallOffset) }
        let expiry = Int64(session.expirySeconds) * Int64(nanosecondsPerSecond)
        // A session for ever has no time that it has been away since; any will do but 0.
        let away = session.connection == nil ? max(1, (due ?? expiry + 1) - expiry) : 0
        writeSession(session, awaySince: away)
        writeWill(session)
        if let share = session.kept.share {
            journal.add(.share) { record in
                record.put(session.number)
                record.rest(share)
            }
        }
        for (text, filter) in zip(session.subscriptions.keys, session.subscriptions.values) {
            guard let subscription = tree.subscription(of: session.number, to: filter) else { continue }
            keepSubscribed(subscription, text.text)
        }
        for (text, queue) in zip(session.queueSubscriptions.keys, session.queueSubscriptions.values) {
            keepQueueSubscribed(session, text.text, group: queue.group, identifier: queue.identifier)
        }
        for identifier in session.kept.inbound.sorted() { keepInbound(session, identifier) }
        for offset in 0..<session.outbound.inflight.count {
            var delivery = session.outbound.inflight[offset]
            guard delivery.state != .done else { continue }
            if delivery.state == .awaitingPubcomp {
                delivery.number = session.outbound.oldest + UInt64(offset)
                writeDelivery(delivery, session, byteCount: 0)
                keepReceived(session, Outbound.packetIdentifier(delivery.number))
            } else if delivery.position != 0 {
                writeAgain(&delivery, session, &cleaning)
                session.outbound.inflight[offset] = delivery
            }
        }
        cleaning.queued = session.outbound.dequeuedCount
    }

    /// - Returns: true when all that waits was written.
    private mutating func writeQueueAgain(
        _ session: Session, _ cleaning: inout JournalCleaning, until end: UInt64
    ) -> Bool {
        var offset = max(0, (cleaning.queued ?? 0) - session.outbound.dequeuedCount)
        while offset < session.outbound.queue.count {
            guard journal.end < end else {
                cleaning.queued = session.outbound.dequeuedCount + offset
                return false
            }
            var delivery = session.outbound.queue[offset]
            if delivery.position != 0 {
                writeAgain(&delivery, session, &cleaning)
                session.outbound.queue[offset] = delivery
            }
            offset += 1
        }
        return true
    }

    /// A delivery, and its body when that is in memory; else the body's place is kept.
    private mutating func writeAgain(
        _ delivery: inout Outbound.Delivery, _ session: Session, _ cleaning: inout JournalCleaning
    ) {
        if let message = delivery.message, !message.isUnreadable {
            delivery.position = bodyPosition(message)
        } else if delivery.position < cleaning.cut {
            cleaning.blocks.insert(delivery.position / Self.journalBlockBytes)
        }
        writeDelivery(delivery, session, byteCount: delivery.byteCount)
    }
}
