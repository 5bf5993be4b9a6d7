import DeviceQueue
import MQTTBroker
import MQTTWire
import Platform

/// Telemetry on its way to the storage thread: frames go into the open batch, and the batch is handed over once a
/// turn of the loop.
extension BrokerLoop {
    @inline(__always)
    func stage(
        _ message: StagedMessage, route: UInt32, from connection: Connection, packetIdentifier: UInt16,
        answer: IngestBatch.Answer
    ) {
        stage(
            message, route: route, connectionSlot: connection.slot,
            connectionGeneration: connection.generation, packetIdentifier: packetIdentifier, answer: answer)
    }

    @inline(__always)
    private func stage(
        _ message: StagedMessage, route: UInt32, connectionSlot: UInt32, connectionGeneration: UInt32,
        packetIdentifier: UInt16, answer: IngestBatch.Answer
    ) {
        var batch = openBatch()
        var frame = message.write(to: batch.staging)
        if frame == nil {
            batch = nextBatch(atLeast: message.frameBytes)
            frame = message.write(to: batch.staging)
        }
        guard let frame else { preconditionFailure("a fresh batch has room for its message") }
        batch.add(
            IngestBatch.Entry(
                frame: UInt32(frame), route: route, connectionSlot: connectionSlot,
                connectionGeneration: connectionGeneration, packetIdentifier: packetIdentifier, answer: answer
            ))
    }

    /// An answer that must wait until everything staged before it is durable.
    func fence(_ connection: Connection, packetIdentifier: UInt16, answer: IngestBatch.Answer) {
        openBatch().add(
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
        var batch = openBatch()
        var frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        if frame == nil {
            batch = nextBatch(atLeast: FrameLayout.releaseBytes)
            frame = batch.staging.stageControl(kind, client: client, packetIdentifier: packetIdentifier)
        }
        guard let frame else { preconditionFailure("a fresh batch has room for a release") }
        var noted =
            entry
            ?? IngestBatch.Entry(
                frame: 0, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
                packetIdentifier: 0, answer: .nothing)
        noted.frame = UInt32(frame)
        batch.add(noted)
    }

    /// Fences take no room in the staging buffer, so entries have a limit of their own.
    private static let batchEntriesMax = 65_536

    @inline(__always)
    private func openBatch() -> IngestBatch {
        if let open, open.routeGeneration == routes.generation, open.entryCount < Self.batchEntriesMax {
            return open
        }
        return nextBatch(atLeast: 0)
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

    /// - Parameter isForced: the open batch has no room for what comes next.
    func submit(isForced: Bool = false) {
        guard let batch = open, batch.entryCount > 0 else { return }
        // While the disk works on two batches the next one fills: fewer and larger commits, and memory that
        // grows with what is staged, not with the turns of the loop.
        guard isForced || outstandingBatches < 2 || isStopping else { return }
        open = nil
        outstandingBatches += 1
        stagedBytes += batch.staging.byteCount
        if stagedBytes > limits.stagedBytesMax { pauseReading() }
        storage.submit(batch)
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
            staged, route: IngestBatch.Entry.noRoute, connectionSlot: .max, connectionGeneration: 0,
            packetIdentifier: 0, answer: .nothing)
    }
}
