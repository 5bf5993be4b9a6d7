package import Telemetry

/// One thing a device does, and when by the fleet's own time.
package struct PlannedAction: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case publish(Publication)
        /// A reading that is never sent, for the answer key.
        case omit(AnswerKeyEntry)
        /// Close the connection; the script keeps what is made meanwhile.
        case goOffline
        case comeOnline
    }
    /// Whole milliseconds; never before the action before it.
    package var time: EventTime
    package var kind: Kind
}

/// One message to publish.
package struct Publication: Equatable, Sendable {
    /// With the message id in its property bag where the protocol has no user properties.
    package var topic: String
    package var payload: [UInt8]
    package var messageID: String
    package var qos: Int
    /// 1 for the first sending, 2 for the repeated one.
    package var attempt: Int
    /// The reading's line of the answer key; nil when it is sent again.
    package var entry: AnswerKeyEntry?
}
