/// What is wrong with a peer's bytes: who reads it closes the connection with `reason` (on 3.1.1 without
/// one).
@usableFromInline
package struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    package var reason: ReasonCode
    /// What was wrong, for the log and the reason string; never echoes the peer's bytes.
    package var explanation: String

    package init(_ reason: ReasonCode, _ explanation: String) {
        self.reason = reason
        self.explanation = explanation
    }

    @usableFromInline package var description: String { "\(reason) \(explanation)" }
}
