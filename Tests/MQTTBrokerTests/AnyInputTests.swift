import MQTTWire
import Testing

@testable import MQTTBroker

/// Clients that send anything at any time.
@Suite struct AnyInputTests {
    @Test(
        "Whatever clients send, limits hold, and when all are gone nothing is left", .timeLimit(.minutes(2)),
        arguments: UInt64(1)...20
    )
    func anything(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let bench = BrokerBench {
            $0.inflightMax = 4
            $0.sessionQueueMessages = 6
            $0.sessionQueueBytes = 40
            $0.sessionReplayMessages = 5
            $0.subscriptionsPerSession = 4
            $0.retainedMessages = 5
            $0.retainedBytes = 30
            $0.sessions = 5
            $0.sessionExpiryMaxSeconds = 50
        }
        var connection: UInt64 = 0
        for _ in 0..<5_000 {
            let from = connection - UInt64.random(in: 0...min(connection, 6), using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0..<4:
                connection += 1
                _ = bench.connect(connection, connect(&random))
            case 4: bench.drop(from)
            case 5: bench.pass(UInt64.random(in: 0...20, using: &random))
            case 6..<12: bench.publish(message(&random, now: bench.nanoseconds))
            default:
                let lines = bench.receive(from, packet(&random))
                #expect(lines.isEmpty || bench.accepted[from] != nil)
            }
            check(bench)
        }

        for number in 1...connection { bench.drop(number) }
        bench.pass(100)
        for topic in ["a", "b", "a/a", "a/b", "b/a", "b/b"] { bench.publish(topic, "", retain: true) }
        let counters = bench.broker.counters
        #expect(counters.connected == 0)
        #expect(counters.sessions == 0)
        #expect(counters.subscriptions == 0)
        #expect(counters.queued == 0)
        #expect(counters.retained == 0)
        #expect(counters.retainedBytes == 0)
        #expect(bench.broker.nextDeadline == nil)
        #expect(bench.broker.tree.isEmpty)
        #expect(bench.broker.retained.isEmpty)
        #expect(counters.messagesOut > 100)
        #expect(counters.protocolErrors > 10)
        #expect(counters.droppedQueueFull > 0)
    }

    private func check(_ bench: BrokerBench) {
        let counters = bench.broker.counters
        let sessions = Array(bench.broker.sessions.values)
        #expect(sessions.count == counters.sessions)
        #expect(sessions.count <= 5)
        #expect(bench.broker.connections.count == counters.connected)
        #expect(sessions.count { $0.connection != nil } == counters.connected)
        #expect(sessions.reduce(0) { $0 + $1.outbound.queuedCount } == counters.queued)
        #expect(sessions.reduce(0) { $0 + $1.subscriptions.count } == counters.subscriptions)
        #expect(counters.retained <= 5)
        #expect(counters.retainedBytes <= 30)
        for session in sessions {
            #expect(session.outbound.outstanding <= 4)
            #expect(session.outbound.queuedLive <= 6)
            #expect(session.outbound.queuedReplay <= 5)
            #expect(session.outbound.queuedLiveBytes <= 40)
            #expect(session.subscriptions.count <= 4)
        }
    }

    private func pick<Element>(_ elements: [Element], _ random: inout SeededGenerator) -> Element {
        elements[Int.random(in: elements.indices, using: &random)]
    }

    private func topic(_ random: inout SeededGenerator) -> String {
        pick(["a", "b", "a/a", "a/b", "b/a", "b/b"], &random)
    }

    private func qos(_ random: inout SeededGenerator) -> QoS {
        pick([.atMostOnce, .atLeastOnce, .exactlyOnce], &random)
    }

    private func connect(_ random: inout SeededGenerator) -> Connect {
        var packet = Connect()
        packet.version = pick([.v311, .v5], &random)
        packet.cleanStart = Int.random(in: 0..<4, using: &random) == 0
        packet.clientIdentifier = pick(["a", "b", "c", "d", "e", "f", ""], &random)
        if Bool.random(using: &random) {
            packet.setWill(topic(&random), delay: pick([nil, 0, 7, 100], &random), retain: true)
        }
        guard packet.version == .v5 else { return packet }
        packet.properties.sessionExpiryInterval = pick([nil, 0, 5, 40, .max], &random)
        packet.properties.receiveMaximum = pick([nil, 1, 3], &random)
        packet.properties.maximumPacketSize = pick([nil, nil, 14, 20], &random)
        return packet
    }

    private func message(_ random: inout SeededGenerator, now: UInt64) -> Message {
        Message(
            topic: topic(&random), payload: payload(&random), qos: qos(&random),
            retain: Bool.random(using: &random),
            expiresAt: pick([nil, now + 3_000_000_000, now + 30_000_000_000], &random))
    }

    private func payload(_ random: inout SeededGenerator) -> [UInt8] {
        [UInt8](repeating: 65, count: Int.random(in: 0...9, using: &random))
    }

    private func packet(_ random: inout SeededGenerator) -> ControlPacket {
        let acknowledgement = Acknowledgement(
            packetIdentifier: UInt16.random(in: 0...12, using: &random),
            reason: pick([.success, .success, .success, .quotaExceeded], &random))
        let filters = ["a", "#", "+/a", "a/#", "+", "$share/g/#", "$share/g/a/+", "$share/h/a", "a#"]
        switch Int.random(in: 0..<60, using: &random) {
        case 0..<10: return .puback(acknowledgement)
        case 10..<20: return .pubrec(acknowledgement)
        case 20..<26: return .pubrel(acknowledgement)
        case 26..<36: return .pubcomp(acknowledgement)
        case 36..<44:
            var filter = Subscribe.Filter(pick(filters, &random), qos: qos(&random))
            filter.retainHandling = UInt8.random(in: 0...2, using: &random)
            filter.retainAsPublished = Bool.random(using: &random)
            return .subscribe(Subscribe(packetIdentifier: 1, filters: [filter]))
        case 44..<46: return .unsubscribe(Unsubscribe(packetIdentifier: 1, filters: [pick(filters, &random)]))
        case 46..<57:
            var publish = Publish(topic: topic(&random), payload: payload(&random))
            publish.qos = qos(&random)
            publish.retain = Bool.random(using: &random)
            publish.packetIdentifier = UInt16.random(in: 1...5, using: &random)
            return .publish(publish)
        case 57:
            var disconnect = Disconnect(reason: pick([.success, .disconnectWithWill], &random))
            disconnect.properties.sessionExpiryInterval = pick([nil, 0, 9], &random)
            return .disconnect(disconnect)
        case 58: return pick([.pingresp, .auth(Auth(reason: .success)), .connect(Connect())], &random)
        default: return .pingreq
        }
    }
}
