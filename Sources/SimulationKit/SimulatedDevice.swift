import Hub
import MQTTWire

/// A device as an MQTT client: it keeps what is not acknowledged and sends it again, in order, until it is.
final class SimulatedDevice: LinkClient {
    /// How the client treats its session.
    enum Kind: CaseIterable {
        /// Keeps its state whatever the server says, and repeats with DUP (as libmosquitto does).
        case persistent
        /// Asks for a clean start each time and publishes again what was not acknowledged.
        case clean
        /// Keeps its state, but begins anew when the server has none: [MQTT-3.2.2-5].
        case obedient
    }

    private struct Inflight {
        var packetIdentifier: UInt16
        var message: Message
        /// PUBREC came; PUBREL is owed until PUBCOMP comes.
        var isReceived = false
    }

    let number: Int
    private let world: World
    private let oracle: Oracle
    private let hub: () -> SimulatedHub?
    private let kind: Kind
    private let version: ProtocolVersion
    private let window: Int
    private var random: SeededRandom
    private var source: MessageSource
    private var link: SimulatedLink?
    private var isConnected = false
    private var isConnectScheduled = false
    private var input = PacketReader()
    private var waiting: [Message] = []
    private var inflight: [Inflight] = []
    private var lastPacketIdentifier: UInt16 = 0
    private var lastHeard: UInt64 = 0

    init(number: Int, kind: Kind, world: World, oracle: Oracle, hub: @escaping () -> SimulatedHub?) {
        self.number = number
        self.world = world
        self.oracle = oracle
        self.hub = hub
        self.kind = kind
        random = world.random.split()
        version = random.chance(50) ? .v5 : .v311
        window = random.whole(1...12)
        source = MessageSource(
            device: "d\(number)", isVersion5: version == .v5, needsIDs: kind != .persistent,
            random: random.split())
        input.version = version
        connect(after: 1_000)
        watch()
    }

    /// Nothing waits and nothing is owed.
    var isIdle: Bool { waiting.isEmpty && inflight.isEmpty }

    /// Takes a reading now.
    func produce() {
        waiting.append(source.next(trueTicks: world.clock.trueTicks, number: oracle.nextNumber()))
        pump()
    }

    // MARK: Connection

    private func connect(after delay: UInt64) {
        guard !isConnectScheduled else { return }
        isConnectScheduled = true
        world.after(delay, "connect", number) { [self] in
            isConnectScheduled = false
            let link = SimulatedLink(world: world, client: self)
            self.link = link
            isConnected = false
            input.reset()
            lastHeard = world.now
            var packet = Connect()
            packet.version = version
            packet.clientIdentifier = "c\(number)"
            packet.cleanStart = kind == .clean
            packet.keepAlive = 20
            if version == .v5, kind != .clean { packet.properties.sessionExpiryInterval = 3_600 }
            link.send(encoded(.connect(packet)))
            link.open(hub)
        }
    }

    /// Connects again while the old connection is still there: a takeover at the hub.
    func takeOver() {
        link?.abandon()
        link = nil
        isConnected = false
        connect(after: 1_000)
    }

    /// Says goodbye and comes back.
    func disconnect() {
        guard isConnected, let link else { return }
        link.send(encoded(.disconnect(Disconnect())))
        link.goodbye()
        self.link = nil
        isConnected = false
        connect(after: random.microseconds(1_000...3_000_000))
    }

    var currentLink: SimulatedLink? { link }

    func closed(_ link: SimulatedLink) {
        guard link === self.link else { return }
        self.link = nil
        isConnected = false
        connect(after: random.microseconds(1_000...2_000_000))
    }

    /// Keep-alive, and patience with a peer that says nothing.
    private func watch() {
        world.after(5_000_000_000, "watch", number) { [self] in
            if let link, world.now - lastHeard > 15_000_000_000 {
                link.cut(hubLearnsAfter: random.chance(50) ? 1_000_000 : nil, clientLearnsAfter: 1_000)
            } else if isConnected {
                link?.send(encoded(.pingreq))
            }
            watch()
        }
    }

    // MARK: Packets

    func received(_ bytes: [UInt8], on link: SimulatedLink) {
        guard link === self.link else { return }
        lastHeard = world.now
        do {
            for packet in try input.packets(bytes) { take(packet) }
        } catch {
            world.fail(.nothingInvented, "device \(number) got what is no packet: \(error)")
        }
        pump()
    }

    private func take(_ packet: ControlPacket) {
        switch packet {
        case .connack(let connack): welcome(connack)
        case .puback(let answer): finish(answer, qos: 1)
        case .pubrec(let answer): receivedByHub(answer)
        case .pubcomp(let answer): finish(answer, qos: 2)
        case .pingresp, .disconnect: break
        default: world.fail(.nothingInvented, "device \(number) got \(packet)")
        }
    }

    private func welcome(_ connack: Connack) {
        guard connack.reason == .success else { return }
        isConnected = true
        world.note("device \(number) is connected, session \(connack.sessionPresent ? "kept" : "new")")
        if kind == .clean || (kind == .obedient && !connack.sessionPresent) {
            let again = inflight.filter { !$0.isReceived }.map(\.message)
            waiting.insert(contentsOf: again, at: 0)
            inflight = []
            lastPacketIdentifier = 0
            return
        }
        for entry in inflight { entry.isReceived ? release(entry) : publish(entry, isDuplicate: true) }
    }

    private func receivedByHub(_ answer: Acknowledgement) {
        guard let index = index(of: answer, qos: 2) else { return }
        if answer.reason.isFailure { return refused(index) }
        if !inflight[index].isReceived { oracle.acknowledged(inflight[index].message) }
        inflight[index].isReceived = true
        release(inflight[index])
    }

    private func finish(_ answer: Acknowledgement, qos: UInt8) {
        guard let index = index(of: answer, qos: qos) else { return }
        if qos == 1 {
            if answer.reason.isFailure { return refused(index) }
            oracle.acknowledged(inflight[index].message)
        } else if !inflight[index].isReceived {
            return world.fail(.nothingInvented, "PUBCOMP for a message that was not released")
        }
        inflight.remove(at: index)
    }

    /// The hub has no room: the message is offered again later.
    private func refused(_ index: Int) {
        let message = inflight.remove(at: index).message
        world.after(1_000_000_000, "offer again", number) { [self] in
            waiting.append(message)
            pump()
        }
    }

    private func index(of answer: Acknowledgement, qos: UInt8) -> Int? {
        let index = inflight.firstIndex {
            $0.packetIdentifier == answer.packetIdentifier && $0.message.qos == qos
        }
        if index == nil {
            world.fail(
                .nothingInvented, "device \(number): an answer for \(answer.packetIdentifier), never asked")
        }
        return index
    }

    // MARK: Sending

    private func pump() {
        while isConnected, let next = waiting.first, next.qos == 0 || inflight.count < window {
            waiting.removeFirst()
            let entry = Inflight(packetIdentifier: next.qos == 0 ? 0 : freeIdentifier(), message: next)
            if next.qos > 0 { inflight.append(entry) }
            publish(entry, isDuplicate: false)
        }
    }

    /// Few identifiers, so that they come again soon.
    private func freeIdentifier() -> UInt16 {
        repeat {
            lastPacketIdentifier = lastPacketIdentifier % 20 + 1
        } while inflight.contains {
            $0.packetIdentifier == lastPacketIdentifier
        }
        return lastPacketIdentifier
    }

    private func publish(_ entry: Inflight, isDuplicate: Bool) {
        let message = entry.message
        var packet = Publish(topic: message.topic, payload: message.payload)
        packet.qos = QoS(rawValue: message.qos) ?? .atMostOnce
        packet.packetIdentifier = message.qos == 0 ? nil : entry.packetIdentifier
        packet.duplicate = isDuplicate
        packet.retain = message.isRetained
        if message.idPlace == .property, let id = message.messageID {
            packet.properties.userProperties = [UserProperty("message-id", id)]
        }
        oracle.transmitted(message)
        world.note("device \(number) publishes \(entry.packetIdentifier)\(isDuplicate ? " again" : "")")
        link?.send(encoded(.publish(packet)))
    }

    private func release(_ entry: Inflight) {
        world.note("device \(number) releases \(entry.packetIdentifier)")
        link?.send(encoded(.pubrel(Acknowledgement(packetIdentifier: entry.packetIdentifier))))
    }

    private func encoded(_ packet: ControlPacket) -> [UInt8] {
        var bytes: [UInt8] = []
        encodePacket(packet, version: version, into: &bytes)
        return bytes
    }
}

/// Cuts a stream of bytes into packets.
struct PacketReader {
    var version = ProtocolVersion.v5
    private var bytes: [UInt8] = []

    mutating func reset() { bytes = [] }

    /// - Throws: `WireError` when the stream is not MQTT.
    mutating func packets(_ more: [UInt8]) throws(WireError) -> [ControlPacket] {
        bytes.append(contentsOf: more)
        var packets: [ControlPacket] = []
        var at = 0
        let version = version
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(WireError) in
                while true {
                    let rest = UnsafeRawBufferPointer(rebasing: buffer[at...])
                    switch scanFrame(rest, packetBytesMax: 1 << 20) {
                    case .frame(let offset, let count):
                        let body = UnsafeRawBufferPointer(rebasing: rest[offset..<(offset + count)])
                        packets.append(try decodePacket(firstByte: rest[0], body: body, version: version))
                        at += offset + count
                    case .incomplete: return
                    case .invalid(let error): throw error
                    }
                }
            }
        }
        try result.get()
        bytes.removeFirst(at)
        return packets
    }
}
