/// The unit of a window's size, or the part of a date in DATEADD, DATEDIFF, DATEPART and DATENAME.
package enum TimeUnit: String, Hashable, Sendable, CaseIterable {
    case year, quarter, month, dayofyear, day, week, weekday, hour, minute, second, millisecond, microsecond

    /// The unit a word stands for: its name, its plural, or an abbreviation of the language; any case.
    package init?(word: String) {
        let lower = word.lowercased()
        if let unit = TimeUnit(rawValue: lower) {
            self = unit
            return
        }
        switch lower {
        case "yy", "yyyy", "years": self = .year
        case "qq", "q", "quarters": self = .quarter
        case "mm", "m", "months": self = .month
        case "dy", "y": self = .dayofyear
        case "dd", "d", "days": self = .day
        case "wk", "ww", "weeks": self = .week
        case "dw", "w": self = .weekday
        case "hh", "hours": self = .hour
        case "mi", "n", "minutes": self = .minute
        case "ss", "s", "seconds": self = .second
        case "ms", "milliseconds": self = .millisecond
        case "mcs", "microseconds": self = .microsecond
        default: return nil
        }
    }

    /// Its length in ticks of 100 ns; nil for the parts of a date that cannot size a window.
    package var ticks: Int64? {
        switch self {
        case .day: 864_000_000_000
        case .hour: 36_000_000_000
        case .minute: 600_000_000
        case .second: 10_000_000
        case .millisecond: 10_000
        case .microsecond: 10
        case .year, .quarter, .month, .dayofyear, .week, .weekday: nil
        }
    }

    static let windowUnits = ["day", "hour", "minute", "second", "millisecond", "microsecond"]
}

/// A constant stretch of time, `minute, 5`. Only an offset may be zero or negative.
package struct TimeSpan: Hashable, Sendable {
    package var unit: TimeUnit
    /// As written: a bigint or float constant.
    package var amount: Literal
    /// The whole in ticks of 100 ns.
    package var ticks: Int64
    package var span: SourceSpan
}

extension TimeSpan {
    /// The longest window: 7 days. Azure Stream Analytics, "Windowing functions".
    static let ticksMax: Int64 = 7 * 864_000_000_000
}
