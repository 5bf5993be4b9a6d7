import PerpetualQuery
import Telemetry
import Testing

@Suite("Names of events that are remembered for a time")
struct DuplicateHorizonTests {
    private static let minutes = """
        SELECT COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 1000)
        """

    private func harness(horizonSeconds: Int64?, limits: StreamLimits = StreamLimits()) throws
        -> StreamHarness
    {
        var settings = StreamSettings.arrivingOnTime(outOfOrder: 1_000)
        settings.deduplication = ["i": ["id"]]
        settings.deduplicationHorizonTicks = horizonSeconds.map { $0 * EventTime.ticksPerSecond }
        return try StreamHarness(Self.minutes, settings: settings, limits: limits)
    }

    private func take(_ harness: StreamHarness, _ second: Int, id: Int) throws {
        let minute = second / 60
        let clock = "12:\(minute / 10)\(minute % 10):\(second % 60 / 10)\(second % 10)"
        _ = try harness.take("{\"t\":\"2026-03-01T\(clock)Z\",\"id\":\(id)}")
    }

    @Test(
        "a name is known for the whole horizon after its event, and forgotten with the first event after two")
    func horizon() throws {
        // An event a second with a name of its own, one at the end that has the name of the event `age` before.
        for (age, isKnown) in [(1, true), (59, true), (60, true), (119, nil), (122, false), (600, false)] {
            for begin in [0, 17, 59, 60, 61] {
                let query = try harness(horizonSeconds: 60)
                let last = begin + age
                for second in 0...last { try take(query, second, id: second) }
                #expect(query.engine.counters.duplicates == 0)
                try take(query, last, id: begin)
                if let isKnown {
                    #expect(
                        query.engine.counters.duplicates == (isKnown ? 1 : 0), "age \(age), begin \(begin)")
                }
            }
        }
    }

    @Test("without a horizon no name is forgotten, and events out of order move no horizon")
    func unlimited() throws {
        for horizon in [nil, Int64(600)] {
            let query = try harness(horizonSeconds: horizon)
            for second in 0...500 { try take(query, second, id: second) }
            for second in 0...500 { try take(query, 500 - second, id: 500 - second) }
            #expect(query.engine.counters.duplicates == 501)
        }
    }

    @Test("state does not grow with the input, and a limit holds for the names of both ages")
    func bounded() throws {
        func bytes(seconds: Int) throws -> Int {
            let query = try harness(horizonSeconds: 30)
            for second in 0..<seconds { try take(query, second, id: second) }
            return query.engine.snapshot().count
        }
        // Names turn every 31 events here; the same place between two turns, with two windows open.
        #expect(try bytes(seconds: 50 * 31 + 5) == bytes(seconds: 115 * 31 + 5))
        var limits = StreamLimits()
        limits.deduplicationMax = 63
        let query = try harness(horizonSeconds: 30, limits: limits)
        for second in 0..<600 { try take(query, second, id: second) }
        #expect(throws: QueryFailure.self) {
            for id in 1_000..<1_063 { try take(query, 600, id: id) }
        }
    }

    @Test("cut and restored at every event, the same names are known", arguments: 1...5)
    func restored(every: Int) throws {
        let straight = try harness(horizonSeconds: 20)
        let cut = try harness(horizonSeconds: 20)
        for second in 0..<300 {
            for id in [second, second - 7, second - 25, second - 50] {
                try take(straight, second, id: id)
                try take(cut, second, id: id)
            }
            if second % every == 0 { try cut.restart() }
            #expect(cut.engine.snapshot() == straight.engine.snapshot())
        }
        #expect(straight.engine.counters.duplicates > 400)
        let other = try harness(horizonSeconds: 21)
        #expect(throws: CheckpointError.otherPlan) { try other.engine.restore(straight.engine.snapshot()) }
    }
}
