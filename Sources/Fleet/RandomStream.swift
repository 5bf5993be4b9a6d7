#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A stream of pseudo-random numbers that is the same on every machine: xoshiro256** 1.0 (Blackman, Vigna),
/// its four words filled by SplitMix64.
///
/// Every purpose of every device has a stream of its own, named by (fleet seed, device id, purpose): a fault
/// that is switched on moves no sensor's values, and a device that is added moves no other device.
package struct RandomStream: RandomNumberGenerator, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    package init(seed: UInt64) {
        var state = seed
        s0 = Self.splitMix(&state)
        s1 = Self.splitMix(&state)
        s2 = Self.splitMix(&state)
        s3 = Self.splitMix(&state)
    }

    /// Takes up a stream where its four words are known; not all of them 0.
    package init(words: (UInt64, UInt64, UInt64, UInt64)) {
        precondition(words != (0, 0, 0, 0), "xoshiro256** stands still at zero")
        (s0, s1, s2, s3) = words
    }

    /// The stream of one purpose of one device. The seed is FNV-1a over the texts, stirred with the fleet's.
    package init(seed: UInt64, device: String, purpose: String) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in device.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ 0xFF) &* 0x100_0000_01B3
        for byte in purpose.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var state = seed
        self.init(seed: hash ^ Self.splitMix(&state))
    }

    package mutating func next() -> UInt64 {
        let product = s1 &* 5
        let result = ((product << 7) | (product >> 57)) &* 9
        let shifted = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = (s3 << 45) | (s3 >> 19)
        return result
    }

    /// Uniform in `0 ..< 1`, 53 bits.
    package mutating func unit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// Uniform between the bounds; one draw even when they are equal.
    package mutating func uniform(in range: ClosedRange<Double>) -> Double {
        let value = range.lowerBound + unit() * (range.upperBound - range.lowerBound)
        return min(value, range.upperBound)
    }

    /// A whole number between the bounds, both included; one draw. The bias of a 64-bit product is below
    /// 2⁻²⁰ for ranges of milliseconds over years.
    package mutating func whole(in range: ClosedRange<Int64>) -> Int64 {
        let count = UInt64(range.upperBound - range.lowerBound) + 1
        return range.lowerBound + Int64(next().multipliedFullWidth(by: count).high)
    }

    /// True with the probability given; one draw.
    package mutating func chance(_ probability: Double) -> Bool {
        unit() < probability
    }

    /// Normal with mean 0 and deviation 1, by Box and Muller; two draws.
    package mutating func normal() -> Double {
        let radius = (-2 * log(1 - unit())).squareRoot()
        return radius * cos(2 * .pi * unit())
    }

    /// Exponential with the mean given; one draw.
    package mutating func exponential(mean: Double) -> Double {
        -log(1 - unit()) * mean
    }

    /// One step of SplitMix64 (Steele, Lea, Flood), which also stirs a number by itself.
    package static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
