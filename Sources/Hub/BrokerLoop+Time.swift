import Atomics
import MQTTBroker
import MQTTWire
import Platform

/// What is due by the clock.
extension BrokerLoop {
    /// Called a few times a second: keep-alives, will delays, session expiry.
    package func advance() {
        let now = clock.monotonicNanoseconds()
        var expired: [Connection] = []
        var stuck: [Connection] = []
        for case .some(let connection) in slots {
            let limit: UInt64
            switch connection.phase {
            case .authenticating: continue
            case .awaitingConnect:
                if connection.hold == .storage { continue }
                limit = connection.connectTimeoutNanoseconds
                // Of the whole CONNECT, not of each byte.
                if now > connection.acceptedNanoseconds + limit {
                    counters.connectTimeouts.wrappingIncrement(ordering: .relaxed)
                    stuck.append(connection)
                }
                continue
            case .connected:
                // Whom the hub itself does not read is not silent.
                guard connection.keepAliveNanoseconds > 0, connection.hold != .storage,
                    connection.hold != .subscriber, !connection.isWaiting
                else { continue }
                limit = connection.keepAliveNanoseconds + connection.keepAliveNanoseconds / 2
            case .closing:
                if connection.closeDeadline != 0, now > connection.closeDeadline { stuck.append(connection) }
                continue
            }
            if now > connection.lastReadNanoseconds + limit { expired.append(connection) }
        }
        for connection in expired {
            counters.keepAliveTimeouts.wrappingIncrement(ordering: .relaxed)
            connection.refuse(WireError(.keepAliveTimeout, "nothing was heard within 1.5 keep-alives"), now)
        }
        releaseRated(now: now)
        for connection in stuck {
            connection.transport?.abort()
            removeConnection(connection)
        }
        loseSomePatience(now: now)
        broker.advance(now: now, actions: &actions)
        perform()
        publishSystemTopics(now: now)
        tickJournal(now)
        submitQueueAcknowledgements(isForced: true)
        flushAll()
        counters.brokerSnapshot(broker.counters)
        noteGauges()
    }
}
