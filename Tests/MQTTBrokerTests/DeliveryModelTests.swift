import MQTTBroker
import MQTTWire
import Testing

/// A publisher and a subscriber behind lines that break at any moment and lose what is on them.
@Suite struct DeliveryModelTests {
    @Test(
        "Across broken lines every QoS 2 message arrives exactly once and QoS 1 at least once, in order",
        .timeLimit(.minutes(2)),
        arguments: UInt64(1)...20, [ProtocolVersion.v311, .v5])
    func exactlyOnce(seed: UInt64, version: ProtocolVersion) {
        var world = World(seed: seed, version: version)
        let total = 400
        var steps = 0
        while steps < 200_000, !world.isDone(total) {
            world.step(total: total)
            steps += 1
        }
        #expect(world.isDone(total))
        #expect(world.breaks > 20)
        #expect(world.applied(.exactlyOnce) == world.sent(.exactlyOnce), "exactly once, in order")
        #expect(world.firstSeen(.atLeastOnce) == world.sent(.atLeastOnce), "at least once, in order")
        #expect(world.bench.broker.counters.queued == 0)
        #expect(world.bench.broker.counters.droppedQueueFull == 0)
        #expect(world.bench.broker.counters.protocolErrors == 0)
    }
}

/// Both clients, their lines, and the broker between them. Payloads are the numbers 1, 2, 3 …
private struct World {
    let bench = BrokerBench { $0.inflightMax = 7 }
    let version: ProtocolVersion
    var random: SeededGenerator
    var publisher = PublisherModel()
    var subscriber = SubscriberModel()
    /// Packets on the way to and from each client, by connection number; a break empties them.
    var toBroker: [UInt64: [ControlPacket]] = [:]
    var toClient: [UInt64: [ControlPacket]] = [:]
    var publisherLine: UInt64?
    var subscriberLine: UInt64?
    var lastLine: UInt64 = 0
    /// The line that is being opened, which is nobody's yet.
    var opening: UInt64?
    var breaks = 0

    init(seed: UInt64, version: ProtocolVersion) {
        random = SeededGenerator(seed: seed)
        self.version = version
        publisherLine = open("publisher")
        subscriberLine = open("subscriber")
        bench.subscribe(subscriberLine ?? 0, "t")
    }

    func sent(_ qos: QoS) -> [Int] { publisher.sent.filter { $0.qos == qos }.map(\.number) }
    func applied(_ qos: QoS) -> [Int] { subscriber.applied.filter { $0.qos == qos }.map(\.number) }

    func firstSeen(_ qos: QoS) -> [Int] {
        var seen: Set<Int> = []
        return applied(qos).filter { seen.insert($0).inserted }
    }

    func isDone(_ total: Int) -> Bool {
        publisher.sent.count == total && publisher.pending.isEmpty && subscriber.unreleased.isEmpty
            && toBroker.isEmpty && toClient.isEmpty && Set(subscriber.applied.map(\.number)).count == total
    }

    mutating func step(total: Int) {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<2: breakLine(\.publisherLine)
        case 2..<4: breakLine(\.subscriberLine)
        case 4..<10: reconnect()
        case 10..<35:
            guard let line = publisherLine, publisher.sent.count < total, publisher.pending.count < 10 else {
                return
            }
            let qos: QoS = Bool.random(using: &random) ? .atLeastOnce : .exactlyOnce
            toBroker[line, default: []].append(publisher.publish(qos))
        case 35..<70:
            guard let line = toBroker.keys.sorted().randomElement(using: &random) else { return }
            guard let packet = take(&toBroker, line) else { return }
            deliver(bench.actions(line, packet))
        default:
            guard let line = toClient.keys.sorted().randomElement(using: &random) else { return }
            guard let packet = take(&toClient, line) else { return }
            let answer = line == publisherLine ? publisher.receive(packet) : subscriber.receive(packet)
            if let answer { toBroker[line, default: []].append(answer) }
        }
    }

    private func take(_ lines: inout [UInt64: [ControlPacket]], _ line: UInt64) -> ControlPacket? {
        guard var packets = lines[line], !packets.isEmpty else { return nil }
        let packet = packets.removeFirst()
        lines[line] = packets.isEmpty ? nil : packets
        return packet
    }

    /// What the broker has read stays read; what is under way on either side of it is lost.
    private mutating func breakLine(_ line: WritableKeyPath<World, UInt64?>) {
        guard let number = self[keyPath: line] else { return }
        toBroker[number] = nil
        toClient[number] = nil
        self[keyPath: line] = nil
        breaks += 1
        // Half of the time the broker notices only by the take-over.
        if Bool.random(using: &random) { bench.drop(number) }
    }

    private mutating func reconnect() {
        if publisherLine == nil {
            let line = open("publisher")
            publisherLine = line
            for packet in publisher.resume() { toBroker[line, default: []].append(packet) }
        } else if subscriberLine == nil {
            subscriberLine = open("subscriber")
        }
    }

    private mutating func open(_ identifier: String) -> UInt64 {
        lastLine += 1
        opening = lastLine
        defer { opening = nil }
        var packet = Connect()
        packet.version = version
        packet.cleanStart = false
        packet.clientIdentifier = identifier
        packet.properties.sessionExpiryInterval = version == .v5 ? 1_000 : nil
        packet.properties.receiveMaximum = version == .v5 ? 5 : nil
        var actions: [BrokerAction] = []
        bench.broker.connect(
            ConnectionID(rawValue: lastLine), packet, assignedIdentifier: "", now: bench.nanoseconds,
            actions: &actions)
        deliver(actions)
        return lastLine
    }

    /// Puts the broker's packets on the lines; those of a line that broke are lost.
    private mutating func deliver(_ actions: [BrokerAction]) {
        for action in actions {
            switch action {
            case .send(let connection, let packet):
                append(packet, connection.rawValue)
            case .acknowledge(let connection, let type, let identifier):
                let packet = Acknowledgement(packetIdentifier: identifier)
                switch type {
                case .puback: append(.puback(packet), connection.rawValue)
                case .pubrec: append(.pubrec(packet), connection.rawValue)
                case .pubrel: append(.pubrel(packet), connection.rawValue)
                default: append(.pubcomp(packet), connection.rawValue)
                }
            case .forward(let connection, let message, let qos, let identifier, _, let duplicate, _, _):
                var publish = Publish(topic: message.topic, payload: message.payload)
                publish.qos = qos
                publish.packetIdentifier = identifier
                publish.duplicate = duplicate
                append(.publish(publish), connection.rawValue)
            default:
                break
            }
        }
    }

    private mutating func append(_ packet: ControlPacket, _ line: UInt64) {
        guard line == publisherLine || line == subscriberLine || line == opening else { return }
        if case .connack = packet { return }
        toClient[line, default: []].append(packet)
    }
}

private struct PublisherModel {
    struct Pending {
        let publish: Publish
        var isReleased = false
    }

    var sent: [(number: Int, qos: QoS)] = []
    /// In the order of sending.
    var pending: [Pending] = []

    mutating func publish(_ qos: QoS) -> ControlPacket {
        let number = sent.count + 1
        sent.append((number, qos))
        var publish = Publish(topic: "t", payload: Array("\(number)".utf8))
        publish.qos = qos
        // Small, so that identifiers are used again soon.
        publish.packetIdentifier = (1...64).first { id in
            !pending.contains { $0.publish.packetIdentifier == id }
        }
        pending.append(Pending(publish: publish))
        return .publish(publish)
    }

    mutating func receive(_ packet: ControlPacket) -> ControlPacket? {
        switch packet {
        case .puback(let acknowledgement), .pubcomp(let acknowledgement):
            pending.removeAll { $0.publish.packetIdentifier == acknowledgement.packetIdentifier }
            return nil
        case .pubrec(let acknowledgement):
            for index in pending.indices
            where pending[index].publish.packetIdentifier == acknowledgement.packetIdentifier {
                pending[index].isReleased = true
            }
            return .pubrel(Acknowledgement(packetIdentifier: acknowledgement.packetIdentifier))
        default:
            return nil
        }
    }

    func resume() -> [ControlPacket] {
        pending.map { pending in
            if pending.isReleased {
                return .pubrel(Acknowledgement(packetIdentifier: pending.publish.packetIdentifier ?? 0))
            }
            var publish = pending.publish
            publish.duplicate = true
            return .publish(publish)
        }
    }
}

private struct SubscriberModel {
    var applied: [(number: Int, qos: QoS)] = []
    /// QoS 2 identifiers taken and not yet released; outlives the connection.
    var unreleased: Set<UInt16> = []

    mutating func receive(_ packet: ControlPacket) -> ControlPacket? {
        switch packet {
        case .publish(let publish):
            let identifier = publish.packetIdentifier ?? 0
            let number = Int(String(decoding: publish.payload, as: UTF8.self)) ?? -1
            let isNew = publish.qos != .exactlyOnce || unreleased.insert(identifier).inserted
            if isNew { applied.append((number, publish.qos)) }
            let acknowledgement = Acknowledgement(packetIdentifier: identifier)
            return publish.qos == .exactlyOnce ? .pubrec(acknowledgement) : .puback(acknowledgement)
        case .pubrel(let acknowledgement):
            unreleased.remove(acknowledgement.packetIdentifier)
            return .pubcomp(Acknowledgement(packetIdentifier: acknowledgement.packetIdentifier))
        default:
            return nil
        }
    }
}
