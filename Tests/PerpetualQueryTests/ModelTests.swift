import PerpetualQuery
import Telemetry
import Testing

/// Random steps of a small plant, and what the oracle says to each.
struct Scenario {
    var steps: [Step] = []
    var expected: [[String]] = []
    var oracle = NaiveOracle()

    init(seed: UInt64, count: Int) {
        var random = SeededRandom(state: seed)
        var arrival = time("2026-03-01T11:58:00Z")
        let skews = (0..<6).map { _ in Int64.random(in: -20...200, using: &random) }
        let names = ["temperature", "pressure", "a", "ä/b", "rpm"]
        for _ in 0..<count {
            arrival = arrival.adding(ticks: Int64.random(in: 0...40_000_000, using: &random))
            if Int.random(in: 0..<12, using: &random) == 0 {
                steps.append(.tick(arrival: arrival))
                expected.append(oracle.tick(arrival: arrival))
                continue
            }
            let device = UInt32.random(in: 1...6, using: &random)
            let event = Self.event(arrival, skew: skews[Int(device) - 1], &random)
            var fields: [(name: String, value: NaiveOracle.Number)] = []
            var texts = ["\"id\":\(Int.random(in: 0...9, using: &random))", "\"state\":\"on\""]
            for name in names where Bool.random(using: &random) {
                if Bool.random(using: &random) {
                    let value = Int64.random(in: -50...50, using: &random)
                    fields.append((name, .integer(value)))
                    texts.append("\"\(name)\":\(value)")
                } else {
                    let value = Double(Int.random(in: -5_000...5_000, using: &random)) / 100 + 0.001
                    fields.append((name, .float(value)))
                    texts.append("\"\(name)\":\(value)")
                }
            }
            texts.shuffle(using: &random)
            steps.append(
                .record(
                    device: device, arrival: arrival, event: event,
                    payload: "{" + texts.joined(separator: ",") + "}"))
            expected.append(
                oracle.record(
                    device: Harness.name(device).text, arrival: arrival, event: event, fields: fields))
        }
        steps.append(.flush)
        expected.append(oracle.flush())
    }

    /// Mostly a little behind the arrival; sometimes exactly on, or one tick beside, a limit or a boundary.
    private static func event(
        _ arrival: EventTime, skew: Int64, _ random: inout SeededRandom
    ) -> EventTime {
        let second = EventTime.ticksPerSecond
        let beside = Int64.random(in: -1...1, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0: return arrival.adding(ticks: -60 * second + beside)
        case 1: return arrival.adding(ticks: 300 * second + beside)
        case 2: return EventTime(ticks: arrival.ticks / 600_000_000 * 600_000_000 + beside)
        case 3: return arrival.adding(ticks: -Int64.random(in: 0...(90 * second), using: &random))
        default:
            return arrival.adding(ticks: skew * second - Int64.random(in: 0...(20 * second), using: &random))
        }
    }
}

@Suite struct ModelTests {
    @Test("the engine gives, step by step, the rows that a naive recomputation gives", arguments: 1...30)
    func model(seed: UInt64) {
        let scenario = Scenario(seed: seed, count: 400)
        var harness = Harness()
        for (index, step) in scenario.steps.enumerated() {
            let rows = harness.run(step).map(describe)
            #expect(rows == scenario.expected[index], "seed \(seed), step \(index): \(step)")
        }
        let counters = harness.engine.counters
        #expect(counters.early == UInt64(scenario.oracle.refused["early"] ?? 0))
        #expect(counters.late == UInt64(scenario.oracle.refused["late"] ?? 0))
        #expect(counters.outOfOrder == UInt64(scenario.oracle.refused["out_of_order"] ?? 0))
        #expect(counters.accepted == UInt64(scenario.oracle.accepted.count))
        #expect(harness.engine.openState.groups == 0)
        #expect(counters.errors == 0)
    }

    @Test("the scenarios of the model reach every reason to refuse an event")
    func coverage() {
        var refused: [String: Int] = [:]
        for seed: UInt64 in 1...30 {
            refused.merge(Scenario(seed: seed, count: 400).oracle.refused) { $0 + $1 }
        }
        for reason in ["early", "late", "out_of_order"] { #expect((refused[reason] ?? 0) > 50) }
    }

    @Test(
        "an engine restored at every k-th step gives the same rows with the same ids",
        arguments: [1, 2, 7, 31], [UInt64(5), 6, 7])
    func restored(every k: Int, seed: UInt64) throws {
        let scenario = Scenario(seed: seed, count: 300)
        var straight = Harness()
        var cut = Harness()
        for (index, step) in scenario.steps.enumerated() {
            #expect(cut.run(step) == straight.run(step), "step \(index)")
            guard index % k == 0 else { continue }
            let before = cut.engine.snapshot()
            try cut.restart()
            #expect(cut.engine.snapshot() == before)
            #expect(cut.engine.counters == straight.engine.counters)
            #expect(cut.engine.completeThrough == straight.engine.completeThrough)
            for minute in -2...8 {
                let now = time("2026-03-01T11:58:00Z").plus(seconds: Double(minute) * 60 + Double(index) * 2)
                #expect(cut.engine.needsTick(now: now) == straight.engine.needsTick(now: now))
            }
        }
    }

    @Test("no two rows share an id, and the same input gives the same ids", arguments: [UInt64(3), 4])
    func identity(seed: UInt64) {
        let scenario = Scenario(seed: seed, count: 400)
        var first = Harness()
        var second = Harness()
        let rows = first.run(scenario.steps)
        #expect(Set(rows.map(\.id)).count == rows.count)
        #expect(rows == second.run(scenario.steps))
    }

    @Test("a tick that is not needed changes nothing that can be seen", arguments: [UInt64(8), 9, 10])
    func needlessTicks(seed: UInt64) {
        // The reference gets every tick, the other only those that it asks for.
        let scenario = Scenario(seed: seed, count: 500)
        var every = Harness()
        var asked = Harness()
        var skipped = 0
        var due: EventTime?
        for step in scenario.steps {
            if case .tick(let arrival) = step {
                let rows = every.run(step)
                if asked.engine.needsTick(now: arrival) {
                    #expect(asked.run(step) == rows)
                    #expect(asked.engine.completeThrough == every.engine.completeThrough)
                    #expect(!asked.engine.needsTick(now: arrival))
                } else {
                    skipped += 1
                    #expect(rows.isEmpty)
                }
            } else {
                #expect(asked.run(step).map(describe) == every.run(step).map(describe))
            }
            // Every end with rows gets its completion: once complete, never taken back.
            if let now = asked.engine.completeThrough {
                if let due { #expect(now >= due) }
                due = now
            }
        }
        #expect(skipped > 5)
    }
}
