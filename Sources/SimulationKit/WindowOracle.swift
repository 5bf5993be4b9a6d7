import DeviceQueue
import Telemetry

/// The rows that the per-minute query must have made of a log, worked out from scratch: every accepted value
/// is kept, every window recomputed. `semantics` §2 and §3, not the engine, is its source.
struct WindowOracle {
    struct Key: Hashable, Comparable {
        var end: Int64
        var device: String
        var field: String

        static func < (left: Key, right: Key) -> Bool {
            (left.end, left.device, left.field) < (right.end, right.device, right.field)
        }
    }

    private(set) var windows: [Key: [Value]] = [:]
    /// The rows of `_late` without their ids, in order.
    private(set) var late: [String] = []
    /// Windows that end at or before it are closed by the clock.
    private(set) var completeThrough = Int64.min
    private var greatest: [String: Int64] = [:]
    private var floor = Int64.min

    private static let minute: Int64 = 600_000_000
    private static let tolerance: Int64 = 600_000_000
    private static let early: Int64 = 3_000_000_000

    init(_ log: [Oracle.Stored], message: ([UInt8]) -> Message?) {
        for frame in log {
            if frame.kind == .tick {
                floor = max(floor, frame.arrivalTicks - Self.tolerance)
            } else if frame.kind == .record, let message = message(frame.payload) {
                add(frame, message)
            }
        }
        if floor > Int64.min {
            // The last end that lies before the floor.
            var end = floor / Self.minute * Self.minute
            while end >= floor { end -= Self.minute }
            completeThrough = end
        }
    }

    private mutating func add(_ frame: Oracle.Stored, _ message: Message) {
        let own = greatest[frame.device].map { $0 - Self.tolerance }
        let watermark = max(own ?? Int64.min, floor)
        let reason: String?
        if frame.eventTicks > frame.arrivalTicks + Self.early {
            reason = "early"
        } else if frame.eventTicks < frame.arrivalTicks - Self.tolerance {
            reason = "late"
        } else {
            reason = frame.eventTicks < watermark ? "out_of_order" : nil
        }
        if let reason {
            return late.append(
                Self.json([
                    Column("device", .text(frame.device)), Column("reason", .text(reason)),
                    Column("eventTime", .time(EventTime(ticks: frame.eventTicks))),
                    Column("arrivalTime", .time(EventTime(ticks: frame.arrivalTicks))),
                    Column("watermark", watermark == Int64.min ? .null : .time(EventTime(ticks: watermark))),
                    Column("sequence", .bigint(Int64(frame.sequence))),
                    Column("payload", .text(String(decoding: frame.payload, as: UTF8.self))),
                ]))
        }
        greatest[frame.device] = max(greatest[frame.device] ?? Int64.min, frame.eventTicks)
        guard case .reading(let fields) = message.body else { return }
        var end = frame.eventTicks / Self.minute * Self.minute
        while end < frame.eventTicks { end += Self.minute }
        for field in fields {
            windows[Key(end: end, device: frame.device, field: field.name), default: []].append(field.value)
        }
    }

    /// The row of a window without its id.
    func row(_ key: Key) -> String {
        let values = windows[key] ?? []
        let numbers = values.map(Self.number)
        let least = numbers.min() ?? 0
        let greatest = numbers.max() ?? 0
        // All values are multiples of 1/8, so no order of adding rounds.
        let sum = numbers.reduce(0, +)
        let isWhole = values.allSatisfy { if case .bigint = $0 { true } else { false } }
        return Self.json([
            Column("device", .text(key.device)), Column("field", .text(key.field)),
            Column("windowStart", .time(EventTime(ticks: key.end - Self.minute))),
            Column("windowEnd", .time(EventTime(ticks: key.end))),
            Column("count", .bigint(Int64(values.count))),
            Column("min", values.first { Self.number($0) == least } ?? .null),
            Column("max", values.first { Self.number($0) == greatest } ?? .null),
            Column("avg", .float(sum / Double(values.count))),
            Column("sum", isWhole ? .bigint(Int64(sum)) : .float(sum)),
        ])
    }

    private static func number(_ value: Value) -> Double {
        switch value {
        case .bigint(let whole): Double(whole)
        case .float(let float): float
        default: 0
        }
    }

    /// A row's JSON without the closing brace, where `_rid` would follow.
    private static func json(_ columns: [Column]) -> String {
        var bytes: [UInt8] = []
        Column.appendJSON(columns, to: &bytes)
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }
}
