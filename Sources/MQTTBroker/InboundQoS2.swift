/// The packet identifiers a client has in use between its PUBLISH at QoS 2 and our PUBCOMP: who is in here
/// was already taken, and is acknowledged again but not stored again. MQTT 5.0 §4.3.3 [MQTT-4.3.3-10].
///
/// One bit for each of the 65,535 identifiers, 8 KiB, allocated at the first QoS 2 message of the session.
package final class InboundQoS2 {
    package private(set) var count = 0

    // Guard: allocated with `wordCount` zeroed words and indexed by identifier >> 6, which is below 1,024 for
    // every UInt16; freed in deinit and in `removeAll` only, by the one thread that owns the session.
    private var words: UnsafeMutablePointer<UInt64>?
    private static let wordCount = 1_024

    package init() {}

    deinit { words?.deallocate() }

    package func contains(_ packetIdentifier: UInt16) -> Bool {
        guard let words else { return false }
        return words[Int(packetIdentifier >> 6)] & bit(packetIdentifier) != 0
    }

    /// - Returns: false when it was there already.
    @discardableResult package func insert(_ packetIdentifier: UInt16) -> Bool {
        let words = allocated()
        let index = Int(packetIdentifier >> 6)
        guard words[index] & bit(packetIdentifier) == 0 else { return false }
        words[index] |= bit(packetIdentifier)
        count += 1
        return true
    }

    /// - Returns: false when it was not there.
    @discardableResult package func remove(_ packetIdentifier: UInt16) -> Bool {
        guard let words else { return false }
        let index = Int(packetIdentifier >> 6)
        guard words[index] & bit(packetIdentifier) != 0 else { return false }
        words[index] &= ~bit(packetIdentifier)
        count -= 1
        return true
    }

    package func removeAll() {
        words?.deallocate()
        words = nil
        count = 0
    }

    /// Gives the memory back when nothing is in it: a session that is away should cost little.
    func trim() {
        if count == 0 { removeAll() }
    }

    private func bit(_ packetIdentifier: UInt16) -> UInt64 { 1 << UInt64(packetIdentifier & 63) }

    private func allocated() -> UnsafeMutablePointer<UInt64> {
        if let words { return words }
        let fresh = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.wordCount)
        fresh.initialize(repeating: 0, count: Self.wordCount)
        words = fresh
        return fresh
    }
}
