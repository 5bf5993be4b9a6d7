import Telemetry
import Testing

@Suite("Event time")
struct EventTimeTests {
    @Test(
        "reads ISO 8601 and prints it back in UTC",
        arguments: [
            ("2026-03-01T00:12:34.567Z", "2026-03-01T00:12:34.567Z"),
            ("2026-03-01 00:12:34", "2026-03-01T00:12:34Z"),
            ("2026-03-01T02:12:34+02:00", "2026-03-01T00:12:34Z"),
            ("2026-03-01T00:12Z", "2026-03-01T00:12:00Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.9999999Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00Z"),
            ("2026-03-01T00:00:00-0530", "2026-03-01T05:30:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ])
    func iso(text: String, printed: String) {
        #expect(EventTime.parse(text)?.description == printed)
    }

    @Test(
        "a moment past the year 9999 is printed with a sign and six digits, one before the year 0 too",
        arguments: [
            (2_534_023_007_999_999_999, "9999-12-31T23:59:59.9999999Z"),
            (2_534_023_008_000_000_000, "+010000-01-01T00:00:00Z"),
            (-621_672_192_000_000_000, "0000-01-01T00:00:00Z"),
            (-621_987_552_000_000_000, "-000001-01-01T00:00:00Z"),
            (Int64.max, "+031197-09-14T02:48:05.4775807Z"), (Int64.min, "-027258-04-19T21:11:54.5224192Z"),
        ] as [(Int64, String)])
    func farMoments(ticks: Int64, printed: String) {
        #expect(EventTime(ticks: ticks).description == printed)
    }

    @Test(
        "refuses what is no moment",
        arguments: [
            "", "yesterday", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-1-1T00:00:00Z",
            "0000-01-01T00:00:00Z", "2026-01-01T", "2026-01-01T00:00:00+1",
        ])
    func refused(text: String) {
        #expect(EventTime.parse(text) == nil)
    }

    @Test("tells the unit of an epoch number by its magnitude")
    func magnitude() {
        let expected = EventTime.parse("2026-03-01T00:00:00Z")
        for number: Int64 in [
            1_772_323_200, 1_772_323_200_000, 1_772_323_200_000_000, 1_772_323_200_000_000_000,
        ] {
            #expect(EventTime.parse(epochInteger: number) == expected)
            #expect(EventTime.parse(epochNumber: Double(number)) == expected)
        }
        #expect(EventTime.parse(epochNumber: 1_772_323_200.25)?.description == "2026-03-01T00:00:00.250Z")
        #expect(EventTime.parse(epochInteger: -1) == nil)
        #expect(EventTime.parse(epochNumber: .nan) == nil)
    }

    @Test("a moment on a boundary belongs to the window that it ends, before 1970 too")
    func windowEnd() {
        let minute = EventTime.ticksPerMinute
        #expect(EventTime(ticks: 0).windowEnd(sizeTicks: minute).ticks == 0)
        #expect(EventTime(ticks: 1).windowEnd(sizeTicks: minute).ticks == minute)
        #expect(EventTime(ticks: minute).windowEnd(sizeTicks: minute).ticks == minute)
        #expect(EventTime(ticks: -1).windowEnd(sizeTicks: minute).ticks == 0)
        #expect(EventTime(ticks: -minute - 1).windowEnd(sizeTicks: minute).ticks == -minute)
    }

    @Test("civil dates and day numbers are inverse over 20,000 years of days")
    func civil() {
        for days in stride(from: Int64(-719_162), through: 2_932_896, by: 373) {
            let date = CivilDate.civil(fromDays: days)
            #expect(CivilDate.days(year: date.year, month: date.month, day: date.day) == days)
        }
    }
}
