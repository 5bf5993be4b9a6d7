import MQTTBroker
import MQTTWire
import Testing

@testable import Hub

/// Clients that keep to the standard and come, go and acknowledge as they like: nobody gets what he did not ask
/// for, nothing is lost that was promised, and QoS 2 comes once.
@Suite("Fuzzing sessions")
struct SessionFuzzTests {
    private static let topics = ["t/1", "t/2", "t/3/a", "u", "v/1"]
    private static let filters = ["t/1", "t/+", "t/#", "+/1", "u", "#", "t/3/+"]

    private final class Run {
        let hub: MemoryHub
        let clients = (0..<5).map { FuzzClient(name: "client-\($0)") }
        var random: FuzzRandom
        var messages: [Int: FuzzClient.Sent] = [:]

        init(seed: UInt64) throws {
            hub = try MemoryHub()
            random = FuzzRandom(seed: seed)
        }

        func step() throws {
            let client = random.element(clients)
            guard client.isConnected else {
                let clean = random.chance(6)
                try client.connect(hub, clean: clean, persistent: random.below(10) < 8, random: &random)
                listen()
                return
            }
            switch random.below(20) {
            case 0: client.drop()
            case 1: if random.chance(2) { client.disconnect() }
            case 2, 3:
                client.subscribe(random.element(SessionFuzzTests.filters), randomQoS())
            case 4:
                if let filter = client.filters.keys.sorted().first(where: { _ in random.chance(2) }) {
                    client.unsubscribe(filter)
                }
            case 5: hub.wait(seconds: Double(random.below(20)) / 10)
            case 6...12: publish(client)
            default: client.acknowledge(1 + random.below(6))
            }
            listen()
        }

        func listen() { for client in clients { client.listen(messages) } }

        private func randomQoS() -> QoS { random.element([.atMostOnce, .atLeastOnce, .exactlyOnce]) }

        private func publish(_ client: FuzzClient) {
            let number = messages.count
            let isRetained = random.chance(8)
            let topic = isRetained ? "r/\(random.below(3))" : random.element(SessionFuzzTests.topics)
            let qos = randomQoS()
            messages[number] = FuzzClient.Sent(topic: topic, qos: qos, isCounted: !isRetained)
            if !isRetained {
                for other in clients where other.isPersistent {
                    let granted = other.filters.filter { other.matches($0.key, topic) }.values.max()
                    let level = min(granted ?? .atMostOnce, qos)
                    if level != .atMostOnce { other.expected[number] = level }
                }
            }
            client.publish(topic, number: number, qos, retain: isRetained)
        }

        /// Everybody comes back and acknowledges until nobody has anything to say.
        func drain() throws {
            for client in clients where client.isPersistent && !client.isConnected {
                try client.connect(hub, clean: false, persistent: true, random: &random)
            }
            for _ in 0..<20_000 {
                listen()
                for client in clients { client.acknowledge(100) }
                listen()
                if clients.allSatisfy({ !$0.owesAnything }) { return }
            }
        }
    }

    @Test("Random clients get what they must, once at QoS 2, and nothing else; afterwards nothing is left")
    func sessions() throws {
        var deliveries = 0
        let seeds = try FuzzSeeds.run(14) { seed in
            let run = try Run(seed: seed)
            for _ in 0..<400 { try run.step() }
            try run.drain()
            for client in run.clients {
                #expect(client.wrong == [], "seed \(seed)")
                for (number, qos) in client.expected.sorted(by: { $0.key < $1.key }) {
                    let count = client.got[number] ?? 0
                    let isRight = qos == .exactlyOnce ? count == 1 : count >= 1
                    #expect(isRight, "seed \(seed): \(client.name) got \(number) at \(qos) \(count) times")
                    deliveries += count
                }
            }
            let counters = run.hub.loop.broker.counters
            #expect(counters.queued == 0, "seed \(seed)")
            #expect(counters.protocolErrors == 0, "seed \(seed)")
            #expect(counters.sessions <= run.clients.count, "seed \(seed)")
            for client in run.clients {
                if client.isConnected { client.drop() }
                try client.connect(run.hub, clean: true, persistent: false, random: &run.random)
                client.disconnect()
            }
            let left = run.hub.loop.broker.counters
            #expect(left.sessions == 0, "seed \(seed)")
            #expect(left.subscriptions == 0, "seed \(seed)")
            #expect(left.queued == 0, "seed \(seed)")
            #expect(run.hub.loop.usage.connections == 0, "seed \(seed)")
        }
        #expect(deliveries > 20 * seeds || seeds == 1)
    }

    @Test("Of a shared subscription one member gets each QoS 2 message, never two")
    func shared() throws {
        _ = try FuzzSeeds.run(5) { seed in
            var random = FuzzRandom(seed: seed)
            let hub = try MemoryHub()
            let publisher = FuzzClient(name: "publisher")
            try publisher.connect(hub, clean: true, persistent: false, random: &random)
            let members = (0..<3).map { FuzzClient(name: "member-\($0)") }
            var messages: [Int: FuzzClient.Sent] = [:]
            func listen() { for client in members + [publisher] { client.listen(messages) } }
            for member in members {
                try member.connect(hub, clean: true, persistent: true, random: &random)
                // A session of 3.1.1 with clean session 1 would not stay.
                member.subscribe("$share/g/s/+", .exactlyOnce)
            }
            listen()
            for number in 0..<150 {
                messages[number] = FuzzClient.Sent(topic: "s/1", qos: .exactlyOnce, isCounted: true)
                publisher.publish("s/1", number: number, .exactlyOnce, retain: false)
                listen()
                publisher.acknowledge(5)
                let member = random.element(members)
                if !member.isConnected {
                    try member.connect(hub, clean: false, persistent: true, random: &random)
                } else if random.chance(5) {
                    member.drop()
                } else {
                    member.acknowledge(random.below(4))
                }
                listen()
            }
            for member in members where !member.isConnected {
                try member.connect(hub, clean: false, persistent: true, random: &random)
            }
            for _ in 0..<500 {
                for client in members + [publisher] { client.acknowledge(100) }
                listen()
            }
            for client in members + [publisher] { #expect(client.wrong == [], "seed \(seed)") }
            for number in 0..<150 {
                let total = members.reduce(0) { $0 + ($1.got[number] ?? 0) }
                #expect(total == 1, "seed \(seed): message \(number) came \(total) times")
            }
        }
    }
}
