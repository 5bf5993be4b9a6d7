import PerpetualQuery
import Telemetry
import Testing

/// One input of an engine, with the payload's fields as they are told to the oracle.
enum Step {
    case record(device: UInt32, arrival: EventTime, event: EventTime, payload: String)
    case tick(arrival: EventTime)
    case flush
}

/// The default query with sequences and device names around it.
struct Harness {
    var engine: LiveQuery
    var sequences: [UInt32: UInt64] = [:]
    private let settings: StreamSettings

    init(settings: StreamSettings = DefaultQuery.settings, limits: StreamLimits = StreamLimits()) {
        self.settings = settings
        engine = Self.engine(settings, limits)
    }

    private static func engine(_ settings: StreamSettings, _ limits: StreamLimits) -> LiveQuery {
        guard let plan = try? DefaultQuery.plan(settings: settings),
            let engine = try? LiveQuery(plan: plan, limits: limits)
        else {
            preconditionFailure("the default query can be planned")
        }
        engine.deviceName = Self.name
        return engine
    }

    /// Names sort otherwise than numbers do, so that a row order by number shows.
    static func name(_ device: UInt32) -> DeviceID { DeviceID("device-\(device * 29 % 11)") }

    /// The rows that stand in an engine, which forgets them.
    static func take(_ engine: LiveQuery) -> [ResultRow] {
        defer { engine.removeRows() }
        return (0..<engine.rows.count).map { engine.rows.resultRow($0) } + engine.rows.systemRows
    }

    mutating func run(_ step: Step) -> [ResultRow] {
        do {
            switch step {
            case .record(let device, let arrival, let event, let payload):
                let sequence = (sequences[device] ?? 0) + 1
                sequences[device] = sequence
                try Array(payload.utf8).withUnsafeBytes { bytes in
                    try engine.process(
                        RecordView(
                            device: device, sequence: sequence, arrivalTime: arrival, eventTime: event,
                            offset: QueueOffset(0), payload: bytes))
                }
            case .tick(let arrival): try engine.tick(arrival: arrival)
            case .flush: try engine.flush()
            }
        } catch {
            Issue.record("\(error)")
        }
        return Self.take(engine)
    }

    mutating func run(_ steps: [Step]) -> [ResultRow] { steps.flatMap { run($0) } }

    /// Swaps the engine for one restored from its own checkpoint.
    mutating func restart(limits: StreamLimits = StreamLimits()) throws {
        let state = engine.snapshot()
        engine = Self.engine(settings, limits)
        try engine.restore(state)
    }
}

func time(_ text: String) -> EventTime { EventTime.parse(text) ?? EventTime(ticks: 0) }

extension EventTime {
    func plus(seconds: Double) -> EventTime {
        adding(ticks: Int64((seconds * Double(Self.ticksPerSecond)).rounded()))
    }
}

/// A small generator of its own (SplitMix64), so that a seed gives the same steps everywhere.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
