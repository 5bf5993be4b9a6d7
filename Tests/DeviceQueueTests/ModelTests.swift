import FileStoreKit
import Platform
import Testing

@testable import DeviceQueue

/// The queue against a naive dictionary, driven by the same seeded actions.
@Suite struct ModelTests {
    struct Model {
        var bodies: [String: String] = [:]
        var aside: Set<String> = []
        var records: [String: [String]] = [:]
        var quarantine: [String] = []
        var held: Set<String> = []

        mutating func accept(_ message: Message) -> AppendOutcome {
            let exchange = message.client.map { "\($0)/\(message.packetIdentifier)" }
            if let exchange, message.id == nil, held.contains(exchange) { return .duplicate }
            let outcome = place(message)
            if let exchange, outcome != .duplicate { held.insert(exchange) }
            return outcome
        }

        private mutating func place(_ message: Message) -> AppendOutcome {
            guard let id = message.id else {
                records[message.device, default: []].append(message.payload)
                return .stored
            }
            let key = "\(message.device)/\(id)"
            guard let first = bodies[key] else {
                bodies[key] = message.payload
                records[message.device, default: []].append(message.payload)
                return .stored
            }
            if first == message.payload || !aside.insert(key + "/" + message.payload).inserted {
                return .duplicate
            }
            quarantine.append(message.payload)
            return .conflict
        }
    }

    @Test("does what a dictionary would do", arguments: 0..<40 as Range<UInt64>)
    func agreement(_ seed: UInt64) throws {
        var random = SeededRandom(seed)
        let files = MemoryFileStore()
        var limits = smallLimits(segmentBytes: 2_048 + Int(random.below(4)) * 1_024)
        limits.dedupBytesMax = 8 << 20
        var queue = try openQueue(files, limits)
        var model = Model()
        for _ in 0..<60 {
            switch random.below(10) {
            case 0:
                try queue.commit()
                queue = try openQueue(files, limits)
            case 1: try queue.prepareNextSegment()
            case 2: try queue.appendTick(arrivalTicks: Int64(random.below(5_000)))
            case 3:
                let client = "c\(random.below(2))"
                let identifier = UInt16(random.below(6))
                try control(.release, client: client, packetIdentifier: identifier, in: queue)
                model.held.remove("\(client)/\(identifier)")
            default:
                let batch = (0..<(1 + random.below(12))).map { _ in
                    Message(
                        device: "d\(random.below(6))", id: random.below(6) == 0 ? nil : "\(random.below(30))",
                        payload: String(repeating: "b", count: Int(random.below(3)) * 60),
                        client: random.below(5) == 0 ? "c\(random.below(2))" : nil,
                        packetIdentifier: UInt16(random.below(6)))
                }
                let wanted = batch.map { model.accept($0) }
                #expect(try append(batch, to: queue, at: Int64(random.below(5_000))) == wanted)
                if random.below(3) > 0 { try queue.commit() }
            }
        }
        try queue.commit()
        for device in (0..<6).map({ "d\($0)" }) {
            #expect(try payloads(records(of: device, in: queue)) == model.records[device] ?? [])
        }
        #expect(try payloads(queue.quarantined(from: 1, limit: 10_000)) == model.quarantine)
        try expectGapless(queue)
        for client in (0..<2).map({ "c\($0)" }) {
            guard let number = queue.existingClient(named: client) else { continue }
            let held = (0..<6 as Range<UInt16>).filter { model.held.contains("\(client)/\($0)") }
            #expect(queue.unreleased(client: number) == held)
        }
    }
}
