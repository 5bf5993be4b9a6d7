import CEpoll
import Glibc
package import Platform
import Synchronization

/// One thread that drives many MQTT clients: sockets through epoll, timers, and work handed in by other
/// threads.
///
/// Everything a client does happens on this thread, its callbacks too; there is no thread a client. 2,000
/// clients a loop are ordinary. The thread keeps the loop alive until `stop()`.
///
/// `@unchecked Sendable`: `mailbox` and the atomics are shared; every other stored property is touched on the
/// loop's thread only, which `precondition(isCurrent)` checks at each entry point.
package final class MosquittoLoop: @unchecked Sendable {
    package struct Limits: Sendable {
        /// Work waiting in the mailbox; at the limit `perform` waits, which slows the sender down.
        package var commandsMax = 65_536
        /// Clients that have ever connected and still live; each holds one socket.
        package var clientsMax = 200_000
        /// Timers waiting; one or two a client are usual.
        package var timersMax = 2_000_000
        /// Sockets handled between two looks at timers and mailbox.
        package var eventsPerTurnMax = 256

        package init() {}
    }

    /// Names a timer for `cancel`.
    package struct TimerID: Hashable, Sendable { fileprivate var rawValue: UInt64 }

    private struct Mailbox {
        var commands: [@Sendable () -> Void] = []
        var isStopping = false
        var hasEnded = false
    }

    private struct Slot {
        weak var client: MosquittoClient?
        var generation: UInt32
        var isUsed: Bool
    }

    package let limits: Limits
    let clock: any HubClock
    private let mailbox: Monitor<Mailbox>
    private let threadIdentity = Atomic<UInt>(0)
    private let thread = Mutex<NamedThread?>(nil)
    private let epoll: Int32
    private let wakeDescriptor: Int32
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var timers = TimerHeap()
    private var withEvents: [MosquittoClient] = []
    private var nextSweep: UInt64 = 0
    private(set) lazy var resolver = HostResolver(loop: self)

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - name: of the thread; the kernel shows 15 bytes.
    ///   - clock: what timers and `schedule(at:)` are measured with.
    package init(
        name: String = "mqtt-clients", limits: Limits = Limits(), clock: any HubClock = SystemClock()
    ) throws(MosquittoError) {
        MosquittoLibrary.start()
        self.limits = limits
        self.clock = clock
        mailbox = Monitor(Mailbox())
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard epoll >= 0, wakeDescriptor >= 0 else {
            let code = errno
            throw MosquittoError(
                operation: "start the MQTT client loop", code: code, message: String(cString: strerror(code)))
        }
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = Self.wakeMark
        epoll_ctl(epoll, EPOLL_CTL_ADD, wakeDescriptor, &event)
        let started = NamedThread(name) { self.run() }
        thread.withLock { $0 = started }
    }

    deinit {
        if epoll >= 0 { close(epoll) }
        if wakeDescriptor >= 0 { close(wakeDescriptor) }
    }

    /// Whether the caller is on the loop's thread.
    package var isCurrent: Bool { threadIdentity.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// The loop's monotonic clock in nanoseconds.
    package var now: UInt64 { clock.monotonicNanoseconds() }

    /// Runs `body` on the loop's thread soon, in the order of the calls. From any thread; waits when the
    /// mailbox is full (on the loop's own thread it never waits).
    ///
    /// - Returns: false when the loop has stopped and the work is not done.
    @discardableResult
    package func perform(_ body: @escaping @Sendable () -> Void) -> Bool {
        let unbounded = isCurrent
        let (accepted, wasEmpty) = mailbox.wait(
            until: { unbounded || $0.commands.count < limits.commandsMax || $0.isStopping },
            then: { box in
                if box.hasEnded || (box.isStopping && !unbounded) { return (false, false) }
                box.commands.append(body)
                return (true, box.commands.count == 1)
            })
        if accepted, wasEmpty { wake() }
        return accepted
    }

    /// Runs `body` at a moment of the loop's clock (nanoseconds), or at the next turn when it has passed. On
    /// the loop's thread.
    @discardableResult
    package func schedule(at deadline: UInt64, _ body: @escaping () -> Void) -> TimerID {
        precondition(isCurrent, "timers belong to the loop's thread; use perform")
        precondition(timers.count < limits.timersMax, "too many timers on one MQTT client loop")
        return TimerID(rawValue: timers.insert(deadline: deadline, body))
    }

    /// Runs `body` after a while. On the loop's thread.
    @discardableResult
    package func schedule(after delay: Duration, _ body: @escaping () -> Void) -> TimerID {
        schedule(at: now &+ delay.wholeNanoseconds, body)
    }

    /// Forgets a timer; nothing happens when it has run. On the loop's thread.
    package func cancel(_ timer: TimerID) {
        precondition(isCurrent, "timers belong to the loop's thread; use perform")
        timers.cancel(timer.rawValue)
    }

    /// Runs what is in the mailbox, ends the thread and waits for it. Timers that wait are dropped; sockets
    /// stay open until their clients are freed. A second call returns at once. Not from the loop's own
    /// thread.
    package func stop() {
        precondition(!isCurrent, "an MQTT client loop cannot wait for its own end")
        mailbox.update { $0.isStopping = true }
        wake()
        let running = thread.withLock { stored in
            defer { stored = nil }
            return stored
        }
        running?.join()
    }

    // MARK: The turn

    private static let wakeMark = UInt64.max
    private static let sweepNanoseconds: UInt64 = 1_000_000_000

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    private func run() {
        threadIdentity.store(UInt(pthread_self()), ordering: .relaxed)
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: limits.eventsPerTurnMax)
        defer { events.deallocate() }
        nextSweep = now &+ Self.sweepNanoseconds
        while true {
            let isStopping = runCommands()
            runTimers()
            deliverEvents()
            if isStopping, finish() { return }
            let count = epoll_wait(epoll, events, Int32(limits.eventsPerTurnMax), timeoutMilliseconds())
            for index in 0..<Int(max(count, 0)) { handle(events[index]) }
            if now >= nextSweep { sweep() }
        }
    }

    /// - Returns: whether the loop is to end.
    private func runCommands() -> Bool {
        let (commands, isStopping) = mailbox.update { box in
            let taken = box.commands
            box.commands = []
            return (taken, box.isStopping)
        }
        for command in commands { command() }
        return isStopping
    }

    private func runTimers() {
        let now = now
        while let body = timers.pop(due: now) { body() }
    }

    /// Hands out what the library reported during this turn. What the handlers cause is handed out next turn.
    private func deliverEvents() {
        guard !withEvents.isEmpty else { return }
        let clients = withEvents
        withEvents.removeAll(keepingCapacity: true)
        for client in clients { client.deliverEvents() }
    }

    /// - Returns: false when work came in meanwhile and another turn is due.
    private func finish() -> Bool {
        guard withEvents.isEmpty else { return false }
        let ended = mailbox.update { box in
            guard box.commands.isEmpty else { return false }
            box.hasEnded = true
            return true
        }
        guard ended else { return false }
        timers = TimerHeap()
        slots = []
        return true
    }

    private func timeoutMilliseconds() -> Int32 {
        if !withEvents.isEmpty { return 0 }
        let deadline = min(nextSweep, timers.nextDeadline ?? .max)
        let now = now
        guard deadline > now else { return 0 }
        return Int32((deadline - now + 999_999) / 1_000_000)
    }

    private func handle(_ event: epoll_event) {
        let mark = event.data.u64
        if mark == Self.wakeMark {
            var count: UInt64 = 0
            _ = read(wakeDescriptor, &count, 8)
            return
        }
        let index = Int(truncatingIfNeeded: mark & 0xFFFF_FFFF)
        guard index < slots.count, slots[index].generation == UInt32(truncatingIfNeeded: mark >> 32) else {
            return
        }
        // A client that is being freed has closed its socket already; its last event means nothing.
        slots[index].client?.socketReady(event.events)
    }

    /// Once a second: keep-alive of each client, and the slots of those that are gone.
    private func sweep() {
        nextSweep = now &+ Self.sweepNanoseconds
        for index in slots.indices where slots[index].isUsed {
            if let client = slots[index].client {
                client.secondPassed()
            } else {
                slots[index].isUsed = false
                slots[index].generation &+= 1
                freeSlots.append(index)
            }
        }
    }
}

// What a client asks of its loop, on the loop's thread.
extension MosquittoLoop {
    /// Gives the client its mark for epoll events; nil at the limit.
    func register(_ client: MosquittoClient) -> UInt64? {
        if let index = freeSlots.popLast() {
            slots[index].client = client
            slots[index].isUsed = true
            return UInt64(slots[index].generation) << 32 | UInt64(index)
        }
        guard slots.count < limits.clientsMax else { return nil }
        slots.append(Slot(client: client, generation: 1, isUsed: true))
        return 1 << 32 | UInt64(slots.count - 1)
    }

    /// The client has events to deliver; it is kept alive until they are.
    func noteEvents(of client: MosquittoClient) { withEvents.append(client) }

    func watch(_ descriptor: Int32, events: UInt32, mark: UInt64, isNew: Bool) {
        var event = epoll_event()
        event.events = events
        event.data.u64 = mark
        epoll_ctl(epoll, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event)
    }

    func unwatch(_ descriptor: Int32) {
        var event = epoll_event()
        epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event)
    }
}

extension Duration {
    /// Whole nanoseconds, 0 when negative, capped at about 292 years.
    var wholeNanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        guard seconds < 9_000_000_000 else { return 9_000_000_000_000_000_000 }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
