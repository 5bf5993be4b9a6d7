import DeviceQueue
import MQTTWire
import Telemetry

/// The naive truth of a world: what was sent, what was promised, and what must therefore be stored.
///
/// It knows the rules of `semantics`, not the stages: lists and dictionaries, nothing clever.
final class Oracle {
    /// A frame of the log, as it was read back.
    struct Stored: Equatable {
        var kind: FrameKind
        var device: String
        var sequence: UInt64
        var messageID: String?
        var payload: [UInt8]
        var arrivalTicks: Int64
        var eventTicks: Int64
        var reason: QuarantineReason?
    }

    private unowned let world: World
    private let dedupHorizonTicks: Int64
    private let dedupMinimum: UInt64
    private var lastNumber = 0
    /// Every body that was ever sent, and its message.
    private var sent: [[UInt8]: Message] = [:]
    /// The bodies of each device in the order in which they went to the network, repetitions included.
    private var transmissions: [String: [[UInt8]]] = [:]
    private(set) var acknowledged: [Message] = []
    private var forwardedBodies: [[UInt8]] = []
    /// Result rows that subscribers got.
    private(set) var forwardedRows: [[UInt8]] = []
    private var completeMax: EventTime?
    /// The log at the last look: it only ever grows.
    private(set) var log: [Stored] = []

    /// - Parameters:
    ///   - dedupHorizonTicks: an id may be stored again when it is older,
    ///   - dedupMinimum: and its device has stored so many records since.
    init(world: World, dedupHorizonTicks: Int64, dedupMinimum: UInt64) {
        self.world = world
        self.dedupHorizonTicks = dedupHorizonTicks
        self.dedupMinimum = dedupMinimum
    }

    // MARK: What happens

    func nextNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    /// A device gave a message to the network, perhaps not for the first time.
    func transmitted(_ message: Message) {
        world.note("sent \(name(message))")
        sent[message.payload] = message
        transmissions[message.device, default: []].append(message.payload)
    }

    /// A device was told that its message is safe.
    func acknowledged(_ message: Message) {
        world.note("acknowledged \(name(message))")
        acknowledged.append(message)
    }

    private func name(_ message: Message) -> String {
        "\(message.device) message \(message.number), id \(message.messageID ?? "none"), QoS \(message.qos)"
    }

    /// A subscriber got a message.
    func forwarded(_ publish: Publish) {
        if publish.topic.hasPrefix("headend/") {
            forwardedRows.append(publish.payload)
        } else {
            forwardedBodies.append(publish.payload)
        }
    }

    /// The hub said that windows are complete.
    func published(completeThrough time: EventTime?) {
        if let time { completeMax = max(completeMax ?? time, time) }
    }

    // MARK: What must be so

    /// What was complete once is complete for ever, through all lives of the hub.
    func checkComplete(_ now: EventTime?) {
        guard let completeMax, now.map({ $0 < completeMax }) ?? true else { return }
        world.fail(.watermark, "\(completeMax) was complete, in the end \(now?.description ?? "nothing") is")
    }

    /// Compares the durable log with what was sent and promised.
    func check(_ found: [Stored]) {
        checkGrowth(found)
        checkSequences(found)
        checkIdentities(found)
        checkPromises(found)
        checkOrder(found)
        log = found
    }

    private func checkGrowth(_ found: [Stored]) {
        for (index, before) in log.enumerated() where index >= found.count || found[index] != before {
            let now = index < found.count ? "\(found[index].device) \(found[index].sequence)" : "nothing"
            return world.fail(
                .gapless, "frame \(index) of the log was \(before.device) \(before.sequence), is \(now)")
        }
    }

    private func checkSequences(_ found: [Stored]) {
        var last: [String: UInt64] = [:]
        var arrival = Int64.min
        for frame in found {
            if frame.arrivalTicks < arrival { world.fail(.gapless, "arrival times go back") }
            arrival = frame.arrivalTicks
            guard frame.kind == .record || frame.kind == .quarantined else { continue }
            // The quarantine is one queue, whatever device a message claims to be from.
            let queue = frame.kind == .record ? frame.device : ""
            if frame.sequence != last[queue, default: 0] + 1 {
                world.fail(.gapless, "\(queue): \(frame.sequence) follows \(last[queue, default: 0])")
            }
            last[queue] = frame.sequence
        }
    }

    private func checkIdentities(_ found: [Stored]) {
        var identities: [String: Stored] = [:]
        var bodies: [[UInt8]: Int] = [:]
        for frame in found where frame.kind == .record || frame.kind == .quarantined {
            guard let message = sent[frame.payload], message.device == frame.device else {
                world.fail(
                    .nothingInvented,
                    "\(frame.device) \(frame.sequence) was never sent: \(text(frame.payload))")
                continue
            }
            if frame.kind == .quarantined {
                checkQuarantined(frame, message)
                continue
            }
            if frame.messageID != message.messageID {
                world.fail(
                    .nothingInvented,
                    "\(text(frame.payload)) is stored with the id \(frame.messageID ?? "none")")
            }
            if let ticks = message.eventTicks, ticks != frame.eventTicks {
                world.fail(.nothingInvented, "\(text(frame.payload)) is stored with another event time")
            }
            if let id = frame.messageID {
                if let first = identities.updateValue(frame, forKey: "\(frame.device)/\(id)") {
                    checkForgotten(first, again: frame, id)
                }
            }
            bodies[frame.payload, default: 0] += 1
            if message.messageID == nil, message.qos == 2, bodies[frame.payload, default: 0] > 1 {
                world.fail(.exactlyOnceWithoutID, "\(text(frame.payload)) is stored again")
            }
        }
    }

    /// An id may come again only when it is past the horizon and the last ids of its device.
    private func checkForgotten(_ first: Stored, again frame: Stored, _ id: String) {
        let isOld = frame.arrivalTicks - first.arrivalTicks > dedupHorizonTicks
        guard !isOld || frame.sequence - 1 - first.sequence < dedupMinimum else {
            return world.reach(.forgotten)
        }
        world.fail(
            .storedOnce,
            "\(frame.device) \(id), sequence \(first.sequence), is stored again as \(frame.sequence)")
    }

    private func checkQuarantined(_ frame: Stored, _ message: Message) {
        switch (frame.reason, message.body) {
        case (.notJSON, .notJSON): break
        case (.conflict, .reading) where message.messageID != nil: break
        default:
            world.fail(
                .nothingInvented,
                "\(text(frame.payload)) is in quarantine: \(String(describing: frame.reason))")
        }
    }

    private func checkPromises(_ found: [Stored]) {
        var records: Set<[UInt8]> = []
        var quarantined: Set<[UInt8]> = []
        for frame in found {
            if frame.kind == .record { records.insert(frame.payload) }
            if frame.kind == .quarantined { quarantined.insert(frame.payload) }
        }
        for message in acknowledged where message.qos > 0 {
            guard !records.contains(message.payload), !quarantined.contains(message.payload) else { continue }
            world.fail(
                .ackedIsStored,
                "\(message.device) was promised \(message.messageID ?? "a message without id"), "
                    + "QoS \(message.qos): \(text(message.payload))")
        }
        for body in forwardedBodies where !records.contains(body) {
            world.fail(.forwardedIsStored, "a subscriber got \(text(body))")
        }
        forwardedBodies = []
    }

    /// Records are a subsequence of what their device gave to the network.
    private func checkOrder(_ found: [Stored]) {
        var next: [String: Int] = [:]
        for frame in found where frame.kind == .record {
            let order = transmissions[frame.device] ?? []
            var at = next[frame.device, default: 0]
            while at < order.count, order[at] != frame.payload { at += 1 }
            guard at < order.count else {
                world.fail(.firstAcceptOrder, "\(frame.device) \(frame.sequence): \(text(frame.payload))")
                return
            }
            next[frame.device] = at + 1
        }
    }

    /// The message of a body; every stored one has one once `check` was content.
    func message(of body: [UInt8]) -> Message? { sent[body] }

    /// A body for people: its beginning.
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(120), as: UTF8.self) }
}

extension DeviceQueue {
    /// Everything in the durable log that has a meaning of its own: records, quarantined messages, ticks.
    func storedFrames() throws -> [Oracle.Stored] {
        var frames: [Oracle.Stored] = []
        let reader = makeReader(from: QueueOffset(0))
        while try reader.next({ frame in
            switch frame.kind {
            case .record, .quarantined:
                let record = copy(frame)
                frames.append(
                    Oracle.Stored(
                        kind: frame.kind, device: record.device.text, sequence: record.sequence,
                        messageID: record.messageID, payload: record.payload,
                        arrivalTicks: record.arrivalTime.ticks, eventTicks: record.eventTime.ticks,
                        reason: record.quarantineReason))
            case .tick:
                frames.append(
                    Oracle.Stored(
                        kind: .tick, device: "", sequence: 0, messageID: nil, payload: [],
                        arrivalTicks: frame.arrivalTime.ticks, eventTicks: 0, reason: nil))
            default: break
            }
        }) {}
        return frames
    }
}
