import Atomics
import MQTTWire
package import Transport

/// The loop on plain TCP: an `EventThread` gives it turns and connections.
extension BrokerLoop: EventThreadHandler {
    package func accepted(_ socket: StreamSocket, now: UInt64) -> (any SocketHandler)? {
        guard let connection = addConnection(now: now, from: ConnectionOrigin(socket)) else { return nil }
        connection.transport = socket
        return connection
    }

    package func acceptPaused() { counters.acceptPauses.wrappingIncrement(ordering: .relaxed) }

    package func tick(now: UInt64) { advance() }
}

extension ConnectionOrigin {
    init(_ socket: StreamSocket) {
        self.init(listener: socket.listener, isLoopback: socket.isPeerLoopback)
    }
}

extension EventThread: LoopExecutor {
    /// Every turn of this thread ends so.
    package func endTurnSoon() {}
}

extension StreamSocket: ConnectionTransport {}

extension Connection: SocketHandler {
    package var mayRead: Bool { loop.mayRead(self) }
    package func canSend() { loop.canSend(self) }
    package func closed() { loop.removeConnection(self) }
}
