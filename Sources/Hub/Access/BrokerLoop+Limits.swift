import Atomics
package import MQTTBroker
import Platform

/// What a listener counts; confined to its event loop.
struct ListenerUsage {
    var limits: ListenerLimits
    var connections = 0
    var connects = RateMeter()
}

/// Limits of listeners and clients: who is turned away at the door, who is cut off because he never says who he is,
/// and who is read more slowly.
extension BrokerLoop {
    /// Puts the limits of the listeners in force, in their order; before the first connection, and before `restore`.
    ///
    /// - Parameter clients: those of their clients, in the same order; none where all have the broker's own.
    package func use(_ limits: [ListenerLimits], clients: [ClientLimits] = []) {
        precondition(clients.isEmpty || clients.count == limits.count)
        listeners = limits.map { ListenerUsage(limits: $0) }
        clientLimits = clients
        broker.use(clients)
    }

    /// The place of a connection's limits among the broker's.
    func limitsPlace(of connection: Connection) -> Int {
        if connection.origin.isInternal || clientLimits.isEmpty { return 0 }
        return listenerPlace(connection.origin) + 1
    }

    private func giveLimits(to connection: Connection) {
        let place = limitsPlace(of: connection)
        let own = place == 0 ? ClientLimits(limits.broker) : clientLimits[place - 1]
        connection.packetBytesMax = Int(own.packetBytesMax)
        connection.receiveMaximum = Int(own.receiveMaximum)
        connection.topicLevelsMax = own.topicLevels
    }

    /// Whether a listener takes one connection more.
    func takesConnection(from origin: ConnectionOrigin, now: UInt64) -> Bool {
        if origin.isInternal { return true }
        let place = listenerPlace(origin)
        guard listeners[place].connections < listeners[place].limits.connections else { return false }
        let rate = listeners[place].limits.connectsPerSecond
        guard listeners[place].connects.takeOne(perSecond: rate, now: now) else {
            counters.connectFloods.wrappingIncrement(ordering: .relaxed)
            return false
        }
        return true
    }

    /// A connection that has not sent its CONNECT yet. When too many have not, the one that has been silent longest
    /// goes: a flood of silent sockets takes no place of a client that speaks.
    func beginPending(_ connection: Connection) {
        giveLimits(to: connection)
        if connection.origin.isInternal { return }
        listeners[listenerPlace(connection.origin)].connections += 1
        let limits = listeners[listenerPlace(connection.origin)].limits
        connection.isRated = limits.messagesPerSecond > 0 || limits.bytesPerSecond > 0
        connection.connectTimeoutNanoseconds = limits.connectTimeoutNanoseconds
        pending.append(ConnectionPlace(connection))
        pendingCount += 1
        connection.isPending = true
        if pendingCount > self.limits.pendingConnections { cutOldestPending() }
        dropSettled()
    }

    /// The connection has said who it is, or is gone.
    func endPending(_ connection: Connection) {
        guard connection.isPending else { return }
        connection.isPending = false
        pendingCount -= 1
    }

    func endConnection(_ connection: Connection) {
        endPending(connection)
        if connection.origin.isInternal { return }
        listeners[listenerPlace(connection.origin)].connections -= 1
    }

    private func listenerPlace(_ origin: ConnectionOrigin) -> Int {
        min(Int(origin.listener), listeners.count - 1)
    }

    private func pendingConnection(_ place: ConnectionPlace) -> Connection? {
        guard let connection = slots[Int(place.slot)], connection.generation == place.generation,
            connection.isPending
        else { return nil }
        return connection
    }

    private func cutOldestPending() {
        while pendingHead < pending.count {
            let oldest = pendingConnection(pending[pendingHead])
            pendingHead += 1
            guard let oldest else { continue }
            counters.pendingCut.wrappingIncrement(ordering: .relaxed)
            oldest.transport?.abort()
            removeConnection(oldest)
            return
        }
    }

    /// Forgets those in front who are settled, and now and then all of them.
    private func dropSettled() {
        while pendingHead < pending.count, pendingConnection(pending[pendingHead]) == nil { pendingHead += 1 }
        if pendingHead > 1_024, pendingHead * 2 > pending.count {
            pending.removeFirst(pendingHead)
            pendingHead = 0
        }
        guard pending.count - pendingHead > 1_024, pending.count - pendingHead > pendingCount * 4 else {
            return
        }
        pending = pending[pendingHead...].filter { pendingConnection($0) != nil }
        pendingHead = 0
    }

    // MARK: Rates

    /// The client has sent so much; above its rate it is not read until it is even again.
    func charge(_ connection: Connection, messages: Int, bytes: Int, now: UInt64) {
        let limits = listeners[listenerPlace(connection.origin)].limits
        let until = max(
            connection.messageRate.take(messages, perSecond: limits.messagesPerSecond, now: now),
            connection.byteRate.take(bytes, perSecond: limits.bytesPerSecond, now: now))
        guard until > now, !connection.isWaiting, connection.phase == .connected else { return }
        counters.rateWaits.wrappingIncrement(ordering: .relaxed)
        connection.isWaiting = true
        connection.waitsUntil = until
        rateHeld.append(ConnectionPlace(connection))
    }

    /// Reads those again whose time has come; at every tick.
    func releaseRated(now: UInt64) {
        guard !rateHeld.isEmpty else { return }
        var left: [ConnectionPlace] = []
        for place in rateHeld {
            guard let connection = slots[Int(place.slot)], connection.generation == place.generation,
                connection.phase == .connected
            else { continue }
            if connection.waitsUntil > now { left.append(place) } else { endWait(of: connection) }
        }
        rateHeld = left
    }
}
