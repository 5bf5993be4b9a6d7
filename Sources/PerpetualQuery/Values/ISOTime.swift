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

/// The minute that a time in the usual form lies in, `2026-03-01T00:12:`: times of events that follow each other mostly
/// share it, and then only the seconds are read.
struct ISOMinute {
    /// Its 16 characters; at first none that a text has.
    private var first = UInt64.max
    private var second = UInt64.max
    /// Of the minute's beginning.
    private var start: Int64 = 0

    init() {}

    /// - Parameter ticks: what the text says.
    /// - Returns: nil when the text has another form.
    init?(_ text: UnsafeRawBufferPointer, _ ticks: Int64) {
        guard ISOTime.ticks(text) == ticks else { return nil }
        first = text.loadUnaligned(as: UInt64.self)
        second = text.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        let rest = ticks % EventTime.ticksPerMinute
        start = ticks - (rest < 0 ? rest + EventTime.ticksPerMinute : rest)
    }

    /// A time in this minute; nil: it is in another, has another form, or is none.
    @inline(__always)
    func ticks(_ text: UnsafeRawBufferPointer) -> Int64? {
        let count = text.count
        guard let base = text.baseAddress, count >= 20, count <= 28, count != 21,
            base.loadUnaligned(as: UInt64.self) == first,
            base.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == second
        else { return nil }
        func byte(_ at: Int) -> UInt8 { base.load(fromByteOffset: at, as: UInt8.self) }
        let (tens, ones) = (byte(17) &- 0x30, byte(18) &- 0x30)
        guard byte(16) == 0x3A, byte(count - 1) == 0x5A, tens < 6, ones < 10 else { return nil }
        let ticks = start + Int64(tens &* 10 &+ ones) * 10_000_000
        if count == 20 { return ticks }
        guard byte(19) == 0x2E else { return nil }
        var fraction: Int64 = 0
        var scale: Int64 = 1_000_000
        for at in 20..<(count - 1) {
            let digit = byte(at) &- 0x30
            guard digit < 10 else { return nil }
            fraction += Int64(digit) * scale
            scale /= 10
        }
        return ticks + fraction
    }
}
