import Platform
import ResultSink
import Synchronization
import Telemetry

let base = EventTime.parse("2026-03-01T00:00:00Z") ?? EventTime(ticks: 0)

/// A row of a windowed output, whose every byte follows from its parameters.
func row(_ device: String, _ field: String, minute: Int, value: Int = 0, output: String = "minute")
    -> ResultRow
{
    let end = base.adding(ticks: Int64(minute) * EventTime.ticksPerMinute)
    return ResultRow(
        output: output,
        id: ResultID(
            query: "minute", version: 1, output: output, groupKey: Array("\(device),\(field),\(value)".utf8),
            windowKind: "tumbling", start: end, end: end, revision: 0),
        time: end,
        columns: [
            Column("device", .text(device)), Column("field", .text(field)), Column("windowEnd", .time(end)),
            Column("value", .bigint(Int64(value))),
        ])
}

func moment(minute: Int) -> EventTime { base.adding(ticks: Int64(minute) * EventTime.ticksPerMinute) }

extension FileStore {
    /// A string's bytes as they are in a file; empty when there is none.
    func text(_ path: String) -> String {
        (try? contents(of: path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// A clock that moves a second with every look, so that a cursor is always due.
final class ImpatientClock: HubClock {
    private let seconds = Mutex<UInt64>(0)
    func wallTicks() -> Int64 { 0 }
    func monotonicNanoseconds() -> UInt64 {
        seconds.withLock {
            $0 += 1
            return $0 * 1_000_000_000
        }
    }
}

/// A clock that stands, so that a cursor is never due.
struct StandingClock: HubClock {
    func wallTicks() -> Int64 { 0 }
    func monotonicNanoseconds() -> UInt64 { 0 }
}
