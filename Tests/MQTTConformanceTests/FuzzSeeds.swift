import Foundation

/// Pseudo-random numbers that a seed determines (SplitMix64).
struct FuzzRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// 0 ..< count.
    mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(count, 1))) }
    mutating func chance(_ oneIn: Int) -> Bool { below(oneIn) == 0 }
    mutating func element<Element>(_ all: [Element]) -> Element { all[below(all.count)] }
}

/// Which seeds a fuzzer runs: a fixed few in the test run; what the environment says in `scripts/fuzz`.
enum FuzzSeeds {
    /// Calls `body` with one seed after the other.
    ///
    /// - Parameter count: how many in the test run. HEADEND_FUZZ_SEED is one seed to repeat; HEADEND_FUZZ_MINUTES
    ///   goes on with new ones until the time is over.
    /// - Returns: how many seeds were run.
    static func run(_ count: Int, _ body: (UInt64) throws -> Void) rethrows -> Int {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["HEADEND_FUZZ_SEED"].flatMap(UInt64.init) {
            try body(seed)
            return 1
        }
        guard let minutes = environment["HEADEND_FUZZ_MINUTES"].flatMap(Double.init) else {
            for seed in 1...UInt64(count) { try body(seed) }
            return count
        }
        let end = Date().addingTimeInterval(minutes * 60)
        var seed = UInt64.random(in: 1 << 32...1 << 62)
        var done = 0
        while Date() < end {
            try body(seed)
            seed += 1
            done += 1
        }
        print("\(done) seeds, the last \(seed - 1)")
        return done
    }
}
