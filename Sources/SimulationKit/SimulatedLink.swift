import Hub

/// The device's or subscriber's end of a connection.
protocol LinkClient: AnyObject {
    func received(_ bytes: [UInt8], on link: SimulatedLink)
    /// The peer or the network ended the connection.
    func closed(_ link: SimulatedLink)
}

/// A TCP connection of the simulated network: bytes arrive in order, in pieces of any size, late, or never.
final class SimulatedLink: ConnectionTransport {
    private let world: World
    private unowned let client: any LinkClient
    /// The life of the hub that took the connection; held, because its loop must outlive the connection.
    private var hub: SimulatedHub?
    private var connection: Connection?
    private var toHub = ByteQueue()
    private var toClient = ByteQueue()
    /// The beginning of a packet whose rest the hub has not got yet.
    private var partial: [UInt8] = []
    private var isToHubScheduled = false
    private var isToClientScheduled = false
    /// Nothing arrives before this moment.
    private var stalledUntil: UInt64 = 0
    /// No byte passes any more.
    private var isCut = false
    private(set) var isClientOpen = true
    private var isHubClosing = false
    /// The hub has bytes that did not fit.
    private var isHubWaiting = false
    private var isClientClosing = false

    init(world: World, client: any LinkClient) {
        self.world = world
        self.client = client
    }

    // MARK: Of the client

    /// Asks the hub for a connection; `hub` is called when the request arrives.
    func open(_ hub: @escaping () -> SimulatedHub?) {
        world.after(world.random.microseconds(50...2_000), "accept") { [self] in
            guard !isCut, let hub = hub(), let connection = hub.loop.addConnection(now: Self.now(world))
            else {
                return endOfClient()
            }
            connection.transport = self
            self.hub = hub
            self.connection = connection
            hub.links.append(self)
            pumpToHub()
        }
    }

    func send(_ bytes: [UInt8]) {
        guard isClientOpen, !isCut else { return }
        toHub.append(bytes)
        pumpToHub()
    }

    /// Closes in order: what was sent still arrives.
    func goodbye() {
        isClientOpen = false
        isClientClosing = true
        pumpToHub()
    }

    /// The client forgets the connection without telling anybody.
    func abandon() { isClientOpen = false }

    // MARK: Trouble

    func stall(nanoseconds: UInt64) { stalledUntil = max(stalledUntil, world.now + nanoseconds) }

    /// No further byte arrives anywhere; the ends learn of it later, the hub perhaps only by its keep-alive.
    func cut(hubLearnsAfter hubDelay: UInt64?, clientLearnsAfter clientDelay: UInt64) {
        guard !isCut else { return }
        isCut = true
        if let hubDelay { world.after(hubDelay, "hub lost") { [self] in endOfHub() } }
        world.after(clientDelay, "client lost") { [self] in endOfClient() }
    }

    /// The process at the other end is gone; what it sent may still arrive, and may not.
    func hubDied() {
        connection = nil
        hub = nil
        isHubClosing = true
        if world.random.chance(50) { toClient = ByteQueue() }
        pumpToClient()
    }

    // MARK: ConnectionTransport

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let hub, !isCut, !hub.disk.isDown else { return bytes.count }
        // A kernel takes what its buffer holds.
        let count = min(bytes.count, Self.unsentBytesMax - toClient.count)
        let taken = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        world.fold(taken)
        toClient.append(Array(taken))
        isHubWaiting = count < bytes.count
        pumpToClient()
        return count
    }

    func close() {
        isHubClosing = true
        endOfHub(isRemoved: true)
        pumpToClient()
    }

    func abort() {
        isCut = true
        endOfHub(isRemoved: true)
        world.after(delay(), "client lost") { [self] in endOfClient() }
    }

    func resumeReading() { pumpToHub() }

    // MARK: Bytes on their way

    /// Little, so that it is full now and then.
    private static let unsentBytesMax = 2_048
    private static let pieceBytesMax = 4_096

    private static func now(_ world: World) -> UInt64 { world.clock.monotonicNanoseconds() }

    private func delay() -> UInt64 {
        let usual = world.random.microseconds(20...1_500)
        return stalledUntil > world.now ? stalledUntil - world.now + usual : usual
    }

    private func pumpToHub() {
        guard !isToHubScheduled, !isCut, connection != nil, toHub.count > 0 || isClientClosing else { return }
        isToHubScheduled = true
        world.after(delay(), "to hub") { [self] in
            isToHubScheduled = false
            guard !isCut, let hub, let connection else { return }
            if toHub.count == 0 { return isClientClosing ? endOfHub() : () }
            // Held back: `resumeReading` comes.
            guard hub.loop.mayRead(connection) else { return }
            partial.append(contentsOf: toHub.take(piece(of: toHub.count)))
            let used = partial.withUnsafeBytes { connection.receive($0, now: Self.now(world)) }
            partial.removeFirst(used)
            pumpToHub()
        }
    }

    private func pumpToClient() {
        guard !isToClientScheduled, !isCut, toClient.count > 0 || isHubClosing else { return }
        isToClientScheduled = true
        world.after(delay(), "to client") { [self] in
            isToClientScheduled = false
            guard !isCut else { return }
            if toClient.count == 0 {
                if isHubClosing { endOfClient() }
                return
            }
            let bytes = toClient.take(piece(of: toClient.count))
            if let hub, let connection, isHubWaiting {
                isHubWaiting = false
                hub.loop.canSend(connection)
            }
            if isClientOpen { client.received(bytes, on: self) }
            pumpToClient()
        }
    }

    /// Mostly all there is, sometimes a few bytes: packets must survive any cut.
    private func piece(of count: Int) -> Int {
        let most = min(count, Self.pieceBytesMax)
        return world.random.chance(60) ? most : world.random.whole(1...min(most, 64))
    }

    /// - Parameter isRemoved: the loop knows.
    private func endOfHub(isRemoved: Bool = false) {
        guard let hub, let connection else { return }
        self.connection = nil
        self.hub = nil
        if !isRemoved { hub.loop.removeConnection(connection) }
        hub.links.removeAll { $0 === self }
        if !isHubClosing, !isClientClosing { isCut = true }
    }

    private func endOfClient() {
        guard isClientOpen else { return }
        isClientOpen = false
        client.closed(self)
    }
}

/// Bytes in order, taken from the front.
private struct ByteQueue {
    private var bytes: [UInt8] = []
    private var start = 0

    var count: Int { bytes.count - start }

    mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }

    mutating func take(_ count: Int) -> [UInt8] {
        let taken = Array(bytes[start..<(start + count)])
        start += count
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        }
        return taken
    }
}
