import NIOCore

/// A `BrokerLoop` on an event loop of SwiftNIO.
///
/// `@unchecked Sendable`: guard: `loop` is set once, before the first connection, and read on the event loop only.
final class NIOLoopExecutor: LoopExecutor, @unchecked Sendable {
    private let eventLoop: any EventLoop
    private unowned(unsafe) var loop: BrokerLoop?

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Names the loop whose turns these are, and calls its `advance` four times a second.
    func start(_ loop: BrokerLoop) -> RepeatedTask {
        self.loop = loop
        return eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(250), delay: .milliseconds(250)) {
            _ in loop.advance()
        }
    }

    func execute(_ body: @escaping @Sendable () -> Void) { eventLoop.execute(body) }

    func endTurnSoon() { eventLoop.execute { self.loop?.endTurn() } }
}
