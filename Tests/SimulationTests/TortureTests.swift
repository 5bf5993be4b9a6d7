import Platform
import SimulationKit
import Testing

/// Simulated worlds around the real hub. A seed that fails is repeated with `headend torture --seed N --trace`.
@Suite("Torture") struct TortureTests {
    @Test(
        "a script of 40 messages survives the power going in any file call, whatever becomes of what was not synced",
        arguments: [SimulatedDisk.Fate.kept, .dropped, .torn])
    func everyCall(fate: SimulatedDisk.Fate) {
        var call = 1
        while true {
            let report = Torture(plan: TorturePlan(script: 7, crashAtCall: call, fate: fate)).run()
            #expect(report.violation == nil, "call \(call)")
            if report.violation != nil || report.lives == 2 { break }
            call += fate == .kept ? 3 : 1
        }
        // The last run saw no crash but the one at its end.
        #expect(call > 100)
    }

    @Test("the process killed in any file call, and the power cut soon after its successor started")
    func killedThenCut() {
        var call = 1
        while true {
            var lives = 0
            // Before, in and behind the first commits of the successor.
            for calls in [9, 24] {
                let plan = TorturePlan(
                    script: 7, crashAtCall: call, powerCutAfterCalls: calls, fate: .dropped)
                let report = Torture(plan: plan).run()
                #expect(report.violation == nil, "call \(call), then \(calls)")
                lives = report.lives
                if report.violation != nil { return }
            }
            if lives == 2 { break }
            call += call < 60 ? 1 : 3
        }
        #expect(call > 100)
    }

    @Test("and in any file call of the recovery from that", arguments: [SimulatedDisk.Fate.dropped, .torn])
    func everyCallOfRecovery(fate: SimulatedDisk.Fate) {
        for call in stride(from: 3, to: 200, by: 41) {
            for second in 1...12 {
                let plan = TorturePlan(script: 7, crashAtCall: call, inRecovery: second, fate: fate)
                let report = Torture(plan: plan).run()
                #expect(report.violation == nil, "call \(call), then \(second)")
            }
        }
    }

    @Test("worlds where everything goes wrong keep every promise, and come to every place that is difficult")
    func knownSeeds() {
        var reached: [Place: Int] = [:]
        for seed in UInt64(1)...60 {
            let report = Torture(plan: TorturePlan(seed: seed)).run()
            #expect(report.violation == nil)
            reached.merge(report.reached) { $0 + $1 }
        }
        for place in Place.allCases { #expect(reached[place, default: 0] > 0, "\(place.rawValue)") }
    }

    @Test("and so do worlds that nobody has seen before")
    func freshSeeds() {
        for _ in 0..<10 {
            let seed = UInt64.random(in: 0...UInt64(UInt32.max))
            #expect(Torture(plan: TorturePlan(seed: seed)).run().violation == nil)
        }
    }

    @Test("the same seed gives the same trace", arguments: [UInt64(5), 6, 7])
    func determinism(seed: UInt64) {
        let first = Torture(plan: TorturePlan(seed: seed)).run()
        let second = Torture(plan: TorturePlan(seed: seed)).run()
        #expect(first.traceHash == second.traceHash)
        #expect(first.steps == second.steps)
        #expect(Torture(plan: TorturePlan(seed: seed + 100)).run().traceHash != first.traceHash)
    }

    @Test("a deliberate bug is found in under 100 seeds", arguments: Canary.allCases)
    func canaries(canary: Canary) {
        let found = (UInt64(1)...99).first { seed in
            Torture(plan: TorturePlan(seed: seed), canary: canary).run().violation != nil
        }
        #expect(found != nil)
    }
}
