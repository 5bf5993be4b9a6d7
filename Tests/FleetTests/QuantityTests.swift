import Fleet
import Telemetry
import Testing

@Suite("Numbers with units")
struct QuantityTests {
    @Test(
        "a duration is read in whole milliseconds",
        arguments: [
            ("5s", 5_000), ("250ms", 250), ("0.5s", 500), ("2m", 120_000), ("2min", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000), ("1m30s", 90_000), ("1h 30m", 5_400_000), ("0s", 0),
        ] as [(String, Int64)])
    func duration(text: String, milliseconds: Int64) throws {
        #expect(try Quantity.duration(text) == milliseconds)
    }

    @Test(
        "a range of durations has a shortest and a longest",
        arguments: [
            ("5s", 5_000, 5_000), ("1s..15s", 1_000, 15_000), ("1s .. 15s", 1_000, 15_000),
            ("1s ± 10%", 900, 1_100), ("1s +/- 10%", 900, 1_100), ("1s±100ms", 900, 1_100),
            ("30s..8m", 30_000, 480_000),
        ] as [(String, Int64, Int64)])
    func durationRange(text: String, low: Int64, high: Int64) throws {
        #expect(try Quantity.durationRange(text) == low...high)
    }

    @Test(
        "a number may be a range, or lie around another",
        arguments: [
            ("21", 21, 21), ("-1.5", -1.5, -1.5), ("+0.8", 0.8, 0.8), ("1e3", 1_000, 1_000),
            ("19..23", 19, 23),
            ("-5..-1", -5, -1), ("±15", -15, 15), ("+/-15", -15, 15), ("20 ± 2", 18, 22),
            ("20 ± 10%", 18, 22),
        ] as [(String, Double, Double)])
    func numberRange(text: String, low: Double, high: Double) throws {
        #expect(try Quantity.numberRange(text) == low...high)
    }

    @Test(
        "a proportion is between 0 and 1",
        arguments: [("2%", 0.02), ("0.5%", 0.005), ("40ppm", 0.00004), ("0.02", 0.02), ("100%", 1)]
            as [(String, Double)])
    func proportion(text: String, value: Double) throws {
        #expect(abs(try Quantity.proportion(text) - value) < 1e-15)
    }

    @Test(
        "a rate is per second",
        arguments: [("50/s", 50), ("3/m", 0.05), ("36/h", 0.01)] as [(String, Double)])
    func rate(text: String, value: Double) throws {
        #expect(abs(try Quantity.rate(text) - value) < 1e-15)
    }

    @Test("a time of day is milliseconds after midnight")
    func timeOfDay() throws {
        #expect(try Quantity.timeOfDay("15:00") == 54_000_000)
        #expect(try Quantity.timeOfDay("00:00:30") == 30_000)
    }

    @Test(
        "a wrong duration says what would be right",
        arguments: [
            ("5", "\"5\" needs a unit: ms, s, m, h or d (such as 5s)"),
            ("5sec", "\"5sec\" is not a duration (write 250ms, 5s, 10m, 1h or 1d)"),
            ("s", "\"s\" is not a duration (write 250ms, 5s, 10m, 1h or 1d)"),
            ("-5s", "\"-5s\" is not a duration (write 250ms, 5s, 10m, 1h or 1d)"),
            ("9000d", "\"9000d\" is too long: at most 3650d"),
            ("15s..1s", "\"15s..1s\" is upside down: the smaller value comes first"),
            ("1s ± 2s", "\"1s ± 2s\" reaches below zero"),
            ("± 2s", "\"± 2s\" has no middle: write 1s ± 10% or 1s..15s"),
        ])
    func wrongDuration(text: String, message: String) {
        let error = #expect(throws: QuantityError.self) { try Quantity.durationRange(text) }
        #expect(error?.message == message)
    }

    @Test(
        "what is not a number is refused",
        arguments: ["nan", "inf", "0x10", "1_000", "", "e", "1..", "12:30"])
    func wrongNumber(text: String) {
        #expect(throws: QuantityError.self) { try Quantity.numberRange(text) }
    }

    @Test("a proportion outside 0% to 100% is refused", arguments: ["101%", "-1%", "2", "1,5%", "%"])
    func wrongProportion(text: String) {
        #expect(throws: QuantityError.self) { try Quantity.proportion(text) }
    }

    @Test("a rate needs its time, a time of day its hours", arguments: ["50", "0/s", "50/d", "x/s"])
    func wrongRate(text: String) {
        #expect(throws: QuantityError.self) { try Quantity.rate(text) }
        #expect(throws: QuantityError.self) { try Quantity.timeOfDay(text) }
    }

    @Test("speeds are factors or max")
    func speed() throws {
        #expect(try FleetSpeed(parsing: "60x") == .times(60))
        #expect(try FleetSpeed(parsing: "0.5x") == .times(0.5))
        #expect(try FleetSpeed(parsing: "max") == .unpaced)
        #expect(FleetSpeed.times(60).description == "60x")
        #expect(throws: QuantityError.self) { try FleetSpeed(parsing: "0x") }
        #expect(throws: QuantityError.self) { try FleetSpeed(parsing: "fast") }
    }

    @Test(
        "the nearest word is suggested, and only a near one",
        arguments: [
            ("tempereature", "temperature"), ("coutn", "count"), ("sensor", "sensors"), ("Every", "every"),
            ("zzzzzz", nil),
        ] as [(String, String?)])
    func suggestion(text: String, near: String?) {
        #expect(Suggestion.nearest(to: text, in: ["count", "every", "sensors", "temperature"]) == near)
    }
}

@Suite("The random stream")
struct RandomStreamTests {
    @Test("is xoshiro256** as published")
    func vectors() {
        var stream = RandomStream(words: (1, 2, 3, 4))
        #expect((0..<4).map { _ in stream.next() } == [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240])
    }

    @Test("is seeded by SplitMix64 as published")
    func seeding() {
        var state: UInt64 = 1_234_567
        let drawn = (0..<3).map { _ in RandomStream.splitMix(&state) }
        #expect(drawn == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }

    @Test("differs by seed, by device and by purpose")
    func streams() {
        let names: [(UInt64, String, String)] = [
            (1, "a", "x"), (2, "a", "x"), (1, "b", "x"), (1, "a", "y"), (1, "ax", ""),
        ]
        let firsts = names.map { name in
            var stream = RandomStream(seed: name.0, device: name.1, purpose: name.2)
            return stream.next()
        }
        #expect(Set(firsts).count == names.count)
    }

    @Test("keeps whole numbers within their bounds and reaches both")
    func whole() {
        var stream = RandomStream(seed: 7)
        let drawn = (0..<1_000).map { _ in stream.whole(in: -2...3) }
        #expect(Set(drawn) == [-2, -1, 0, 1, 2, 3])
    }
}
