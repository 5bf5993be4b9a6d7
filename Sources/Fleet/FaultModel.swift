/// What goes wrong on purpose with messages. All probabilities are per reading, 0 to 1.
package struct FaultModel: Equatable, Sendable {
    /// Sent again with the same bytes and id, 0 to 5 s later.
    package var duplicate: Double = 0
    /// Never sent.
    package var lose: Double = 0
    /// Sent with a payload that is not JSON.
    package var malformed: Double = 0
    /// Held back until `by` has passed and a later reading was sent.
    package var outOfOrder: Hold?
    /// Held back, with everything made after it, until `by` has passed: late, in order.
    package var delay: Hold?

    /// How often, and for how long (milliseconds).
    package struct Hold: Equatable, Sendable {
        package var rate: Double
        package var byMilliseconds: ClosedRange<Int64>

        package init(rate: Double, byMilliseconds: ClosedRange<Int64>) {
            self.rate = rate
            self.byMilliseconds = byMilliseconds
        }
    }

    package init() {}
}
