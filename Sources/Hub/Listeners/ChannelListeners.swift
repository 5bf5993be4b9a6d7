import Atomics
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// The listeners for TLS and WebSocket, on event loops of SwiftNIO's; each loop has a bridge to the broker's.
final class ChannelListeners: Sendable {
    /// What belongs to one event loop; confined to it.
    private struct Place: Sendable {
        let bridge: HopBridge
        let arrivals: Arrivals
    }

    private let group: MultiThreadedEventLoopGroup
    private let places: [ObjectIdentifier: Place]
    private let channels = Mutex<[any Channel]>([])
    private let counters: HubCounters

    /// - Parameter loop: has no connection yet.
    init(threads: Int, to loop: BrokerLoop) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        counters = loop.counters
        var places: [ObjectIdentifier: Place] = [:]
        for eventLoop in group.makeIterator() {
            let executor = EventLoopTurns(eventLoop)
            let bridge = HopBridge(from: executor, to: loop)
            executor.whenTurnEnds = { [unowned bridge] in bridge.sockets.endTurn() }
            places[ObjectIdentifier(eventLoop)] = Place(
                bridge: bridge, arrivals: Arrivals(counters: loop.counters))
        }
        self.places = places
    }

    /// Opens a port; connections are taken from now on.
    ///
    /// - Returns: the port it has.
    func open(_ listener: ListenerSettings, number: UInt16, identity: TLSIdentity?) async throws(HubError)
        -> Int
    {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4_096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try add(channel, listener, number: number, identity: identity)
                }
            }
        do {
            let channel = try await bootstrap.bind(host: listener.address.host, port: listener.address.port)
                .get()
            channels.withLock { $0.append(channel) }
            return channel.localAddress?.port ?? listener.address.port
        } catch {
            let failure = error as? IOError
            throw HubError.bind(
                listener.kind.rawValue, listener.address, code: failure?.errnoCode ?? 0,
                failure?.description ?? String(describing: error))
        }
    }

    /// Takes no more connections.
    func close() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close().get() }
    }

    /// Ends the threads; connections that are left have a moment to say their last.
    func stop() async {
        await close()
        for eventLoop in group.makeIterator() {
            guard let arrivals = places[ObjectIdentifier(eventLoop)]?.arrivals else { continue }
            try? await eventLoop.flatSubmit { arrivals.finish(eventLoop, within: .milliseconds(500)) }.get()
        }
        try? await group.shutdownGracefully()
    }

    // MARK: Connections

    private func add(
        _ channel: any Channel, _ listener: ListenerSettings, number: UInt16, identity: TLSIdentity?
    ) throws {
        guard let place = places[ObjectIdentifier(channel.eventLoop)] else {
            preconditionFailure("an event loop of the group's has its place")
        }
        let arrival = ArrivalHandler(place.arrivals)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(arrival)
        var origin = ConnectionOrigin(listener: number)
        origin.isLoopback = channel.remoteAddress.map(Self.isLoopback) ?? false
        let isFramed = listener.kind.isWebSocket
        let ready: (ConnectionOrigin) -> HopHandler = { origin in
            arrival.done()
            return HopHandler(place.bridge.sockets, origin: origin, isFramed: isFramed, cut: arrival.cut)
        }
        guard let identity else {
            return try Self.addHTTP(channel, origin, counters, ready)
        }
        try pipeline.addHandler(NIOSSLServerHandler(context: identity.current))
        let counters = counters
        try pipeline.addHandler(
            HandshakeHandler(listener, arrival, counters: counters) { context, name in
                var proven = origin
                proven.certificateName = name
                if isFramed {
                    try Self.addHTTP(context.channel, proven, counters, ready)
                } else {
                    try context.pipeline.syncOperations.addHandler(ready(proven))
                }
            })
    }

    private static func addHTTP(
        _ channel: any Channel, _ origin: ConnectionOrigin, _ counters: HubCounters,
        _ ready: @escaping (ConnectionOrigin) -> HopHandler
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        let refusal = WebSocketRefusalHandler {
            counters.handshakesFailed.wrappingIncrement(ordering: .relaxed)
        }
        let upgrader = WebSocketUpgrader { context in
            let pipeline = context.pipeline.syncOperations
            do {
                try pipeline.addHandler(WebSocketHandler())
                try pipeline.addHandler(ready(origin))
            } catch {
                context.close(promise: nil)
            }
            pipeline.removeHandler(refusal, promise: nil)
        }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = WebSocketUpgrader.headerBytesMax
        limits.maxHeaderFieldSize = WebSocketUpgrader.fieldBytesMax
        limits.maxHeaderFieldCount = WebSocketUpgrader.fieldsMax
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }),
            withErrorHandling: true, withOutboundHeaderValidation: true,
            withEncoderConfiguration: HTTPResponseEncoder.Configuration(),
            withDecoderLimitConfiguration: limits)
        try pipeline.addHandler(refusal)
    }

    private static func isLoopback(_ address: SocketAddress) -> Bool {
        let text = address.ipAddress ?? ""
        return text.hasPrefix("127.") || text == "::1" || text.hasPrefix("::ffff:127.")
    }
}

/// Waits for the end of a TLS handshake, and learns the client's name. Confined to its event loop.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let listener: ListenerSettings
    private let arrival: ArrivalHandler
    private let counters: HubCounters
    private let whenDone: (ChannelHandlerContext, _ certificateName: String?) throws -> Void
    private var isDone = false

    init(
        _ listener: ListenerSettings, _ arrival: ArrivalHandler, counters: HubCounters,
        whenDone: @escaping (ChannelHandlerContext, _ certificateName: String?) throws -> Void
    ) {
        self.listener = listener
        self.arrival = arrival
        self.counters = counters
        self.whenDone = whenDone
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isDone, case .handshakeCompleted? = event as? TLSUserEvent {
            isDone = true
            do {
                let certificate = try context.pipeline.syncOperations.nioSSL_peerCertificate()
                let name = certificate.flatMap { CertificateName.name(in: $0, listener.identity) }
                // Who shows a certificate that says no name is not somebody without a certificate.
                guard certificate == nil || name != nil || listener.clientCertificate == .none else {
                    return fail(context)
                }
                try whenDone(context, listener.clientCertificate == .none ? nil : name)
            } catch {
                return fail(context)
            }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isDone { countFailure() }
        isDone = true
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isDone { context.fireErrorCaught(error) } else { fail(context) }
    }

    /// Who was cut off is counted as that.
    private func countFailure() {
        if !arrival.isDone { counters.handshakesFailed.wrappingIncrement(ordering: .relaxed) }
    }

    private func fail(_ context: ChannelHandlerContext) {
        countFailure()
        isDone = true
        context.close(promise: nil)
    }
}

/// The turns of an event loop of SwiftNIO's: what was asked for within a turn runs at its end.
///
/// `@unchecked Sendable`: guard: `whenTurnEnds` is set before the first connection; the flag belongs to the loop.
final class EventLoopTurns: LoopExecutor, @unchecked Sendable {
    private let eventLoop: any EventLoop
    private var isTurnEndWanted = false
    var whenTurnEnds: () -> Void = {}

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func execute(_ body: @escaping @Sendable () -> Void) { eventLoop.execute(body) }

    func endTurnSoon() {
        if isTurnEndWanted { return }
        isTurnEndWanted = true
        eventLoop.execute { [self] in
            isTurnEndWanted = false
            whenTurnEnds()
        }
    }
}
