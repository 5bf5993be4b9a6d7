extension EventTime {
    /// Parses ISO 8601 / RFC 3339 from bytes: `YYYY-MM-DD` then `T`, `t` or a space, `HH:MM[:SS[.fraction]]`,
    /// then `Z`, `±HH:MM`, `±HHMM` or nothing (read as UTC). Fractions beyond 100 ns are cut. A leap second
    /// (`:60`) is read as the next second.
    ///
    /// - Returns: nil when the text is anything else; never traps on a peer's bytes.
    package static func parse(iso8601 text: UnsafeRawBufferPointer) -> EventTime? {
        var at = 0
        let count = text.count
        func number(_ digits: Int) -> Int64? {
            guard at + digits <= count else { return nil }
            var value: Int64 = 0
            for index in at..<(at + digits) {
                let digit = Int64(text[index]) - 48
                guard digit >= 0, digit <= 9 else { return nil }
                value = value * 10 + digit
            }
            at += digits
            return value
        }
        func take(_ byte: UInt8) -> Bool {
            guard at < count, text[at] == byte else { return false }
            at += 1
            return true
        }
        guard let year = number(4), year >= 1, take(45), let month = number(2), (1...12).contains(month),
            take(45), let day = number(2), day >= 1, day <= CivilDate.daysInMonth(year: year, month: month)
        else { return nil }
        let days = CivilDate.days(year: year, month: month, day: day)
        guard at < count else { return EventTime(ticks: days * 86_400 * ticksPerSecond) }
        guard take(84) || take(116) || take(32), let hour = number(2), hour <= 23, take(58),
            let minute = number(2), minute <= 59
        else { return nil }
        var second: Int64 = 0
        var fraction: Int64 = 0
        if take(58) {
            guard let value = number(2), value <= 60 else { return nil }
            second = value
            if take(46) || take(44) {
                var scale: Int64 = 1_000_000
                var digits = 0
                while at < count, text[at] >= 48, text[at] <= 57 {
                    fraction += Int64(text[at] - 48) * scale
                    scale /= 10
                    at += 1
                    digits += 1
                }
                guard digits > 0 else { return nil }
            }
        }
        var offsetMinutes: Int64 = 0
        if at < count, !(take(90) || take(122)) {
            let negative: Bool
            if take(43) { negative = false } else if take(45) { negative = true } else { return nil }
            guard let hours = number(2), hours <= 23 else { return nil }
            _ = take(58)
            guard let minutes = number(2), minutes <= 59 else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (negative ? -1 : 1)
        }
        guard at == count else { return nil }
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offsetMinutes * 60
        return EventTime(ticks: seconds * ticksPerSecond + fraction)
    }

    /// Parses ISO 8601 text; see `parse(iso8601:)`.
    package static func parse(_ text: String) -> EventTime? {
        var copy = text
        return copy.withUTF8 { parse(iso8601: UnsafeRawBufferPointer($0)) }
    }

    /// Reads an epoch number, its unit told by magnitude: below 10^11 seconds, below 10^14 milliseconds,
    /// below 10^17 microseconds, else nanoseconds. Fractions are kept to 100 ns.
    ///
    /// - Returns: nil for a negative, non-finite or out-of-range number.
    package static func parse(epochNumber value: Double) -> EventTime? {
        guard value.isFinite, value >= 0 else { return nil }
        if value < 1e11 { return exact(value, ticksPerUnit: 1e7) }
        if value < 1e14 { return exact(value, ticksPerUnit: 1e4) }
        if value < 1e17 { return exact(value, ticksPerUnit: 1e1) }
        guard value < 9e18 else { return nil }
        return EventTime(ticks: Int64(value / 100))
    }

    /// The integer form of `parse(epochNumber:)`, exact for every unit.
    @inlinable package static func parse(epochInteger value: Int64) -> EventTime? {
        if value < 0 { return nil }
        if value < 100_000_000_000 { return EventTime(ticks: value * 10_000_000) }
        if value < 100_000_000_000_000 { return EventTime(ticks: value * 10_000) }
        if value < 100_000_000_000_000_000 { return EventTime(ticks: value * 10) }
        return EventTime(ticks: value / 100)
    }

    private static func exact(_ value: Double, ticksPerUnit: Double) -> EventTime? {
        let whole = value.rounded(.down)
        let ticks = whole * ticksPerUnit + ((value - whole) * ticksPerUnit).rounded()
        guard ticks < 9e18 else { return nil }
        return EventTime(ticks: Int64(ticks))
    }
}
