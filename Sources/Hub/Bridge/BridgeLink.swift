import Atomics
import MQTTBroker
import Platform

/// A connection of the hub to itself: a bridge is a client of its own broker, with everything that makes a
/// client's message safe, and no socket between.
///
/// `@unchecked Sendable`: confined to the broker's loop but for `unread`, which is atomic; other threads hand their
/// calls to that loop.
final class BridgeLink: ConnectionTransport, @unchecked Sendable {
    /// What the bridge may have to look at before the hub keeps the rest: a few thousand messages.
    private static let unreadBytesMax = 4 << 20

    private let loop: BrokerLoop
    /// The hub's bytes, on the loop's thread; each is to be told to `consumed`.
    private let onBytes: @Sendable ([UInt8]) -> Void
    /// The hub has ended the connection, on the loop's thread.
    private let onClosed: @Sendable () -> Void
    private var connection: Connection?
    /// What the hub does not read at the moment.
    private var waiting: [UInt8] = []
    private var isFull = false
    private let unread = ManagedAtomic<Int>(0)

    init(
        loop: BrokerLoop, onBytes: @escaping @Sendable ([UInt8]) -> Void,
        onClosed: @escaping @Sendable () -> Void
    ) {
        self.loop = loop
        self.onBytes = onBytes
        self.onClosed = onClosed
    }

    /// The largest packet that the hub takes.
    var packetBytesMax: Int { loop.packetBytesMax }

    // MARK: From any thread

    /// Connects and gives the hub its first bytes; `onClosed` follows when it takes no connections.
    func open(_ bytes: [UInt8]) {
        loop.executor.execute { [self] in
            let now = loop.clock.monotonicNanoseconds()
            guard let connection = loop.addConnection(now: now, from: .hub) else { return onClosed() }
            connection.transport = self
            self.connection = connection
            waiting = bytes
            isFull = false
            pump()
        }
    }

    /// Gives the hub bytes, behind those before.
    func give(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        loop.executor.execute { [self] in
            guard connection != nil else { return }
            waiting += bytes
            pump()
        }
    }

    /// So many of the hub's bytes are done with.
    func consumed(_ count: Int) {
        let left = unread.wrappingDecrementThenLoad(by: count, ordering: .acquiringAndReleasing)
        guard left <= Self.unreadBytesMax / 2 else { return }
        loop.executor.execute { [self] in
            guard isFull, let connection else { return }
            isFull = false
            loop.canSend(connection)
        }
    }

    /// Publishes a message of the hub's own.
    func publish(_ message: Message) { loop.executor.execute { [loop] in loop.publish(message) } }

    // MARK: On the loop

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard unread.load(ordering: .acquiring) <= Self.unreadBytesMax else {
            isFull = true
            // The bridge may have caught up before this was set.
            if unread.load(ordering: .acquiring) <= Self.unreadBytesMax / 2 {
                isFull = false
                return take(bytes)
            }
            return 0
        }
        return take(bytes)
    }

    private func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        unread.wrappingIncrement(by: bytes.count, ordering: .acquiringAndReleasing)
        onBytes(Array(bytes))
        return bytes.count
    }

    func close() { end() }

    func abort() { end() }

    func resumeReading() { loop.executor.execute { self.pump() } }

    private func pump() {
        guard let connection, !waiting.isEmpty, loop.mayRead(connection) else { return }
        let due = waiting
        waiting = []
        let used = due.withUnsafeBytes {
            connection.receive($0, now: loop.clock.monotonicNanoseconds())
        }
        if used < due.count { waiting = Array(due[used...]) + waiting }
    }

    private func end() {
        guard connection != nil else { return }
        connection = nil
        waiting = []
        onClosed()
    }
}
