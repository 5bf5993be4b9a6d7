import QueryLanguage
import Telemetry

/// Functions of dates: proleptic Gregorian, UTC, weeks from Sunday as T-SQL has them.
enum DateFunctions {
    static let dayTicks: Int64 = 864_000_000_000
    private static let names = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ]
    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
    ]

    static func call(
        _ function: ScalarFunction, _ arguments: Arguments, _ context: FunctionContext
    ) -> Datum {
        if function == .dateTimeFromParts { return fromParts(arguments, context) }
        let index = Int(truncatingIfNeeded: arguments[0].integer)
        guard TimeUnit.allCases.indices.contains(index) else { return context.fail(.argument) }
        let unit = TimeUnit.allCases[index]
        switch function {
        case .dateAdd:
            guard let count = Conversion.integer(of: arguments[1]),
                let time = Conversion.ticks(of: arguments[2]),
                let moved = add(count, unit, to: time)
            else { return context.fail(.argument) }
            return Datum(ticks: moved)
        case .dateDifference:
            guard let from = Conversion.ticks(of: arguments[1]), let to = Conversion.ticks(of: arguments[2])
            else {
                return context.fail(.argument)
            }
            return Datum(number(unit, to) - number(unit, from))
        case .datePart:
            guard let time = Conversion.ticks(of: arguments[1]) else { return context.fail(.argument) }
            return Datum(part(unit, time))
        case .dateName:
            guard let time = Conversion.ticks(of: arguments[1]) else { return context.fail(.argument) }
            let value = part(unit, time)
            switch unit {
            case .month: return context.arena.text(Array(names[Int(value) - 1].utf8))
            case .weekday: return context.arena.text(Array(weekdays[Int(value) - 1].utf8))
            default: return context.arena.text(Array(String(value).utf8))
            }
        default: return context.fail(.argument)
        }
    }

    private static func floor(_ value: Int64, _ by: Int64) -> Int64 {
        value >= 0 ? value / by : (value - by + 1) / by
    }

    /// How many boundaries of a unit lie before a moment, from some fixed one: DATEDIFF is the difference
    /// of two.
    static func number(_ unit: TimeUnit, _ ticks: Int64) -> Int64 {
        switch unit {
        case .year, .quarter, .month:
            let date = CivilDate.civil(fromDays: floor(ticks, dayTicks))
            let months = date.year * 12 + date.month - 1
            return unit == .year ? date.year : unit == .quarter ? floor(months, 3) : months
        case .dayofyear, .day, .weekday: return floor(ticks, dayTicks)
        // 1970-01-01 was a Thursday: the Sunday before lies 4 days back.
        case .week: return floor(floor(ticks, dayTicks) + 4, 7)
        case .hour, .minute, .second, .millisecond, .microsecond: return floor(ticks, unit.ticks ?? 1)
        }
    }

    static func part(_ unit: TimeUnit, _ ticks: Int64) -> Int64 {
        let days = floor(ticks, dayTicks)
        let date = CivilDate.civil(fromDays: days)
        let rest = ticks - days * dayTicks
        switch unit {
        case .year: return date.year
        case .quarter: return (date.month + 2) / 3
        case .month: return date.month
        case .day: return date.day
        case .dayofyear: return days - CivilDate.days(year: date.year, month: 1, day: 1) + 1
        case .week:
            let first = CivilDate.days(year: date.year, month: 1, day: 1)
            return number(.week, ticks) - floor(first + 4, 7) + 1
        case .weekday: return (days + 4) - floor(days + 4, 7) * 7 + 1
        case .hour: return rest / 36_000_000_000
        case .minute: return rest / 600_000_000 % 60
        case .second: return rest / 10_000_000 % 60
        case .millisecond: return rest / 10_000 % 1_000
        case .microsecond: return rest / 10 % 1_000_000
        }
    }

    /// nil: past the years 1 to 9999.
    static func add(_ count: Int64, _ unit: TimeUnit, to ticks: Int64) -> Int64? {
        let moved: Int64
        if let length = dayUnits(unit) ?? unit.ticks {
            let (span, over) = count.multipliedReportingOverflow(by: length)
            let (sum, overAgain) = ticks.addingReportingOverflow(span)
            if over || overAgain { return nil }
            moved = sum
        } else {
            let step: Int64 = unit == .year ? 12 : unit == .quarter ? 3 : 1
            guard count.magnitude < 1_000_000 else { return nil }
            let days = floor(ticks, dayTicks)
            let date = CivilDate.civil(fromDays: days)
            let months = date.year * 12 + date.month - 1 + count * step
            let year = floor(months, 12)
            let month = months - year * 12 + 1
            guard (1...9_999).contains(year) else { return nil }
            let day = min(date.day, CivilDate.daysInMonth(year: year, month: month))
            moved = CivilDate.days(year: year, month: month, day: day) * dayTicks + ticks - days * dayTicks
        }
        return TimeRange.ticks.contains(moved) ? moved : nil
    }

    private static func dayUnits(_ unit: TimeUnit) -> Int64? {
        switch unit {
        case .dayofyear, .weekday: dayTicks
        case .week: 7 * dayTicks
        default: nil
        }
    }

    private static func fromParts(_ arguments: Arguments, _ context: FunctionContext) -> Datum {
        var parts: [Int64] = []
        for index in 0..<7 {
            guard let part = Conversion.integer(of: arguments[index]) else { return context.fail(.argument) }
            parts.append(part)
        }
        guard (1...9_999).contains(parts[0]), (1...12).contains(parts[1]), parts[2] >= 1,
            parts[2] <= CivilDate.daysInMonth(year: parts[0], month: parts[1]), (0...23).contains(parts[3]),
            (0...59).contains(parts[4]), (0...59).contains(parts[5]), (0...999).contains(parts[6])
        else { return context.fail(.argument) }
        let days = CivilDate.days(year: parts[0], month: parts[1], day: parts[2])
        let seconds = days * 86_400 + parts[3] * 3_600 + parts[4] * 60 + parts[5]
        return Datum(ticks: seconds * 10_000_000 + parts[6] * 10_000)
    }
}

/// Times that the formats can print, and far from the ends of Int64: years 1 to 9999.
enum TimeRange {
    static let ticks: Range<Int64> = -621_355_968_000_000_000..<2_534_023_008_000_000_000
    /// Times that events may have: years 1 to 9998, so that the windows they are in end in the years above.
    static let events: Range<Int64> = ticks.lowerBound..<2_533_707_648_000_000_000
}
