/// What of the broker's limits may differ from client to client, by the listener that it came in by.
///
/// A session has those of its latest connection; one that was read back from the journal has the broker's own until its
/// client is there again. Units, defaults and reasons are those of `BrokerLimits`.
package struct ClientLimits: Sendable, Equatable {
    package var packetBytesMax: UInt32
    package var receiveMaximum: UInt16
    package var topicLevels: Int
    package var subscriptionsPerSession: Int
    package var sessionQueueMessages: Int
    package var sessionQueueBytes: Int
    package var keptQueueMessages: Int
    package var keptQueueBytes: Int

    /// Those of the broker.
    package init(_ limits: BrokerLimits) {
        packetBytesMax = limits.packetBytesMax
        receiveMaximum = limits.receiveMaximum
        topicLevels = limits.topicLevels
        subscriptionsPerSession = limits.subscriptionsPerSession
        sessionQueueMessages = limits.sessionQueueMessages
        sessionQueueBytes = limits.sessionQueueBytes
        keptQueueMessages = limits.keptQueueMessages
        keptQueueBytes = limits.keptQueueBytes
    }
}

extension Broker {
    /// Gives the clients of some listeners limits of their own. Before the first of them, and before `restore`.
    ///
    /// - Parameter clients: `connect` names them by their place here, from 1 on; 0 is the broker's own.
    package mutating func use(_ clients: [ClientLimits]) {
        clientLimits = [ClientLimits(limits)] + clients
        topicLevelsMax = clientLimits.map(\.topicLevels).reduce(0, max)
    }

    @inline(__always)
    func limits(of session: Session) -> ClientLimits { clientLimits[session.limitsPlace] }
}
