import Atomics
import NIOCore
import NIOPosix
import Platform

/// The MQTT listener: 3.1.1 and 5.0 over TCP on one port.
final class MQTTListener: Sendable {
    let address: HostPort
    private let channel: any Channel

    private init(channel: any Channel, address: HostPort) {
        self.channel = channel
        self.address = address
    }

    /// - Throws: `HubError` when the address is in use or not this machine's.
    static func bind(
        _ address: HostPort, group: any EventLoopGroup, loop: BrokerLoop, clock: any HubClock
    ) async throws(HubError) -> MQTTListener {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4_096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1_024, initial: 4_096, maximum: 65_536)
            )
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(
                .writeBufferWaterMark,
                value: ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOConnectionHandler(loop: loop, clock: clock))
                }
            }
        do {
            let channel = try await bootstrap.bind(host: address.host, port: address.port).get()
            let port = channel.localAddress?.port ?? address.port
            return MQTTListener(channel: channel, address: HostPort(host: address.host, port: port))
        } catch {
            throw HubError.bind("mqtt", address, error)
        }
    }

    func close() async {
        // Closing twice or a socket that is gone already is no news at a stop.
        try? await channel.close()
    }
}

extension HubError {
    /// A listener that cannot have its address, said in one line.
    static func bind(_ name: String, _ address: HostPort, _ error: any Error) -> HubError {
        let text: String
        if let failure = error as? IOError {
            switch failure.errnoCode {
            case 98, 48:
                text = "the port is in use; stop what uses it or choose another with --\(name) HOST:PORT"
            case 13, 1: text = "not allowed; ports below 1024 need root"
            case 99, 49: text = "not an address of this machine"
            default: text = failure.description
            }
        } else {
            text = String(describing: error)
        }
        return HubError("cannot listen for \(name) on \(address): \(text)")
    }
}
