/// Both ends between a thread that owns sockets and a broker's loop on another.
///
/// Either end gathers what it has to say over a turn and says it in one hop, so the cost of a hop is shared by all
/// the messages of the turn; nothing is allocated a message.
final class HopBridge: Sendable {
    let sockets: HopSocketEnd
    let broker: HopBrokerEnd

    /// - Parameters:
    ///   - executor: where the sockets live.
    ///   - loop: gets the connections; has no connection yet.
    init(from executor: any LoopExecutor, to loop: BrokerLoop, limits: HopLimits = HopLimits()) {
        let up = HopLane()
        let down = HopLane()
        let ends = Ends()
        let sockets = HopSocketEnd(executor: executor, up: up, down: down, limits: limits) {
            loop.executor.execute { ends.broker?.receive() }
        }
        let broker = HopBrokerEnd(loop: loop, up: up, down: down, limits: limits) { [unowned sockets] in
            executor.execute { sockets.receive() }
        }
        ends.broker = broker
        self.sockets = sockets
        self.broker = broker
        loop.hops.append(broker)
    }

    /// What the sockets' end wakes: made after it.
    ///
    /// `@unchecked Sendable`: guard: set before a thread runs, and only read later.
    private final class Ends: @unchecked Sendable {
        unowned(unsafe) var broker: HopBrokerEnd?
    }
}
