/// The labels of what was done to a reading on purpose.
package struct ReadingFaults: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Published twice.
    package static let duplicate = ReadingFaults(rawValue: 1)
    /// Not published.
    package static let lose = ReadingFaults(rawValue: 2)
    /// Published after a later reading.
    package static let outOfOrder = ReadingFaults(rawValue: 4)
    /// Held back, with all that followed.
    package static let delay = ReadingFaults(rawValue: 8)
    /// The payload is not JSON.
    package static let malformed = ReadingFaults(rawValue: 16)
    /// Waited while the device was off line, or was given up there.
    package static let offline = ReadingFaults(rawValue: 32)

    /// The names of the format, in a fixed order.
    package var names: [String] {
        let all: [(ReadingFaults, String)] = [
            (.duplicate, "duplicate"), (.lose, "lose"), (.outOfOrder, "out_of_order"), (.delay, "delay"),
            (.malformed, "malformed"), (.offline, "offline"),
        ]
        return all.filter { contains($0.0) }.map(\.1)
    }
}
