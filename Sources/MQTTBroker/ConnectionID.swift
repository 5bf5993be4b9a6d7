/// A network connection as the broker knows it: a number chosen by the hub and never used twice, so that an
/// action which comes late can never hit another client.
package struct ConnectionID: Hashable, Sendable {
    package var rawValue: UInt64

    @inlinable package init(rawValue: UInt64) { self.rawValue = rawValue }
}
