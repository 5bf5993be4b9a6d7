import PerpetualQuery
import Telemetry

/// The default query written again without a look at the engine: it keeps every accepted value and recomputes
/// every window from scratch. Slow on purpose.
struct NaiveOracle {
    enum Number {
        case integer(Int64)
        case float(Double)
    }
    struct Reading {
        var device: String
        var event: Int64
        var fields: [(name: String, value: Number)]
    }
    var accepted: [Reading] = []
    var floor: Int64?
    var emitted: Set<String> = []
    var refused: [String: Int] = [:]

    private static let second: Int64 = 10_000_000
    private static let minute: Int64 = 600_000_000

    func watermark(_ device: String) -> Int64? {
        let own = accepted.filter { $0.device == device }.map(\.event).max().map { $0 - 60 * Self.second }
        return [own, floor].compactMap { $0 }.max()
    }

    /// What the rows of this step must say, in order: `late device reason event` or the values of a window.
    mutating func record(
        device: String, arrival: EventTime, event: EventTime, fields: [(name: String, value: Number)]
    ) -> [String] {
        let reason: String?
        if event.ticks > arrival.ticks + 5 * Self.minute {
            reason = "early"
        } else if arrival.ticks - event.ticks > 60 * Self.second {
            reason = "late"
        } else if let watermark = watermark(device), event.ticks < watermark {
            reason = "out_of_order"
        } else {
            reason = nil
        }
        if let reason {
            refused[reason, default: 0] += 1
            return ["late \(device) \(reason) \(event)"]
        }
        accepted.append(Reading(device: device, event: event.ticks, fields: fields))
        return closed { $0 == device }
    }

    mutating func tick(arrival: EventTime) -> [String] {
        floor = max(floor ?? Int64.min, arrival.ticks - 60 * Self.second)
        return closed { _ in true }
    }

    mutating func flush() -> [String] {
        closed(all: true) { _ in true }
    }

    private mutating func closed(all: Bool = false, _ isConcerned: (String) -> Bool) -> [String] {
        var lines: [(end: Int64, device: String, field: String, text: String)] = []
        var marks: [String: Int64] = [:]
        for device in Set(accepted.map(\.device)) where isConcerned(device) {
            marks[device] = all ? Int64.max : watermark(device) ?? Int64.min
        }
        struct Key: Hashable {
            var device: String
            var field: String
            var end: Int64
        }
        var groups: [Key: [Number]] = [:]
        for reading in accepted {
            guard let mark = marks[reading.device] else { continue }
            // The window (start, end] with end = 60 s · k is found by trying, not by the engine's formula.
            var end = reading.event / Self.minute * Self.minute - Self.minute
            while end < reading.event { end += Self.minute }
            guard end < mark else { continue }
            for field in reading.fields {
                groups[Key(device: reading.device, field: field.name, end: end), default: []]
                    .append(field.value)
            }
        }
        for (key, values) in groups {
            guard emitted.insert("\(key.device)|\(key.field)|\(key.end)").inserted else { continue }
            lines.append((key.end, key.device, key.field, Self.text(key.device, key.field, key.end, values)))
        }
        lines.sort { ($0.end, $0.device, $0.field) < ($1.end, $1.device, $1.field) }
        return lines.map(\.text)
    }

    private static func text(_ device: String, _ field: String, _ end: Int64, _ values: [Number]) -> String {
        var least = values[0]
        var greatest = values[0]
        for value in values {
            if compare(value, least) < 0 { least = value }
            if compare(value, greatest) > 0 { greatest = value }
        }
        var whole: Int64 = 0
        var float: Double?
        for value in values {
            switch value {
            case .integer(let integer):
                if let sum = float { float = sum + Double(integer) } else { whole += integer }
            case .float(let next): float = (float ?? Double(whole)) + next
            }
        }
        let sum = float ?? Double(whole)
        return [
            device, field, "\(EventTime(ticks: end - minute))", "\(EventTime(ticks: end))", "\(values.count)",
            show(least), show(greatest), "\(sum / Double(values.count))",
            float.map { "\($0)f" } ?? "\(whole)i",
        ].joined(separator: " ")
    }

    private static func compare(_ left: Number, _ right: Number) -> Int {
        func double(_ number: Number) -> Double {
            switch number {
            case .integer(let value): Double(value)
            case .float(let value): value
            }
        }
        return double(left) < double(right) ? -1 : (double(left) > double(right) ? 1 : 0)
    }

    private static func show(_ number: Number) -> String {
        switch number {
        case .integer(let value): "\(value)i"
        case .float(let value): "\(value)f"
        }
    }
}

/// A row of the engine in the oracle's words.
func describe(_ row: ResultRow) -> String {
    func text(_ name: String) -> String {
        switch row[name] {
        case .text(let value): value
        case .time(let value): "\(value)"
        case .bigint(let value): "\(value)i"
        case .float(let value): "\(value)f"
        default: "null"
        }
    }
    if row.output == StreamPlan.lateOutput {
        return "late \(text("device")) \(text("reason")) \(text("eventTime"))"
    }
    return [
        text("device"), text("field"), text("windowStart"), text("windowEnd"),
        String(text("count").dropLast()),
        text("min"), text("max"), String(text("avg").dropLast()), text("sum"),
    ].joined(separator: " ")
}
