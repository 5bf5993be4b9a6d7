/// A sink as the query's thread sees it: it takes what the checkpoint covers, keeps its own cursor, and must
/// not block for long.
protocol ResultDelivery {
    /// Delivers the next portion, if it can now. All sinks of a query take turns, so that what one has read the
    /// others need not read again.
    ///
    /// - Returns: whether there may be more to do at once.
    func advance(isStopping: Bool) -> Bool

    /// Ends a round of deliveries.
    func settle(isStopping: Bool) -> SinkStatus

    /// Ends what it does on other threads: the outbox is opened anew, or goes away. Delivers nothing after that.
    ///
    /// - Parameter isLast: what does not arrive now never will.
    func close(isLast: Bool)
}

extension ResultDelivery {
    func close(isLast: Bool) {}
}

/// `offered = delivered + outbox + diverted` for one sink.
package struct SinkStatus: Sendable {
    package var name: String
    package var offered: Int
    package var delivered: Int
    package var outbox: Int
    package var diverted: Int
    /// Where its cursor stands in the query's outbox.
    package var position: UInt64
    /// What holds it up, when something does.
    package var failure: String?
}
