/// A socket at the far end of a bridge; every call comes on its thread.
protocol HopSocket: AnyObject {
    /// Takes all the bytes.
    ///
    /// - Returns: how many the kernel has. `HopSocketEnd.sent` tells when it has more of them.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int
    /// Ends the connection behind everything that was taken; its end is not told.
    func close()
    /// Ends it at once; its end is not told.
    func abort()
    /// Reads again, after `HopSocketEnd.mayRead` said no.
    func resumeReading()
}

/// The sockets' end of a bridge to the broker: what a thread reads in a turn goes over in one hop.
///
/// `@unchecked Sendable`: confined to the sockets' thread, but for the lanes.
final class HopSocketEnd: @unchecked Sendable {
    private let executor: any LoopExecutor
    private let limits: HopLimits
    private let up: HopLane
    private let down: HopLane
    /// Tells the broker's end to look at its lanes.
    private let wakeBroker: @Sendable () -> Void

    private var ports: [HopPort?] = []
    private var generations: [UInt32] = []
    private var freePlaces: [Int] = []
    private var open: HopBatch?
    private var spares: [HopBatch] = []
    private var processed: [HopBatch] = []
    private var taken: [HopBatch] = []
    /// Bytes in batches that have not come back.
    private var transitBytes = 0
    /// Ports that are not read for what all have in transit.
    private var waiting: [HopPort] = []
    /// Ports that are not read, for whichever reason.
    private var pausedCount = 0

    init(
        executor: any LoopExecutor, up: HopLane, down: HopLane, limits: HopLimits,
        wakeBroker: @escaping @Sendable () -> Void
    ) {
        self.executor = executor
        self.up = up
        self.down = down
        self.limits = limits
        self.wakeBroker = wakeBroker
    }

    var portCount: Int { ports.count - freePlaces.count }

    // MARK: For the sockets

    /// A connection is there.
    func opened(_ socket: any HopSocket, from origin: ConnectionOrigin) -> HopPort {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
        } else {
            place = ports.count
            ports.append(nil)
            generations.append(0)
        }
        generations[place] &+= 1
        let port = HopPort(UInt32(place), generations[place], socket)
        ports[place] = port
        outgoing.addOpened(port.place, port.generation, origin)
        return port
    }

    func received(_ bytes: UnsafeRawBufferPointer, on port: HopPort) {
        guard port.socket != nil, bytes.count > 0 else { return }
        port.receivedBytes += bytes.count
        transitBytes += bytes.count
        outgoing.addBytes(port.place, port.generation, bytes)
    }

    /// Whether the socket may be read; if not, `HopSocket.resumeReading` comes.
    func mayRead(_ port: HopPort) -> Bool {
        if port.receivedBytes < limits.receivedBytesMax, transitBytes < limits.transitBytesMax { return true }
        guard port.wait == .none else { return false }
        pause(port)
        if up.wantReturns() { executor.execute { self.receive() } }
        return false
    }

    private func pause(_ port: HopPort) {
        pausedCount += 1
        if port.receivedBytes >= limits.receivedBytesMax {
            port.wait = .own
        } else {
            port.wait = .all
            waiting.append(port)
        }
    }

    /// The kernel has taken more of what the socket kept.
    func sent(_ byteCount: Int, on port: HopPort) {
        guard byteCount > 0, port.socket != nil else { return }
        outgoing.add(.credit, port.place, port.generation, number: byteCount)
    }

    /// The peer or the network ended the connection.
    func closed(_ port: HopPort) {
        guard port.socket != nil else { return }
        outgoing.add(.closed, port.place, port.generation)
        forget(port)
    }

    private func forget(_ port: HopPort) {
        if port.wait != .none { pausedCount -= 1 }
        port.socket = nil
        ports[Int(port.place)] = nil
        freePlaces.append(Int(port.place))
    }

    private var outgoing: HopBatch {
        if let open { return open }
        let batch = spares.popLast() ?? HopBatch()
        open = batch
        executor.endTurnSoon()
        return batch
    }

    // MARK: Turns

    /// Deals with what the broker had to tell. In a turn of the sockets' thread.
    func receive() {
        takeReturned()
        down.take(into: &taken)
        for batch in taken {
            receive(batch)
            processed.append(batch)
        }
        taken.removeAll(keepingCapacity: true)
        if !processed.isEmpty { executor.endTurnSoon() }
    }

    /// The turn is over: everything leaves in one hop.
    func endTurn() {
        var isWakeUpNeeded = false
        if !processed.isEmpty { isWakeUpNeeded = down.giveBack(&processed) }
        if let batch = open {
            open = nil
            if up.post(batch) { isWakeUpNeeded = true }
            takeReturned()
        }
        if isWakeUpNeeded { wakeBroker() }
    }

    private func receive(_ batch: HopBatch) {
        var at = 0
        let bytes = batch.bytes
        for index in batch.events.indices {
            let event = batch.events[index]
            let port = ports[Int(event.place)]
            let current = port?.generation == event.generation ? port : nil
            switch event.kind {
            case .bytes:
                let piece = UnsafeRawBufferPointer(rebasing: bytes[at..<(at + event.number)])
                at += event.number
                guard let current, let socket = current.socket else { continue }
                let count = socket.send(piece)
                if count < event.number {
                    batch.events[index].isHeld = true
                    sent(count, on: current)
                }
            case .credit: if let current { credit(current, event.number) }
            case .closed, .aborted:
                guard let current, let socket = current.socket else { continue }
                forget(current)
                if event.kind == .closed { socket.close() } else { socket.abort() }
            case .opened: preconditionFailure("only sockets open connections")
            }
        }
    }

    private func takeReturned() {
        // As long as somebody waits for room, the next return is to be told.
        repeat { takeReturnedOnce() } while pausedCount > 0 && up.wantReturns()
    }

    private func takeReturnedOnce() {
        var returned: [HopBatch] = []
        up.takeReturned(into: &returned)
        guard !returned.isEmpty else { return }
        for batch in returned {
            transitBytes -= batch.byteCount
            for event in batch.events where event.kind == .bytes && !event.isHeld {
                guard let port = ports[Int(event.place)], port.generation == event.generation else {
                    continue
                }
                credit(port, event.number)
            }
            batch.reset()
            if spares.count < limits.spareBatches { spares.append(batch) }
        }
        guard !waiting.isEmpty, transitBytes <= limits.transitBytesMax / 2 else { return }
        let due = waiting
        waiting.removeAll(keepingCapacity: true)
        for port in due { release(port) }
    }

    private func credit(_ port: HopPort, _ byteCount: Int) {
        port.receivedBytes -= byteCount
        guard port.wait == .own, port.receivedBytes <= limits.receivedBytesMax / 2 else { return }
        release(port)
    }

    private func release(_ port: HopPort) {
        guard let socket = port.socket, port.wait != .none else { return }
        port.wait = .none
        pausedCount -= 1
        if mayRead(port) { socket.resumeReading() }
    }
}

/// A connection as the bridge's far end knows it; confined to that thread.
final class HopPort {
    enum Wait {
        case none
        /// For its own bytes at the broker.
        case own
        /// For everybody's.
        case all
    }

    let place: UInt32
    let generation: UInt32
    /// Nil once the connection has ended.
    fileprivate(set) var socket: (any HopSocket)?
    /// Bytes that the broker has not dealt with.
    fileprivate(set) var receivedBytes = 0
    fileprivate(set) var wait = Wait.none

    init(_ place: UInt32, _ generation: UInt32, _ socket: any HopSocket) {
        self.place = place
        self.generation = generation
        self.socket = socket
    }
}
