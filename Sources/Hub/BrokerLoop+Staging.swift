import DeviceQueue
import MQTTBroker
import MQTTWire
import Platform

/// Telemetry on its way to the storage thread: frames go into the open batch, and the batch is handed over once a
/// turn of the loop.
extension BrokerLoop {
    @inline(__always)
    func stage(
        _ message: StagedMessage, route: UInt32, isRetained: Bool, from connection: Connection,
        packetIdentifier: UInt16, answer: IngestBatch.Answer
    ) {
        stage(
            message,
            IngestBatch.Entry(
                frame: 0, route: route, connectionSlot: connection.slot,
                connectionGeneration: connection.generation, packetIdentifier: packetIdentifier,
                answer: answer, isRetained: isRetained))
    }

    @inline(__always)
    private func stage(_ message: StagedMessage, _ entry: IngestBatch.Entry) {
        // Held by `open` meanwhile; a reference counted for every message would cost more than the copying.
        let isStaged = openBatch()._withUnsafeGuaranteedRef { batch in
            guard let frame = message.write(to: batch.staging) else { return false }
            batch.add(entry, frame: frame)
            return true
        }
        if !isStaged { stageInNext(message, entry) }
    }

    @inline(never)
    private func stageInNext(_ message: StagedMessage, _ entry: IngestBatch.Entry) {
        let batch = nextBatch(atLeast: message.frameBytes)
        guard let frame = message.write(to: batch.staging) else {
            preconditionFailure("a fresh batch has room for its message")
        }
        batch.add(entry, frame: frame)
    }

    /// An answer that must wait until everything staged before it is durable.
    func fence(_ connection: Connection, packetIdentifier: UInt16, answer: IngestBatch.Answer) {
        openBatch().takeUnretainedValue().add(
            IngestBatch.Entry(
                frame: IngestBatch.Entry.noFrame, route: IngestBatch.Entry.noRoute,
                connectionSlot: connection.slot, connectionGeneration: connection.generation,
                packetIdentifier: packetIdentifier, answer: answer))
    }

    func stageRelease(_ connection: Connection, packetIdentifier: UInt16, answer: IngestBatch.Answer) {
        stageControl(
            .release, client: connection.client, packetIdentifier: packetIdentifier,
            entry: IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: connection.slot,
                connectionGeneration: connection.generation, packetIdentifier: packetIdentifier,
                answer: answer))
    }

    func stageControl(
        _ kind: FrameKind, client: UInt32, packetIdentifier: UInt16, entry: IngestBatch.Entry?
    ) {
        var batch = openBatch().takeUnretainedValue()
        var frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        if frame == nil {
            batch = nextBatch(atLeast: FrameLayout.releaseBytes)
            frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        }
        guard let frame else { preconditionFailure("a fresh batch has room for a release") }
        let noted =
            entry
            ?? IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
                packetIdentifier: 0, answer: .nothing)
        batch.add(noted, frame: frame)
    }

    /// Fences take no room in the staging buffer, so entries have a limit of their own.
    private static let batchEntriesMax = 65_536

    /// The batch to fill; `open` holds it until it is handed over.
    @inline(__always)
    private func openBatch() -> Unmanaged<IngestBatch> {
        if let open, open.routeGeneration == routes.generation, open.entryCount < Self.batchEntriesMax {
            return Unmanaged.passUnretained(open)
        }
        return Unmanaged.passUnretained(nextBatch(atLeast: 0))
    }

    /// Hands over the open batch, if any, and opens another that has room for `frameBytes`.
    private func nextBatch(atLeast frameBytes: Int) -> IngestBatch {
        submit(isForced: true)
        let batch: IngestBatch
        if frameBytes > limits.stagingBatchBytes {
            batch = IngestBatch(byteCapacity: frameBytes)
        } else {
            batch = spares.popLast() ?? IngestBatch(byteCapacity: limits.stagingBatchBytes)
        }
        batch.routeGeneration = routes.generation
        open = batch
        // All reads of this turn of the loop share the hop to the storage thread.
        wantTurnEnd()
        return batch
    }

    private func emptyBatch() -> IngestBatch {
        let batch = spares.popLast() ?? IngestBatch(byteCapacity: limits.stagingBatchBytes)
        batch.routeGeneration = routes.generation
        return batch
    }

    /// - Parameter isForced: the open batch has no room for what comes next.
    func submit(isForced: Bool = false) {
        // While the disk works on two batches the next one fills: fewer and larger commits, and memory that
        // grows with what is staged, not with the turns of the loop.
        guard isForced || outstandingBatches < 2 || isStopping else { return }
        let hasGroup = broker.hasJournalGroup && !journal.isForwarding
        guard hasGroup || (open?.entryCount ?? 0) > 0 else { return }
        let batch = open ?? emptyBatch()
        open = nil
        if hasGroup { takeJournalGroup(for: batch) }
        outstandingBatches += 1
        batch.stagedBytes = batch.staging.byteCount + (batch.journal?.bytes.count ?? 0)
        stagedBytes += batch.stagedBytes
        if stagedBytes > limits.stagedBytesMax { pauseReading() }
        storage.submit(batch)
    }

    /// Hands over a batch that was filled elsewhere, without a connection to answer.
    ///
    /// - Returns: false when the hub is stopping: the batch is not stored.
    func submit(filled batch: IngestBatch) -> Bool {
        guard !isStopping else { return false }
        batch.routeGeneration = routes.generation
        outstandingBatches += 1
        batch.stagedBytes = batch.staging.byteCount
        stagedBytes += batch.stagedBytes
        storage.submit(batch)
        return true
    }

    /// A will on a telemetry topic is telemetry; nobody waits for its answer.
    func publishWill(_ message: Message) {
        var topic = message.topic
        let match = topic.withUTF8 { ingest.match(UnsafeRawBufferPointer($0)) }
        guard let match else {
            broker.publish(message, now: clock.monotonicNanoseconds(), actions: &actions)
            return
        }
        var properties: [UInt8] = []
        encodeProperties(message.properties, into: &properties)
        topic.withUTF8 { topicBytes in
            properties.withUnsafeBytes { propertyBytes in
                message.payload.withUnsafeBytes { payload in
                    stageWill(
                        message, UnsafeRawBufferPointer(topicBytes), match, propertyBytes, payload)
                }
            }
        }
    }

    private func stageWill(
        _ message: Message, _ topic: UnsafeRawBufferPointer, _ match: IngestTable.Match,
        _ properties: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer
    ) {
        let input = IngestInput(topic: topic, rest: match.rest, properties: properties, payload: payload)
        var staged = StagedMessage(
            device: 0, client: 0, packetIdentifier: 0,
            flags: min(message.qos.rawValue, 1) | FrameFlags.version5
                | (message.retain ? FrameFlags.retain : 0),
            topic: topic, properties: properties, payload: payload)
        staged.setDevice(
            DeviceName.number(ingest, rule: match.rule, input, client: message.publisher ?? "", in: queue))
        staged.read(ingest.plans[match.rule], rest: match.rest)
        stage(
            staged,
            IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
                packetIdentifier: 0, answer: .nothing, isRetained: message.retain))
    }
}
