import Telemetry

/// Reads `fleet.yaml`, the settings of the whole fleet.
enum FleetFileReader {
    static func read(_ root: YAMLValue, into plan: inout FleetPlan) {
        guard let map = root.mapping("the settings of the fleet, such as seed: 42") else { return }
        map.checkKeys(known: ["seed", "answer_key", "clock", "expect"], later: ["timeline"])
        if let seed = map["seed"], let text = seed.text("a whole number") {
            if let value = UInt64(text) {
                plan.seed = value
            } else {
                seed.report("seed must be a whole number from 0")
            }
        }
        if let key = map["answer_key"] { plan.answerKeyPath = key.text("a path") }
        if let clock = map["clock"]?.mapping("{ speed: 1x }") {
            clock.checkKeys(known: ["speed", "start"])
            if let speed = clock["speed"] {
                plan.speed = speed.quantity("a speed") { text throws(QuantityError) in
                    try FleetSpeed(parsing: text)
                }
            }
            if let start = clock["start"], let text = start.text("a time") {
                plan.start = EventTime.parse(text)
                if plan.start == nil {
                    start.report("\"\(text)\" is not a time (write 2026-01-01T00:00:00Z)")
                }
            }
        }
        if let expect = map["expect"]?.mapping("{ lost: 0, counted_twice: 0, windows_wrong: 0 }") {
            expect.checkKeys(known: ["lost", "counted_twice", "windows_wrong", "p99_ingest_ms"])
            plan.expectation.lost = count(expect, "lost")
            plan.expectation.countedTwice = count(expect, "counted_twice")
            plan.expectation.windowsWrong = count(expect, "windows_wrong")
            plan.expectation.ingestMillisecondsP99 = count(expect, "p99_ingest_ms")
        }
    }

    private static func count(_ map: YAMLMapping, _ key: String) -> Int? {
        map[key]?.whole(0...1_000_000_000, key)
    }
}
