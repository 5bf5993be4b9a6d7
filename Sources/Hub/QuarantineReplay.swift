import DeviceQueue
import Platform
package import Telemetry

/// Which quarantined messages are put through the ingest rules again.
package struct ReplayRequest: Sendable {
    /// nil: whatever they wait for.
    package var reason: QuarantineReason?
    /// Only messages of this device: as they claimed, or as the rules say now. nil: of any.
    package var device: String?
    /// The first sequence of the quarantine.
    package var from: UInt64 = 1
    /// Messages at most; a caller goes on at `ReplayResult.next`.
    package var limit = 10_000
    /// Only looks: nothing is stored or noted.
    package var isDryRun = false

    package init() {}
}

/// What became of the messages of a request; of a dry run, what would, each message looked at by itself.
package struct ReplayResult: Sendable {
    package var examined = 0
    package var stored = 0
    package var duplicate = 0
    /// By the raw value of the reason that they wait for now.
    package var stillQuarantined = [Int](repeating: 0, count: 16)
    /// Where to go on; nil at the end.
    package var next: UInt64?

    var value: Value {
        let waiting = QuarantineReason.allCases.compactMap { reason -> Column? in
            let count = stillQuarantined[Int(reason.rawValue)]
            return count == 0 ? nil : Column(reason.description, .bigint(Int64(count)))
        }
        return .record([
            Column("examined", .bigint(Int64(examined))), Column("stored", .bigint(Int64(stored))),
            Column("duplicate", .bigint(Int64(duplicate))),
            Column("stillQuarantined", .record(waiting)),
            Column("next", next.map { .bigint(Int64($0)) } ?? .null),
        ])
    }
}

/// Puts quarantined messages through the current ingest rules, as if they arrived now.
///
/// Each is staged with its sequence in the quarantine and goes the way of every message: storage, answer,
/// subscribers, query. The queue decides whether it is stored, and notes it in the same frame. Its arrival time is
/// now; without a time of its own its event time is the original arrival.
struct QuarantineReplay {
    private let pipeline: Pipeline
    private let request: ReplayRequest
    private var result = ReplayResult()
    private var failure: HubError?
    /// Batches that are full, and the one being filled.
    private var full: [IngestBatch] = []
    private var open: IngestBatch?

    private static let batchBytes = 1 << 20

    init(pipeline: Pipeline, request: ReplayRequest) {
        self.pipeline = pipeline
        self.request = request
    }

    /// Blocks until all is durable: not for event loops.
    ///
    /// - Throws: `HubError` when the storage takes nothing now (what was done before stays done), `QueueError`.
    mutating func run() throws -> ReplayResult {
        let reader = pipeline.queue.makeQuarantineReader(.init(from: request.from, reason: request.reason))
        while result.next == nil {
            try checkStorage()
            guard try reader.next({ frame, reason in take(frame, reason) }) else { break }
            if let failure { throw failure }
            if let open, open.staging.frameCount > 0 { full.append(open) }
            open = nil
            for batch in full { try store(batch) }
            full = []
        }
        return result
    }

    private mutating func take(_ frame: LogFrame, _ reason: QuarantineReason?) {
        guard let reason, failure == nil, result.next == nil else { return }
        let table = pipeline.loop.ingest
        let match = table.match(frame.topic)
        let none = IngestTable.Match(rule: 0, rest: 0..<0)
        let input = IngestInput(
            topic: frame.topic, rest: (match ?? none).rest, properties: frame.properties,
            payload: frame.payload)
        guard isWanted(frame, table, match, input) else { return }
        guard result.examined < request.limit else {
            result.next = frame.sequence
            return
        }
        result.examined += 1
        var message = StagedMessage(
            device: 0, client: 0, packetIdentifier: 0,
            // A retained message of then must not take the place of a newer one.
            flags: frame.flags & (FrameFlags.qosMask | FrameFlags.version5), topic: frame.topic,
            properties: frame.properties, payload: frame.payload)
        message.replayedFrom = frame.sequence
        if let match {
            let number = DeviceName.number(
                table, rule: match.rule, input, client: nil, claimed: frame.claimedDevice,
                isTrial: request.isDryRun, in: pipeline.queue)
            if number == .limit {
                failure = HubError("the hub's limit of devices is reached: nothing more is replayed")
                return
            }
            message.setDevice(number)
            message.read(table.plans[match.rule], rest: match.rest)
        } else {
            message.reason = .noRule
        }
        if message.eventTicks == nil { message.eventTicks = frame.arrivalTime.ticks }
        if request.isDryRun {
            judge(message)
        } else if message.reason != reason {
            stage(message)
        } else {
            note(waiting: reason)
        }
    }

    private func isWanted(
        _ frame: LogFrame, _ table: IngestTable, _ match: IngestTable.Match?, _ input: IngestInput
    ) -> Bool {
        guard let device = request.device else { return true }
        if pipeline.queue.deviceID(frame.claimedDevice) == DeviceID(device) { return true }
        guard let match else { return false }
        return DeviceName.withName(table, rule: match.rule, input, client: nil) { name in
            name.map { $0.elementsEqual(device.utf8) } ?? false
        }
    }

    /// What a replay would do, without doing it.
    private mutating func judge(_ message: StagedMessage) {
        if let reason = message.reason { return note(waiting: reason) }
        guard let id = message.messageID, let device = pipeline.queue.deviceID(message.device) else {
            result.stored += 1
            return
        }
        do throws(QueueError) {
            let kept = try pipeline.queue.record(
                device: device, messageID: String(decoding: id, as: UTF8.self))
            guard let kept else {
                result.stored += 1
                return
            }
            if message.payload.elementsEqual(kept.payload) {
                result.duplicate += 1
            } else {
                note(waiting: .conflict)
            }
        } catch {
            // The record that has the id was removed: what is left of it does not tell here whether the bodies agree,
            // and a message was set aside for this reason only when they did not.
            if case .removed = error { return note(waiting: .conflict) }
            failure = HubError(error.description)
        }
    }

    private mutating func note(waiting reason: QuarantineReason) {
        result.stillQuarantined[Int(reason.rawValue)] += 1
    }

    private mutating func stage(_ message: StagedMessage) {
        var batch = open ?? IngestBatch(byteCapacity: Self.batchBytes)
        var frame = Self.write(message, to: batch)
        if frame == nil {
            if batch.staging.frameCount > 0 { full.append(batch) }
            batch = IngestBatch(byteCapacity: max(Self.batchBytes, message.frameBytes))
            frame = Self.write(message, to: batch)
        }
        open = batch
        guard let frame else { preconditionFailure("a fresh batch has room for its message") }
        batch.add(
            IngestBatch.Entry(
                frame: UInt32(frame), route: IngestBatch.Entry.noRoute, connectionSlot: .max,
                connectionGeneration: 0, packetIdentifier: 0, answer: .nothing))
    }

    private static func write(_ message: StagedMessage, to batch: IngestBatch) -> Int? {
        if let reason = message.reason {
            return batch.staging.stageReplayed(sequence: message.replayedFrom, reason: reason)
        }
        return message.write(to: batch.staging)
    }

    // Storing.

    private struct Outcomes: Sendable {
        var isFinal = false
        var stored = 0
        var duplicate = 0
        var waiting = [Int](repeating: 0, count: 16)
    }

    /// Hands a batch to the event loop and waits until it is durable.
    private mutating func store(_ batch: IngestBatch) throws {
        let outcomes = Monitor<Outcomes?>(Outcomes())
        batch.whenDurable = { staging in outcomes.update { $0 = Self.outcomes(of: staging) } }
        let loop = pipeline.loop
        loop.executor.execute {
            if !loop.submit(filled: batch) { outcomes.update { $0 = nil } }
        }
        while true {
            var found: Outcomes? = Outcomes()
            outcomes.wait(timeoutNanoseconds: 100_000_000) {
                $0?.isFinal ?? true
            } then: {
                found = $0
            }
            guard let found else {
                throw HubError("the hub is stopping: replay the rest after its next start")
            }
            if found.isFinal {
                result.stored += found.stored
                result.duplicate += found.duplicate
                for index in found.waiting.indices { result.stillQuarantined[index] += found.waiting[index] }
                return
            }
            try checkStorage()
        }
    }

    private func checkStorage() throws {
        switch pipeline.storage.state {
        case .running: return
        case .full(let text):
            throw HubError("the storage waits for room, replay again when there is some: \(text)")
        case .failed(let text): throw HubError("the storage failed: \(text)")
        }
    }

    private static func outcomes(of staging: StagingBuffer) -> Outcomes {
        var outcomes = Outcomes(isFinal: true)
        var at = 0
        while at < staging.byteCount {
            let frame = UnsafeRawPointer(staging.base) + at
            switch staging.outcome(at: at) {
            case .stored: outcomes.stored += 1
            case .duplicate: outcomes.duplicate += 1
            case .conflict: outcomes.waiting[Int(QuarantineReason.conflict.rawValue)] += 1
            case .noted, .quarantined, .pending:
                let reason = Int(frame.load(fromByteOffset: FrameLayout.reason, as: UInt8.self))
                outcomes.waiting[min(reason, outcomes.waiting.count - 1)] += 1
            }
            at += Int(frame.load(as: UInt32.self))
        }
        return outcomes
    }
}
