/// What the codec accepts beyond the standard's own bounds. Unit and reason stand with each.
///
/// The packet size is the caller's limit (`scanFrame`); these two bound how much larger a packet becomes in
/// typed form. Exceeding one is answered with 0x97, Quota exceeded.
package enum WireLimits {
    /// User properties a property block; an empty one costs 5 bytes on the wire and about 32 in memory.
    package static let userPropertiesMax = 10_000

    /// Topic filters a SUBSCRIBE or UNSUBSCRIBE; one costs 3 bytes on the wire and about 24 in memory.
    package static let filtersMax = 10_000

    /// Largest remaining length, in bytes, and largest subscription identifier. MQTT 5.0 §1.5.5.
    package static let variableByteIntegerMax = 268_435_455

    /// Bytes of a string or of binary data. MQTT 5.0 §1.5.4, §1.5.6.
    package static let stringBytesMax = 65_535
}
