import PerpetualQuery
import QueryReplay
import Telemetry
import Testing

@Suite struct GoldenTests {
    @Test("the cases are there")
    func corpus() { #expect(GoldenCase.all.count >= 120) }

    @Test("a query gives the rows that it must", arguments: GoldenCase.all)
    func straight(_ golden: GoldenCase) throws {
        let plan = try #require(golden.plan(golden.settings))
        let run = try GoldenRun(golden, plan)
        let events = golden.events(plan, run.engine)
        do {
            for event in events { try run.take(event) }
            try run.finish()
            #expect(golden.failure == nil, "the query had to stop")
        } catch let failure as QueryFailure {
            #expect(failure.reason?.rawValue == golden.failure, "\(failure)")
            return
        }
        compare(golden, plan, run)
        // Every row has a name of its own.
        #expect(Set(run.rows.map(\.id)).count == run.rows.count)
    }

    private func compare(_ golden: GoldenCase, _ plan: StreamPlan, _ run: GoldenRun) {
        for (output, rows) in golden.expected(plan).sorted(by: { $0.key < $1.key }) {
            if output.hasPrefix("_"), rows.isEmpty { continue }
            let differences = RowDifference.compare(
                expected: rows, actual: run.columns(output), output: output)
            #expect(differences == [], "\(golden.name)\n\(differences.joined(separator: "\n"))")
        }
    }

    @Test(
        "cut by checkpoints at every k-th event it gives the same rows with the same ids",
        arguments: GoldenCase.all)
    func cut(_ golden: GoldenCase) throws {
        guard golden.failure == nil else { return }
        let plan = try #require(golden.plan(golden.settings))
        let straight = try GoldenRun(golden, plan)
        let events = golden.events(plan, straight.engine)
        for event in events { try straight.take(event) }
        try straight.finish()
        for k in [1, 2, 5] where k < max(events.count, 2) {
            let cut = try GoldenRun(golden, plan)
            for (index, event) in events.enumerated() {
                try cut.take(event)
                if index % k == 0 { try cut.restart() }
            }
            try cut.finish()
            #expect(cut.rows == straight.rows, "cut at every \(k)")
            #expect(cut.engine.counters == straight.engine.counters)
        }
    }

    @Test("decoded ahead in batches it gives the same rows with the same ids", arguments: GoldenCase.all)
    func batches(_ golden: GoldenCase) throws {
        guard golden.failure == nil else { return }
        let first = try #require(golden.plan(golden.settings))
        guard first.inputs.count == 1 else { return }
        let events = golden.events(first, try GoldenRun(golden, first).engine)
        // Once as they are, and once each twice in a row, found by the value of its first field.
        var twice = golden.settings
        let name = events.first?.payload.withUnsafeBytes { RowDifference.columns(of: $0) }?.first?.name
        twice.deduplication[first.inputs[0].name.lowercased()] = name.map { [$0] }
        var doubled = events.flatMap { [$0, $0] }
        for index in doubled.indices { doubled[index].sequence = UInt64(index + 1) }
        for (settings, events) in [(golden.settings, events), (twice, doubled)] {
            let plan = try #require(golden.plan(settings))
            let straight = try GoldenRun(golden, plan)
            for event in events { try straight.take(event) }
            try straight.finish()
            if straight.engine.counters.notJSON > 0 { return }
            for (size, restarts) in [(1, false), (3, true), (40, false)] {
                let ahead = try GoldenRun(golden, plan)
                try ahead.take(events, inBatchesOf: size, restarts: restarts)
                try ahead.finish()
                // Rows of `_late` and `_errors` stand behind the others of their batch.
                for isSystem in [false, true] {
                    #expect(
                        ahead.rows.filter { $0.output.hasPrefix("_") == isSystem }
                            == straight.rows.filter { $0.output.hasPrefix("_") == isSystem },
                        "\(size) at a time")
                }
                #expect(ahead.engine.counters == straight.engine.counters)
            }
        }
    }

    @Test(
        "shuffled within the tolerance, with every tenth event again, it gives the same rows",
        arguments: GoldenCase.all)
    func shuffled(_ golden: GoldenCase) throws {
        guard golden.failure == nil, !golden.hasFixedOrder, golden.arrivalField == nil else { return }
        guard golden.settings.timePolicy.outOfOrderToleranceTicks == 0 else { return }
        var settings = golden.settings
        settings.timePolicy.outOfOrderToleranceTicks = 10 * EventTime.ticksPerSecond
        let first = try #require(golden.plan(golden.settings))
        let reader = try GoldenRun(golden, first)
        let events = golden.events(first, reader.engine)
        for (index, input) in first.inputs.enumerated() {
            var names: Set<String> = []
            for event in events where event.input == index {
                event.payload.withUnsafeBytes { bytes in
                    for column in RowDifference.columns(of: bytes) ?? [] { names.insert(column.name) }
                }
            }
            settings.deduplication[input.name.lowercased()] = names.sorted()
        }
        let plan = try #require(golden.plan(settings))
        for seed in UInt64(1)...3 {
            var random = SplitMix(state: seed)
            // Events of one time keep their order, which ties depend on.
            var shifts: [Int64: Int64] = [:]
            var order: [(key: Int64, event: GoldenCase.Event)] = []
            for event in events {
                let shift = shifts[event.time] ?? Int64(random.next() % 100_000_000)
                shifts[event.time] = shift
                order.append((event.time &+ shift, event))
                if random.next() % 10 == 0 { order.append((event.time &+ shift &+ 1, event)) }
            }
            let sorted = order.enumerated().sorted {
                ($0.element.key, $0.offset) < ($1.element.key, $1.offset)
            }
            let run = try GoldenRun(golden, plan)
            for item in sorted { try run.take(item.element.event) }
            try run.finish()
            compare(golden, plan, run)
        }
    }
}

/// The same seed, the same order.
struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
