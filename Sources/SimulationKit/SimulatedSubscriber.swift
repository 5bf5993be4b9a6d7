import Hub
import MQTTWire

/// A subscriber of all telemetry and all results, which tells the oracle what it got.
final class SimulatedSubscriber: LinkClient {
    private let world: World
    private let oracle: Oracle
    private let hub: () -> SimulatedHub?
    private var input = PacketReader()
    private(set) var link: SimulatedLink?
    private let qos: QoS

    init(world: World, oracle: Oracle, hub: @escaping () -> SimulatedHub?) {
        self.world = world
        self.oracle = oracle
        self.hub = hub
        qos = QoS(rawValue: UInt8(world.random.whole(0...2))) ?? .atMostOnce
        connect()
        ping()
    }

    private func connect() {
        world.after(world.random.microseconds(1_000...1_000_000), "subscriber") { [self] in
            let link = SimulatedLink(world: world, client: self)
            self.link = link
            input.reset()
            var packet = Connect()
            packet.clientIdentifier = "subscriber"
            packet.cleanStart = false
            packet.keepAlive = 20
            packet.properties.sessionExpiryInterval = 3_600
            send(.connect(packet))
            let filters = ["devices/+/telemetry", "headend/minute/#"].map { Subscribe.Filter($0, qos: qos) }
            send(.subscribe(Subscribe(packetIdentifier: 1, filters: filters)))
            link.open(hub)
        }
    }

    /// Keep-alive; a takeover of its session by the hub's view of a dead link is part of the game.
    private func ping() {
        world.after(10_000_000_000, "ping") { [self] in
            send(.pingreq)
            ping()
        }
    }

    func closed(_ link: SimulatedLink) {
        guard link === self.link else { return }
        self.link = nil
        connect()
    }

    func received(_ bytes: [UInt8], on link: SimulatedLink) {
        guard link === self.link else { return }
        do {
            for packet in try input.packets(bytes) { take(packet) }
        } catch {
            world.fail(.nothingInvented, "the subscriber got what is no packet: \(error)")
        }
    }

    private func take(_ packet: ControlPacket) {
        switch packet {
        case .publish(let publish):
            oracle.forwarded(publish)
            guard let identifier = publish.packetIdentifier else { return }
            let answer = Acknowledgement(packetIdentifier: identifier)
            send(publish.qos == .exactlyOnce ? .pubrec(answer) : .puback(answer))
        case .pubrel(let release):
            send(.pubcomp(Acknowledgement(packetIdentifier: release.packetIdentifier)))
        default: break
        }
    }

    private func send(_ packet: ControlPacket) {
        var bytes: [UInt8] = []
        encodePacket(packet, version: .v5, into: &bytes)
        link?.send(bytes)
    }
}
