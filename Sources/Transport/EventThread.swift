import CEpoll
import Glibc
package import Platform
import Synchronization

/// What lives on an `EventThread`; every call comes on that thread.
package protocol EventThreadHandler: AnyObject, Sendable {
    /// A peer has connected.
    ///
    /// - Returns: what its bytes go to; nil turns it away.
    func accepted(_ socket: StreamSocket, now: UInt64) -> (any SocketHandler)?
    /// The system has no descriptor or memory for another socket: accepting pauses until the next tick.
    func acceptPaused()
    /// Comes every `EventThread.tickNanoseconds`.
    func tick(now: UInt64)
    /// The events that were there are dealt with.
    func endTurn()
}

/// One thread around `epoll`: sockets, work that other threads hand in, and a tick.
///
/// It works in turns: wait, read what has come from every socket that has something, run what was handed in,
/// tick when it is time, end the turn.
///
/// `@unchecked Sendable`: guard: `mailbox` is shared; all else belongs to the thread from `start` on.
package final class EventThread: @unchecked Sendable {
    /// Between two ticks.
    package static let tickNanoseconds: UInt64 = 250_000_000
    /// How long a socket that was closed here may take to close at its peer.
    static let drainNanoseconds: UInt64 = 5_000_000_000
    /// Sockets that wait for that; beyond it the oldest is cut off.
    static let drainingMax = 1_024
    /// Bytes read at once: enough for a full window of readings, small enough to stay in the second-level cache.
    static let readBytes = 256 << 10
    private static let eventsMax = 512

    private struct Mailbox {
        var bodies: [@Sendable () -> Void] = []
        /// In `epoll_wait` or on the way there: needs a wake-up.
        var isAsleep = false
        var isStopping = false
    }

    private let mailbox = Mutex(Mailbox())
    private let thread = Mutex<NamedThread?>(nil)
    private let clock: any HubClock
    let epoll: Int32
    private let wakeUp: Int32
    private var handler: (any EventThreadHandler)?
    /// By their numbers; the threads that take turns with what each accepts.
    private var listeners: [(listener: StreamListener, threads: [EventThread])?] = []
    private var nextTaker = 0
    /// Sockets by the number that epoll returns, and how often each place was used: an event for a socket that
    /// was closed earlier in the turn must not reach its successor.
    private var sockets: [StreamSocket?] = []
    private var generations: [UInt32] = []
    private var freePlaces: [Int] = []
    /// Sockets whose connection broke while something was sent; told before the turn ends.
    private var broken: [StreamSocket] = []
    /// Sockets that were closed here, oldest first.
    private var draining = DrainQueue()
    /// Every read goes here first.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readBytes, alignment: 64)
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsMax)
    private var nextTick: UInt64 = 0
    private var isAcceptPaused = false
    /// Monotonic nanoseconds at the beginning of this turn.
    private(set) var now: UInt64 = 0

    /// - Throws: when the system has no descriptor for it.
    package init(clock: any HubClock) throws(SocketError) {
        self.clock = clock
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeUp = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        if epoll < 0 || wakeUp < 0 { throw SocketError.last("make an event queue") }
        watch(wakeUp, EPOLL_CTL_ADD, EPOLLIN.rawValue, mark: Self.wakeUpMark)
    }

    deinit {
        readBuffer.deallocate()
        events.deallocate()
        if epoll >= 0 { close(epoll) }
        if wakeUp >= 0 { close(wakeUp) }
    }

    private static let wakeUpMark = UInt64.max
    /// The mark of the listener with number 0; the others' are below.
    private static let listenerMark = UInt64.max - 1
    private static let listenersMax = 1_024

    /// Starts the thread. Once.
    ///
    /// - Parameter name: see `NamedThread`.
    package func start(_ name: String, handler: any EventThreadHandler) {
        self.handler = handler
        nextTick = clock.monotonicNanoseconds() + Self.tickNanoseconds
        let started = NamedThread(name) { self.run() }
        thread.withLock { $0 = started }
    }

    /// Ends the thread: what was handed in before still runs, and peers that were closed have half a second to
    /// take their last bytes. Returns when it has ended.
    package func stop() {
        wake { $0.isStopping = true }
        thread.withLock { $0 }?.join()
    }

    /// Runs `body` in this turn or the next one. From any thread.
    package func execute(_ body: @escaping @Sendable () -> Void) { wake { $0.bodies.append(body) } }

    /// Takes connections from a listener from now on. The thread closes it at its end.
    ///
    /// - Parameters:
    ///   - number: tells it from others (`StreamSocket.listener`); each at most once.
    ///   - threads: own the sockets in turns; this one when there are none. They must end after this one.
    package func accept(from listener: StreamListener, number: UInt16 = 0, for threads: [EventThread] = []) {
        precondition(number < Self.listenersMax, "a thread has at most \(Self.listenersMax) listeners")
        execute {
            while self.listeners.count <= Int(number) { self.listeners.append(nil) }
            self.listeners[Int(number)] = (listener, threads)
            self.watch(listener, EPOLL_CTL_ADD, EPOLLIN.rawValue, number: Int(number))
        }
    }

    /// Takes no more connections. The addresses are free when `stop` returns.
    package func stopAccepting() { execute { self.closeListeners() } }

    private func wake(_ change: (inout Mailbox) -> Void) {
        let wasAsleep = mailbox.withLock { mailbox in
            change(&mailbox)
            defer { mailbox.isAsleep = false }
            return mailbox.isAsleep
        }
        if wasAsleep {
            // Nobody can have filled the counter: one write is one wake-up.
            var one: UInt64 = 1
            _ = write(wakeUp, &one, 8)
        }
    }

    // MARK: Turns

    private func run() {
        now = clock.monotonicNanoseconds()
        while !isStopping { turn() }
        let deadline = now + 500_000_000
        closeListeners()
        for case .some(let socket) in sockets where !socket.isDraining { socket.close() }
        while sockets.count > freePlaces.count, now < deadline { turn() }
        for case .some(let socket) in sockets { drop(socket) }
        handler = nil
    }

    private var isStopping: Bool { mailbox.withLock { $0.isStopping && $0.bodies.isEmpty } }

    private func turn() {
        let isIdle = mailbox.withLock { mailbox in
            mailbox.isAsleep = mailbox.bodies.isEmpty && !mailbox.isStopping
            return mailbox.isAsleep
        }
        let untilTick = nextTick > now ? (nextTick - now + 999_999) / 1_000_000 : 0
        let timeout = isIdle ? Int32(clamping: untilTick) : 0
        let count = epoll_wait(epoll, events, Int32(Self.eventsMax), timeout)
        let bodies = mailbox.withLock { mailbox in
            mailbox.isAsleep = false
            defer { mailbox.bodies.removeAll() }
            return mailbox.bodies
        }
        now = clock.monotonicNanoseconds()
        for index in 0..<max(0, Int(count)) { dispatch(events[index]) }
        for body in bodies { body() }
        if now >= nextTick { tick() }
        repeat {
            while let socket = broken.popLast() { end(socket) }
            handler?.endTurn()
        } while !broken.isEmpty
    }

    private func dispatch(_ event: epoll_event) {
        switch event.data.u64 {
        case Self.wakeUpMark:
            var count: UInt64 = 0
            _ = read(wakeUp, &count, 8)
        case let mark where mark > Self.listenerMark - UInt64(Self.listenersMax):
            acceptAll(Int(Self.listenerMark - mark))
        case let mark:
            let place = Int(mark & 0xFFFF_FFFF)
            guard generations[place] == UInt32(mark >> 32), let socket = sockets[place] else { return }
            socket.happened(event.events, now: now)
        }
    }

    private func tick() {
        nextTick = now + Self.tickNanoseconds
        if isAcceptPaused {
            isAcceptPaused = false
            for case (let number, let entry?) in listeners.enumerated() {
                watch(entry.listener, EPOLL_CTL_MOD, EPOLLIN.rawValue, number: number)
            }
        }
        while let oldest = draining.first, oldest.drainDeadline <= now { drop(oldest) }
        handler?.tick(now: now)
    }

    // MARK: Sockets

    /// Connections that came at the same moment are taken a few at a time: those that are there are not to wait.
    private static let acceptsMax = 64

    private func acceptAll(_ number: Int) {
        guard let (listener, threads) = listeners[number], let handler else { return }
        for _ in 0..<Self.acceptsMax {
            switch listener.accept() {
            case .connection(let descriptor):
                if threads.isEmpty {
                    add(descriptor, UInt16(number))
                } else {
                    nextTaker = (nextTaker + 1) % threads.count
                    let taker = threads[nextTaker]
                    taker.execute { taker.add(descriptor, UInt16(number)) }
                }
            case .nothing: return
            case .exhausted:
                isAcceptPaused = true
                watch(listener, EPOLL_CTL_MOD, 0, number: number)
                handler.acceptPaused()
                return
            }
        }
    }

    private func add(_ descriptor: Int32, _ listener: UInt16) {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
        } else {
            place = sockets.count
            sockets.append(nil)
            generations.append(0)
        }
        generations[place] &+= 1
        let mark = UInt64(generations[place]) << 32 | UInt64(place)
        let socket = StreamSocket(descriptor: descriptor, listener: listener, mark: mark, thread: self)
        sockets[place] = socket
        guard let handler, watch(descriptor, EPOLL_CTL_ADD, EPOLLIN.rawValue, mark: mark),
            let taker = handler.accepted(socket, now: now)
        else { return drop(socket) }
        socket.handler = taker
    }

    /// The connection is gone, and its handler hears it.
    func end(_ socket: StreamSocket) {
        guard !socket.isClosed else { return }
        let handler = socket.handler
        drop(socket)
        handler?.closed()
    }

    /// Something could not be sent: too deep in other calls to tell now.
    func noteBroken(_ socket: StreamSocket) { broken.append(socket) }

    /// The socket has said its last: its peer may still do so.
    func drain(_ socket: StreamSocket) {
        if draining.count >= Self.drainingMax, let oldest = draining.first { drop(oldest) }
        socket.drainDeadline = now + Self.drainNanoseconds
        draining.append(socket)
    }

    /// Closes the descriptor and forgets the socket.
    func drop(_ socket: StreamSocket) {
        guard !socket.isClosed else { return }
        draining.remove(socket)
        let place = Int(socket.mark & 0xFFFF_FFFF)
        sockets[place] = nil
        freePlaces.append(place)
        socket.release()
    }

    private func closeListeners() {
        for case .some(let entry) in listeners { entry.listener.close() }
        listeners = []
    }

    private func watch(_ listener: StreamListener, _ operation: Int32, _ interest: UInt32, number: Int) {
        watch(listener.descriptor, operation, interest, mark: Self.listenerMark - UInt64(number))
    }

    @discardableResult
    func watch(_ descriptor: Int32, _ operation: Int32, _ interest: UInt32, mark: UInt64) -> Bool {
        var event = epoll_event()
        event.events = interest
        event.data.u64 = mark
        return epoll_ctl(epoll, operation, descriptor, &event) == 0
    }
}
