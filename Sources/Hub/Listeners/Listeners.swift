import Platform
import Transport

/// Every door of the hub, and the threads behind them.
///
/// Plain TCP lives on the broker's own thread when one loop is asked for, else on so many threads of its own; TLS
/// and WebSocket always live on threads of SwiftNIO's. What is not on the broker's thread reaches it by a
/// `HopBridge`.
final class Listeners: Sendable {
    private let settings: [ListenerSettings]
    private let broker: EventThread
    private let sockets: [(thread: EventThread, loop: SocketLoop)]
    private let channels: ChannelListeners?
    /// By the number of their listener.
    private let identities: [Int: TLSIdentity]

    /// Reads certificates and prepares the threads.
    ///
    /// - Parameters:
    ///   - broker: the thread of `loop`, not started yet.
    ///   - loop: has no connection yet.
    /// - Throws: `HubError` for a certificate or key that is of no use.
    init(
        _ configuration: HubConfiguration, on broker: EventThread, of loop: BrokerLoop, clock: any HubClock,
        files: any FileStore
    ) throws {
        settings = configuration.allListeners
        self.broker = broker
        var identities: [Int: TLSIdentity] = [:]
        for (number, listener) in settings.enumerated() where listener.kind.isSecure {
            identities[number] = try TLSIdentity(listener, files: files)
        }
        self.identities = identities
        var sockets: [(thread: EventThread, loop: SocketLoop)] = []
        if configuration.loops > 1, settings.contains(where: { $0.kind == .mqtt }) {
            for _ in 0..<configuration.loops {
                let thread = try EventThread(clock: clock)
                sockets.append((thread, SocketLoop(thread, to: loop)))
            }
        }
        self.sockets = sockets
        let isOnChannels = settings.contains { $0.kind != .mqtt }
        channels = isOnChannels ? ChannelListeners(threads: configuration.loops, to: loop) : nil
    }

    /// Opens the ports; connections are taken from now on. After the broker's thread has started.
    ///
    /// - Throws: when an address is in use or not this machine's; `stop` is still to be called.
    func open() async throws(HubError) -> [OpenListener] {
        for (index, socket) in sockets.enumerated() {
            socket.thread.start("headend-loop-\(index)", handler: socket.loop)
        }
        var open: [OpenListener] = []
        for (number, listener) in settings.enumerated() {
            var address = listener.address
            if listener.kind == .mqtt {
                address.port = try openPlain(listener, UInt16(number))
            } else if let channels {
                address.port = try await channels.open(
                    listener, number: UInt16(number), identity: identities[number])
            }
            open.append(OpenListener(kind: listener.kind, address: address))
        }
        return open
    }

    private func openPlain(_ settings: ListenerSettings, _ number: UInt16) throws(HubError) -> Int {
        let address = settings.address
        do throws(SocketError) {
            let listener = try StreamListener(host: address.host, port: address.port)
            let acceptor = sockets.first?.thread ?? broker
            acceptor.accept(from: listener, number: number, for: sockets.map(\.thread))
            return listener.port
        } catch {
            throw HubError.bind("mqtt", address, code: error.code, error.message)
        }
    }

    /// Reads every certificate again; connections that come from now on use what is new.
    ///
    /// - Returns: what is wrong, a line each; such a listener goes on with what it had.
    func reload() -> [String] {
        settings.indices.compactMap { number in
            guard let identity = identities[number] else { return nil }
            do throws(HubError) {
                try identity.reload()
                return nil
            } catch {
                return error.description
            }
        }
    }

    var hasCertificates: Bool { !identities.isEmpty }

    /// Takes no more connections.
    func close() async {
        (sockets.first?.thread ?? broker).stopAccepting()
        await channels?.close()
    }

    /// Ends the threads, but not the broker's. What the broker has sent is sent first, as far as its peers take
    /// it within half a second.
    func stop() async {
        await channels?.stop()
        for socket in sockets { socket.thread.stop() }
    }
}

extension HubError {
    /// A listener that cannot have its address, said in one line.
    ///
    /// - Parameters:
    ///   - code: errno, 0 where there was none.
    ///   - message: what the system says, for codes that need no advice.
    static func bind(_ name: String, _ address: HostPort, code: Int32, _ message: String) -> HubError {
        let text =
            switch code {
            case 98, 48: "the port is in use; stop what uses it or choose another with --\(name) HOST:PORT"
            case 13, 1: "not allowed; ports below 1024 need root"
            case 99, 49: "not an address of this machine"
            default: message
            }
        return HubError("cannot listen for \(name) on \(address): \(text)")
    }
}
