import Platform
import Synchronization
import Transport

/// Messages of a 4-byte length and a body come back as they are; the first byte of a body may ask for more.
///
/// `@unchecked Sendable`: guard: all but `events` is touched on the event thread only.
final class EchoServer: EventThreadHandler, @unchecked Sendable {
    /// First bytes of a body that ask for something.
    enum Command: UInt8 {
        /// Answer, then close.
        case close = 1
        /// Read no more until `resume`.
        case hold = 2
        /// Close at once.
        case abort = 3
        /// Answer nothing.
        case swallow = 4
    }

    let thread: EventThread
    let port: Int
    private let events = Monitor([String]())
    private var connections: [EchoConnection] = []
    /// Turns new connections away.
    let isFull = Atomic(false)

    init() throws {
        thread = try EventThread(clock: SystemClock())
        let listener = try StreamListener(host: "127.0.0.1", port: 0)
        port = listener.port
        thread.accept(from: listener)
        thread.start("echo", handler: self)
    }

    func accepted(_ socket: StreamSocket, now: UInt64) -> (any SocketHandler)? {
        if isFull.load(ordering: .relaxed) { return nil }
        let connection = EchoConnection(socket, server: self)
        connections.append(connection)
        return connection
    }

    func acceptPaused() { note("paused") }
    func tick(now: UInt64) {}
    func endTurn() { for connection in connections { connection.flush() } }

    func note(_ event: String) { events.update { $0.append(event) } }

    /// Waits until so many of an event have happened; false after ten seconds.
    func waits(for event: String, count: Int = 1) -> Bool {
        var isThere = false
        events.wait(timeoutNanoseconds: 10_000_000_000) { all in
            isThere = all.filter { $0 == event }.count >= count
            return isThere
        } then: { _ in
        }
        return isThere
    }

    func count(of event: String) -> Int { events.withLock { all in all.filter { $0 == event }.count } }

    /// Lets every connection read again.
    func resume() {
        thread.execute {
            for connection in self.connections {
                connection.isHeld = false
                connection.socket.resumeReading()
            }
        }
    }

    /// Closes every connection from this end.
    func closeAll() {
        thread.execute { for connection in self.connections { connection.socket.close() } }
    }
}

/// One connection of an `EchoServer`, confined to its thread.
final class EchoConnection: SocketHandler {
    let socket: StreamSocket
    var isHeld = false
    private unowned let server: EchoServer
    private var output: [UInt8] = []
    private var isClosing = false

    init(_ socket: StreamSocket, server: EchoServer) {
        self.socket = socket
        self.server = server
    }

    var mayRead: Bool {
        if isHeld { server.note("held") }
        return !isHeld
    }

    func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) -> Int {
        var at = 0
        while bytes.count - at >= 4, !isClosing {
            let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            guard bytes.count - at - 4 >= length else { break }
            let message = bytes[at..<(at + 4 + length)]
            at += 4 + length
            server.note("message")
            switch length > 0 ? EchoServer.Command(rawValue: message[message.startIndex + 4]) : nil {
            case .swallow: continue
            case .hold: isHeld = true
            case .abort:
                socket.abort()
                return at
            case .close: isClosing = true
            case nil: break
            }
            output.append(contentsOf: message)
        }
        return isClosing ? bytes.count : at
    }

    func flush() {
        guard !output.isEmpty else { return }
        let taken = output.withUnsafeBytes { socket.send($0) }
        output.removeFirst(taken)
        if !output.isEmpty { server.note("blocked") }
        if isClosing, output.isEmpty { socket.close() }
    }

    func canSend() {
        server.note("can send")
        flush()
    }

    func closed() { server.note("closed") }
}
