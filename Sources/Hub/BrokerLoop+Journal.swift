import Atomics
package import BrokerJournal
import DeviceQueue
package import MQTTBroker
import MQTTWire
import Platform
import Telemetry

/// The broker's state on disk: changes travel to the storage with the batch that is being filled; what may only be
/// said when they are durable waits here.
extension BrokerLoop {
    /// Makes the broker what the journal says it was, with what became of the device log since. Once, before anything
    /// else.
    ///
    /// - Parameters:
    ///   - restored: all records of the journal.
    ///   - inbox: reads and cleans on a thread of its own.
    /// - Throws: when the log cannot be read.
    package func restore(
        _ restored: consuming BrokerRestore, journal log: JournalLog, inbox: any JournalInbox
    ) throws {
        let logEnd = restored.logEnd
        let now = clock.monotonicNanoseconds()
        broker.restore(restored, position: log.endPosition, byteCount: log.byteCount, now: now)
        journal.inbox = inbox
        journal.durable = log.endPosition
        journal.noted = broker.journalEnd
        if let logEnd { try forwardAgain(from: QueueOffset(logEnd), now: now) }
        broker.noteLogEnd(queue.durableEnd.bytes)
        broker.noteLogEndNow()
        _ = noteJournal()
    }

    /// Readings that are in the log, and that the journal does not say were given to the subscribers.
    private func forwardAgain(from offset: QueueOffset, now: UInt64) throws {
        let reader = queue.makeReader(from: offset)
        do throws(QueueError) {
            while try reader.next({ frame in
                guard frame.kind == .record else { return }
                forwardAgain(frame, now: now)
            }) {}
        } catch {
            // Retention has gone over them: they were too old to be kept, and for the subscribers too.
            if case .removed = error { return }
            throw error
        }
        perform()
    }

    private func forwardAgain(_ frame: LogFrame, now: UInt64) {
        guard let match = broker.match(topic: frame.topic) else { return }
        let isRetained = frame.flags & FrameFlags.retain != 0
        if match.isEmpty, !isRetained { return }
        var properties = Properties()
        if frame.flags & FrameFlags.version5 != 0 {
            // Validated when it came in.
            properties = (try? parsePublishProperties(frame.properties)) ?? Properties()
            properties.topicAlias = nil
        }
        let message = Message(
            topic: String(decoding: frame.topic, as: UTF8.self), payload: Array(frame.payload),
            qos: QoS(rawValue: frame.flags & FrameFlags.qosMask) ?? .atMostOnce, retain: isRetained,
            properties: properties,
            expiresAt: properties.messageExpiryInterval.map { now + UInt64($0) * 1_000_000_000 })
        broker.publish(message, now: now, actions: &actions)
    }

    // MARK: What waits

    /// Whether the broker changed something for the journal since the last look.
    @inline(__always)
    func noteJournal() -> Bool {
        let end = broker.journalEnd
        if end == journal.noted { return false }
        journal.noted = end
        wantTurnEnd()
        // What a stalled disk lets grow is staged, and so counted: then nobody is read.
        if broker.journalPendingBytes > limits.stagingBatchBytes { submit(isForced: true) }
        return true
    }

    /// Carries out what the broker decided; what speaks of a change waits until that is durable, and behind it
    /// whatever else goes to the same connection.
    func performInOrder(_ isJournaled: Bool) {
        var isKept = isJournaled
        while !actions.isEmpty {
            let due = actions
            actions.removeAll(keepingCapacity: true)
            for action in due {
                if !hold(action, isKept) { perform(action) }
            }
            isKept = noteJournal() || isKept
        }
    }

    private func hold(_ action: BrokerAction, _ isKept: Bool) -> Bool {
        let connection: Connection?
        switch action {
        case .send(let id, _), .acknowledge(let id, _, _):
            connection = self.connection(id)
            guard isKept || (connection?.heldCount ?? 0) > 0 else { return false }
        case .forward(let id, _, let qos, _, _, _, _, _):
            connection = self.connection(id)
            let count = connection?.heldCount ?? 0
            // The first sending at QoS 2 fixes the packet identifier: it must be the same after a crash.
            guard (isKept && qos == .exactlyOnce) || count > 0 else { return false }
            if qos == .atMostOnce, count > limits.heldPacketsMax {
                counters.droppedSlowConsumer.wrappingIncrement(ordering: .relaxed)
                return true
            }
        case .close(let id):
            connection = self.connection(id)
            guard let connection, connection.heldCount > 0 else { return false }
            // The broker has forgotten it.
            connection.phase = .closing
        default: return false
        }
        guard let connection else { return true }
        connection.heldCount += 1
        journal.held.append(
            LoopJournal.Held(position: journal.noted, action: action, connection: connection))
        return true
    }

    func takeJournalGroup(for batch: IngestBatch) {
        batch.journal = broker.takeJournalGroup()
        // Written again with the next one, a little at a time.
        broker.cleanJournal(byteBudget: limits.journalCleaningBytes, bytesMin: limits.journalBytesMin)
        journal.noted = broker.journalEnd
    }

    func journalIsDurable(_ group: JournalGroup) {
        journal.durable = group.end
        while let held = journal.held.first, held.position <= group.end {
            journal.held.popFirst()
            held.connection?.heldCount -= 1
            perform(held.action)
            if let connection = held.connection, connection.heldCount == 0 { markDirty(connection) }
        }
        if let cleaned = group.cleaned { journal.inbox?.clean(cleaned) }
        let requests = journal.requests
        journal.requests = []
        for request in requests { readBacklog(request) }
        while let callback = journal.callbacks.first, callback.position <= group.end {
            journal.callbacks.removeFirst()
            callback.body()
        }
        perform()
    }

    /// Runs a body on the loop when all that was published so far is durable for the sessions that wait for it.
    func whenJournalIsDurable(_ body: @escaping @Sendable () -> Void) {
        guard journal.isOpen, broker.journalEnd > journal.durable else { return body() }
        journal.callbacks.append((broker.journalEnd, body))
    }

    // MARK: Backlog

    func readBacklog(_ request: BacklogRequest) {
        guard request.end <= journal.durable else {
            journal.requests.append(request)
            wantTurnEnd()
            return
        }
        journal.inbox?.read(request) { [self, executor] bodies in
            executor.execute { [self] in
                broker.backlogRead(request, bodies, now: clock.monotonicNanoseconds(), actions: &actions)
                perform()
                flushAll()
            }
        }
    }

    /// Once a second the place in the log is noted, so that a start has little to read again.
    func tickJournal(_ now: UInt64) {
        guard journal.isOpen, now >= journal.lastNote + 1_000_000_000 else { return }
        journal.lastNote = now
        broker.noteLogEndNow()
        if noteJournal() { submit() }
    }

    /// Retains what the hub has elsewhere, after a start; see `Broker.retainAgain`.
    func retainAgain(_ message: Message) {
        broker.retainAgain(message)
        perform()
    }
}
