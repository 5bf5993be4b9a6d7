/// What a bridge has done since the start.
///
/// `received = stored + refused + unmapped + looped inwards + under way`.
package struct BridgeCounters: Sendable, Equatable {
    /// Messages of the other broker.
    package var received = 0
    /// Of them those that the hub has taken; at QoS 1 it has them on disk before the other broker hears of it.
    package var stored = 0
    /// Not taken by the hub: too large, no room, no right.
    package var refused = 0
    /// Came back: echoes, and messages that were at this hub before.
    package var looped = 0
    /// Would have gone to the other broker a second time.
    package var loopedOut = 0
    /// Came although no rule is about them: of a subscription of former times.
    package var unmapped = 0
    /// Messages for the other broker that went into the buffer.
    package var collected = 0
    /// Of them those that the other broker has.
    package var forwarded = 0
    /// Of them those that it refused for good.
    package var refusedOut = 0
    /// Of them those that were too old when they could be sent.
    package var expired = 0
    /// Not collected, as the buffer was full.
    package var dropped = 0

    package init() {}
}
