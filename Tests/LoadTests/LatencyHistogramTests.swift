import Testing

@testable import Load

@Suite("Latency histogram")
struct LatencyHistogramTests {
    /// A small generator of its own, so that a seed means the same everywhere.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }

    @Test(
        "a quantile is never below the exact one and at most 1/128 above it",
        arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func quantilesAgainstSorted(seed: UInt64) {
        var numbers = Numbers(state: seed)
        var histogram = LatencyHistogram()
        var exact: [UInt64] = []
        for _ in 0..<20_000 {
            // All magnitudes alike: from nanoseconds to minutes.
            let value = numbers.next() >> UInt64.random(in: 22...63, using: &numbers)
            histogram.record(value)
            exact.append(value)
        }
        exact.sort()
        for quantile in [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            let rank = max(1, Int((quantile * Double(exact.count)).rounded(.up)))
            let truth = exact[rank - 1]
            let found = histogram.value(atQuantile: quantile) ?? 0
            #expect(found >= truth, "quantile \(quantile)")
            #expect(found <= truth + truth / 128, "quantile \(quantile)")
        }
        #expect(histogram.maximum == exact.last)
        #expect(histogram.count == 20_000)
    }

    @Test("durations below 128 ns and the largest are exact")
    func exactEnds() {
        var histogram = LatencyHistogram()
        for value in 0..<128 as Range<UInt64> { histogram.record(value) }
        #expect(histogram.value(atQuantile: 0.5) == 63)
        #expect(histogram.value(atQuantile: 1) == 127)
        histogram.record(1_000_003)
        #expect(histogram.value(atQuantile: 1) == 1_000_003)
    }

    @Test("nothing recorded has no quantile, and a duration beyond the range is kept as the longest")
    func edges() {
        var histogram = LatencyHistogram()
        #expect(histogram.value(atQuantile: 0.5) == nil)
        histogram.record(.max)
        #expect(histogram.count == 1)
        #expect(histogram.maximum == .max)
        #expect(histogram.value(atQuantile: 0.5) == LatencyHistogram.valueMax)
    }
}
