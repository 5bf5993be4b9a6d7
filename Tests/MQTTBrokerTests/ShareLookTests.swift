import MQTTWire
import Testing

@testable import MQTTBroker

/// Members of a group that may have only some of the topics: what is not for them is left to those it is for.
@Suite struct ShareLookTests {
    /// "some" may not have what begins with `secret`, "all" may have everything; both are subscribed and away.
    private final class World {
        let access = AccessTests.Guard()
        let kept: KeptBench
        private var connections: UInt64 = 0
        private(set) var lines: [String] = []

        init(_ change: @escaping (inout BrokerLimits) -> Void = { _ in }) {
            kept = KeptBench(change)
            kept.bench.broker.access = access
            for name in ["some", "all"] {
                let connection = connect(name)
                kept.bench.subscribe(connection, "$share/g/#", qos: .atLeastOnce)
                kept.bench.drop(connection)
            }
            _ = take()
        }

        @discardableResult func connect(_ name: String, receiveMaximum: UInt16 = 65_535) -> UInt64 {
            connections += 1
            var packet = Connect()
            packet.clientIdentifier = name
            packet.cleanStart = false
            packet.properties.sessionExpiryInterval = 1_000
            packet.properties.receiveMaximum = receiveMaximum
            var actions: [BrokerAction] = []
            kept.bench.broker.connect(
                ConnectionID(rawValue: connections), packet, assignedIdentifier: "x",
                rights: name == "all" ? nil : access, now: kept.bench.nanoseconds, actions: &actions)
            lines += kept.bench.lines(actions)
            return connections
        }

        func publish(_ topic: String, _ text: String, qos: QoS = .atLeastOnce) {
            lines += kept.bench.publish(topic, text, qos: qos)
        }

        func puback(_ connection: UInt64, _ identifier: UInt16) {
            lines += kept.bench.puback(connection, identifier)
        }

        func restart() {
            kept.restart()
            kept.bench.broker.access = access
        }

        /// The messages that were sent since the last time, such as `4 secret 2 1`: connection, topic, text, packet
        /// identifier.
        func take() -> [String] {
            lines += kept.read()
            let sent = lines.compactMap { line -> String? in
                let words = line.split(separator: " ")
                guard words.count >= 5, words[1] == "PUBLISH" else { return nil }
                let identifier = words.count > 6 ? " \(words[6])" : ""
                return "\(words[0]) \(words[2]) \(words[3])" + identifier
            }
            lines = []
            return sent
        }

        var queued: Int { kept.bench.broker.counters.queued }
    }

    @Test(arguments: [false, true])
    func `A member takes what it may have, the rest waits for the others, over a start too`(isCleaned: Bool) {
        let world = World()
        for number in 1...6 { world.publish(number % 2 == 0 ? "secret" : "open", "\(number)") }
        let some = world.connect("some")
        #expect(world.take() == ["\(some) open 1 1", "\(some) open 3 2", "\(some) open 5 3"])
        #expect(world.queued == 3)
        // It has seen all that waits: what is for it comes at once, what is not joins the others, without a read.
        world.publish("open", "7")
        world.publish("secret", "8")
        world.publish("open", "9", qos: .atMostOnce)
        #expect(world.kept.bench.wanted.isEmpty)
        #expect(world.take() == ["\(some) open 7 4", "\(some) open 9"])
        if isCleaned { world.kept.clean() }
        world.restart()
        world.connect("some")
        #expect(world.take().count == 4, "its own again, and nothing else")
        let all = world.connect("all")
        #expect(
            world.take() == [
                "\(all) secret 2 1", "\(all) secret 4 2", "\(all) secret 6 3", "\(all) secret 8 4",
            ])
        #expect(world.queued == 0)
        #expect(world.kept.bench.broker.counters.keptMessages == 0)
        #expect(world.kept.bench.broker.counters.droppedDenied == 0)
    }

    @Test func `A small window takes them one by one, however many are not for it`() {
        let world = World { $0.presentMessages = 8 }
        for number in 1...200 { world.publish(number % 50 == 0 ? "open" : "secret", "\(number)") }
        let some = world.connect("some", receiveMaximum: 1)
        for (identifier, number) in [50, 100, 150, 200].enumerated() {
            #expect(world.take() == ["\(some) open \(number) \(identifier + 1)"])
            world.puback(some, UInt16(identifier + 1))
        }
        #expect(world.take() == [])
        #expect(world.queued == 196)
    }

    @Test func `Other rules give a member what it was refused`() {
        let world = World()
        for number in 1...3 { world.publish("secret", "\(number)") }
        let some = world.connect("some")
        #expect(world.take() == [])
        world.access.denied = "nothing"
        world.kept.bench.broker.accessChanged()
        var actions: [BrokerAction] = []
        world.kept.bench.broker.pumpShared(now: world.kept.bench.nanoseconds, actions: &actions)
        _ = world.kept.bench.lines(actions)
        #expect(world.take() == ["\(some) secret 1 1", "\(some) secret 2 2", "\(some) secret 3 3"])
    }

    @Test(arguments: 1...60)
    func `Whoever comes and goes, each message goes to one member who may have it, in order`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let world = World { $0.presentMessages = 1 + Int(random.next() % 5) }
        var open: [String: UInt64] = [:]
        var got: [String: [String]] = [:]
        var owner: [String: String] = [:]
        var names: [UInt64: String] = [:]
        func answer() {
            for line in world.take() {
                let words = line.split(separator: " ").map(String.init)
                guard let connection = UInt64(words[0]), let name = names[connection] else { continue }
                #expect(!(name == "some" && words[1] == "secret"))
                #expect(owner[words[2]] == nil || owner[words[2]] == name, "seed \(seed): \(line)")
                owner[words[2]] = name
                if got[name]?.contains(words[2]) != true { got[name, default: []].append(words[2]) }
                if open[name] == connection, let identifier = UInt16(words[3]), random.next() % 4 != 0 {
                    world.puback(connection, identifier)
                }
            }
        }
        for number in 1...80 {
            world.publish(random.next() % 2 == 0 ? "secret" : "open", "\(number)")
            let name = random.next() % 2 == 0 ? "some" : "all"
            switch random.next() % 12 {
            case 0, 1:
                if let connection = open.removeValue(forKey: name) {
                    world.kept.bench.drop(connection)
                } else {
                    let connection = world.connect(name, receiveMaximum: UInt16(1 + random.next() % 3))
                    open[name] = connection
                    names[connection] = name
                }
            case 2 where random.next() % 4 == 0:
                world.restart()
                open = [:]
            case 3 where random.next() % 4 == 0: world.kept.clean()
            default: break
            }
            if random.next() % 2 == 0 { answer() }
        }
        for name in ["some", "all"] {
            if let connection = open[name] { world.kept.bench.drop(connection) }
            let connection = world.connect(name)
            open[name] = connection
            names[connection] = name
        }
        for _ in 0..<100 { answer() }
        #expect(owner.count == 80, "seed \(seed): \(Set((1...80).map(String.init)).subtracting(owner.keys))")
        #expect(world.kept.bench.broker.counters.droppedDenied == 0)
        #expect(world.kept.bench.broker.counters.droppedUnreadable == 0)
        #expect(world.kept.bench.broker.counters.queued == 0)
        #expect(world.kept.bench.broker.counters.keptMessages == 0)
        for (name, texts) in got {
            #expect(
                texts.compactMap { Int($0) } == texts.compactMap { Int($0) }.sorted(), "seed \(seed): \(name)"
            )
        }
    }
}
