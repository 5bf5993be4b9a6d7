import MQTTBroker
import MQTTWire
import Testing

/// What a subscriber that takes its messages slowly, or never, is sent.
@Suite struct SlowSubscriberTests {
    private func retain(_ count: Int, on bench: BrokerBench, qos: QoS, bytes: Int = 100) {
        let filling = String(repeating: "x", count: bytes)
        for number in 1...count { bench.publish("kept/\(number)", filling, qos: qos, retain: true) }
    }

    @Test("Retained messages go out in pieces, each when the connection has taken the one before")
    func pieces() {
        let bench = BrokerBench { $0.replayBurstBytes = 1_000 }
        bench.drainsAtOnce = false
        retain(100, on: bench, qos: .atMostOnce)
        bench.connect(1, "a")
        #expect(bench.subscribe(1, "kept/#") == ["1 SUBACK 9 [0x02]", "1 drain wanted"])
        #expect(bench.broker.counters.queued == 100)
        var topics: [String] = []
        var pieces = 0
        while pieces < 100 {
            let lines = bench.drain(1)
            if lines.isEmpty { break }
            pieces += 1
            #expect(lines.count <= 12, "a piece has 1,000 bytes, and each message 107 or so")
            topics += lines.filter { $0 != "1 drain wanted" }.map { String($0.split(separator: " ")[2]) }
        }
        #expect(pieces == 10)
        #expect(topics == (1...100).map { "kept/\($0)" })
        #expect(bench.drain(1) == [], "nobody asked")
        #expect(bench.broker.counters.queued == 0)
    }

    @Test("What is published at QoS 0 meanwhile stays behind the retained messages")
    func order() {
        let bench = BrokerBench { $0.replayBurstBytes = 1_000 }
        bench.drainsAtOnce = false
        retain(20, on: bench, qos: .atMostOnce)
        bench.connect(1, "a")
        bench.subscribe(1, "kept/#")
        #expect(bench.publish("kept/20", "newer", qos: .atMostOnce) == [])
        #expect(bench.publish("kept/20", "newest", qos: .atLeastOnce) == [])
        var lines: [String] = []
        for _ in 1...3 { lines += bench.drain(1).filter { $0 != "1 drain wanted" } }
        #expect(lines.count == 22)
        #expect(lines.suffix(2) == ["1 PUBLISH kept/20 newer q0", "1 PUBLISH kept/20 newest q1 id 1"])
        #expect(bench.publish("kept/20", "live", qos: .atMostOnce) == ["1 PUBLISH kept/20 live q0"])
    }

    @Test("A message at QoS 0 stays behind one that waits, also when all retained ones have gone")
    func overtaking() {
        let bench = BrokerBench()
        bench.drainsAtOnce = false
        retain(2, on: bench, qos: .atLeastOnce)
        bench.connect(1, "a") { $0.properties.receiveMaximum = 1 }
        #expect(bench.subscribe(1, "#", qos: .atLeastOnce).count == 2, "SUBACK and the first")
        #expect(bench.publish("t", "before", qos: .atMostOnce) == ["1 drain wanted"])
        #expect(bench.puback(1, 1).count == 1, "the second retained one")
        #expect(bench.publish("t", "after", qos: .atMostOnce) == [])
        #expect(bench.drain(1) == ["1 PUBLISH t before q0", "1 PUBLISH t after q0"])
        #expect(bench.publish("t", "live", qos: .atMostOnce) == ["1 PUBLISH t live q0"])
    }

    @Test("Retained messages that still wait go with the connection or to the next one, and nothing hangs")
    func reconnect() {
        let bench = BrokerBench { $0.replayBurstBytes = 1_000 }
        bench.drainsAtOnce = false
        retain(20, on: bench, qos: .atMostOnce)
        bench.connect(1, "a", expiry: 100)
        bench.subscribe(1, "kept/#")
        bench.drain(1)
        bench.drop(1)
        #expect(bench.drain(1) == [])
        let lines = bench.connect(2, "a", clean: false, expiry: 100)
        #expect(lines.last == "2 drain wanted")
        #expect(bench.drain(2).count == 10)
        bench.disconnect(2, expiry: 0)
        #expect(bench.broker.counters.queued == 0)
    }

    @Test("A client that asks for everything again and again does not make it pile up")
    func again() {
        let bench = BrokerBench { $0.sessionReplayMessages = 30 }
        bench.drainsAtOnce = false
        retain(20, on: bench, qos: .atMostOnce)
        bench.connect(1, "a")
        for _ in 1...10 { bench.subscribe(1, "kept/#") }
        #expect(bench.broker.counters.queued == 30)
        #expect(bench.broker.counters.droppedQueueFull == 10)
        #expect(bench.broker.counters.replaysRefused == 8)
    }

    @Test(
        "In flight is bounded in bytes too, and goes on as acknowledgements come",
        arguments: [QoS.atLeastOnce, .exactlyOnce])
    func bytes(_ qos: QoS) {
        let bench = BrokerBench { $0.inflightBytesMax = 1_000 }
        bench.connect(1, "a")
        bench.subscribe(1, "t", qos: qos)
        let text = String(repeating: "x", count: 400)
        var sent = 0
        for _ in 1...10 { sent += bench.publish("t", text, qos: qos).count }
        #expect(sent == 3, "1,203 bytes: the one that passes the limit is the last")
        #expect(bench.broker.counters.queued == 7)
        for number in 1...UInt16(7) {
            // At QoS 2 the message is the client's with its PUBREC, but what goes out next waits for the end.
            let lines: [String]
            if qos == .exactlyOnce {
                bench.pubrec(1, number)
                lines = bench.pubcomp(1, number)
            } else {
                lines = bench.puback(1, number)
            }
            #expect(lines.count == 1, "\(number): \(lines)")
        }
        #expect(bench.broker.counters.queued == 0)
    }

    @Test("A single message above the limit of bytes in flight is sent, alone, and again after a reconnect")
    func largeMessage() {
        let bench = BrokerBench { $0.inflightBytesMax = 1_000 }
        bench.connect(1, "a", expiry: 100)
        bench.subscribe(1, "t", qos: .atLeastOnce)
        let text = String(repeating: "x", count: 5_000)
        #expect(bench.publish("t", text).count == 1)
        #expect(bench.publish("t", text).count == 0)
        bench.drop(1)
        #expect(bench.connect(2, "a", clean: false, expiry: 100).count == 3, "accepted, CONNACK, the first")
        #expect(bench.puback(2, 1).count == 1)
        #expect(bench.puback(2, 2).count == 0)
        #expect(bench.broker.counters.queued == 0)
    }
}
