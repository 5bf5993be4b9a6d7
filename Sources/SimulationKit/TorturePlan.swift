/// What is done to one world, all of it drawn from the seed: each world has some kinds of faults and not
/// others, so that no kind hides behind another.
package struct TorturePlan: Sendable {
    /// What can go wrong.
    package enum Fault: CaseIterable, Sendable {
        case powerCut, powerCutInCall, crashInRecovery, kill, killInCall, restart
        case diskFull, syncFails, writeFails, slowDisk
        case linkCut, linkStall, takeover, goodbye, subscriberCut
        case clockStep
    }

    package var seed: UInt64
    package var kinds: [Fault]
    package var devices = 3
    package var messagesMax = 400
    /// Pause of a device between two readings.
    package var pauseMicroseconds = 50_000...2_000_000
    /// Pause between two faults.
    package var faultPauseMicroseconds = 200_000...8_000_000
    package var faultNanoseconds: UInt64 = 120_000_000_000
    /// By then everything must have drained: windows close two minutes after the last reading, clocks may
    /// have been set back by some minutes.
    package var drainNanosecondsMax: UInt64 = 1_500_000_000_000
    package var driftPartsPerMillion: Int64 = 0
    /// How long ids are remembered, and how many of a device at least; nil for the defaults.
    package var dedupSeconds: Int?
    package var dedupMinimum = 1_000
    /// Also compares recoveries cut by a crash with such that are not, and flips bits at the end.
    package var checksIdempotence = true
    package var flipsBits = true

    // For the exhaustive part: one crash at a given place, with a given fate.
    package var crashAtCall: Int?
    package var crashInRecoveryAtCall: Int?
    /// That crash is the death of the process, and the power goes in the `powerCutAfterCalls`th call of its successor.
    package var powerCutAfterCalls: Int?
    package var fate: SimulatedDisk.Fate?

    /// Everything drawn from the seed.
    package init(seed: UInt64) {
        self.seed = seed
        var random = SeededRandom(seed: ~seed)
        kinds = Fault.allCases.filter { _ in random.chance(55) }
        devices = random.whole(1...6)
        let fastest = random.whole(5...400) * 1_000
        pauseMicroseconds = fastest...(fastest * 10)
        let quickest = random.whole(100...3_000) * 1_000
        faultPauseMicroseconds = quickest...(quickest * 8)
        faultNanoseconds = UInt64(random.whole(30...180)) * 1_000_000_000
        if random.chance(30) { driftPartsPerMillion = Int64(random.whole(-500...500)) }
        if random.chance(30) {
            dedupSeconds = random.whole(4...60)
            dedupMinimum = random.whole(0...30)
        }
    }

    /// A short script of about 40 messages with a single crash: at the given mutating file call, with the
    /// given fate.
    package init(
        script seed: UInt64, crashAtCall: Int?, inRecovery: Int? = nil, powerCutAfterCalls: Int? = nil,
        fate: SimulatedDisk.Fate
    ) {
        self.seed = seed
        kinds = []
        devices = 3
        messagesMax = 40
        pauseMicroseconds = 100_000...1_500_000
        faultNanoseconds = 20_000_000_000
        checksIdempotence = false
        flipsBits = false
        self.crashAtCall = crashAtCall
        crashInRecoveryAtCall = inRecovery
        self.powerCutAfterCalls = powerCutAfterCalls
        self.fate = fate
    }
}
