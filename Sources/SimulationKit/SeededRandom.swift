/// SplitMix64 (Steele, Lea, Flood): small, and the same on every machine.
package struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        // Neighbouring seeds must not give neighbouring histories.
        state = seed &* 0xD1B5_4A32_D192_ED03 ^ 0x5851_F42D_4C95_7F2D
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// A whole number between the bounds, both included; one draw.
    package mutating func whole(_ range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound) + 1
        return range.lowerBound + Int(next().multipliedFullWidth(by: count).high)
    }

    /// Nanoseconds between two bounds in microseconds; one draw.
    package mutating func microseconds(_ range: ClosedRange<Int>) -> UInt64 { UInt64(whole(range)) * 1_000 }

    /// True in `percent` of 100 cases; one draw.
    package mutating func chance(_ percent: Int) -> Bool { whole(0...99) < percent }

    /// One of several, each as likely as the others; one draw.
    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[whole(0...(elements.count - 1))]
    }

    /// A stream of its own, so that what one part draws moves no other part.
    package mutating func split() -> SeededRandom { SeededRandom(seed: next()) }
}
