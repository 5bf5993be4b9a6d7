import Atomics
import NIOCore

/// Connections of one event loop that are not ready yet: TLS shakes hands, or HTTP has not become WebSocket.
///
/// Who takes too long is cut off, and when too many are on their way the oldest is: a flood of connections that
/// never get ready costs bounded memory, and an honest client, ready within milliseconds, still comes through.
///
/// `@unchecked Sendable`: confined to its event loop.
final class Arrivals: @unchecked Sendable {
    struct Limits {
        /// Of one event loop; each has 25 KB, most of it the handshake's.
        var arriving = 1_024
        var timeout = TimeAmount.seconds(10)
    }

    private let limits: Limits
    private let counters: HubCounters
    private var oldest: [ArrivalHandler] = []
    private var doneCount = 0
    /// All connections of the event loop, ready or not.
    private var open: [ObjectIdentifier: ArrivalHandler] = [:]
    private var whenEmpty: EventLoopPromise<Void>?

    init(limits: Limits = Limits(), counters: HubCounters) {
        self.limits = limits
        self.counters = counters
    }

    /// Cuts off who is not ready now, and who is still there after a while.
    ///
    /// - Returns: when nobody is left.
    func finish(_ loop: any EventLoop, within timeout: TimeAmount) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        for handler in open.values where !handler.isDone { handler.cut() }
        if open.isEmpty {
            promise.succeed(())
            return promise.futureResult
        }
        whenEmpty = promise
        loop.scheduleTask(in: timeout) { for handler in self.open.values { handler.cut() } }
        return promise.futureResult
    }

    fileprivate func remove(_ handler: ArrivalHandler) {
        open[ObjectIdentifier(handler)] = nil
        guard open.isEmpty, let promise = whenEmpty else { return }
        whenEmpty = nil
        promise.succeed(())
    }

    fileprivate func add(_ handler: ArrivalHandler, _ loop: any EventLoop) {
        open[ObjectIdentifier(handler)] = handler
        if oldest.count - doneCount >= limits.arriving {
            let late = oldest.first { !$0.isDone }
            late?.giveUp(counters.handshakesCut)
        }
        oldest.append(handler)
        let timeouts = counters.handshakeTimeouts
        handler.timer = loop.scheduleTask(in: limits.timeout) { handler.giveUp(timeouts) }
    }

    fileprivate func done() {
        doneCount += 1
        guard doneCount >= 64, doneCount * 2 >= oldest.count else { return }
        oldest.removeAll { $0.isDone }
        doneCount = 0
    }
}

/// The first handler of a channel: it knows whether the connection is ready, and it can cut it off without the
/// last words that TLS and WebSocket would still exchange. Confined to its event loop.
final class ArrivalHandler: ChannelInboundHandler, @unchecked Sendable {
    // Guard: the event loop; timers run there too.
    typealias InboundIn = ByteBuffer

    private let arrivals: Arrivals
    private var context: ChannelHandlerContext?
    fileprivate var timer: Scheduled<Void>?
    private(set) var isDone = false

    init(_ arrivals: Arrivals) { self.arrivals = arrivals }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        arrivals.add(self, context.eventLoop)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        done()
        self.context = nil
        arrivals.remove(self)
    }

    /// It is ready, or will never be.
    func done() {
        guard !isDone else { return }
        isDone = true
        timer?.cancel()
        timer = nil
        arrivals.done()
    }

    fileprivate func giveUp(_ counter: ManagedAtomic<Int>) {
        guard !isDone else { return }
        counter.wrappingIncrement(ordering: .relaxed)
        done()
        cut()
    }

    /// Ends the connection now.
    func cut() { context?.close(promise: nil) }
}
