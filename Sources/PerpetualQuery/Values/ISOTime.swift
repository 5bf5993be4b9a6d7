import Telemetry

/// The usual form of times, `2026-03-01T00:12:34Z` with or without up to seven decimals, read without a branch a
/// digit. Every other form is left to `EventTime.parse`.
enum ISOTime {
    /// nil: another form, or no time.
    @inline(__always)
    static func ticks(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard let base = text.baseAddress, text.count >= 20, text.count <= 28, text[text.count - 1] == 0x5A
        else {
            return nil
        }
        func digits(_ at: Int, _ count: Int) -> Int64 {
            var value: Int64 = 0
            for index in at..<(at + count) {
                value = value &* 10 &+ Int64(base.load(fromByteOffset: index, as: UInt8.self) &- 0x30)
            }
            return value
        }
        // All digits are digits: no byte of the digit places leaves 0…9 when 0x30 is taken away.
        var wrong: UInt8 = 0
        for at in 0..<19 where at != 4 && at != 7 && at != 10 && at != 13 && at != 16 {
            wrong |= isDigit(base.load(fromByteOffset: at, as: UInt8.self))
        }
        guard wrong == 0, text[4] == 0x2D, text[7] == 0x2D, text[10] == 0x54, text[13] == 0x3A,
            text[16] == 0x3A
        else { return nil }
        let (year, month, day) = (digits(0, 4), digits(5, 2), digits(8, 2))
        let (hour, minute, second) = (digits(11, 2), digits(14, 2), digits(17, 2))
        guard year >= 1, month >= 1, month <= 12, day >= 1,
            day <= CivilDate.daysInMonth(year: year, month: month), hour <= 23, minute <= 59, second <= 59
        else { return nil }
        var fraction: Int64 = 0
        if text.count > 20 {
            guard text[19] == 0x2E, text.count > 21 else { return nil }
            var scale: Int64 = 1_000_000
            for at in 20..<(text.count - 1) {
                guard isDigit(text[at]) == 0 else { return nil }
                fraction += Int64(text[at] - 0x30) * scale
                scale /= 10
            }
        }
        let days = CivilDate.days(year: year, month: month, day: day)
        return (days * 86_400 + hour * 3_600 + minute * 60 + second) * EventTime.ticksPerSecond + fraction
    }

    /// 0 for a digit.
    @inline(__always)
    private static func isDigit(_ byte: UInt8) -> UInt8 { byte &- 0x30 < 10 ? 0 : 1 }
}
