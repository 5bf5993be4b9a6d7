import MQTTWire
import Testing

@testable import MQTTBroker

/// What the broker does with the answers of an `AccessGuard`.
@Suite struct AccessTests {
    /// Denies what begins with a word that may change.
    final class Guard: AccessGuard {
        var denied = "secret"

        func verdict(onFilter filter: String, of session: Session) -> FilterVerdict {
            guard session.rights != nil else { return .allowed }
            return filter.hasPrefix(denied) ? .denied : filter.hasSuffix("#") ? .partial : .allowed
        }

        /// A client is who it is by its name.
        func identity(of session: Session) -> KeptIdentity? {
            session.rights == nil ? nil : KeptIdentity(user: session.clientIdentifier, hasCertificate: true)
        }

        func rights(of identity: KeptIdentity, client: String) -> AnyObject? {
            identity == KeptIdentity(user: client, hasCertificate: true) ? self : nil
        }

        func mayReceive(_ topic: String, _ session: Session) -> Bool {
            session.rights == nil || !topic.hasPrefix(denied)
        }

        func mayPublish(_ topic: String, _ session: Session) -> Bool {
            session.rights == nil || !topic.hasPrefix(denied)
        }
    }

    private let access = Guard()

    /// Clients with rights: 1 speaks 5.0, 2 speaks 3.1.1; 3 has none that matter.
    private func bench() -> BrokerBench {
        let bench = BrokerBench()
        bench.broker.access = access
        connect(bench, 1, "a", .v5)
        connect(bench, 2, "b", .v311)
        bench.connect(3, "free", expiry: 100)
        return bench
    }

    @discardableResult
    private func connect(
        _ bench: BrokerBench, _ connection: UInt64, _ name: String, _ version: ProtocolVersion,
        receiveMaximum: UInt16? = nil, will: Will? = nil
    ) -> [String] {
        var packet = Connect()
        packet.version = version
        packet.clientIdentifier = name
        packet.cleanStart = false
        packet.will = will
        if version == .v5 {
            packet.properties.sessionExpiryInterval = 100
            packet.properties.receiveMaximum = receiveMaximum
        }
        var actions: [BrokerAction] = []
        bench.broker.connect(
            ConnectionID(rawValue: connection), packet, assignedIdentifier: "x", rights: access,
            now: bench.nanoseconds, actions: &actions)
        return bench.lines(actions)
    }

    @Test func `A filter that is denied is refused by its reason, the others stand`() {
        let bench = bench()
        #expect(
            bench.subscribe(
                1,
                [Subscribe.Filter("secret/#", qos: .atLeastOnce), Subscribe.Filter("a", qos: .atLeastOnce)])
                == ["1 SUBACK 9 [0x87, 0x01]"])
        #expect(bench.subscribe(2, "secret/x", qos: .atMostOnce) == ["2 SUBACK 9 [0x80]"])
        #expect(bench.broker.counters.subscribesDenied == 2)
        #expect(bench.broker.counters.subscriptions == 1)
        #expect(bench.subscribe(3, "secret/x", qos: .atMostOnce) == ["3 SUBACK 9 [0x00]"])
    }

    @Test func `Of a filter that is allowed in part, the rest is kept back, retained messages too`() {
        let bench = bench()
        bench.publish("secret/r", "1", qos: .atMostOnce, retain: true)
        bench.publish("open/r", "2", qos: .atMostOnce, retain: true)
        #expect(
            bench.subscribe(1, "#", qos: .atLeastOnce)
                == ["1 SUBACK 9 [0x01]", "1 PUBLISH open/r 2 q0 retain"])
        #expect(bench.publish("secret/x", "m") == [])
        #expect(bench.publish("open/x", "m") == ["1 PUBLISH open/x m q1 id 1"])
        #expect(bench.broker.counters.droppedDenied == 2)
    }

    @Test func `New rights hold for what waits and for subscriptions that stand`() {
        let bench = bench()
        bench.subscribe(1, "plant/#", qos: .atLeastOnce)
        bench.subscribe(3, "plant/#", qos: .atLeastOnce)
        #expect(bench.publish("plant/x", "1").count == 2)
        bench.drop(1)
        bench.publish("plant/x", "2")
        access.denied = "plant"
        bench.broker.accessChanged()
        #expect(bench.publish("plant/x", "3") == ["3 PUBLISH plant/x 3 q1 id 3"])
        let lines = connect(bench, 4, "a", .v5)
        #expect(lines.filter { $0.contains("PUBLISH") } == [])
        access.denied = "secret"
        bench.broker.accessChanged()
        #expect(bench.publish("plant/x", "4").contains { $0.hasPrefix("4 PUBLISH plant/x 4") })
    }

    @Test func `What waits stays denied when the subscription it came by is given up`() {
        let bench = bench()
        connect(bench, 4, "slow", .v5, receiveMaximum: 1)
        bench.subscribe(4, "plant/#", qos: .atLeastOnce)
        for number in 1...3 { bench.publish("plant/x", "\(number)") }
        access.denied = "plant"
        bench.broker.accessChanged()
        bench.unsubscribe(4, ["plant/#"])
        #expect(bench.puback(4, 1) == [])
        #expect(bench.broker.counters.droppedDenied == 2)
        #expect(bench.broker.counters.queued == 0)
    }

    @Test(arguments: [false, true])
    func `A session on disk gives its backlog to nobody who may not have it`(unsubscribes: Bool) {
        let kept = KeptBench()
        kept.bench.broker.access = access
        connect(kept.bench, 1, "a", .v5)
        kept.bench.subscribe(1, "plant/#", qos: .atLeastOnce)
        kept.bench.drop(1)
        for number in 1...3 { kept.bench.publish("plant/x", "\(number)") }
        kept.restart()
        kept.bench.broker.access = access
        access.denied = "plant"
        var lines = connect(kept.bench, 2, "a", .v5)
        if unsubscribes { lines += kept.bench.unsubscribe(2, ["plant/#"]) }
        lines += kept.read()
        #expect(lines.filter { $0.contains("PUBLISH") } == [])
        #expect(kept.bench.broker.counters.droppedDenied == 3)
    }

    @Test func `A member that has lost its right leaves the backlog of its group to the others`() {
        let kept = KeptBench()
        kept.bench.broker.access = access
        connect(kept.bench, 1, "a", .v5)
        kept.bench.connect(2, "free", expiry: 100)
        for connection in [1, 2] as [UInt64] {
            kept.bench.subscribe(connection, "$share/g/plant", qos: .atLeastOnce)
        }
        kept.bench.drop(1)
        kept.bench.drop(2)
        for number in 1...3 { kept.bench.publish("plant", "\(number)") }
        kept.commit()
        access.denied = "$share/g/plant"
        kept.bench.broker.accessChanged()
        var lines = connect(kept.bench, 3, "a", .v5) + kept.read()
        #expect(lines.filter { $0.contains("PUBLISH") } == [])
        lines = kept.bench.connect(4, "free", clean: false, expiry: 100) + kept.read()
        #expect(lines.filter { $0.hasPrefix("4 PUBLISH plant") }.count == 3)
        #expect(kept.bench.broker.counters.droppedDenied == 0)
    }

    @Test func `Of a shared subscription a member that may have the message gets it`() {
        let bench = bench()
        bench.subscribe(1, "$share/g/#", qos: .atLeastOnce)
        bench.subscribe(3, "$share/g/#", qos: .atLeastOnce)
        access.denied = "open"
        bench.subscribe(1, "#", qos: .atLeastOnce)
        for _ in 0..<4 {
            let lines = bench.publish("open/x", "m")
            #expect(lines.count == 1)
            #expect(lines.first?.hasPrefix("3 ") == true)
        }
    }

    @Test func `A will is checked when it is published`() {
        let bench = bench()
        bench.subscribe(3, "#", qos: .atLeastOnce)
        let will = Will(topic: "plant/gone", payload: [0x78], qos: .atLeastOnce, retain: false)
        connect(bench, 5, "w", .v311, will: will)
        connect(bench, 6, "v", .v311, will: will)
        bench.drop(5)
        #expect(bench.wills.count == 1)
        access.denied = "plant"
        bench.drop(6)
        #expect(bench.wills.count == 1)
        #expect(bench.broker.counters.willsDenied == 1)
    }

    @Test func `A client has its share of the retained store and no more`() {
        let bench = BrokerBench {
            $0.retainedPerClient = 2
            $0.retainedBytesPerClient = 100
        }
        bench.connect(1, "a")
        bench.connect(2, "b")
        func retain(_ connection: UInt64, _ topic: String, _ text: String) -> String {
            bench.publish(connection, topic, text, qos: .atLeastOnce, id: 7, retain: true).joined()
        }
        #expect(retain(1, "x/1", "m") == "1 PUBACK 7 0x10")
        #expect(retain(1, "x/2", "m") == "1 PUBACK 7 0x10")
        #expect(retain(1, "x/3", "m") == "1 PUBACK 7 0x97")
        #expect(retain(2, "x/3", "m") == "2 PUBACK 7 0x10")
        // Another's message in its own place counts for the other.
        #expect(retain(2, "x/1", "m") == "2 PUBACK 7 0x10")
        #expect(retain(1, "x/4", "m") == "1 PUBACK 7 0x10")
        #expect(retain(1, "x/4", String(repeating: "m", count: 100)) == "1 PUBACK 7 0x97")
        _ = retain(1, "x/2", "")
        _ = retain(1, "x/4", "")
        #expect(retain(1, "x/5", "m") == "1 PUBACK 7 0x10")
        #expect(bench.broker.counters.retainedRefused == 2)
    }
}
