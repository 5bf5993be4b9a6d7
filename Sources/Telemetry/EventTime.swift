/// A moment in ticks of 100 ns since 1970-01-01T00:00:00Z, proleptic Gregorian, no leap seconds.
///
/// The unit is the one of the query language (`semantics`: "integer arithmetic in 100 ns ticks"), so that
/// window ends are exact. Years 1 to 9999 are parsed; others are printed with a sign and six digits.
package struct EventTime: Hashable, Comparable, Sendable {
    /// 100 ns steps since the epoch; negative before 1970.
    package var ticks: Int64

    package static let ticksPerMillisecond: Int64 = 10_000
    package static let ticksPerSecond: Int64 = 10_000_000
    package static let ticksPerMinute: Int64 = 600_000_000

    @inlinable package init(ticks: Int64) { self.ticks = ticks }

    package init(milliseconds: Int64) { ticks = milliseconds * Self.ticksPerMillisecond }

    @inlinable package static func < (left: EventTime, right: EventTime) -> Bool { left.ticks < right.ticks }

    /// The end of the tumbling window `(end − size, end]` that holds this moment: `ceil(t / size) · size`.
    @inlinable package func windowEnd(sizeTicks: Int64) -> EventTime {
        let remainder = ticks % sizeTicks
        if remainder == 0 { return self }
        return EventTime(ticks: remainder > 0 ? ticks - remainder + sizeTicks : ticks - remainder)
    }

    @inlinable package func adding(ticks more: Int64) -> EventTime { EventTime(ticks: ticks &+ more) }
}

extension EventTime: CustomStringConvertible {
    /// ISO 8601 in UTC with `Z`, with as many fraction digits (none, 3 or 7) as the value needs.
    package var description: String {
        var bytes: [UInt8] = []
        appendISO8601(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `2026-03-01T00:12:34Z`, `….567Z` or `….5678901Z`; past the year 9999 `+010000-01-01T00:00:00Z`, and
    /// before the year 0 with a `-`.
    package func appendISO8601(to bytes: inout [UInt8]) {
        let day = Self.ticksPerSecond * 86_400
        var days = ticks / day
        var rest = ticks % day
        if rest < 0 {
            days -= 1
            rest += day
        }
        let (year, month, dayOfMonth) = CivilDate.civil(fromDays: days)
        let seconds = rest / Self.ticksPerSecond
        let fraction = rest % Self.ticksPerSecond
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 31) { text in
            var at = 0
            func put(_ value: Int64, _ count: Int, then mark: Unicode.Scalar) {
                var rest = UInt32(truncatingIfNeeded: value)
                for place in stride(from: at + count - 1, through: at, by: -1) {
                    text[place] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                }
                text[at + count] = UInt8(ascii: mark)
                at += count + 1
            }
            if year >= 0, year <= 9_999 {
                put(year, 4, then: "-")
            } else {
                text[0] = UInt8(ascii: year < 0 ? "-" : "+")
                at = 1
                put(abs(year), 6, then: "-")
            }
            put(month, 2, then: "-")
            put(dayOfMonth, 2, then: "T")
            put(seconds / 3_600, 2, then: ":")
            put(seconds / 60 % 60, 2, then: ":")
            put(seconds % 60, 2, then: fraction == 0 ? "Z" : ".")
            if fraction != 0 {
                let isMilliseconds = fraction % Self.ticksPerMillisecond == 0
                put(
                    isMilliseconds ? fraction / Self.ticksPerMillisecond : fraction, isMilliseconds ? 3 : 7,
                    then: "Z")
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[..<at]))
        }
    }
}

/// Days since the epoch ↔ year, month, day of the proleptic Gregorian calendar, in integers.
package enum CivilDate {
    /// - Returns: whole days from 1970-01-01 to the date; months 1–12, days 1–31 are not checked here.
    @inlinable package static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        // March-based years put the leap day last (Howard Hinnant, "chrono-compatible low-level date
        // algorithms", days_from_civil).
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// The inverse of `days(year:month:day:)` (same source, civil_from_days).
    package static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let z = days + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    /// Days in the month; February by the Gregorian leap rule.
    @inlinable package static func daysInMonth(year: Int64, month: Int64) -> Int64 {
        switch month {
        case 2: return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: return 30
        default: return 31
        }
    }
}
