import Atomics
import Platform
import Transport

/// A thread that owns plain TCP sockets whose connections live on a broker's loop elsewhere.
///
/// `@unchecked Sendable`: confined to its thread.
final class SocketLoop: EventThreadHandler, @unchecked Sendable {
    private let thread: EventThread
    let bridge: HopBridge
    private let counters: HubCounters
    private let closeTimeoutNanoseconds: UInt64
    /// Ports that have more to send before they end.
    fileprivate var closing: [StreamPort] = []
    private var now: UInt64 = 0

    init(_ thread: EventThread, to loop: BrokerLoop, limits: HopLimits = HopLimits()) {
        self.thread = thread
        bridge = HopBridge(from: thread, to: loop, limits: limits)
        counters = loop.counters
        closeTimeoutNanoseconds = loop.limits.closeTimeoutNanoseconds
    }

    func accepted(_ socket: StreamSocket, now: UInt64) -> (any SocketHandler)? {
        let port = StreamPort(socket, self)
        port.open(ConnectionOrigin(socket))
        return port
    }

    func acceptPaused() { counters.acceptPauses.wrappingIncrement(ordering: .relaxed) }

    func tick(now: UInt64) {
        self.now = now
        guard !closing.isEmpty else { return }
        closing.removeAll { $0.isDone(now) }
    }

    func endTurn() { bridge.sockets.endTurn() }

    fileprivate func close(_ port: StreamPort) -> UInt64 {
        closing.append(port)
        return now + closeTimeoutNanoseconds
    }
}

/// A plain socket at the far end of a bridge; confined to its thread.
private final class StreamPort: SocketHandler, HopSocket {
    private let socket: StreamSocket
    private unowned let loop: SocketLoop
    private var port: HopPort?
    /// What the kernel has not taken: no more than `HopLimits.sentBytesMax`.
    private var pending = OutputBuffer()
    /// Not 0: ends when `pending` is empty, at the latest then.
    private var deadline: UInt64 = 0
    private var isEnded = false

    init(_ socket: StreamSocket, _ loop: SocketLoop) {
        self.socket = socket
        self.loop = loop
    }

    private var end: HopSocketEnd { loop.bridge.sockets }

    func open(_ origin: ConnectionOrigin) { port = end.opened(self, from: origin) }

    // MARK: From the socket

    var mayRead: Bool {
        // Behind its end nobody listens, and the peer is to notice.
        guard let port, deadline == 0 else { return false }
        return end.mayRead(port)
    }

    func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) -> Int {
        if let port { end.received(bytes, on: port) }
        return bytes.count
    }

    func canSend() {
        let count = socket.send(pending.bytes)
        pending.removeFirst(count)
        if let port { end.sent(count, on: port) }
        if deadline != 0, pending.count == 0 { finish() }
    }

    func closed() {
        isEnded = true
        if let port { end.closed(port) }
        port = nil
    }

    // MARK: From the bridge

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = pending.count == 0 ? socket.send(bytes) : 0
        if count < bytes.count, let start = bytes.baseAddress {
            pending.extend(by: bytes.count - count)
                .copyMemory(from: start + count, byteCount: bytes.count - count)
        }
        return count
    }

    func close() {
        port = nil
        if pending.count == 0 { return finish() }
        deadline = loop.close(self)
    }

    func abort() {
        port = nil
        isEnded = true
        socket.abort()
    }

    func resumeReading() { socket.resumeReading() }

    // MARK: The end

    private func finish() {
        isEnded = true
        socket.close()
    }

    func isDone(_ now: UInt64) -> Bool {
        if !isEnded, now > deadline { abort() }
        return isEnded
    }
}
