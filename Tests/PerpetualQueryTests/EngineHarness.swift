import PerpetualQuery
import Telemetry

/// One input of an engine, with the payload's fields as they are told to the oracle.
enum Step {
    case record(device: UInt32, arrival: EventTime, event: EventTime, payload: String)
    case tick(arrival: EventTime)
    case flush
}

/// An engine with sequences and device names around it.
struct Harness {
    var engine: QueryEngine
    var sequences: [UInt32: UInt64] = [:]

    init(plan: QueryPlan = .perMinute, limits: EngineLimits = EngineLimits()) {
        engine = QueryEngine(plan: plan, limits: limits)
    }

    /// Names sort otherwise than numbers do, so that a row order by number shows.
    static func name(_ device: UInt32) -> DeviceID { DeviceID("device-\(device * 29 % 11)") }

    mutating func run(_ step: Step) -> [ResultRow] {
        var rows: [ResultRow] = []
        switch step {
        case .record(let device, let arrival, let event, let payload):
            let sequence = (sequences[device] ?? 0) + 1
            sequences[device] = sequence
            Array(payload.utf8).withUnsafeBytes { bytes in
                engine.process(
                    RecordView(
                        device: device, sequence: sequence, arrivalTime: arrival, eventTime: event,
                        offset: QueueOffset(0), payload: bytes),
                    deviceName: Self.name, rows: &rows)
            }
        case .tick(let arrival): engine.tick(arrival: arrival, deviceName: Self.name, rows: &rows)
        case .flush: engine.flush(deviceName: Self.name, rows: &rows)
        }
        return rows
    }

    mutating func run(_ steps: [Step]) -> [ResultRow] { steps.flatMap { run($0) } }

    /// Swaps the engine for one restored from its own checkpoint.
    mutating func restart(plan: QueryPlan = .perMinute, limits: EngineLimits = EngineLimits()) throws {
        engine = try QueryEngine(plan: plan, restoring: engine.snapshot(), limits: limits)
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
