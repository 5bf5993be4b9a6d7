import MQTTWire

@testable import MQTTBroker

/// A broker on the bench whose journal is a list of records, and which can be started again from it.
final class KeptBench {
    struct Record {
        var kind: UInt8
        var body: [UInt8]
        var position: UInt64
    }

    private(set) var bench: BrokerBench
    private(set) var records: [Record] = []
    private(set) var bytes: UInt64 = 64
    private(set) var cleanings: [JournalCleaned] = []
    /// Of the next lives.
    var access: (any AccessGuard)?
    private let change: (inout BrokerLimits) -> Void
    private static let wallOffset: Int64 = 1_700_000_000_000_000_000

    init(_ change: @escaping (inout BrokerLimits) -> Void = { _ in }) {
        self.change = change
        bench = BrokerBench(change)
        bench.broker.restore(
            BrokerRestore(wallOffset: Self.wallOffset), position: 64, byteCount: 0, now: bench.nanoseconds)
    }

    /// Everything so far is durable.
    func commit() {
        while let group = bench.broker.takeJournalGroup() {
            precondition(group.start == bytes)
            var at = 0
            while at < group.bytes.count {
                let length = group.bytes[at..<(at + 4)].reversed().reduce(0) { $0 << 8 | Int($1) }
                let body = Array(group.bytes[(at + 9)..<(at + 8 + length)])
                records.append(
                    Record(kind: group.bytes[at + 8], body: body, position: group.start + UInt64(at)))
                at += 8 + length
            }
            bytes = group.end
            if let cleaned = group.cleaned {
                cleanings.append(cleaned)
                records.removeAll {
                    $0.position < cleaned.cut && !cleaned.blocks.contains($0.position / 65_536)
                }
            }
        }
    }

    /// The process dies, and starts again after some seconds.
    func restart(after seconds: UInt64 = 0) {
        commit()
        let cut = cleanings.last?.cut ?? 0
        var restored = BrokerRestore(wallOffset: Self.wallOffset)
        for record in records where record.position >= cut {
            record.body.withUnsafeBytes {
                restored.take(kind: record.kind, body: $0, position: record.position)
            }
        }
        precondition(restored.unknown == nil)
        let now = bench.now + seconds
        bench = BrokerBench(change)
        bench.now = now
        bench.broker.access = access
        bench.broker.restore(restored, position: bytes, byteCount: bytes - cut, now: bench.nanoseconds)
        bench.pass(0)
    }

    /// Answers the reads of bodies until none is wanted.
    func read() -> [String] {
        var lines: [String] = []
        while !bench.wanted.isEmpty {
            let request = bench.wanted.removeFirst()
            commit()
            let bodies = request.positions.map { position in
                records.first { $0.position == position }.flatMap { record in
                    record.body.withUnsafeBytes {
                        Message(journalled: $0, at: position, wallOffset: Self.wallOffset)
                    }
                }
            }
            var actions: [BrokerAction] = []
            bench.broker.backlogRead(request, bodies, now: bench.nanoseconds, actions: &actions)
            lines += bench.lines(actions)
        }
        return lines.filter { !$0.contains(" wants ") }
    }

    /// Writes everything again, as often as the broker has something to write.
    func clean(byteBudget: Int = 200) {
        let before = cleanings.count
        commit()
        for _ in 0..<10_000 where cleanings.count == before {
            bench.broker.cleanJournal(byteBudget: byteBudget, bytesMin: 1)
            commit()
        }
    }
}
