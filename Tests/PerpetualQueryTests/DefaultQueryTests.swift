import PerpetualQuery
import Telemetry
import Testing

@Suite struct DefaultQueryTests {
    @Test(
        "the text of the default query gives the rows of the built-in plan, with the same ids",
        arguments: UInt64(1)...20)
    func sameRows(seed: UInt64) throws {
        let (plan, errors) = QueryPlanner.plan(
            text: DefaultQuery.text, name: DefaultQuery.name, version: DefaultQuery.version,
            settings: DefaultQuery.settings)
        #expect(errors.isEmpty)
        let stream = try #require(plan)
        let buffer = RowBuffer(plan: stream)
        var engine = try StreamEngine(plan: stream, rows: buffer)
        engine.deviceName = Harness.name
        func rows() -> [ResultRow] {
            defer { buffer.removeAll() }
            return (0..<buffer.count).map { buffer.resultRow($0) } + buffer.systemRows
        }
        var built = Harness()
        let scenario = Scenario(seed: seed, count: 400)
        var sequences: [UInt32: UInt64] = [:]
        for (index, step) in scenario.steps.enumerated() {
            let expected = built.run(step)
            switch step {
            case .record(let device, let arrival, let event, let payload):
                sequences[device, default: 0] += 1
                try Array(payload.utf8).withUnsafeBytes { bytes in
                    _ = try engine.process(
                        StreamEvent(
                            input: 0, device: device, sequence: sequences[device] ?? 0, arrivalTime: arrival,
                            eventTime: event, payload: bytes))
                }
            case .tick(let arrival): try engine.tick(arrival: arrival)
            case .flush: try engine.flush()
            }
            #expect(rows() == expected, "seed \(seed), step \(index)")
            if index % 50 == 0 {
                let state = engine.snapshot()
                engine = try StreamEngine(plan: stream, rows: buffer)
                engine.deviceName = Harness.name
                try engine.restore(state)
            }
        }
        #expect(engine.counters.late == built.engine.counters.late)
        #expect(engine.counters.early == built.engine.counters.early)
        #expect(engine.counters.outOfOrder == built.engine.counters.outOfOrder)
        #expect(engine.counters.accepted == built.engine.counters.accepted)
    }
}
