/// Counts durations in log-linear buckets, as HdrHistogram does: 128 buckets for every power of two, so that
/// a quantile is at most 1/128 (0.8 %) above the exact one and never below it. Recording is a shift, an add.
///
/// Holds durations up to 2⁴² ns (73 minutes); longer ones are counted as that. 37 KB, whatever is recorded.
package struct LatencyHistogram: ~Copyable {
    private static let subBucketBits = 7
    private static let subBuckets = 1 << subBucketBits
    /// Nanoseconds; the last bucket's upper end.
    static let valueMax: UInt64 = (1 << 42) - 1
    private static let bucketCount = (42 - subBucketBits + 1) * subBuckets

    /// Guard: `index(of:)` stays below `bucketCount` because values are clamped to `valueMax`.
    private let buckets: UnsafeMutablePointer<UInt64>
    /// Durations recorded.
    package private(set) var count: UInt64 = 0
    /// The longest duration recorded, in nanoseconds, exact; 0 when there is none.
    package private(set) var maximum: UInt64 = 0

    package init() {
        buckets = .allocate(capacity: Self.bucketCount)
        buckets.initialize(repeating: 0, count: Self.bucketCount)
    }

    deinit { buckets.deallocate() }

    /// - Parameter nanoseconds: any duration.
    package mutating func record(_ nanoseconds: UInt64) {
        buckets[Self.index(of: min(nanoseconds, Self.valueMax))] += 1
        count += 1
        if nanoseconds > maximum { maximum = nanoseconds }
    }

    /// The duration that the fraction `quantile` of all recorded durations does not exceed.
    ///
    /// - Parameter quantile: 0…1, for example 0.99; values outside are clamped.
    /// - Returns: nanoseconds, the upper end of the bucket but not more than `maximum`; nil when nothing was
    ///   recorded.
    package func value(atQuantile quantile: Double) -> UInt64? {
        guard count > 0 else { return nil }
        let rank = max(1, min(count, UInt64((quantile * Double(count)).rounded(.up).clamped(to: 0...1e18))))
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen += buckets[index]
            if seen >= rank { return min(Self.upperEnd(of: index), maximum) }
        }
        return maximum
    }

    private static func index(of value: UInt64) -> Int {
        guard value >= UInt64(subBuckets) else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        let shift = exponent - subBucketBits
        return (shift + 1) * subBuckets + (Int(value >> UInt64(shift)) & (subBuckets - 1))
    }

    private static func upperEnd(of index: Int) -> UInt64 {
        guard index >= subBuckets else { return UInt64(index) }
        let shift = UInt64(index / subBuckets - 1)
        let first = UInt64(subBuckets + index % subBuckets)
        return ((first + 1) << shift) - 1
    }
}

extension Double {
    fileprivate func clamped(to range: ClosedRange<Double>) -> Double {
        Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}
