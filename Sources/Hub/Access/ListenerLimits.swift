package import MQTTBroker

/// Limits of a listener, and of each client that comes in by it. 0 means none where it is a rate.
package struct ListenerLimits: Sendable, Equatable {
    /// Connections of this listener; `HubLimits.connections` bounds all together.
    package var connections = Int.max
    /// New connections a second; as many may come at once. More are closed at once and counted. 20,000: what an
    /// event loop takes that does nothing else.
    package var connectsPerSecond = 20_000
    /// Messages a second of one client, as many may come at once. Above it the client is not read for a while:
    /// nothing is lost. None as it stands.
    package var messagesPerSecond = 0
    /// Bytes a second of one client, likewise.
    package var bytesPerSecond = 0
    /// A socket that sent no whole CONNECT by then is closed. 30 s: a modem that has just dialled in.
    package var connectTimeoutNanoseconds: UInt64 = 30_000_000_000

    package init() {}

    /// What of the limits a listener says itself.
    package struct Changes: Sendable, Equatable {
        package var connections: Int?
        package var connectsPerSecond: Int?
        package var messagesPerSecond: Int?
        package var bytesPerSecond: Int?
        package var connectTimeoutNanoseconds: UInt64?
        package var packetBytesMax: UInt32?
        package var receiveMaximum: UInt16?
        package var topicLevels: Int?
        package var subscriptions: Int?
        package var sessionMessages: Int?
        package var sessionBytes: Int?
        package var keptMessages: Int?
        package var keptBytes: Int?

        package init() {}

        /// What the clients of the listener have, where the broker's own are these.
        package func applied(to own: ClientLimits) -> ClientLimits {
            var limits = own
            if let value = packetBytesMax { limits.packetBytesMax = value }
            if let value = receiveMaximum { limits.receiveMaximum = value }
            if let value = topicLevels { limits.topicLevels = value }
            if let value = subscriptions { limits.subscriptionsPerSession = value }
            if let value = sessionMessages { limits.sessionQueueMessages = value }
            if let value = sessionBytes { limits.sessionQueueBytes = value }
            if let value = keptMessages { limits.keptQueueMessages = value }
            if let value = keptBytes { limits.keptQueueBytes = value }
            return limits
        }
    }

    func with(_ changes: Changes) -> ListenerLimits {
        var limits = self
        if let value = changes.connections { limits.connections = value }
        if let value = changes.connectsPerSecond { limits.connectsPerSecond = value }
        if let value = changes.messagesPerSecond { limits.messagesPerSecond = value }
        if let value = changes.bytesPerSecond { limits.bytesPerSecond = value }
        if let value = changes.connectTimeoutNanoseconds { limits.connectTimeoutNanoseconds = value }
        return limits
    }
}

/// So many a second, a second's worth of them at once: what was taken beyond it is owed, and paid by waiting.
struct RateMeter {
    private static let second: UInt64 = 1_000_000_000
    /// Monotonic nanoseconds at which all that was taken is paid for.
    private var paidAt: UInt64 = 0

    /// - Returns: whether there is room for one more now; if so it is taken.
    mutating func takeOne(perSecond: Int, now: UInt64) -> Bool {
        guard perSecond > 0 else { return true }
        guard paidAt <= now + Self.second - Self.second / UInt64(perSecond) else { return false }
        _ = take(1, perSecond: perSecond, now: now)
        return true
    }

    /// Takes so many, whether there is room or not.
    ///
    /// - Returns: when there is room again: `now` or before when there is.
    mutating func take(_ count: Int, perSecond: Int, now: UInt64) -> UInt64 {
        guard perSecond > 0, count > 0 else { return now }
        let cost = UInt64(Double(count) / Double(perSecond) * 1e9)
        paidAt = max(paidAt, now) + cost
        return paidAt < Self.second ? 0 : paidAt - Self.second
    }
}
